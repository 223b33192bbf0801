import numpy as np
import pytest

from moksori.audio import signals

RATE = 16000


def test_silence_is_silent() -> None:
    assert not signals.silence(0.5, RATE).samples.any()
    assert signals.silence(0.5, RATE).n_samples == 8000


def test_a_tone_is_a_sine() -> None:
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert signals.tone(440, 1, RATE).samples == pytest.approx(expected, abs=1e-6)


def test_a_tone_has_its_power_at_its_harmonics() -> None:
    spectrum = np.abs(np.fft.rfft(signals.tone(1000, 1, RATE, n_harmonics=20).samples)) / (RATE / 2)
    assert spectrum[1000:8000:1000] == pytest.approx([0.5 / k for k in range(1, 8)], abs=1e-4)
    assert spectrum.sum() == pytest.approx(spectrum[1000:8000:1000].sum(), abs=1e-2)  # and nothing beyond, folded back


def test_a_glide_passes_the_geometric_mean_halfway() -> None:
    samples = signals.glide(200, 800, 2, RATE).samples.astype(np.float64)
    crossings = np.flatnonzero((samples[:-1] < 0) & (samples[1:] >= 0))
    exact = crossings + samples[crossings] / (samples[crossings] - samples[crossings + 1])
    times, f0_hz = (exact[1:] + exact[:-1]) / 2 / RATE, RATE / np.diff(exact)
    assert f0_hz == pytest.approx(200 * 2**times, rel=5e-3)


def test_the_same_generator_makes_the_same_noise() -> None:
    first, second = (signals.noise(1, RATE, np.random.default_rng(7)).samples for _ in range(2))
    assert np.array_equal(first, second)
    assert np.abs(first).max() <= 0.5
    assert first.std() == pytest.approx(0.5 / np.sqrt(3), rel=0.02)


def test_a_signal_of_no_length_is_empty() -> None:
    assert signals.tone(440, 0, RATE).n_samples == 0


@pytest.mark.parametrize("f0_hz", [0, -5, 8000, float("nan")])
def test_a_pitch_outside_the_rate_is_refused(f0_hz: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 8000 Hz"):
        signals.tone(f0_hz, 1, RATE)
