"""Pitch-synchronous spectra: sound read at even steps of the voice's own phase, four periods at a time.

On that axis a gliding voice stands still: harmonic k stands in bin 4 k however high, and bin 4 k + 2, halfway to the
next, holds none of either, since a Hann window's main lobe ends two bins off. What is there is noise.

Source: the warped axis as in the time-warped transform, Edler et al. 2009.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moksori.audio import resample
from moksori.audio.clip import Samples

Curve = npt.NDArray[np.float64]
Spectra = npt.NDArray[np.complex128]

PERIODS = 4  # in a window
POINTS = 256  # a period: harmonics up to the 128th
OVERSAMPLING = 4  # before straight lines are drawn between samples
WINDOW = np.hanning(PERIODS * POINTS + 1)[:-1]


def fine(samples: Samples, sample_rate: int, fine_rate: int) -> Samples:
    """Samples at a rate fine enough to be read between, with a zero before and two behind; 70 MB for three minutes."""
    return np.pad(resample.resample(samples, sample_rate, fine_rate), (1, 2))


def spectra(
    fine: Samples, fine_rate: int, cycles: Curve, seconds: Curve, middles: Curve, ends_hz: tuple[float, float]
) -> Spectra:
    """Spectra around some places on the warped axis, scaled so that a sine of amplitude a measures a.

    Args:
        fine: the sound, see `fine`.
        fine_rate: of it, Hz.
        cycles: periods gone by at some times, `[N]`, rising.
        seconds: these times, `[N]`.
        middles: periods gone by up to the places, `[n]`.
        ends_hz: pitch before the first of the times and after the last one, where it stands still.

    Returns:
        `[n, 2 POINTS + 1]`.
    """
    n_points = PERIODS * POINTS
    offset = (np.arange(n_points) - n_points // 2) / POINTS  # periods from the middle
    wanted = middles[:, None] + offset  # [n, points]
    at = np.interp(wanted, cycles, seconds)
    at += np.minimum(wanted - cycles[0], 0.0) / ends_hz[0]
    at += np.maximum(wanted - cycles[-1], 0.0) / ends_hz[1]
    place = at * fine_rate
    below = np.floor(place).astype(np.int64)
    share = place - below
    low, high = (fine[np.clip(below + 1 + step, 0, len(fine) - 2)] for step in (0, 1))
    waves = np.fft.ifftshift((low * (1 - share) + high * share) * WINDOW, axes=1)
    return np.asarray(np.fft.rfft(waves, axis=1) * (2.0 / WINDOW.sum()))


def turned(here: Spectra, there: Spectra, cycles: Curve) -> Spectra:
    """Phase advance of harmonics between two places beyond that of the given pitch: products, `[n, K]`.

    The angle is what is left; the magnitude is that of both together. Zero angles mean that the pitch is right.

    Args:
        here: harmonics 1 to K at places, `[n, K]`.
        there: the same at places behind those.
        cycles: periods gone by from the one to the other, `[n]`.
    """
    number = np.arange(1, here.shape[1] + 1)
    expected = np.exp(2j * np.pi * (cycles[:, None] * number))
    return np.asarray(there * np.conj(here) * np.conj(expected))
