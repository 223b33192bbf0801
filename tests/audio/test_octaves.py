"""Octave errors, told by the sound: what was heard an octave too low is brought up, what is sung low stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

from moksori.audio import octaves, pitch
from moksori.audio.clip import Samples
from moksori.audio.pitch import PitchTrack

RATE, SECONDS = 16_000, 2.0
TIMES = np.arange(round(RATE * SECONDS)) / RATE
N_FRAMES = round(SECONDS / pitch.HOP_SECONDS)
Curve = npt.NDArray[np.float64]


def _voice(hz: float, harmonics: tuple[float, ...], noise: float = 0.0) -> Callable[[], Iterator[Samples]]:
    """Harmonics with vibrato; read in blocks that no window fits."""
    phase = 2 * np.pi * hz * (TIMES + 0.02 * np.sin(2 * np.pi * 5.5 * TIMES) / (2 * np.pi * 5.5))
    found = np.asarray(sum(level * np.sin(k * phase) for k, level in enumerate(harmonics, start=1)))
    found += noise * np.random.default_rng(0).standard_normal(len(TIMES))
    return lambda: iter(np.array_split((0.1 * found).astype(np.float32), 23))


def _track(f0_hz: Curve) -> PitchTrack:
    return PitchTrack(f0_hz, (f0_hz > 0).astype(float), f0_hz > 0, pitch.HOP_SECONDS)


def _held(hz: float) -> Curve:
    return np.full(N_FRAMES, hz)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("octave", [1, 2])
def test_a_whole_song_that_was_heard_too_low_is_brought_up(octave: int, noise: float) -> None:
    read = _voice(800.0, (1.0, 0.5, 0.25, 0.1), noise)
    found, n_moved = octaves.repaired(_track(_held(800.0 / 2**octave)), read, RATE)
    assert n_moved == octave
    np.testing.assert_allclose(found.f0_hz, 800.0)


def test_frames_among_right_ones_are_brought_up_alone() -> None:
    tracked_hz = _held(800.0)
    tracked_hz[40], tracked_hz[60:63], tracked_hz[90] = 400.0, 400.0, 0.0
    found, n_moved = octaves.repaired(_track(tracked_hz), _voice(800.0, (1.0, 0.5, 0.25)), RATE)
    expected = np.where(tracked_hz > 0, 800.0, 0.0)
    assert n_moved == 2
    np.testing.assert_allclose(found.f0_hz, expected)


@pytest.mark.parametrize("harmonics", [(1.0, 0.5, 0.3, 0.2), (0.35, 1.0, 0.2, 0.1), (1.0, 1.0, 0.1, 0.5), (1.0,)])
def test_what_is_sung_there_stays_even_where_a_vowel_lifts_the_octave(harmonics: tuple[float, ...]) -> None:
    known = _track(_held(400.0))
    found, n_moved = octaves.repaired(known, _voice(400.0, harmonics, 0.02), RATE)
    assert n_moved == 0 and np.array_equal(found.f0_hz, known.f0_hz)


def test_a_leap_of_an_octave_that_is_sung_stays() -> None:
    low, high = (np.concatenate(list(_voice(hz, (1.0, 0.6, 0.3, 0.2))())) for hz in (300.0, 600.0))
    both = np.where(TIMES < 1.0, low, high).astype(np.float32)
    tracked_hz = np.where(np.arange(N_FRAMES) * pitch.HOP_SECONDS < 1.0, 300.0, 600.0)
    found, n_moved = octaves.repaired(_track(tracked_hz), lambda: iter([both]), RATE)
    assert n_moved == 0 and np.array_equal(found.f0_hz, tracked_hz)


def test_odd_over_even_is_what_a_pocket_calculator_says() -> None:
    window = np.concatenate(list(_voice(400.0, (1.0, 0.5, 0.2, 0.1))()))[:480]  # steady, whatever the vibrato
    expected = 10 * np.log10((1.0 + 0.04) / (0.25 + 0.01))
    assert octaves.odd_to_even_db(window, 400.0, RATE) == pytest.approx(expected, abs=0.5)
    assert np.isnan(octaves.odd_to_even_db(window, 3000.0, RATE))


def test_silence_and_a_song_shorter_than_its_melody_change_nothing() -> None:
    silent = _track(np.zeros(N_FRAMES))
    assert octaves.repaired(silent, _voice(400.0, (1.0,)), RATE) == (silent, 0)
    tracked_hz = _track(_held(400.0))
    assert octaves.repaired(tracked_hz, lambda: iter([np.zeros(10, np.float32)]), RATE)[1] == 0
