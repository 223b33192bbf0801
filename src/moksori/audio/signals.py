"""Test signals, plain sounds of known pitch and level: for tests, documentation and first runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moksori.audio import frames
from moksori.audio.clip import Clip


def silence(seconds: float, sample_rate: int) -> Clip:
    """Return digital silence."""
    return Clip(np.zeros(frames.seconds_to_samples(seconds, sample_rate), np.float32), sample_rate)


def tone(f0_hz: float, seconds: float, sample_rate: int, *, amplitude: float = 0.5, n_harmonics: int = 1) -> Clip:
    """Return a steady tone that starts at phase 0.

    Args:
        f0_hz: fundamental, above 0 and below half the sample rate.
        seconds: length, 0 or more.
        sample_rate: Hz.
        amplitude: of the fundamental; harmonic k has `amplitude / k`, so keep it low when there are many.
        n_harmonics: partials, the fundamental included; those at or above half the sample rate are left out.

    Raises:
        ValueError: the fundamental lies outside (0, sample_rate / 2).
    """
    return glide(f0_hz, f0_hz, seconds, sample_rate, amplitude=amplitude, n_harmonics=n_harmonics)


def glide(
    from_hz: float, to_hz: float, seconds: float, sample_rate: int, *, amplitude: float = 0.5, n_harmonics: int = 1
) -> Clip:
    """Return a tone that slides evenly in pitch (the same number of cents each second).

    At time t its frequency is `from_hz * (to_hz / from_hz) ** (t / seconds)`; the other arguments are those of `tone`.

    Raises:
        ValueError: an end lies outside (0, sample_rate / 2).
    """
    highest_hz = max(from_hz, to_hz)
    if not (min(from_hz, to_hz) > 0 and highest_hz < sample_rate / 2):
        raise ValueError(f"{from_hz} Hz to {to_hz} Hz; a pitch lies between 0 and {sample_rate / 2:g} Hz")
    n_samples = frames.seconds_to_samples(seconds, sample_rate)
    time = np.arange(n_samples) / sample_rate  # s
    octaves = np.log2(to_hz / from_hz) / seconds if seconds else 0.0  # per second
    growth = octaves * np.log(2.0)
    # Phase is the integral of frequency: from_hz * int exp(growth t) dt, a straight line when there is no growth.
    cycles = from_hz * (np.expm1(growth * time) / growth if growth else time)
    partials = [k for k in range(1, n_harmonics + 1) if k * highest_hz < sample_rate / 2]
    wave: npt.NDArray[np.float64] = sum((np.sin(2 * np.pi * k * cycles) / k for k in partials), np.zeros(n_samples))
    return Clip((amplitude * wave).astype(np.float32), sample_rate)


def noise(seconds: float, sample_rate: int, generator: np.random.Generator, *, amplitude: float = 0.5) -> Clip:
    """Return white noise, uniform in [-amplitude, amplitude]; its RMS is `amplitude / sqrt(3)`."""
    n_samples = frames.seconds_to_samples(seconds, sample_rate)
    return Clip(generator.uniform(-amplitude, amplitude, n_samples).astype(np.float32), sample_rate)
