"""Spectra on the voice's own axis: a glide stands still there."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import pitch_synchronous
from moksori.audio.pitch_synchronous import OVERSAMPLING, PERIODS

RATE = 24_000
N_HARMONICS = 8
AMPLITUDES = 0.3 / np.arange(1, N_HARMONICS + 1)


def _glide() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A glide over an octave in a second with 8 harmonics; periods gone by every 10 ms, and these times."""
    times = np.arange(RATE) / RATE
    cycles = 150.0 * (2.0**times - 1.0) / np.log(2.0)  # of 150 Hz that doubles
    sound = sum(a * np.sin(2 * np.pi * k * cycles) for k, a in enumerate(AMPLITUDES, start=1))
    return np.asarray(sound, np.float32), cycles[:: RATE // 100], times[:: RATE // 100]


def test_harmonics_of_a_glide_stand_in_every_fourth_bin_and_nothing_between() -> None:
    sound, cycles, seconds = _glide()
    fine = pitch_synchronous.fine(sound, RATE, OVERSAMPLING * RATE)
    assert len(fine) == OVERSAMPLING * len(sound) + 3
    found = pitch_synchronous.spectra(fine, OVERSAMPLING * RATE, cycles, seconds, cycles[20:80], (150.0, 300.0))
    at = PERIODS * np.arange(1, N_HARMONICS + 1)
    assert np.abs(found[:, at]) == pytest.approx(np.tile(AMPLITUDES, (60, 1)), rel=0.02)
    assert np.abs(found[:, at + PERIODS // 2]).max() < 0.003
    # The pitch is right, so nothing has turned but as it says; told 1 % too high, all harmonics seem to lag.
    here, there = found[:-1, at], found[1:, at]
    steps = np.diff(cycles[20:80])
    assert np.abs(np.angle(pitch_synchronous.turned(here, there, steps))).max() < 0.02
    lag = np.angle(pitch_synchronous.turned(here, there, 1.01 * steps))[:, :3]
    assert lag == pytest.approx(-0.01 * 2 * np.pi * steps[:, None] * np.arange(1, 4), abs=0.02)
