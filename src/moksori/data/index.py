"""Index of a large manifest: its recordings as arrays mapped into memory, so that opening a corpus decodes none.

    DATA/cache/index-<version>-<SHA-256 of the manifest, cut>/
      head.json                 what is not of one recording; facts that took a walk over all of them
      <column>                  see `Columns`; bare numbers
      rows, row_ends            every recording as JSON, one after the other, and where each ends

It says nothing that the manifest does not say, and is made anew where it is missing or belongs to another manifest.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

VERSION = 1  # of the index; one of another version is not looked at
_HEAD = "head.json"
_TYPES = {  # of the files of bare numbers
    "singer": np.int32,
    "split": np.uint8,
    "n_samples": np.int64,
    "first_region": np.int64,
    "regions": np.int64,
    "rows": np.uint8,
    "row_ends": np.int64,
}

Row = TypeVar("Row", covariant=True)
Integers = npt.NDArray[np.int64]


class _Recording(Protocol):
    """What columns are made of; see `corpus.Recording`."""

    @property
    def singer(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def regions(self) -> tuple[tuple[int, int], ...]: ...


@dataclass(frozen=True, eq=False)
class Columns:
    """What a table of clips asks of every recording, by number: R recordings in manifest order."""

    singer: npt.NDArray[np.int32]  # [R], position in the corpus's singers
    split: npt.NDArray[np.uint8]  # [R], position in `corpus.SPLITS`
    n_samples: Integers  # [R], at the corpus rate
    first_region: Integers  # [R + 1]; those of recording r are first_region[r] .. first_region[r + 1]
    regions: Integers  # [n, 2], start and end in samples of the clip

    @classmethod
    def of(cls, recordings: Iterable[_Recording], singers: Sequence[str], splits: Sequence[str]) -> Columns:
        """Columns of recordings that are in memory."""
        rows = list(recordings)
        by_name, by_split = ({name: i for i, name in enumerate(names)} for names in (singers, splits))
        regions = [region for row in rows for region in row.regions]
        return cls(
            np.array([by_name[row.singer] for row in rows], np.int32),
            np.array([by_split[row.split] for row in rows], np.uint8),
            np.array([row.n_samples for row in rows], np.int64),
            np.cumsum([0, *(len(row.regions) for row in rows)], dtype=np.int64),
            np.array(regions, np.int64).reshape(-1, 2),
        )


class Rows(Sequence[Row], Generic[Row]):
    """The recordings of a manifest, each decoded when it is asked for; equal to the tuple of all of them.

    Args:
        content: all rows as JSON.
        ends: `[R + 1]`, where each begins, and the last one ends.
        decode: a row's JSON, as plain data -> the row.
        columns: of all of them.
        facts: what `head.json` says.
    """

    def __init__(
        self,
        content: npt.NDArray[np.uint8],
        ends: Integers,
        decode: Callable[[Any], Row],
        columns: Columns,
        facts: Mapping[str, Any],
    ) -> None:
        self._content, self._ends, self._decode = content, ends, decode
        self.columns, self.facts = columns, facts

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, place: int | slice) -> Row | tuple[Row, ...]:
        if isinstance(place, slice):
            return tuple(self[number] for number in range(*place.indices(len(self))))
        return self._decode(self.plain(range(len(self))[place]))

    def plain(self, number: int) -> Any:
        """A row as plain data, unchecked."""
        return json.loads(self._content[self._ends[number] : self._ends[number + 1]].tobytes())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rows | tuple):
            return NotImplemented
        return len(self) == len(other) and all(own == its for own, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def write(cache: Path, key: str, columns: Columns, rows: Iterable[object], facts: Mapping[str, Any]) -> None:
    """Write the index of a manifest, whole or not at all; those of other manifests are removed.

    Args:
        cache: the folder of what can be computed again.
        key: the manifest's SHA-256.
        columns: of all recordings.
        rows: the recordings as plain data.
        facts: JSON.

    Raises:
        OSError: the disk refused; nothing is left behind.
    """
    folder = _folder(cache, key)
    part = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    part.mkdir(parents=True)
    try:
        encoded = [json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() for row in rows]
        arrays = {field.name: getattr(columns, field.name) for field in fields(columns)}
        arrays["row_ends"] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        arrays["rows"] = np.frombuffer(b"".join(encoded), np.uint8)
        for name, array in arrays.items():
            _save(part / name, array)
        (part / _HEAD).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        for other in cache.glob("index-*"):
            shutil.rmtree(other, ignore_errors=True)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read(cache: Path, key: str, decode: Callable[[Any], Row]) -> Rows[Row] | None:
    """Map the index of a manifest into memory; None where there is no whole one."""
    folder = _folder(cache, key)
    try:
        facts = json.loads((folder / _HEAD).read_text(encoding="utf-8"))
        found = {name: np.memmap(folder / name, kind, mode="r") for name, kind in _TYPES.items()}
        content, ends = found.pop("rows"), found.pop("row_ends")
        columns = Columns(**found | {"regions": found["regions"].reshape(-1, 2)})
        n, first = len(ends) - 1, columns.first_region
        is_whole = (
            ends[-1] == len(content)
            and len(columns.singer) == len(columns.split) == len(columns.n_samples) == len(first) - 1 == n
            and len(columns.regions) == first[-1]
            and int(columns.singer.max()) < len(facts["singers"])
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    return Rows(content, ends, decode, columns, facts) if is_whole else None


def _folder(cache: Path, key: str) -> Path:
    return cache / f"index-{VERSION}-{key[:16]}"


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    with open(path, "xb") as file:
        file.write(array.tobytes())
        file.flush()
        os.fsync(file.fileno())
