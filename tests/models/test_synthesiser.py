"""The synthesiser: what it expects is what sounds, at the pitch that it was given, and in any stretch alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from moksori.audio import mels, pitch, shapes, spectral
from moksori.audio.clip import Clip
from moksori.audio.spectral import SpectralConfig
from moksori.models import synthesiser
from moksori.models.synthesiser import Controls, SynthesiserConfig

CONFIG = SynthesiserConfig()
F = 100  # frames, a second


def _controls(f0_hz: Tensor, harmonics: float = -30.0, noise: float = -30.0, tilt: float = 0.0) -> Controls:
    bands = torch.linspace(0, tilt, CONFIG.n_bands)[None, :, None].expand(1, -1, f0_hz.shape[1])
    return Controls(f0_hz, harmonics + bands, noise + bands)


def _white(n_frames: int = F, seed: int = 0) -> Tensor:
    return torch.randn(n_frames * CONFIG.hop_samples, generator=torch.Generator().manual_seed(seed))


def _render(controls: Controls, white: Tensor | None = None) -> Tensor:
    """The sound of a whole song, `[T]`; without noise unless it is given."""
    n_frames = controls.f0_hz.shape[1]
    track = synthesiser.oscillation(controls.f0_hz[0], CONFIG)
    white = torch.zeros(n_frames * CONFIG.hop_samples) if white is None else white
    return synthesiser.render(controls, CONFIG, track, white)


def _magnitude(sound: Tensor, window_samples: int) -> Tensor:
    config = SpectralConfig(CONFIG.sample_rate, window_samples, CONFIG.hop_samples)
    return spectral.magnitude(sound, config)


@pytest.mark.parametrize("f0_hz", [110.0, 330.0, 1046.5])
@pytest.mark.parametrize("window_samples", [2048, 1024])
def test_harmonics_sound_as_expected(f0_hz: float, window_samples: int) -> None:
    if f0_hz < 4 * CONFIG.sample_rate / window_samples + 20:
        window_samples *= 2  # main lobes must not overlap, or phases matter
    controls = _controls(torch.full((1, F), f0_hz), harmonics=-3.0, tilt=-4.0)
    sound = _render(controls)
    found = _magnitude(sound, window_samples)[:, 30:70]
    expected = synthesiser.expected_power(controls, CONFIG, window_samples)[0, :, 30:70].sqrt()
    is_strong = expected > 0.1 * expected.amax()
    assert is_strong.sum() > 40
    np.testing.assert_allclose(found[is_strong], expected[is_strong], rtol=0.05)


@pytest.mark.parametrize("window_samples", [2048, 1024, 512])
def test_noise_is_as_strong_as_expected_in_every_window(window_samples: int) -> None:
    controls = _controls(torch.zeros(1, 10 * F), noise=-2.0, tilt=-2.0)
    sound = _render(controls, _white(10 * F))
    found = _magnitude(sound, window_samples)[:, 10:-10].square().mean(dim=1)
    expected = synthesiser.expected_power(controls, CONFIG, window_samples)[0, :, 10:-10].mean(dim=1)
    inside = slice(len(found) // 20, -len(found) // 20)
    ratio_db = 10 * torch.log10(found / expected)[inside]
    assert ratio_db.mean().abs() < 0.3
    assert ratio_db.abs().mean() < 1.0  # of about a thousand dependent frames


def test_the_pitch_is_the_one_that_was_told_and_moves_with_it() -> None:
    times = torch.arange(2 * F) / F
    f0_hz = 300.0 * 2 ** (0.5 * times)[None] * 2 ** (0.5 / 12 * torch.sin(2 * torch.pi * 5.5 * times))  # glide, vibrato
    sound = _render(_controls(f0_hz, harmonics=-2.5, tilt=-5.0), _white(2 * F))
    track = pitch.PitchTracker().track(Clip(sound.numpy(), CONFIG.sample_rate))
    asked = np.interp(track.times_seconds, times.numpy(), f0_hz[0].numpy())
    cents = np.abs(pitch.cents_between(track.f0_hz[track.is_voiced], asked[track.is_voiced]))
    assert track.is_voiced.mean() > 0.95
    assert np.mean(cents < 25) > 0.95


def test_unvoiced_frames_have_no_tone_and_silence_is_silent() -> None:
    f0_hz = torch.full((1, F), 200.0)
    f0_hz[:, 40:60] = 0.0
    sound = _render(_controls(f0_hz, harmonics=-2.0))
    frames = sound.reshape(F, -1).abs().amax(dim=1)
    assert frames[41:59].max() == 0.0
    assert frames[:38].min() > 0.01
    silent = _render(_controls(torch.zeros(1, F)), _white())
    assert silent.abs().max() < 1e-9
    assert synthesiser.expected_power(_controls(f0_hz, harmonics=-2.0), CONFIG, 1024)[0, :, 45:55].max() < 1e-12


def test_no_harmonic_reaches_beyond_half_the_rate() -> None:
    controls = _controls(torch.full((1, F), 3100.0), harmonics=-2.0)
    sound = _render(controls)
    spectrum = _magnitude(sound, 4096)[:, 50]
    peaks = [float(spectrum[round(k * 3100 * 4096 / CONFIG.sample_rate)]) for k in (1, 2, 3)]
    assert min(peaks) > 0.8 * np.exp(-2.0)
    folded = CONFIG.sample_rate - 4 * 3100  # where a fourth one would appear
    assert float(spectrum[round(folded * 4096 / CONFIG.sample_rate)]) < 1e-3


def test_the_main_lobe_by_hand() -> None:
    lobe = synthesiser._main_lobe(torch.tensor([0.0, 0.5, 1.0, -1.0, 1.5, 2.0, 7.0]))
    # sinc(0.5) / (1 - 0.25) = 0.8488; sinc(1.5) / (1 - 2.25) = 0.1698
    np.testing.assert_allclose(lobe, [1.0, 0.8488, 0.5, 0.5, 0.1698, 0.0, 0.0], atol=1e-4)


def test_reading_between_bands_is_linear() -> None:
    weights = synthesiser.reading(CONFIG, torch.tensor([0.0, 12_000.0, 440.0, 3000.0]))
    np.testing.assert_allclose(weights.sum(dim=1), 1.0, atol=1e-6)
    assert float(weights[0, 0]) == float(weights[1, -1]) == 1.0
    assert ((weights > 0).sum(dim=1) <= 2).all()
    bands = torch.rand(CONFIG.n_bands, 4, generator=torch.Generator().manual_seed(0))
    frequency_hz = torch.tensor([0.0, 11_900.0, 440.0, 3000.0])
    one_by_one = synthesiser._read(bands, frequency_hz, CONFIG)
    together = synthesiser.reading(CONFIG, frequency_hz) @ bands  # [4, F]
    np.testing.assert_allclose(one_by_one, together.diagonal(), rtol=1e-4, atol=1e-4)


def test_a_stretch_of_a_song_is_as_in_the_whole() -> None:
    times = torch.arange(3 * F) / F
    f0_hz = 220.0 * 2 ** (0.3 * torch.sin(2 * torch.pi * times))[None]
    f0_hz[:, 90:130] = 0.0
    harmonics = -3.0 + torch.randn(1, CONFIG.n_bands, 3 * F, generator=torch.Generator().manual_seed(1))
    controls, white = Controls(f0_hz, harmonics, harmonics - 1.0), _white(3 * F)
    track, whole = synthesiser.oscillation(f0_hz[0], CONFIG), _render(controls, white)
    hop, margin = CONFIG.hop_samples, synthesiser.CONTEXT_FRAMES
    for first, last in [(0, 100), (80, 140), (200, 300)]:
        part = Controls(*(x[..., first:last] for x in (controls.f0_hz, controls.harmonics, controls.noise)))
        sound = synthesiser.render(part, CONFIG, track.stretch(first, last), white[first * hop : last * hop])
        begin, end = first and margin, (last - first) - (margin if last < 3 * F else 0)
        own = sound[begin * hop : end * hop]
        np.testing.assert_allclose(own, whole[(first + begin) * hop : (first + end) * hop], atol=2e-5)


def test_cycles_count_the_periods_of_the_samples() -> None:
    f0_hz = torch.tensor([200.0, 200.0, 300.0, 0.0, 0.0, 0.0, 100.0])
    track = synthesiser.oscillation(f0_hz, CONFIG)
    np.testing.assert_allclose(track.pitch_hz, [200, 200, 300, 300, 300, 100, 100])
    by_sample = synthesiser.upsample(track.pitch_hz.log(), CONFIG.hop_samples).flatten().exp() / CONFIG.sample_rate
    slow = (torch.cumsum(by_sample, dim=0) - by_sample)[:: CONFIG.hop_samples]
    np.testing.assert_allclose(track.cycles, slow, rtol=1e-9, atol=1e-12)


def test_a_song_without_pitch_has_a_course_all_the_same() -> None:
    assert torch.isfinite(synthesiser.oscillation(torch.zeros(5), CONFIG).cycles).all()


@pytest.mark.parametrize("wrong", [{"n_bands": 1}, {"hop_samples": 300}, {"sample_rate": 0}])
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least|windows"):
        SynthesiserConfig(**wrong)


@pytest.mark.parametrize(
    ("f0_hz", "harmonics", "noise"), [(110.0, -3.0, -30.0), (440.0, -3.0, -5.0), (0.0, -3.0, -4.0)]
)
def test_a_frame_is_as_loud_as_expected_and_no_louder_than_asked(f0_hz: float, harmonics: float, noise: float) -> None:
    controls = _controls(torch.full((1, F), f0_hz), harmonics, noise, tilt=-2.0)

    def loudness_dbfs(controls: Controls) -> float:
        return 10 * _render(controls, _white())[7200:16800].square().mean().log10().item()

    expected = synthesiser.expected_dbfs(controls, CONFIG)
    assert expected[0, 50].item() == pytest.approx(loudness_dbfs(controls), abs=1.0)
    tamed = synthesiser.no_louder(controls, expected - 20.0, CONFIG)
    assert loudness_dbfs(tamed) == pytest.approx(loudness_dbfs(controls) - 20.0, abs=0.1)
    as_it_was = synthesiser.no_louder(controls, expected + 1.0, CONFIG)
    assert torch.equal(as_it_was.harmonics, controls.harmonics) and torch.equal(as_it_was.noise, controls.noise)


def test_the_phases_are_those_of_a_minimum_phase_filter() -> None:
    """Two real poles, whose log amplitude and phase are known in closed form."""
    bands_hz = torch.from_numpy(mels.to_hz(np.linspace(0.0, mels.of_hz(12_000.0), 64)))
    turn = torch.exp(-2j * torch.pi * bands_hz / 24_000)
    response = 1.0 / ((1.0 - 0.6 * turn) * (1.0 + 0.4 * turn))
    found = CONFIG.minimum_phase.double() @ response.abs().log()
    torch.testing.assert_close(found, response.angle() / (2 * torch.pi), atol=0.004, rtol=0.0)


def test_a_period_begins_with_a_pulse_that_rings() -> None:
    """With phases by chance a formant sounds all over the period; of minimum phase, it follows the pulse."""
    bands_hz = torch.from_numpy(mels.to_hz(np.linspace(0.0, mels.of_hz(12_000.0), 64))).float()
    formant = -4.0 - ((bands_hz - 1000.0) / 300.0).square().clamp(max=5.0)
    controls = _controls(torch.full((1, F), 100.0), harmonics=0.0)
    sound = _render(Controls(controls.f0_hz, formant[None, :, None].expand(1, 64, F).clone(), controls.noise))
    period = sound[2400 : 2400 + 240 * 50].reshape(-1, 240).square().mean(dim=0)  # the first sample is at a whole cycle
    assert period[:60].sum() > 20 * period[120:].sum()


def test_sharpening_raises_peaks_and_keeps_the_level_and_the_tilt() -> None:
    bands = torch.linspace(0, 1, 64)
    envelope = -3.0 - 4.0 * bands + 0.8 * torch.cos(2 * torch.pi * 8 * bands)
    controls = Controls(
        torch.full((1, F), 100.0), envelope[None, :, None].expand(1, 64, F).clone(), torch.zeros(1, 64, F)
    )
    sharp = synthesiser.sharpened(controls, 0.5, CONFIG)
    expected = [synthesiser.expected_power(c, CONFIG, 2048)[0, :, 50].mean().log().item() for c in (controls, sharp)]

    def ripple(controls: Controls) -> float:
        within = controls.harmonics[0, 8:-8, 0]
        return float((within - shapes.smooth(controls.harmonics[0], 6)[8:-8, 0]).std())

    assert ripple(sharp) == pytest.approx(1.5 * ripple(controls), rel=0.01)
    assert expected[1] == pytest.approx(expected[0], abs=0.05)
    assert torch.equal(sharp.noise, controls.noise)
    assert synthesiser.sharpened(controls, 0.0, CONFIG) is controls
    tilted = Controls(controls.f0_hz, (-4.0 * bands)[None, :, None].expand(1, 64, F).clone(), controls.noise)
    coarse = shapes.smooth(tilted.harmonics, 6)
    smooth = Controls(controls.f0_hz, coarse, controls.noise)
    torch.testing.assert_close(synthesiser.sharpened(smooth, 0.5, CONFIG).harmonics, coarse)
