"""Index of a large manifest: its recordings as arrays mapped into memory, so that opening a corpus decodes none.

    DATA/cache/index-<version>-<SHA-256 of the manifest, cut>/
      head.json                 what is not of one recording; facts that took a walk over all of them
      <column>                  see `Columns`; bare numbers
      rows, row_ends            every recording as JSON, one after the other, and where each ends

It says nothing that the manifest does not say, and is made anew where it is missing or belongs to another manifest.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

from moksori import documents

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
        """Columns of recordings, each of which is looked at once."""
        gathered = _Gathered(singers, splits)
        regions = array("q")
        for recording in recordings:
            regions.extend(gathered.add(recording))
        return cls(**gathered.columns(), regions=np.array(regions, np.int64).reshape(-1, 2))


class _Gathered:
    """Columns as they grow, but for the regions, which are the bulk of them."""

    def __init__(self, singers: Sequence[str], splits: Sequence[str]) -> None:
        self._by_name, self._by_split = ({name: i for i, name in enumerate(names)} for names in (singers, splits))
        self._singer, self._split, self._n_samples, self._first_region = (array("q") for _ in range(4))
        self._first_region.append(0)

    def add(self, recording: _Recording) -> list[int]:
        """Take in a recording; the edges of its regions, one after the other."""
        self._singer.append(self._by_name[recording.singer])
        self._split.append(self._by_split[recording.split])
        self._n_samples.append(recording.n_samples)
        self._first_region.append(self._first_region[-1] + len(recording.regions))
        return [edge for region in recording.regions for edge in region]

    def columns(self) -> dict[str, Any]:
        """All columns but `regions`, by name."""
        found = {"singer": self._singer, "split": self._split, "n_samples": self._n_samples}
        found |= {"first_region": self._first_region}
        return {name: np.array(values, _TYPES[name]) for name, values in found.items()}


class Encoded(Sequence[Row], Generic[Row]):
    """Rows that lie somewhere as JSON, each decoded when it is asked for; equal to the tuple of all of them."""

    def __init__(self, decode: Callable[[Any], Row]) -> None:
        self._decode = decode

    def plain(self, number: int) -> Any:
        """A row as plain data, unchecked; `number` is 0 or more."""
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, place: int | slice) -> Row | tuple[Row, ...]:
        if isinstance(place, slice):
            return tuple(self[number] for number in range(*place.indices(len(self))))
        return self._decode(self.plain(range(len(self))[place]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Encoded | tuple):
            return NotImplemented
        return len(self) == len(other) and all(own == its for own, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class Rows(Encoded[Row]):
    """The recordings of a manifest, mapped into memory.

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
        super().__init__(decode)
        self._content, self._ends = content, ends
        self.columns, self.facts = columns, facts

    def __len__(self) -> int:
        return len(self._ends) - 1

    def plain(self, number: int) -> Any:
        """See `Encoded.plain`."""
        return documents.from_json(self._content[self._ends[number] : self._ends[number + 1]].tobytes())


def write(
    cache: Path,
    key: str,
    recordings: Iterable[tuple[_Recording, object]],
    facts: Mapping[str, Any],
    *,
    splits: Sequence[str],
) -> None:
    """Write the index of a manifest, whole or not at all; those of other manifests are removed.

    Args:
        cache: the folder of what can be computed again.
        key: the manifest's SHA-256.
        recordings: each with its plain data; looked at once, one after the other.
        facts: JSON; with the names of the `singers`.
        splits: their names.

    Raises:
        OSError: the disk refused; nothing is left behind.
    """
    folder = _folder(cache, key)
    part = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    part.mkdir(parents=True)
    try:
        gathered, ends = _Gathered(facts["singers"], splits), array("q", [0])
        with _new(part / "rows") as rows, _new(part / "regions") as regions:
            for recording, row in recordings:
                regions.write(np.array(gathered.add(recording), _TYPES["regions"]).tobytes())
                encoded = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
                rows.write(encoded)
                ends.append(ends[-1] + len(encoded))
        for name, values in (gathered.columns() | {"row_ends": np.array(ends, _TYPES["row_ends"])}).items():
            with _new(part / name) as file:
                file.write(values.tobytes())
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
        facts = documents.from_json((folder / _HEAD).read_text(encoding="utf-8"))
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


@contextlib.contextmanager
def _new(path: Path) -> Iterator[IO[bytes]]:
    """A new file, which is on the disk when the `with` block ends."""
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
