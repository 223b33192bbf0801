"""Segmentation of long takes at pauses: each stretch is trained on or held out as a whole.

    take      ~~~~ ~~~~~~ ~~~  ~~~~~~~ ~~~ ~~~~~  ~~~~~~~~ ~~~~~
    cut       [~~~~ ~~~~~~ ~~~][~~~~~~~ ~~~ ~~~~~][~~~~~~~~ ~~~~~]   at pauses, 12 to 30 s each
    placed         train              test              train
    apart     [~~~~ ~~~~~~ ~]  [~~~~~~~ ~~~ ~~~~~]   [~~~~~ ~~~~~]   two seconds are left out on either side

Where the cuts fall and what is held out depends on the take alone, never on other files, so nothing that comes or goes
moves a stretch from training to test.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moksori.audio.level import Measurement
from moksori.data.splits import rank

Regions = list[tuple[int, int]]
"""Sung, `[start, end)` in samples; ascending, apart."""

_MARK = re.compile(r"#t=[0-9.]+,[0-9.]+$")  # of a part of a file, as in W3C Media Fragments
_QUIET_FRAMES = 5  # a cut where nobody pauses lies where so many frames together are the quietest


@dataclass(frozen=True)
class StretchConfig:
    """What is a long take, and how it is cut. Another rule would move stretches of takes that were cut by this one."""

    long_seconds: float = 120.0  # from the first sung sound to the last; a longer take is cut, 0: none is
    shortest_seconds: float = 12.0  # of a stretch
    longest_seconds: float = 30.0
    gap_seconds: float = 2.0  # between what is trained on and what is held out: a room has died away by then

    def __post_init__(self) -> None:
        """Refuse settings that no take can be cut by."""
        if not 0 < 2 * self.shortest_seconds < self.longest_seconds or self.gap_seconds < 0 or self.long_seconds < 0:
            raise ValueError(
                f"shortest_seconds is {self.shortest_seconds}, longest_seconds {self.longest_seconds}; expected the "
                "longest to be more than twice the shortest, and gap_seconds and long_seconds 0 or more"
            )


def is_long(regions: Regions, sample_rate: int, config: StretchConfig) -> bool:
    """Whether a take is cut."""
    return 0 < config.long_seconds < (regions[-1][1] - regions[0][0]) / sample_rate


def cut(regions: Regions, measured: Measurement, config: StretchConfig) -> list[Regions]:
    """Cut a take into stretches, at the longest pause within reach, or where it is quietest if nobody pauses.

    From the start on, so a take that goes on later is cut in the same places up to where it ended.

    Args:
        regions: sung, of the whole take; not empty.
        measured: the take.
        config: lengths.

    Returns:
        Regions of each stretch. Together they are `regions`, but for a region that is cut in two.
    """
    rate = measured.sample_rate
    shortest, longest = (round(s * rate) for s in (config.shortest_seconds, config.longest_seconds))
    rest, stretches = list(regions), []
    while rest[-1][1] - rest[0][0] > longest:
        begin, end = rest[0][0], rest[-1][1]
        place = _place(rest, measured, begin + shortest, min(begin + longest, end - shortest))
        stretches.append([(a, min(b, place)) for a, b in rest if a < place])
        rest = [(max(a, place), b) for a, b in rest if b > place]
    return [*stretches, rest]


def place(
    sounds: Sequence[str], kept: Mapping[str, str], *, seed: int, validation_share: float, test_share: float
) -> list[str]:
    """Say of each stretch of a take whether it is for training, validation or test.

    The lowest hashes are for test, the next for validation, each its share, at least one, and at most so many that one
    is left for training.

    Args:
        sounds: checksums of the stretches.
        kept: splits of an earlier run, which stay; may hold others.
        seed: another seed is another choice.
        validation_share: 0..1; with 0 there is none.
        test_share: 0..1; with 0 there is none.

    Returns:
        "train", "validation" or "test" for each.
    """
    splits = {sound: kept[sound] for sound in sounds if sound in kept}
    free = sorted((sound for sound in dict.fromkeys(sounds) if sound not in splits), key=lambda s: rank(s, seed))
    for split, share in (("test", test_share), ("validation", validation_share)):
        wanted = max(1, round(share * len(sounds))) if share else 0
        missing = wanted - Counter(splits.values())[split]
        is_trained = "train" in splits.values()
        for sound in free[: max(0, min(missing, len(free) - (not is_trained)))]:
            splits[sound] = split
        free = [sound for sound in free if sound not in splits]
    return [splits.get(sound, "train") for sound in sounds]


def apart(stretches: Sequence[Regions], splits: Sequence[str], gap_samples: int) -> list[Regions]:
    """Take out so much of what lies beside a stretch of another split that `gap_samples` are between them.

    What is trained on gives way to what is held out, and validation to test.

    Returns:
        Regions of each stretch; empty where nothing is left.
    """
    firmness = ("train", "validation", "test").index
    kept = [list(regions) for regions in stretches]
    for left in range(len(kept) - 1):
        right = left + 1
        if splits[left] == splits[right] or not kept[left] or not kept[right]:
            continue
        if firmness(splits[left]) < firmness(splits[right]):
            bound = kept[right][0][0] - gap_samples
            kept[left] = [(a, min(b, bound)) for a, b in kept[left] if a < bound]
        else:
            bound = kept[left][-1][1] + gap_samples
            kept[right] = [(max(a, bound), b) for a, b in kept[right] if b > bound]
    return kept


def name_of(source: str, regions: Regions, sample_rate: int) -> str:
    """The name of a stretch: that of its file, and from when to when.

    >>> name_of("mina/session.wav", [(24000, 36000), (48000, 60000)], 24000)
    'mina/session.wav#t=1.00,2.50'
    """
    return f"{source}#t={regions[0][0] / sample_rate:.2f},{regions[-1][1] / sample_rate:.2f}"


def file_of(source: str) -> str:
    """The file that a recording is, or is a stretch of.

    >>> file_of("mina/session.wav#t=1.00,2.50"), file_of("mina/#t=1.wav")
    ('mina/session.wav', 'mina/#t=1.wav')
    """
    return _MARK.sub("", source)


def _place(regions: Regions, measured: Measurement, earliest: int, latest: int) -> int:
    """Where to cut, in samples: the middle of the longest pause there, the first of equals, or the quietest place."""
    pauses = [(b, c) for (_, b), (c, _) in itertools.pairwise(regions) if earliest <= (b + c) // 2 <= latest]
    if pauses:
        start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
        return (start + end) // 2
    hop = measured.hop_samples
    first, last = earliest // hop, latest // hop
    power = 10.0 ** (measured.frame_dbfs[first:last] / 10.0)
    quiet = np.convolve(power, np.ones(_QUIET_FRAMES), mode="valid")
    return (first + int(np.argmin(quiet)) + _QUIET_FRAMES // 2) * hop
