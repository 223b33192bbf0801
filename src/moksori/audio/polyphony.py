"""Polyphony detection: is more than one voice in a recording? A second pitch beside the one that was tracked.

    |spectrum| --multiples of f0 are taken out--> the rest --a comb at any other pitch--> how much it explains

A second voice stands in the rest as a comb of its own; breath and hiss have none. Voices in unison are not told apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples

_RATE_SECONDS = 0.085  # of a window: two notes a third apart at 120 Hz are told apart
_LOW_HZ, _HIGH_HZ = 90.0, 2500.0  # where the first harmonics of voices are
_BINS_AROUND, _SHARE_AROUND = 2.5, 0.02  # of a harmonic: a window's main lobe, and what vibrato moves in it
_PER_OCTAVE = 24
_N_TEETH = 4
_LEAST_REST = 0.03  # of the power: 15 dB under the first voice
_LEAST_PROMINENCE_DB = 12.0  # of the comb's teeth above what lies between them
_LEAST_FRAMES = 25


def second_pitch_share(samples: Samples, f0_hz: npt.NDArray[np.float64], hop_samples: int, sample_rate: int) -> float:
    """The share of the voiced frames that have a second pitch, 0..1; 0 where hardly anything is voiced.

    Args:
        samples: `[T]`.
        f0_hz: the tracked pitch `[F]`, 0 where unvoiced; frame i is around sample `i * hop_samples`.
        hop_samples: from frame to frame.
        sample_rate: Hz.
    """
    n_window = 1 << round(np.log2(_RATE_SECONDS * sample_rate))
    padded = np.pad(np.asarray(samples, np.float64), n_window // 2)
    middles = np.flatnonzero(f0_hz > 0)
    middles = middles[middles * hop_samples + n_window <= len(padded)]
    if len(middles) < _LEAST_FRAMES:
        return 0.0
    hz = np.arange(n_window // 2 + 1) * (sample_rate / n_window)
    inside = (hz >= _LOW_HZ) & (hz <= _HIGH_HZ)
    candidates = _LOW_HZ * 2.0 ** (np.arange(3 * _PER_OCTAVE) / _PER_OCTAVE)  # three octaves
    teeth, gaps = _combs(candidates, hz)
    window = np.hanning(n_window + 1)[:-1]
    found = 0
    for middle in middles.tolist():
        start = middle * hop_samples
        power = np.abs(np.fft.rfft(padded[start : start + n_window] * window)) ** 2 * inside
        rest = np.where(_is_own(hz, float(f0_hz[middle]), sample_rate / n_window), 0.0, power)
        if rest.sum() < _LEAST_REST * power.sum():
            continue
        peak, valley = rest[teeth].max(axis=2), rest[gaps].max(axis=2)  # [candidates, teeth]
        prominence = 10.0 * np.log10((peak.mean(axis=1) + 1e-12) / (valley.mean(axis=1) + 1e-12 + 1e-4 * rest.max()))
        is_second = (prominence > _LEAST_PROMINENCE_DB) & (peak.sum(axis=1) > 0.3 * rest.sum() / 5.0)
        # A pitch of its own: two teeth at least stand out, not one stray tone.
        is_second &= (peak > 0.02 * peak.max(axis=1, keepdims=True)).sum(axis=1) >= 2
        found += bool(is_second.any())
    return found / len(middles)


def _is_own(hz: npt.NDArray[np.float64], f0_hz: float, bin_hz: float) -> npt.NDArray[np.bool_]:
    """Which bins belong to the harmonics of a pitch."""
    number = np.maximum(np.round(hz / f0_hz), 1.0)
    return np.asarray(np.abs(hz - number * f0_hz) <= _BINS_AROUND * bin_hz + _SHARE_AROUND * number * f0_hz)


def _combs(
    candidates: npt.NDArray[np.float64], hz: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Bins at the teeth of each comb and between them, `[candidates, _N_TEETH, 3]`."""
    bin_hz = hz[1]
    number = np.arange(1, _N_TEETH + 1)
    at = np.round(candidates[:, None] * number / bin_hz).astype(np.int64)[:, :, None] + np.array([-1, 0, 1])
    between = np.round(candidates[:, None] * (number + 0.5) / bin_hz).astype(np.int64)[:, :, None] + np.array(
        [-1, 0, 1]
    )
    return np.clip(at, 0, len(hz) - 1), np.clip(between, 0, len(hz) - 1)
