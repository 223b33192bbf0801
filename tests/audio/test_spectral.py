import math

import pytest
import torch

from moksori.audio import frames, mels, signals, spectral

CONFIG = spectral.SpectralConfig(16000)


def _tone(f0_hz: float, amplitude: float = 0.5) -> torch.Tensor:
    return torch.from_numpy(signals.tone(f0_hz, 0.5, 16000, amplitude=amplitude).samples)


@pytest.mark.parametrize("amplitude", [0.5, 0.01])
def test_a_sine_in_a_bin_measures_its_amplitude_there(amplitude: float) -> None:
    spectrum = spectral.magnitude(_tone(1000, amplitude), CONFIG)  # 1000 Hz is bin 64
    middle = spectrum[:, 4:-4]
    assert middle[64] == pytest.approx(amplitude, rel=1e-4)
    assert (middle.argmax(dim=0) == 64).all()
    assert middle[:60].max() < 1e-4 * amplitude  # a Hann window has no leak beyond two bins


def test_the_magnitude_is_the_fourier_sum() -> None:
    config = spectral.SpectralConfig(8000, window_samples=16, hop_samples=4, n_mels=2)
    waveform = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = spectral.magnitude(waveform, config)
    padded = torch.nn.functional.pad(waveform, (8, 8))
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / 16) for n in range(16)]
    for frame, k in [(0, 0), (3, 5), (9, 8)]:
        total = sum(window[n] * padded[4 * frame + n].item() * complex(math.cos(w), -math.sin(w))
                    for n in range(16) for w in [2 * math.pi * k * n / 16])  # fmt: skip
        assert spectrum[k, frame].item() == pytest.approx(abs(total) * 2 / sum(window))


@pytest.mark.parametrize("n_samples", [1, 255, 256, 257, 5000])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_there_are_as_many_frames_as_frames_counts(n_samples: int, shape: tuple[int, ...]) -> None:
    waveform = torch.zeros(*shape, n_samples)
    n_frames = frames.n_frames(n_samples, CONFIG.hop_samples)
    assert spectral.magnitude(waveform, CONFIG).shape == (*shape, CONFIG.n_bins, n_frames)
    assert spectral.log_mel(waveform, CONFIG).shape == (*shape, CONFIG.n_mels, n_frames)


def test_a_click_peaks_in_its_own_frame() -> None:
    waveform = torch.zeros(8000)
    waveform[10 * 256] = 1.0
    assert spectral.magnitude(waveform, CONFIG).sum(dim=0).argmax() == 10


def test_silence_is_the_floor() -> None:
    assert spectral.log_mel(torch.zeros(1000), CONFIG) == pytest.approx(math.log(CONFIG.floor))


def test_six_decibels_add_the_logarithm_of_two() -> None:
    waveform = torch.randn(8000, generator=torch.Generator().manual_seed(0)) * 0.1
    difference = spectral.log_mel(2 * waveform, CONFIG) - spectral.log_mel(waveform, CONFIG)
    assert difference == pytest.approx(math.log(2), abs=1e-4)


def test_a_tone_lights_the_band_whose_peak_is_nearest() -> None:
    peaks_mel = torch.linspace(0, mels.of_hz(8000), 82, dtype=torch.float64)[1:-1]
    for f0_hz in (500.0, 1500.0, 4000.0):
        nearest = int((peaks_mel - mels.of_hz(f0_hz)).abs().argmin())
        assert (spectral.log_mel(_tone(f0_hz), CONFIG)[:, 5:-5].argmax(dim=0) == nearest).all()


def test_the_bands_share_every_bin_between_the_outer_peaks() -> None:
    weights = spectral.mel_filterbank(CONFIG)
    peaks = mels.to_hz(torch.linspace(0, mels.of_hz(8000), 82, dtype=torch.float64))[1:-1]
    bins = torch.linspace(0, 8000, CONFIG.n_bins)
    between = (bins >= peaks[0]) & (bins <= peaks[-1])
    assert weights.sum(dim=0)[between] == pytest.approx(1, abs=1e-5)
    assert weights.min() >= 0
    assert weights.max() <= 1


def test_1000_hz_is_1000_mel_and_the_scale_inverts() -> None:
    assert mels.of_hz(1000.0) == pytest.approx(1000, abs=0.02)
    mel = torch.tensor([mels.of_hz(hz) for hz in (0.0, 440.0, 8000.0)], dtype=torch.float64)
    assert mels.to_hz(mel).tolist() == pytest.approx([0.0, 440.0, 8000.0])


def test_gradients_flow_back_to_the_waveform() -> None:
    waveform = (torch.randn(2000, generator=torch.Generator().manual_seed(0)) * 0.1).requires_grad_()
    spectral.log_mel(waveform, CONFIG).sum().backward()  # type: ignore[no-untyped-call]
    assert waveform.grad is not None
    assert waveform.grad.isfinite().all()


def test_too_many_bands_for_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer bands or a window longer"):
        spectral.mel_filterbank(spectral.SpectralConfig(48000, window_samples=256, n_mels=128))


@pytest.mark.parametrize("waveform", [torch.zeros(0), torch.zeros(5, dtype=torch.int64), torch.tensor(0.0)])
def test_a_waveform_that_is_none_is_refused(waveform: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"T >= 1"):
        spectral.log_mel(waveform, CONFIG)


@pytest.mark.parametrize("wrong", [{"hop_samples": 0}, {"high_hz": 9000.0}, {"low_hz": 8000.0}, {"floor": 0.0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        spectral.SpectralConfig(16000, **wrong)  # type: ignore[arg-type]


def test_rows_between_rows_lie_on_straight_lines_and_rows_themselves_are_read_to_the_bit() -> None:
    values = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    numbers = torch.arange(5.0)[:, None]
    assert torch.equal(spectral.rows_at(values, numbers.expand(2, 5, 1)), values)
    ramp = (10.0 * numbers).expand(5, 3)
    place = torch.tensor([[0.25, 1.0, 3.5], [4.0, 2.75, 0.0]])  # another one in every frame
    torch.testing.assert_close(spectral.rows_at(ramp, place), 10.0 * place)
