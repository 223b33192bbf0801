"""The live tracker: known tones at their pitch, noise and silence at none, and nothing beyond its reach."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import live_pitch
from moksori.audio.clip import Samples
from moksori.audio.live_pitch import LivePitchConfig

CONFIG = LivePitchConfig()


def _around(hz: float, n_harmonics: int = 8) -> Samples:
    times = np.arange(2 * CONFIG.reach_samples) / CONFIG.sample_rate
    tone = sum(np.sin(2 * np.pi * k * hz * times + k) / k for k in range(1, n_harmonics + 1))
    return (0.1 * np.asarray(tone)).astype(np.float32)


@pytest.mark.parametrize("hz", [75.0, 110.0, 220.0, 441.3, 880.0])
def test_a_tone_is_found_within_cents(hz: float) -> None:
    assert 1200 * abs(np.log2(live_pitch.pitch_at(_around(hz), 0.0, CONFIG) / hz)) < 5


def test_a_missing_fundamental_is_found() -> None:
    times = np.arange(2 * CONFIG.reach_samples) / CONFIG.sample_rate
    tone = 0.1 * sum(np.sin(2 * np.pi * k * 150 * times) for k in (2, 3, 4))
    assert live_pitch.pitch_at(np.asarray(tone, np.float32), 0.0, CONFIG) == pytest.approx(150, rel=0.005)


def test_noise_and_silence_have_none() -> None:
    rng = np.random.default_rng(0)
    found = [
        live_pitch.pitch_at((0.1 * rng.standard_normal(2 * CONFIG.reach_samples)).astype(np.float32), 0.0, CONFIG)
        for _ in range(50)
    ]
    assert np.count_nonzero(found) <= 1
    assert live_pitch.pitch_at(np.zeros(2 * CONFIG.reach_samples, np.float32), 200.0, CONFIG) == 0.0


def test_near_the_last_pitch_a_shallower_dip_will_do() -> None:
    noisy = _around(220.0) + 0.03 * np.random.default_rng(1).standard_normal(2 * CONFIG.reach_samples)
    near = live_pitch.pitch_at(noisy.astype(np.float32), 215.0, CONFIG)
    assert near == pytest.approx(220.0, rel=0.02)
