"""A pitch tracker that looks little ahead: YIN, for live use.

swift-f0 hears better, but a frame of it is only certain 176 ms later. YIN (de Cheveigne and Kawahara 2002) looks at one
window around the frame:

    d(tau) = sum (x[t] - x[t + tau])^2, divided by its mean up to tau; the first dip under a threshold is the period

Octave errors are its weakness: a period is preferred that lies near the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples

LOW_HZ, HIGH_HZ = 70.0, 1000.0
_THRESHOLD = 0.15  # of the dip: periodic to so much
_LOOSE = 0.3  # near the last pitch a shallower dip will do
_NEAR_SEMITONES = 2.0
_SILENT_DBFS = -60.0


@dataclass(frozen=True)
class LivePitchConfig:
    """How it looks."""

    sample_rate: int = 24_000  # Hz
    window_samples: int = 480  # that are compared, 20 ms

    @property
    def reach_samples(self) -> int:
        """Samples on either side of a frame's middle that are needed: half of the window and of the longest period."""
        return (self.window_samples + self.longest + 1) // 2

    @property
    def longest(self) -> int:
        """The longest period, samples."""
        return round(self.sample_rate / LOW_HZ)

    @property
    def shortest(self) -> int:
        """The shortest period, samples."""
        return round(self.sample_rate / HIGH_HZ)


def pitch_at(around: Samples, previous_hz: float, config: LivePitchConfig) -> float:
    """The pitch in the middle of some samples.

    Args:
        around: `[2 * reach_samples]`.
        previous_hz: what the last frame had, 0 if it was unvoiced.
        config: rate and window.

    Returns:
        Hz; 0 where nothing is periodic.
    """
    x = np.asarray(around, np.float64)[: config.window_samples + config.longest]
    if np.square(x).mean() < 10.0 ** (_SILENT_DBFS / 10.0):
        return 0.0
    normal = _normalised(x, config)
    dips = _dips(normal, config)
    if not len(dips):
        return 0.0
    if previous_hz > 0:
        away = np.abs(12.0 * np.log2(config.sample_rate / dips / previous_hz))
        near = dips[(away < _NEAR_SEMITONES) & (normal[dips] < _LOOSE)]
        if len(near):
            return _refined(normal, int(near[np.argmin(normal[near])]), config)
    deep = dips[normal[dips] < _THRESHOLD]
    return _refined(normal, int(deep[0]), config) if len(deep) else 0.0


def _normalised(x: npt.NDArray[np.float64], config: LivePitchConfig) -> npt.NDArray[np.float64]:
    """The difference function of each lag, divided by its mean up to there, `[longest + 1]`."""
    window, longest = config.window_samples, config.longest
    size = 1 << (len(x) + window).bit_length()
    product = np.fft.irfft(np.fft.rfft(x, size) * np.conj(np.fft.rfft(x[:window], size)), size)[: longest + 1]
    energy = np.concatenate([[0.0], np.cumsum(np.square(x))])
    lags = np.arange(longest + 1)
    difference = np.maximum(energy[window] + energy[lags + window] - energy[lags] - 2.0 * product, 0.0)
    mean = np.cumsum(difference)[1:] / lags[1:]
    return np.concatenate([[1.0], difference[1:] / np.maximum(mean, 1e-12)])


def _dips(normal: npt.NDArray[np.float64], config: LivePitchConfig) -> npt.NDArray[np.int64]:
    """Lags at which the function is lower than beside."""
    middle = normal[1:-1]
    lags = 1 + np.flatnonzero((middle < normal[:-2]) & (middle <= normal[2:]))
    return lags[(lags >= config.shortest) & (lags < config.longest)]


def _refined(normal: npt.NDArray[np.float64], lag: int, config: LivePitchConfig) -> float:
    """The pitch of a dip, by a parabola through it and its neighbours."""
    left, here, right = normal[lag - 1 : lag + 2]
    bend = left - 2.0 * here + right
    return float(config.sample_rate / (lag + (0.5 * (left - right) / bend if bend > 0 else 0.0)))
