"""Train, validation and test splits: by recording, and stable when recordings are added."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from moksori.data import rows
from moksori.errors import DataError

T = TypeVar("T")

_WORDS = {"valid": "validation", "val": "validation", "dev": "validation", "training": "train", "testing": "test"}
_N_NAMED = 3  # recordings named in a message


class KnownSplits:
    """Splits of all sounds that were ever in a data folder, by singer and sound."""

    def __init__(self) -> None:
        self._of_sound: dict[str, tuple[tuple[str, str], ...]] = {}  # singers and splits, in the order they came
        self._shared: dict[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = {}  # one in memory of equals

    def put(self, singer: str, sound: str, split: str) -> None:
        """Note a split, in the place of one that was known for this singer and sound."""
        known = dict(self._of_sound.get(sound, ())) | {singer: split}
        rows = tuple(known.items())
        self._of_sound[sound] = self._shared.setdefault(rows, rows)

    def of(self, singer: str, sound: str) -> str | None:
        """The split of a singer's sound; where it was another's, be it by name only, theirs; None for a new sound."""
        known = dict(self._of_sound.get(sound, ()))
        return known.get(singer) or next(reversed(known.values()), None)

    def among(self, singer: str, sounds: Iterable[str]) -> dict[str, str]:
        """The splits of those of a singer's sounds that are not new."""
        return {sound: split for sound in sounds if (split := self.of(singer, sound)) is not None}

    @property
    def names(self) -> set[str]:
        """The splits that there are."""
        return {split for rows in self._shared for _, split in rows}

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        """Every singer, sound and split."""
        return ((singer, sound, split) for sound, rows in self._of_sound.items() for singer, split in rows)


@dataclass(frozen=True)
class Listed:
    """Which recordings are for what, as somebody else has said: the published split of a data set, for one."""

    path: Path  # where it says so
    splits: Mapping[str, str]  # "train", "validation" or "test", by posix path below the songs folder

    @classmethod
    def load(cls, path: Path) -> Listed:
        """Read a CSV, or a TSV by its suffix, with the columns file and split.

        A file is named by its path below the songs folder, `mina/song.wav`. A split is train, validation (val, valid,
        dev) or test.

        Raises:
            DataError: it cannot be read, lacks a column, names an unknown split, or a file twice.
        """
        found: dict[str, str] = {}
        for row in rows.read(path, ("file", "split"), (), is_open=True):
            named = row["split"].casefold()
            split = _WORDS.get(named, named)
            if split not in ("train", "validation", "test"):
                raise DataError(f"{path}: {row['file']}: split {row['split']!r}; expected train, validation or test")
            if found.setdefault(row["file"], split) != split:
                raise DataError(f"{path}: {row['file']} is for {found[row['file']]} and for {split}; name it once")
        return cls(path, found)

    def check(self, sources: Iterable[str]) -> None:
        """Refuse a list that names what is not there.

        Raises:
            DataError: it does.
        """
        if missing := sorted(set(self.splits) - set(sources)):
            raise DataError(
                f"{self.path}: names {_named(missing)}, which the songs folder has not; expected paths below it, such "
                "as mina/song.wav"
            )

    def shares(self, validation_share: float, test_share: float) -> tuple[float, float]:
        """The shares of what is not listed: nothing of it is for a split that the list knows."""
        known = set(self.splits.values())
        return (0.0 if "validation" in known else validation_share), (0.0 if "test" in known else test_share)

    def check_kept(self, splits: Mapping[tuple[str, str], str], kept: KnownSplits) -> None:
        """Refuse to hold out what an earlier preparation of the same folder trained on, and the other way round.

        Args:
            splits: by singer and sound.
            kept: those of earlier preparations.

        Raises:
            DataError: so it would be.
        """
        moved = sum(kept.of(*sound) not in (None, split) for sound, split in splits.items())
        if moved:
            raise DataError(
                f"{self.path}: {moved} recordings were for something else when this folder was prepared before, and a "
                "model may have been trained on them; prepare another folder"
            )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
    return ", ".join(names[:_N_NAMED]) + more


def split_singer(
    sounds: Sequence[str],
    kept: Mapping[str, str],
    *,
    seed: int,
    validation_share: float,
    test_share: float,
) -> dict[str, str]:
    """Place the recordings of one singer.

    A recording's hash with the seed is a number in [0, 1); below `test_share` it is for test, in the next
    `validation_share` for validation, else for training. Others that come or go do not matter, with these exceptions:

    - What `kept` says stays, so that a recording once trained on is never tested on.
    - With three recordings or more each split has at least one; with two, train and test; with one, train. Where one is
      missing, a new recording moves there. Only an empty training split may take a kept one. A share of 0 wants none.

    Args:
        sounds: `audio_sha256` of each recording; no doubles.
        kept: splits of an earlier run, by `audio_sha256`; may hold others.
        seed: another seed is another split.
        validation_share: 0..1.
        test_share: 0..1.

    Returns:
        "train", "validation" or "test" by `audio_sha256`.
    """
    ranks = {sound: rank(sound, seed) for sound in sorted(sounds)}
    new = [sound for sound in ranks if sound not in kept]
    splits = {
        sound: kept[sound] if sound in kept else _by_rank(place, validation_share, test_share)
        for sound, place in ranks.items()
    }
    shares = {"train": 1.0, "test": test_share, "validation": validation_share}
    wanted = [split for split, share in shares.items() if share][: len(sounds)]
    for split in wanted:
        if split not in splits.values():
            count = Counter(splits.values())
            spare = [sound for sound in new if count[splits[sound]] > 1 or splits[sound] not in wanted]
            if split == "train":  # held-out splits lie at low ranks
                splits[max(spare or new or splits, key=ranks.__getitem__)] = split
            elif spare:
                splits[min(spare, key=lambda sound: (splits[sound] != "train", ranks[sound]))] = split
    return splits


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Choose `count` items at even distances, all if there are no more.

    >>> evenly("abcdefgh", 3)
    ['a', 'd', 'f']
    """
    if count >= len(items):
        return list(items)
    return [items[round(index * len(items) / count)] for index in range(count)]


def middles(length: int, n: int) -> list[int]:
    """The middles of `n` equal parts of a length, rounded down; none of nothing.

    >>> middles(100, 4), middles(0, 4)
    ([12, 37, 62, 87], [])
    """
    return [(2 * part + 1) * length // (2 * n) for part in range(n if length else 0)]


def rank(sound: str, seed: int) -> float:
    """A number in [0, 1) that depends on a sound and a seed alone."""
    digest = hashlib.sha256(f"{seed} {sound}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _by_rank(rank: float, validation_share: float, test_share: float) -> str:
    if rank < test_share:
        return "test"
    return "validation" if rank < test_share + validation_share else "train"
