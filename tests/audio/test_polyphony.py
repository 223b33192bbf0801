"""A second pitch: heard where there is one, not heard in breath, vibrato or octaves of the same voice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from moksori.audio import polyphony

RATE, HOP, SECONDS = 24_000, 960, 4.0
Curve = npt.NDArray[np.float64]
TIMES = np.arange(round(SECONDS * RATE)) / RATE


def _f0(hz: float, vibrato: float = 0.0) -> Curve:
    return np.asarray(hz * 2.0 ** (vibrato / 12.0 * np.sin(2 * np.pi * 5.5 * TIMES)))


def _voice(f0_hz: Curve) -> Curve:
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE
    return np.asarray(0.1 * sum(np.sin(k * phase) / k for k in range(1, 12)))


def _share(samples: Curve, f0_hz: Curve) -> float:
    return polyphony.second_pitch_share(samples.astype(np.float32), f0_hz[::HOP], HOP, RATE)


@pytest.mark.parametrize("hz", [120.0, 220.0, 440.0])
def test_one_voice_is_one(hz: float) -> None:
    f0_hz = _f0(hz, vibrato=0.5)
    assert _share(_voice(f0_hz), f0_hz) < 0.05


def test_breath_and_hiss_are_no_second_voice() -> None:
    f0_hz = _f0(220.0)
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(TIMES))
    assert _share(_voice(f0_hz) + noise, f0_hz) < 0.05


@pytest.mark.parametrize("semitones", [3, 4, 7, -5])
def test_a_second_voice_is_heard(semitones: int) -> None:
    f0_hz = _f0(220.0, vibrato=0.3)
    second = _voice(_f0(220.0 * 2 ** (semitones / 12), vibrato=0.2))
    assert _share(_voice(f0_hz) + 0.6 * second, f0_hz) > 0.7


def test_a_second_voice_in_half_of_the_song_is_heard_there() -> None:
    f0_hz = _f0(220.0)
    second = _voice(_f0(277.2)) * (TIMES < SECONDS / 2)
    assert _share(_voice(f0_hz) + second, f0_hz) == pytest.approx(0.5, abs=0.1)


def test_where_nothing_is_voiced_nothing_is_said() -> None:
    assert _share(_voice(_f0(220.0)), np.zeros(len(TIMES))) == 0.0
