"""Acoustics of a recording: polyphony and reverberation, estimated before it is converted, so that a user is warned.

Both are measured on at most two minutes, and the pitch on some hundred frames of them: enough to tell a third of the
singing from none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moksori.audio import pitch, polyphony, reverberation
from moksori.audio.clip import Samples
from moksori.audio.pitch import PitchTrack

MANY_SHARE = 0.35  # of the frames with a second pitch, from which on it is said
LEAST_FALL_DB = 18.5  # in the steepest falls of a voice; less, and a room is said to be there
_SOUGHT_SECONDS = 120.0
_HOP_SECONDS = 0.04
_N_FRAMES = 300  # with a pitch, at most, that are looked at


@dataclass(frozen=True)
class Acoustics:
    """Estimates of polyphony and reverberation."""

    second_pitch_share: float  # of the frames with a pitch, 0..1
    steepest_fall_db: float | None  # see `audio.reverberation`; None where there is too little sound

    @property
    def is_many(self) -> bool:
        """Whether there are several voices or instruments."""
        return self.second_pitch_share > MANY_SHARE

    @property
    def is_reverberant(self) -> bool:
        """Whether there is much of a room."""
        return self.steepest_fall_db is not None and self.steepest_fall_db < LEAST_FALL_DB


def estimate(blocks: Iterator[Samples], sample_rate: int, track: PitchTrack) -> Acoustics:
    """Estimate polyphony and reverberation of a recording.

    Args:
        blocks: from its beginning, mono `[n]` each; no more are taken than needed.
        sample_rate: Hz.
        track: the pitch that is followed.
    """
    samples = _first(blocks, round(_SOUGHT_SECONDS * sample_rate))
    hop = round(_HOP_SECONDS * sample_rate)
    f0_hz = pitch.at_times(track, np.arange(len(samples) // hop + 1, dtype=np.float64) * (hop / sample_rate))
    voiced = np.flatnonzero(f0_hz > 0)
    left_out = np.setdiff1d(voiced, voiced[:: 1 + len(voiced) // _N_FRAMES])
    f0_hz[left_out] = 0.0
    share = polyphony.second_pitch_share(samples, f0_hz, hop, sample_rate)
    return Acoustics(share, reverberation.steepest_fall_db(samples, sample_rate))


def remarks(found: Acoustics, *, is_separated: bool) -> list[str]:
    """The same in words, where there is something to say.

    Args:
        found: the estimates.
        is_separated: it is a voice that was taken out of a mix.
    """
    said = []
    if found.is_many:
        if is_separated:
            what = "several voices at once, or instruments that were left in; only one of them can be followed"
        else:
            what = (
                "several voices at once, or instruments; only one of them can be followed. Of a song with backing, "
                "moksori convert --separate takes the voice out first"
            )
        said.append(f"a second pitch is heard in {found.second_pitch_share:.0%} of the singing: {what}")
    if found.is_reverberant:
        rest = "or stay in the backing" if is_separated else "and blur the words"
        said.append(
            f"the voice is in a large room, or under much reverb: no sound falls by more than "
            f"{found.steepest_fall_db:.0f} dB in {reverberation.FALL_SECONDS:g} s, where dry ones fall by 30. Its "
            f"tails are sung, too, {rest}"
        )
    return said


def _first(blocks: Iterator[Samples], n_samples: int) -> Samples:
    found, n_found = [np.zeros(0, np.float32)], 0
    for block in blocks:
        found.append(block[: n_samples - n_found])
        n_found += len(found[-1])
        if n_found >= n_samples:
            break
    return np.concatenate(found)
