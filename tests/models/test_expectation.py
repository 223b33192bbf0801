"""The fast way to expect a sound equals the slow one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from moksori.audio import features, resample, whisper_mel
from moksori.audio.features import FeatureConfig
from moksori.models import synthesiser
from moksori.models.expectation import Expectation, WhisperExpectation
from moksori.models.synthesiser import Controls, SynthesiserConfig

CONFIG = SynthesiserConfig()


def _controls(n_frames: int = 60) -> Controls:
    chance = torch.Generator().manual_seed(0)
    f0_hz = 80.0 * 2 ** (4 * torch.rand(2, n_frames, generator=chance))
    f0_hz[:, ::7] = 0.0
    harmonics, noise = torch.randn(2, 2, CONFIG.n_bands, n_frames, generator=chance) - 4.0
    return Controls(f0_hz, harmonics, noise - 2.0)


def test_log_mels_are_those_of_the_slow_way() -> None:
    controls = _controls()
    fast = Expectation(CONFIG, torch.device("cpu")).of(controls)
    for window, mel in fast.items():
        power = synthesiser.expected_power(controls, CONFIG, window)
        slow = features.log_of_power(FeatureConfig().filterbank(window) @ power)
        # The table knows pitch to a cent: between harmonics, high up, a flank moves by a little of its height.
        assert (mel - slow).abs().mean() < 0.01
        assert ((mel - slow).abs() > 0.2).float().mean() < 0.01


def test_a_pitch_beyond_the_table_is_that_at_its_end() -> None:
    controls, expectation = _controls(), Expectation(CONFIG, torch.device("cpu"))
    ends = {}
    for f0_hz in (2100.0, 3000.0):
        ends[f0_hz] = expectation.of(
            dataclasses.replace(controls, f0_hz=torch.full_like(controls.f0_hz, f0_hz)), (512,)
        )
    assert torch.equal(ends[2100.0][512], ends[3000.0][512])


def test_only_the_windows_asked_for_are_computed() -> None:
    assert list(Expectation(CONFIG, torch.device("cpu")).of(_controls(), (512,))) == [512]


def test_half_precision_around_it_changes_nothing() -> None:
    controls, expectation = _controls(), Expectation(CONFIG, torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16):
        within = expectation.of(controls)
    assert all(torch.equal(within[window], mel) for window, mel in expectation.of(controls).items())


def test_what_whisper_will_hear_is_what_it_hears_of_the_sound() -> None:
    n_frames = 200
    f0_hz = 220.0 * 2 ** (0.3 * torch.sin(torch.arange(n_frames) / 30.0))
    f0_hz[80:110] = 0.0
    bands = torch.linspace(0, 1, CONFIG.n_bands)[:, None]
    formants = torch.exp(-((bands - 0.3 - 0.1 * torch.sin(torch.arange(n_frames) / 20.0)) ** 2) / 0.02)
    harmonics, noise = -5.0 + 2.5 * formants, (-7.0 + 0.5 * formants)
    controls = Controls(f0_hz[None], harmonics[None], noise[None])
    white = torch.randn(n_frames * CONFIG.hop_samples, generator=torch.Generator().manual_seed(1))
    sound = synthesiser.render(controls, CONFIG, synthesiser.oscillation(f0_hz, CONFIG), white)
    samples = resample.resample(sound.numpy(), CONFIG.sample_rate, whisper_mel.RATE)
    heard = torch.from_numpy(whisper_mel.log_mel(samples)[:, :n_frames])
    expected = WhisperExpectation(CONFIG, torch.device("cpu")).of(controls)[0]
    inner = slice(4, n_frames - 4)  # both ends lie beside silence
    error = (expected - heard)[:, inner].abs()
    assert error.mean() < 0.05  # of a scale on which 0.25 are 10 dB: noise scatters by a third of them
    assert (expected - heard)[:, inner].mean().abs() < 0.03
    louder = dataclasses.replace(controls, harmonics=controls.harmonics + 1.0, noise=controls.noise + 1.0)
    rise = WhisperExpectation(CONFIG, torch.device("cpu")).of(louder)[0] - expected
    assert rise.mean() == pytest.approx(2.0 / 2.302585 / 4.0, rel=0.01)  # 1 neper of amplitude, 2 of power


def test_whispers_hop_is_ten_milliseconds() -> None:
    with pytest.raises(ValueError, match="10 ms"):
        WhisperExpectation(SynthesiserConfig(24_000, 256), torch.device("cpu"))
