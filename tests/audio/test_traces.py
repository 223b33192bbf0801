"""Clipping that was turned down is found at any level, and a band that is not there is told; singing leaves none."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import resample, traces
from moksori.audio.clip import Samples
from moksori.audio.traces import Traces, TraceSurvey

RATE = 24_000
WANTED_HZ = 12_000.0


def sung(seconds: float = 4.0) -> Samples:
    """Notes of 30 partials with vibrato and some breath: sound up to the end of the band."""
    times = np.arange(int(seconds * RATE)) / RATE
    pitch = 220.0 * 2 ** (np.floor(times * 2) % 5 / 12) * (1 + 0.01 * np.sin(33 * times))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase + k * k) / k for k in range(1, 31)) * np.sin(np.pi * (times * 2 % 1)) ** 0.3
    return (0.2 * voice + 0.002 * np.random.default_rng(0).standard_normal(len(times))).astype(np.float32)


SONG = sung()


def found(samples: Samples, rate: int = RATE, block: int = 10_007) -> Traces:
    survey = TraceSurvey(rate, 1 if samples.ndim == 1 else samples.shape[1])
    for start in range(0, len(samples), block):
        survey.push(samples[start : start + block])
    return survey.result()


def in_16_bits(samples: Samples) -> Samples:
    return (np.round(samples * 32768) / 32768).astype(np.float32)


def clipped(times: float) -> tuple[Samples, float]:
    """The song driven so far beyond full scale, and the share of its samples that lie there."""
    driven = np.clip(SONG / np.abs(SONG).max() * times, -1.0, 1.0)
    return driven, float((np.abs(driven) >= 1.0).mean())


@pytest.mark.parametrize("gain", [0.9, 0.3, 0.05, 0.01])
@pytest.mark.parametrize("times", [1.5, 3.0])
def test_flat_tops_are_counted_at_any_level(times: float, gain: float) -> None:
    driven, share = clipped(times)
    assert found(in_16_bits(driven * np.float32(gain))).clipped_fraction == pytest.approx(share, rel=0.15)


def test_one_side_and_one_channel_are_enough() -> None:
    one_sided = np.clip(SONG, -1.0, 0.4 * SONG.max()) * np.float32(0.5)
    share = float((one_sided >= one_sided.max()).mean())
    assert found(one_sided).clipped_fraction == pytest.approx(share, rel=0.15)
    assert found(np.stack([SONG, one_sided], axis=1)).clipped_fraction == pytest.approx(share / 2, rel=0.15)


def test_flat_tops_at_another_rate_are_found_where_there_are_many() -> None:
    driven, share = clipped(4.0)
    assert 0.02 < found(resample.resample(driven, RATE, 44_100) * 0.5, 44_100).clipped_fraction < 1.2 * share


@pytest.mark.parametrize("hz", [55.0, 100.0, 440.0])
def test_round_tops_of_one_height_are_not_flat(hz: float) -> None:
    tone = 0.3 * np.sin(2 * np.pi * hz * np.arange(2 * RATE) / RATE)
    assert found(in_16_bits(tone.astype(np.float32))).clipped_fraction == 0.0


@pytest.mark.parametrize("gain", [1.0, 0.02, 0.0])
def test_singing_and_silence_leave_no_trace(gain: float) -> None:
    assert found(in_16_bits(SONG * np.float32(gain))).remarks(WANTED_HZ) == ()
    assert found(SONG[:0]) == Traces()


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000])
def test_the_band_of_a_lower_rate_is_told(rate: int) -> None:
    narrow = resample.resample(SONG, RATE, rate)
    assert found(narrow, rate).remarks(rate / 2) == ()  # no more is expected of it
    wide = found(in_16_bits(resample.resample(narrow, rate, 44_100)), 44_100)
    assert wide.bandwidth_hz == pytest.approx(rate / 2, rel=0.08)
    (remark,) = wide.remarks(WANTED_HZ)
    assert "nothing is heard above" in remark


def test_the_last_partial_of_an_instrument_is_no_edge() -> None:
    """It breaks off as sharply, but elsewhere for each note."""
    times = np.arange(4 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(300.0 * 2 ** (np.floor(times * 2) % 5 / 12)) / RATE
    assert found(sum(np.sin(k * phase) / k for k in range(1, 13)).astype(np.float32) * 0.2).bandwidth_hz is None


def test_blocks_do_not_matter() -> None:
    driven = clipped(2.0)[0] * np.float32(0.4)
    one, other = found(driven, block=999), found(driven, block=len(driven))
    assert one == other and traces.FLAT in one.remarks(WANTED_HZ)
