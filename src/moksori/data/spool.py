"""Recordings that a preparation has measured, on disk until their manifest is written.

A recording's regions and notes are some kilobytes; of all that is asked of every recording at once, its singer, the
checksum of its sound and its split, a tenth of one. So a corpus of any size is prepared in little memory.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from moksori import documents, settings
from moksori.data.corpus import Recording
from moksori.data.index import Encoded


@dataclass(slots=True)
class Entry:
    """A recording in the spool."""

    singer: str
    sound: str  # its `audio_sha256`
    split: str  # may be changed: the recording is read with it
    begin: int  # of its row, in bytes
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Take:
    """A source's recordings in the spool."""

    sound: str  # `audio_sha256` of the whole
    entries: tuple[Entry, ...]
    is_cut: bool  # these are stretches, whose splits have been drawn


class Spool:
    """A temporary file of recordings; whatever becomes of the process, nothing of it is left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Spool:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=self._folder)
        self._n_bytes = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, recordings: Sequence[Recording], sound: str, *, is_cut: bool) -> Take:
        """Put the recordings of a source away."""
        return Take(sound, tuple(self._put(recording, sound) for recording in recordings), is_cut)

    def read(self, entry: Entry) -> dict[str, Any]:
        """A recording as plain data, with its split of now."""
        self._file.seek(entry.begin)
        row: dict[str, Any] = documents.from_json(self._file.read(entry.n_bytes))
        return row | {"split": entry.split}

    def _put(self, recording: Recording, sound: str) -> Entry:
        row = json.dumps(settings.plain(recording), ensure_ascii=False, separators=(",", ":")).encode()
        begin, self._n_bytes = self._n_bytes, self._n_bytes + len(row)
        self._file.seek(begin)
        self._file.write(row)
        own = sound if recording.audio_sha256 == sound else recording.audio_sha256  # one text in memory
        return Entry(recording.singer, own, recording.split, begin, len(row))


class Spooled(Encoded[Recording]):
    """Recordings of a spool as a sequence; as long as it is open."""

    def __init__(self, spool: Spool, entries: Sequence[Entry]) -> None:
        super().__init__(_recording)
        self._spool, self._entries = spool, entries

    def __len__(self) -> int:
        return len(self._entries)

    def plain(self, number: int) -> Any:
        """See `Encoded.plain`."""
        return self._spool.read(self._entries[number])


def _recording(row: dict[str, Any]) -> Recording:
    """A recording from plain data that this process has written: texts, numbers, and lists for tuples."""
    pairs = {name: tuple((first, second) for first, second in row[name]) for name in ("regions", "notes")}
    return Recording(**row | pairs | {"remarks": tuple(row["remarks"])})
