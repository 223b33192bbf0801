"""Which recording is for training, which is held out: by recording, and stable when recordings are added."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


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
      missing, a new recording moves there. Only an empty training split may take a kept one.

    Args:
        sounds: `audio_sha256` of each recording; no doubles.
        kept: splits of an earlier run, by `audio_sha256`; may hold others.
        seed: another seed is another split.
        validation_share: 0..1.
        test_share: 0..1.

    Returns:
        "train", "validation" or "test" by `audio_sha256`.
    """
    ranks = {sound: _rank(sound, seed) for sound in sorted(sounds)}
    new = [sound for sound in ranks if sound not in kept]
    splits = {
        sound: kept[sound] if sound in kept else _by_rank(rank, validation_share, test_share)
        for sound, rank in ranks.items()
    }
    wanted = ("train", "test", "validation")[: len(sounds)]
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


def _rank(sound: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed} {sound}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _by_rank(rank: float, validation_share: float, test_share: float) -> str:
    if rank < test_share:
        return "test"
    return "validation" if rank < test_share + validation_share else "train"
