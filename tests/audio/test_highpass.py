"""Nothing below a voice is left, nothing of a voice is lost, and nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import highpass, level, signals

RATE = 24_000


def _passed(samples: np.ndarray, *cuts: int) -> np.ndarray:
    return np.concatenate(list(highpass.passed(np.split(samples, cuts), RATE)))


@pytest.mark.parametrize(
    ("hz", "gain_db"), [(10.0, -45.0), (15.0, -31.6), (37.0, -6.6), (57.0, -0.75), (82.4, 0.0), (220.0, 0.0)]
)
def test_the_response_is_the_one_that_is_told(hz: float, gain_db: float) -> None:
    tone = signals.tone(hz, 4.0, RATE).samples
    middle = slice(RATE, 3 * RATE)
    found = level.rms_dbfs(_passed(tone)[middle]) - level.rms_dbfs(tone[middle])
    assert found == pytest.approx(gain_db, abs=0.5 if gain_db < -20 else 0.1)


def test_an_offset_leaves_nothing_not_even_at_the_ends() -> None:
    assert np.abs(_passed(np.full(RATE, 0.3, np.float32))).max() < 1e-6


def test_a_tone_is_not_delayed() -> None:
    tone = signals.tone(110.0, 1.0, RATE).samples
    inner = slice(RATE // 4, -RATE // 4)
    assert np.abs(_passed(tone)[inner] - tone[inner]).max() < 0.01


@pytest.mark.parametrize("n_samples", [0, 1, 7, 40_000])
def test_it_does_not_matter_how_a_recording_is_cut(n_samples: int) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, n_samples).astype(np.float32)
    whole, cut = _passed(samples), _passed(samples, n_samples // 3, n_samples // 2)
    assert len(whole) == n_samples
    np.testing.assert_allclose(whole, cut, atol=1e-6)
