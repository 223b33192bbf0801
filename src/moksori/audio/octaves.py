"""Octave errors of a pitch tracker, detected in the sound: a voice taken an octave too low has no odd harmonics.

    tracked     f    2f    3f    4f    5f    6f      odd harmonics are empty:
    in the sound     |           |           |       what is sung is 2f

`notes.octaves_repaired` looks at the melody alone, and cannot tell an error from an octave that somebody sings; here
the sound has the last word. High voices are where it matters: a window holds many of their periods, and every second or
fourth of them looks like a period, too. Source: the subharmonic-to-harmonic ratio, Sun 2002.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples
from moksori.audio.pitch import PitchTrack

_EMPTY_DB = -12.0  # odd harmonics so far under even ones are none; those of singers were not under -11 dB
_LIKELY_EMPTY_DB = -6.0  # where what lies on both sides is an octave higher, as well
_HIGHEST_HZ = 700.0  # tracked; above, too few harmonics are left to tell, and few voices reach the octave
_TOP_HZ = 5000.0  # of harmonics that are looked at
_PERIODS, _LEAST_SECONDS, _LONGEST_SECONDS = 6.0, 0.03, 0.15  # of a window
_LOBE = 0.12  # of a harmonic, to both sides, as a share of the pitch: what vibrato moves in a window
_LEAP_OCTAVES = 0.5  # from frame to frame: nobody glides so far
_NEAR_OCTAVES = 0.15
_N_ROUNDS = 2  # an error may be of two octaves


def repaired(track: PitchTrack, read: Callable[[], Iterator[Samples]], sample_rate: int) -> tuple[PitchTrack, int]:
    """Bring stretches up that a tracker took an octave or two too low, where the sound says so.

    Args:
        track: what was tracked.
        read: gives the recording that it was tracked in, from its beginning, mono `[n]` each; read at most twice.
        sample_rate: Hz.

    Returns:
        The track, and how many stretches were moved.
    """
    n_moved = 0
    for _ in range(_N_ROUNDS):
        asked_hz = np.where(track.is_voiced & (track.f0_hz < _HIGHEST_HZ), track.f0_hz, 0.0)
        if not asked_hz.any():
            break
        ratios_db = _odd_to_even(read(), asked_hz, track.hop_seconds, sample_rate)
        f0_hz, n_before = track.f0_hz.copy(), n_moved
        for start, stop in _stretches(track):
            if _is_low(ratios_db[start:stop], track.f0_hz, start, stop):
                f0_hz[start:stop] *= 2.0
                n_moved += 1
        track = replace(track, f0_hz=f0_hz)
        if n_moved == n_before:
            break
    return track, n_moved


def _stretches(track: PitchTrack) -> list[tuple[int, int]]:
    """Voiced frames without a leap between them, from the first to the one after the last."""
    octaves = np.where(track.is_voiced, np.log2(np.where(track.is_voiced, track.f0_hz, 1.0)), -99.0)
    cuts = np.flatnonzero(np.abs(np.diff(octaves)) > _LEAP_OCTAVES) + 1
    edges = [0, *cuts.tolist(), len(octaves)]
    return [(start, stop) for start, stop in itertools.pairwise(edges) if octaves[start:stop].max() > -99.0]


def _is_low(ratios_db: npt.NDArray[np.float64], f0_hz: npt.NDArray[np.float64], start: int, stop: int) -> bool:
    """Whether a stretch is an octave too low; its ratios are NaN where nobody looked."""
    known = ratios_db[np.isfinite(ratios_db)]
    if not len(known):
        return False
    is_between = (
        start > 0
        and stop < len(f0_hz)
        and all(
            abs(np.log2(max(beside, 1.0) / own) - 1.0) < _NEAR_OCTAVES
            for beside, own in ((f0_hz[start - 1], f0_hz[start]), (f0_hz[stop], f0_hz[stop - 1]))
        )
    )
    return bool(np.median(known) < (_LIKELY_EMPTY_DB if is_between else _EMPTY_DB))


def odd_to_even_db(samples: Samples, f0_hz: float, sample_rate: int) -> float:
    """Power of the odd harmonics of a pitch over that of its even ones, dB, in a window of steady sound.

    Args:
        samples: `[n]`, some periods.
        f0_hz: the pitch; NaN comes back where fewer than two of its harmonics lie below 5 kHz.
        sample_rate: Hz.
    """
    n_pairs = int(min(_TOP_HZ, sample_rate / 2 - f0_hz) / (2.0 * f0_hz))
    if n_pairs < 1:
        return float("nan")
    size = 1 << (2 * len(samples) - 1).bit_length()
    power = np.abs(np.fft.rfft(np.asarray(samples, np.float64) * np.hanning(len(samples) + 1)[:-1], size)) ** 2
    numbers = np.arange(1, 2 * n_pairs + 1)
    bin_hz = sample_rate / size
    first = np.floor((numbers - _LOBE) * f0_hz / bin_hz).astype(np.int64)
    width = int(2 * _LOBE * f0_hz / bin_hz) + 2
    peaks = power[np.minimum(first[:, None] + np.arange(width), len(power) - 1)].max(axis=1)
    return float(10.0 * np.log10((peaks[0::2].sum() + 1e-12) / (peaks[1::2].sum() + 1e-12)))


def _odd_to_even(
    blocks: Iterator[Samples], f0_hz: npt.NDArray[np.float64], hop_seconds: float, sample_rate: int
) -> npt.NDArray[np.float64]:
    """The ratio of every frame `[F]`, NaN where the pitch is 0 or a window reaches beyond the sound."""
    found = np.full(len(f0_hz), np.nan)
    buffer, begin = np.zeros(0, np.float32), 0  # begin: the place of the buffer's first sample
    waiting = iter(np.flatnonzero(f0_hz > 0).tolist())
    frame = next(waiting, None)
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while frame is not None:
            reach = round(max(_PERIODS / f0_hz[frame], _LEAST_SECONDS) * sample_rate / 2)
            start = round(frame * hop_seconds * sample_rate) - reach
            if start + 2 * reach > begin + len(buffer):
                break
            if start >= begin:
                window = buffer[start - begin : start - begin + 2 * reach]
                found[frame] = odd_to_even_db(window, float(f0_hz[frame]), sample_rate)
            frame = next(waiting, None)
        if frame is None:
            break
        kept = round((frame * hop_seconds - _LONGEST_SECONDS / 2) * sample_rate)
        cut = min(max(0, kept - begin), len(buffer))
        buffer, begin = buffer[cut:], begin + cut
    return found
