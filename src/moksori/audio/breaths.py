"""Breaths between the notes, kept as the source breathed them.

A breath is a stretch without pitch that is longer than any consonant. There the result gives way to the source, by a
short cross-fade on either side.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples

_SHORTEST_SECONDS = 0.16  # consonants without pitch are shorter
_MARGIN_SECONDS = 0.04  # at either end that stays with the consonant that may be there
_FADE_SECONDS = 0.02


def shares(f0_hz: npt.NDArray[np.float64], hop_seconds: float) -> npt.NDArray[np.float64]:
    """Gain of the source at each frame: 1 within breaths, 0 elsewhere, `[F]`.

    Args:
        f0_hz: of the source, 0 where unvoiced; a song without any pitch has no breaths, but noise, and is converted.
        hop_seconds: from frame to frame.
    """
    kept = np.zeros(len(f0_hz))
    unvoiced = np.flatnonzero(f0_hz <= 0)
    if len(unvoiced) == len(f0_hz):
        return kept
    margin = round(_MARGIN_SECONDS / hop_seconds)
    for run in np.split(unvoiced, np.flatnonzero(np.diff(unvoiced) > 1) + 1):
        if len(run) >= _SHORTEST_SECONDS / hop_seconds:
            first = run[0] + (margin if run[0] else 0)
            last = run[-1] + 1 - (margin if run[-1] + 1 < len(f0_hz) else 0)
            kept[first:last] = 1.0
    return kept


def kept(
    result: Iterator[Samples],
    source: Iterator[Samples],
    shares: npt.NDArray[np.float64],
    hop_seconds: float,
    sample_rate: int,
) -> Iterator[Samples]:
    """Give way to the source where the shares say so.

    Args:
        result: blocks of any sizes.
        source: blocks of any sizes; what it lacks of the result's length is silence.
        shares: `[F]`, see `shares`.
        hop_seconds: from share to share.
        sample_rate: of both.

    Yields:
        Blocks as long as those of the result.
    """
    fade = max(1, round(_FADE_SECONDS / hop_seconds))
    smooth = np.convolve(np.pad(shares, fade, mode="edge"), np.ones(2 * fade + 1) / (2 * fade + 1), mode="valid")
    times = np.arange(len(smooth)) * hop_seconds
    left, place = np.zeros(0, np.float32), 0
    for block in result:
        while len(left) < len(block):
            more = next(source, None)
            left = np.pad(left, (0, len(block) - len(left))) if more is None else np.concatenate([left, more])
        own, left = left[: len(block)], left[len(block) :]
        share = np.interp((place + np.arange(len(block))) / sample_rate, times, smooth)
        place += len(block)
        yield (share * own + (1 - share) * block).astype(np.float32)
