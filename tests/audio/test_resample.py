import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.audio import frames, resample, signals
from moksori.audio.clip import Samples
from moksori.audio.resample import BlockResampler

RATES = [8000, 11025, 16000, 22050, 24000, 44100, 44101, 48000, 96000, 192000]


def _stream(samples: Samples, from_rate: int, to_rate: int, cuts: list[int]) -> Samples:
    stream = resample.StreamResampler(from_rate, to_rate)
    parts = [stream.push(block) for block in np.split(samples, sorted(cuts))]
    return np.concatenate([*parts, stream.flush()])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RATES), st.sampled_from(RATES), st.integers(0, 9000), st.data())
def test_a_stream_is_the_one_shot_however_it_is_cut(
    from_rate: int, to_rate: int, n_samples: int, data: st.DataObject
) -> None:
    samples = np.random.default_rng(n_samples).uniform(-1, 1, n_samples).astype(np.float32)
    cuts = data.draw(st.lists(st.integers(0, n_samples), max_size=6))
    whole = resample.resample(samples, from_rate, to_rate)
    assert len(whole) == frames.rescaled_length(n_samples, from_rate, to_rate)
    assert whole.dtype == np.float32
    assert _stream(samples, from_rate, to_rate, cuts) == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(1000, 768_000), (768_000, 1000)])
@pytest.mark.parametrize("n_samples", [0, 1, 2, 1001])
def test_the_length_holds_at_the_extremes(from_rate: int, to_rate: int, n_samples: int) -> None:
    resampled = resample.resample(np.ones(n_samples, np.float32), from_rate, to_rate)
    assert len(resampled) == frames.rescaled_length(n_samples, from_rate, to_rate)


@pytest.mark.parametrize("from_rate", RATES)
@pytest.mark.parametrize("to_rate", [16000, 24000])
def test_a_tone_stays_the_same_tone_at_the_same_time(from_rate: int, to_rate: int) -> None:
    resampled = resample.resample(signals.tone(440, 0.5, from_rate).samples, from_rate, to_rate)
    expected = signals.tone(440, 0.5, to_rate).samples
    middle = slice(to_rate // 20, -to_rate // 20)  # the ends ring: beyond them lies silence
    n_samples = min(len(resampled), len(expected))  # half a second is no whole number of samples at 11025 Hz
    assert resampled[:n_samples][middle] == pytest.approx(expected[:n_samples][middle], abs=1e-4)


def test_what_the_new_rate_cannot_hold_is_removed() -> None:
    resampled = resample.resample(signals.tone(9000, 0.5, 48000).samples, 48000, 16000)
    assert np.abs(resampled[800:-800]).max() < 1e-4


def test_equal_rates_change_nothing() -> None:
    samples = np.array([0.5, -3.0, 0.1], np.float32)
    assert np.array_equal(resample.resample(samples, 16000, 16000), samples)


def test_a_clip_carries_its_new_rate() -> None:
    clip = resample.resample_clip(signals.tone(100, 1, 24000), 16000)
    assert (clip.sample_rate, clip.n_samples) == (16000, 16000)


def test_impossible_rates_and_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="rates are positive"):
        resample.StreamResampler(0, 16000)
    with pytest.raises(ValueError, match=r"expected float32 \[n\]"):
        resample.resample(np.zeros(3), 8000, 16000)  # type: ignore[arg-type]


def test_a_flushed_stream_is_closed() -> None:
    stream = resample.StreamResampler(8000, 16000)
    stream.flush()
    with pytest.raises(ValueError, match="flushed"):
        stream.push(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="flushed"):
        stream.flush()


@pytest.mark.parametrize(("n_in", "n_out"), [(960, 1764), (1764, 960), (1920, 960), (960, 960)])
def test_blocks_as_they_come_are_the_same_sound_a_moment_later(n_in: int, n_out: int) -> None:
    blocks, hz = BlockResampler(n_in, n_out), 2000.0
    rate_in, rate_out = n_in * 25, n_out * 25
    song = np.sin(2 * np.pi * hz * np.arange(10 * n_in) / rate_in).astype(np.float32)
    found = np.concatenate([blocks.push(block) for block in np.split(song, 10)])
    late = blocks.delay_samples / rate_in
    assert found.shape == (10 * n_out,) and late < 0.001
    expected = np.sin(2 * np.pi * hz * (np.arange(10 * n_out) / rate_out - late))
    assert np.abs(found - expected)[n_out:].max() < 1e-3


def test_what_the_lower_rate_cannot_hold_is_left_out() -> None:
    blocks = BlockResampler(1920, 960)
    high = np.sin(2 * np.pi * 16_000 * np.arange(19_200) / 48_000).astype(np.float32)
    found = np.concatenate([blocks.push(block) for block in np.split(high, 10)])
    assert np.abs(found[960:]).max() < 1e-3
