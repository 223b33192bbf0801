"""Features: their layout, and that they measure what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moksori.audio import features
from moksori.audio.clip import Clip
from moksori.audio.features import FeatureConfig
from moksori.audio.pitch import PitchTracker

CONFIG = FeatureConfig()
RATE = CONFIG.sample_rate


def _harmonic(f0_hz: float, seconds: float = 1.0) -> Clip:
    times = np.arange(round(seconds * RATE)) / RATE
    sound = sum(np.sin(2 * np.pi * k * f0_hz * times) / k for k in range(1, 12))
    return Clip((0.1 * np.asarray(sound)).astype(np.float32), RATE)


def test_a_frame_every_hop_with_pitch_and_level() -> None:
    clip = _harmonic(220.0)
    found = features.of(clip.samples, PitchTracker().track(clip), CONFIG)
    assert found.shape == (features.N_VALUES, 100)
    np.testing.assert_allclose(features.f0_hz(found)[10:90], 220.0, rtol=0.01)
    rms = 0.1 * np.sqrt(sum(0.5 / k**2 for k in range(1, 12)))
    np.testing.assert_allclose(features.levels_dbfs(found)[10:90], 20 * np.log10(rms), atol=0.5)


def test_every_window_has_its_mels_and_a_sine_its_amplitude() -> None:
    times = np.arange(RATE) / RATE
    clip = Clip((0.5 * np.sin(2 * np.pi * 3000.0 * times)).astype(np.float32), RATE)
    found = features.of(clip.samples, PitchTracker().track(clip), CONFIG)
    for window, mel in features.mels(found).items():
        assert mel.shape == (features.WINDOWS[window], 100)
        power = (2 * mel[:, 50]).exp().sum()
        assert 0.5 * power.log() == pytest.approx(np.log(0.5 * np.sqrt(1.5)), abs=0.3)  # three bins of a Hann window


def test_silence_lies_at_the_floor() -> None:
    clip = Clip(np.zeros(RATE, np.float32), RATE)
    found = features.of(clip.samples, PitchTracker().track(clip), CONFIG)
    np.testing.assert_allclose(features.mels(found)[512], np.log(features.FLOOR), rtol=1e-4)
    assert features.f0_hz(found).max() == 0.0
    assert features.levels_dbfs(found).max() == features.FLOOR_DBFS


def test_another_sound_for_the_encoder_leaves_the_rest() -> None:
    whole = torch.randn(2, features.N_VALUES, 5)
    other = torch.randn(2, features.WINDOWS[features.ENCODER_WINDOW], 5)
    changed = features.with_encoder_mel(whole, other)
    assert torch.equal(features.mels(changed)[features.ENCODER_WINDOW], other)
    for window in set(features.WINDOWS) - {features.ENCODER_WINDOW}:
        assert torch.equal(features.mels(changed)[window], features.mels(whole)[window])
    assert torch.equal(changed[:, -2:], whole[:, -2:])


@pytest.mark.parametrize("wrong", [{"sample_rate": 4000}, {"hop_samples": 300}, {"hop_samples": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sample_rate must be"):
        FeatureConfig(**wrong)
