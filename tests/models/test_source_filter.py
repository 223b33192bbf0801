"""The source-filter decoder: what it expects is what sounds, and what sounds has the pitch that it was told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from moksori.audio import pitch, spectral
from moksori.audio.clip import Clip
from moksori.audio.spectral import SpectralConfig
from moksori.models import source_filter
from moksori.models.source_filter import Controls, SourceFilterConfig, SourceFilterDecoder

CONFIG = SourceFilterConfig(channels=8, layers=2)
F = 100  # frames, a second


def _controls(f0_hz: Tensor, harmonics: float = -30.0, noise: float = -30.0, tilt: float = 0.0) -> Controls:
    bands = torch.linspace(0, tilt, CONFIG.n_bands)[None, :, None].expand(1, -1, f0_hz.shape[1])
    return Controls(f0_hz, harmonics + bands, noise + bands)


def _white(n_frames: int = F, seed: int = 0) -> Tensor:
    return torch.randn(1, n_frames * CONFIG.hop_samples, generator=torch.Generator().manual_seed(seed))


def _magnitude(sound: Tensor, window_samples: int) -> Tensor:
    config = SpectralConfig(CONFIG.sample_rate, window_samples, CONFIG.hop_samples)
    return spectral.magnitude(sound, config)


@pytest.mark.parametrize("f0_hz", [110.0, 330.0, 1046.5])
@pytest.mark.parametrize("window_samples", [2048, 1024])
def test_harmonics_sound_as_expected(f0_hz: float, window_samples: int) -> None:
    if f0_hz < 4 * CONFIG.sample_rate / window_samples + 20:
        window_samples *= 2  # main lobes must not overlap, or phases matter
    controls = _controls(torch.full((1, F), f0_hz), harmonics=-3.0, tilt=-4.0)
    sound = source_filter.render(controls, CONFIG, torch.zeros(1, F * CONFIG.hop_samples))
    found = _magnitude(sound, window_samples)[0, :, 30:70]
    expected = source_filter.expected_magnitude(controls, CONFIG, window_samples)[0, :, 30:70]
    is_strong = expected > 0.1 * expected.amax()
    assert is_strong.sum() > 40
    np.testing.assert_allclose(found[is_strong], expected[is_strong], rtol=0.05)


@pytest.mark.parametrize("window_samples", [2048, 1024, 512])
def test_noise_is_as_strong_as_expected_in_every_window(window_samples: int) -> None:
    controls = _controls(torch.zeros(1, 10 * F), noise=-2.0, tilt=-2.0)
    sound = source_filter.render(controls, CONFIG, _white(10 * F))
    found = _magnitude(sound, window_samples)[0, :, 10:-10].square().mean(dim=1)
    expected = source_filter.expected_magnitude(controls, CONFIG, window_samples)[0, :, 10:-10].square().mean(dim=1)
    inside = slice(len(found) // 20, -len(found) // 20)
    ratio_db = 10 * torch.log10(found / expected)[inside]
    assert ratio_db.mean().abs() < 0.3
    assert ratio_db.abs().mean() < 1.0  # of about a thousand dependent frames


def test_the_pitch_is_the_one_that_was_told_and_moves_with_it() -> None:
    times = torch.arange(2 * F) / F
    f0_hz = 300.0 * 2 ** (0.5 * times)[None] * 2 ** (0.5 / 12 * torch.sin(2 * torch.pi * 5.5 * times))  # glide, vibrato
    sound = source_filter.render(_controls(f0_hz, harmonics=-2.5, tilt=-5.0), CONFIG, _white(2 * F))
    track = pitch.PitchTracker().track(Clip(sound[0].numpy(), CONFIG.sample_rate))
    asked = np.interp(track.times_seconds, times.numpy(), f0_hz[0].numpy())
    cents = np.abs(pitch.cents_between(track.f0_hz[track.is_voiced], asked[track.is_voiced]))
    assert track.is_voiced.mean() > 0.95
    assert np.mean(cents < 25) > 0.95


def test_unvoiced_frames_have_no_tone_and_silence_is_silent() -> None:
    f0_hz = torch.full((1, F), 200.0)
    f0_hz[:, 40:60] = 0.0
    sound = source_filter.render(_controls(f0_hz, harmonics=-2.0), CONFIG, torch.zeros(1, F * CONFIG.hop_samples))
    frames = sound.reshape(F, -1).abs().amax(dim=1)
    assert frames[41:59].max() == 0.0
    assert frames[:38].min() > 0.01
    silent = source_filter.render(_controls(torch.zeros(1, F)), CONFIG, _white())
    assert silent.abs().max() < 1e-9
    assert source_filter.expected_magnitude(_controls(f0_hz, harmonics=-2.0), CONFIG, 1024)[0, :, 45:55].max() < 1e-6


def test_no_harmonic_reaches_beyond_half_the_rate() -> None:
    controls = _controls(torch.full((1, F), 3100.0), harmonics=-2.0)
    sound = source_filter.render(controls, CONFIG, torch.zeros(1, F * CONFIG.hop_samples))
    spectrum = _magnitude(sound, 4096)[0, :, 50]
    peaks = [float(spectrum[round(k * 3100 * 4096 / CONFIG.sample_rate)]) for k in (1, 2, 3)]
    assert min(peaks) > 0.8 * np.exp(-2.0)
    folded = CONFIG.sample_rate - 4 * 3100  # where a fourth one would appear
    assert float(spectrum[round(folded * 4096 / CONFIG.sample_rate)]) < 1e-3


class TestDecoder:
    @pytest.fixture
    def decoder(self) -> SourceFilterDecoder:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            decoder = SourceFilterDecoder(CONFIG, latent_channels=4, singer_channels=3)
            torch.nn.init.normal_(decoder.last.weight, std=0.1)
            return decoder

    def test_shapes_for_latents_of_any_rate(self, decoder: SourceFilterDecoder) -> None:
        f0_hz, level_dbfs, singer = torch.full((2, 31), 200.0), torch.full((2, 31), -20.0), torch.randn(2, 3)
        for n_latents in (31, 16, 7):
            controls = decoder(torch.randn(2, 4, n_latents), f0_hz, level_dbfs, singer)
            assert controls.harmonics.shape == controls.noise.shape == (2, CONFIG.n_bands, 31)
            assert torch.equal(controls.f0_hz, f0_hz)

    @pytest.mark.parametrize("changed", ["z", "f0", "level", "singer"])
    def test_everything_that_is_told_is_heard(self, decoder: SourceFilterDecoder, changed: str) -> None:
        told = {"z": torch.randn(1, 4, 10), "f0": torch.full((1, 20), 200.0), "level": torch.full((1, 20), -20.0)}
        told["singer"] = torch.randn(1, 3)
        first = decoder(*told.values()).harmonics
        second = decoder(*(told | {changed: told[changed] * 1.5 + 0.1}).values()).harmonics
        assert not torch.allclose(first, second)

    def test_an_untrained_decoder_is_silent(self) -> None:
        decoder = SourceFilterDecoder(CONFIG, 4, 3)
        controls = decoder(torch.randn(1, 4, 10), torch.zeros(1, 10), torch.zeros(1, 10), torch.zeros(1, 3))
        assert float(controls.noise.detach().max()) == pytest.approx(-9.0)

    def test_gradients_of_the_expected_spectrum_reach_every_weight_and_are_finite(
        self, decoder: SourceFilterDecoder
    ) -> None:
        f0_hz = torch.full((1, 20), 220.5)  # some bins lie exactly a bin off a harmonic
        f0_hz[:, 10:] = 0.0
        controls = decoder(torch.randn(1, 4, 10), f0_hz, torch.full((1, 20), -20.0), torch.randn(1, 3))
        source_filter.expected_magnitude(controls, CONFIG, 512).log().mean().backward()
        for name, weight in decoder.named_parameters():
            assert weight.grad is not None and torch.isfinite(weight.grad).all() and weight.grad.any(), name


def test_the_main_lobe_by_hand() -> None:
    lobe = source_filter._main_lobe(torch.tensor([0.0, 0.5, 1.0, -1.0, 1.5, 2.0, 7.0]))
    # sinc(0.5) / (1 - 0.25) = 0.8488; sinc(1.5) / (1 - 2.25) = 0.1698
    np.testing.assert_allclose(lobe, [1.0, 0.8488, 0.5, 0.5, 0.1698, 0.0, 0.0], atol=1e-4)


def test_reading_between_bands_is_linear() -> None:
    weights = source_filter._interpolation(CONFIG, torch.tensor([0.0, 12_000.0, 440.0, 3000.0]))
    np.testing.assert_allclose(weights.sum(dim=1), 1.0, atol=1e-6)
    assert float(weights[0, 0]) == float(weights[1, -1]) == 1.0
    assert ((weights > 0).sum(dim=1) <= 2).all()
    bands = torch.randn(1, CONFIG.n_bands, 4)
    frequency_hz = torch.tensor([[0.0, 11_900.0, 440.0, 3000.0]])
    one_by_one = source_filter._read(bands, frequency_hz, CONFIG)
    together = source_filter._interpolation(CONFIG, frequency_hz[0]) @ bands[0]  # [4, F]
    np.testing.assert_allclose(one_by_one[0], together.diagonal(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"kernel_size": 2}, {"n_bands": 1}, {"hop_samples": 300}, {"layers": 0}])
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least|odd|windows"):
        SourceFilterConfig(**wrong)
