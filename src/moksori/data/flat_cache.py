"""Cache of a corpus in one flat file: computed once, described by a header, mapped into memory.

DATA/cache/<name>-<fingerprint><suffix>   an array, without a header of its own
DATA/cache/<name>-<fingerprint>.json      what it is; written last: its presence says that the file is complete
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moksori.data.corpus import CACHE, Corpus, write_json
from moksori.errors import DataError

Described = dict[str, Any]
"""What a header says beyond what was asked for; JSON."""


@dataclass(frozen=True)
class FlatCache:
    """One flat file and its header; a header that differs from the one asked for means that the file is stale."""

    corpus: Corpus
    name: str  # tells files of one corpus apart
    suffix: str  # such as ".u8"
    header: dict[str, Any]  # all that the content depends on besides the corpus

    @property
    def path(self) -> Path:
        """The flat file."""
        stem = f"{self.name}-{self.corpus.fingerprint[:12]}"
        return (self.corpus.folder / CACHE / stem).with_suffix(self.suffix)

    def opened(self, build: Callable[[Path], Described], n_bytes: Callable[[Described], int], room: str) -> Described:
        """Make sure that the file is there, building it where it is missing or stale.

        Args:
            build: writes the file, whole or not at all, and says what else its header is to tell.
            n_bytes: the length of a file so described; a KeyError, TypeError, ValueError or AttributeError for what
                cannot be a description.
            room: what to say where it cannot be written.

        Raises:
            DataError: it cannot be written.
        """
        found = self._current(n_bytes)
        if found is None:
            path = self.path
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                found = build(path)
                write_json(path.with_suffix(".json"), self._whole_header() | found)
            except OSError as error:
                raise DataError(f"{path}: cannot be written ({error.strerror}); {room}") from error
            self._remove_others()
        return found

    def _whole_header(self) -> dict[str, Any]:
        return self.header | {"fingerprint": self.corpus.fingerprint}

    def _current(self, n_bytes: Callable[[Described], int]) -> Described | None:
        """What the header of a current file tells besides; None where there is no such file."""
        try:
            found = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
            own = {key: found.pop(key) for key in self._whole_header()}
            is_whole = self.path.stat().st_size == n_bytes(found)
            return found if own == self._whole_header() and is_whole else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _remove_others(self) -> None:
        """Delete files of the same name that belong to an earlier state of the corpus."""
        for other in self.path.parent.glob(f"{self.name}-*"):
            if other.stem != self.path.stem:
                # Another process may still have it mapped, and some systems refuse then.
                with contextlib.suppress(OSError):
                    other.unlink()
