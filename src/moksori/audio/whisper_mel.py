"""Whisper's log-mel: what it hears of a sound (Radford et al. 2022, section 2.2).

The logarithm to base 10 of the power in 80 mel bands (Slaney's scale, bands of equal area), not more than 8 below the
loudest, shifted and scaled to about -1..1.5.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples

RATE = 16_000  # Hz
HOP = 160  # samples, 10 ms
WINDOW = 400  # samples, 25 ms
N_MELS = 80
PIECE_SECONDS = 30  # what the encoder hears at once
FLOOR = 1e-10  # power
RANGE = 8.0  # below the loudest, in decades of power: what is softer is not heard

Matrix = npt.NDArray[np.float32]


def log_mel(samples: Samples) -> Matrix:
    """The log-mel of at most 30 s at 16 kHz, filled up with silence, `[80, 3000]`."""
    n_samples = PIECE_SECONDS * RATE
    padded = np.zeros(n_samples, np.float64)
    padded[: len(samples)] = samples[:n_samples]
    padded = np.pad(padded, WINDOW // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: n_samples // HOP]
    power = np.square(np.abs(np.fft.rfft(frames * window, axis=1)))  # [3000, 201]
    logarithm = np.log10(np.maximum(filterbank(np.arange(WINDOW // 2 + 1) * RATE / WINDOW) @ power.T, FLOOR))
    return np.ascontiguousarray((np.maximum(logarithm, logarithm.max() - RANGE) + 4.0) / 4.0, np.float32)


def filterbank(bins_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Triangles of equal area on Slaney's mel scale: straight below 1 kHz, logarithmic above.

    Args:
        bins_hz: frequencies of N bins; those of 8 kHz and above are not heard.

    Returns:
        `[80, N]`.
    """
    steps = np.arange(N_MELS + 2) * (15.0 + 27.0 * math.log(RATE / 2 / 1000.0) / math.log(6.4)) / (N_MELS + 1)
    edges_hz = np.where(steps < 15.0, steps * 200.0 / 3.0, 1000.0 * 6.4 ** ((steps - 15.0) / 27.0))
    rise = (bins_hz - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    fall = (edges_hz[2:, None] - bins_hz) / np.diff(edges_hz)[1:, None]
    areas = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return np.asarray(np.maximum(0.0, np.minimum(rise, fall)) * areas[:, None])
