"""Cache of a corpus in flat files: computed once, described by a header each, mapped into memory.

DATA/cache/<name>-<fingerprint><suffix>   an array, without a header of its own
DATA/cache/<name>-<fingerprint>.json      what it is; written last: its presence says that the file is complete

A large corpus has several, its shards: `<name>-3of15-<fingerprint>`, each of some thousand clips. A build that was
interrupted goes on with the first shard that is not there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from moksori import documents
from moksori.data.corpus import CACHE, Corpus, write_json
from moksori.errors import DataError
from moksori.progress import OnProgress, ignored, within

CLIPS_A_SHARD = 4096  # a few GB of codes, some tens of features: what is lost when a build is interrupted

Described = dict[str, Any]
"""What a header says beyond what was asked for; JSON."""


@dataclass(frozen=True)
class Shard:
    """Clips that follow each other, and whose share of a cache is a file."""

    number: int  # from 0
    of: int  # how many there are
    clips: range  # their numbers among all clips of the cache

    def __str__(self) -> str:
        """What its files are called beside the cache's own name; nothing where it is the only one."""
        return f"-{self.number}of{self.of}" if self.of > 1 else ""


def shards(n_clips: int) -> list[Shard]:
    """Cut so many clips into shards.

    >>> [(str(shard), shard.clips) for shard in shards(5000)]
    [('-0of2', range(0, 4096)), ('-1of2', range(4096, 5000))]
    """
    n = max(1, -(-n_clips // CLIPS_A_SHARD))
    starts = range(0, n * CLIPS_A_SHARD, CLIPS_A_SHARD)
    return [Shard(i, n, range(start, min(start + CLIPS_A_SHARD, n_clips))) for i, start in enumerate(starts)]


def in_all(progress: OnProgress | None, shard: Shard, n_clips: int) -> OnProgress:
    """Progress of a shard as progress in all clips."""
    return within(progress or ignored, shard.clips.start, n_clips)


class Joined:
    """Arrays of several files, one after the other along the first axis."""

    def __init__(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        self._arrays = list(arrays)
        self._starts = np.cumsum([0, *map(len, self._arrays)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]:
        """Rows that follow each other; a view where they lie in one file, as those of a clip do."""
        begin, end, _ = rows.indices(len(self))
        first, last = (int(np.searchsorted(self._starts, at, side="right")) - 1 for at in (begin, max(begin, end - 1)))
        first, last = (min(number, len(self._arrays) - 1) for number in (first, last))
        parts = [
            self._arrays[i][max(begin - int(self._starts[i]), 0) : max(end - int(self._starts[i]), 0)]
            for i in range(first, last + 1)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All of it, in memory."""
        whole = np.asarray(self[:], dtype)
        return whole.copy() if copy else whole


@dataclass(frozen=True)
class FlatCache:
    """One flat file and its header; a header that differs from the one asked for means that the file is stale."""

    corpus: Corpus
    name: str  # tells files of one corpus apart
    suffix: str  # such as ".u8"
    header: dict[str, Any]  # all that the content depends on besides the corpus
    shard: Shard

    @property
    def path(self) -> Path:
        """The flat file."""
        stem = f"{self.name}{self.shard}-{self.corpus.fingerprint[:12]}"
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
            found = documents.from_json(self.path.with_suffix(".json").read_text(encoding="utf-8"))
            own = {key: found.pop(key) for key in self._whole_header()}
            is_whole = self.path.stat().st_size == n_bytes(found)
            return found if own == self._whole_header() and is_whole else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _remove_others(self) -> None:
        """Delete files of the same name that belong to an earlier state of the corpus."""
        for other in self.path.parent.glob(f"{self.name}-*"):
            if not other.stem.endswith(f"-{self.corpus.fingerprint[:12]}"):
                # Another process may still have it mapped, and some systems refuse then.
                with contextlib.suppress(OSError):
                    other.unlink()
