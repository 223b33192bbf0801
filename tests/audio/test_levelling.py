"""A soft voice is raised to where a pitch tracker hears; what is loud stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import levelling
from moksori.audio.clip import Clip, Samples
from moksori.audio.levelling import TRACKED_DBFS, StreamLeveller
from moksori.audio.pitch import PitchTracker

RATE = 16_000


def tone(seconds: float, dbfs: float, hz: float = 220.0) -> Samples:
    """Five partials at an RMS level, with a little vibrato."""
    times = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * hz * (times - 0.002 * np.cos(5 * 2 * np.pi * times) / np.pi)
    sound = sum(np.sin(k * phase) / k for k in range(1, 6))
    return np.asarray(sound / np.sqrt(np.square(sound).mean()) * 10 ** (dbfs / 20), np.float32)


def levelled(samples: Samples, cut: int | None = None) -> tuple[Samples, StreamLeveller]:
    leveller, step = StreamLeveller(RATE), cut or max(1, len(samples))
    parts = [leveller.push(samples[start : start + step]) for start in range(0, len(samples), step)]
    return np.concatenate([*parts, leveller.flush()]), leveller


def test_what_is_loud_stays_as_it_is_to_the_bit() -> None:
    loud = np.concatenate([tone(0.5, -35.0), tone(0.3, -45.0), tone(0.5, -20.0)])  # a short dip is none of its business
    np.testing.assert_array_equal(levelled(loud)[0], loud)


@pytest.mark.parametrize("dbfs", [-50.0, -65.0, -85.0])
def test_a_soft_voice_is_raised_to_where_the_tracker_hears(dbfs: float) -> None:
    raised, leveller = levelled(tone(1.0, dbfs))
    inner = raised[RATE // 4 : -RATE // 4]
    assert 20 * np.log10(np.sqrt(np.square(inner).mean())) == pytest.approx(TRACKED_DBFS, abs=1.0)
    assert leveller.gains_db[25] == pytest.approx(TRACKED_DBFS - dbfs, abs=1.0)


@pytest.mark.parametrize("cut", [37, 320, 1000, 4096])
def test_however_it_is_cut_the_result_is_the_same(cut: int) -> None:
    song = np.concatenate([tone(0.7, -60.0), tone(0.4, -20.0), np.zeros(3000, np.float32), tone(0.6, -75.0)])[:-77]
    whole, found = levelled(song)
    assert len(whole) == len(song)
    parts, same = levelled(song, cut)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(same.gains_db, found.gains_db)


def test_the_gain_stays_down_behind_loud_sound_and_rises_close_before_it() -> None:
    _, leveller = levelled(np.concatenate([tone(1.0, -60.0), tone(1.0, -20.0), tone(1.0, -60.0)]))
    gains = leveller.gains_db  # 50 a second
    assert gains[43] > 15 and not gains[46:119].any() and gains[121] > 15


def test_clicks_offsets_and_rumble_do_not_keep_a_voice_soft() -> None:
    voice = tone(1.0, -60.0)
    times = np.arange(len(voice)) / RATE
    clicked = voice.copy()
    clicked[::4000] = 0.9
    for unusual in (clicked, voice + 0.05, voice + 0.05 * np.sin(2 * np.pi * 12 * times)):
        _, leveller = levelled(unusual.astype(np.float32))
        assert leveller.gains_db[10:40].min() > 10.0


def test_silence_and_the_noise_of_16_bits_are_not_raised() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE) / 32768
    for nothing in (np.zeros(RATE, np.float32), noise.astype(np.float32)):
        np.testing.assert_array_equal(levelled(nothing)[0], nothing)
    assert len(levelled(np.zeros(0, np.float32))[0]) == 0


def test_a_hum_is_told_by_its_steadiness_and_only_where_the_recording_was_raised() -> None:
    hop = 0.016
    steady, moving = np.full(40, 100.2), 100.0 * 2 ** (np.linspace(-1, 1, 40) / 12)
    everywhere = np.ones(40, np.bool_)
    assert levelling.is_hum(steady, everywhere, hop).all()
    assert not levelling.is_hum(steady, ~everywhere, hop).any()
    assert not levelling.is_hum(moving, everywhere, hop).any()
    assert not levelling.is_hum(np.full(40, 98.0), everywhere, hop).any()  # G2
    assert not levelling.is_hum(np.where(np.arange(40) % 20 < 15, 100.0, 0.0), everywhere, hop).any()  # too short


def test_a_flicker_is_short_and_only_where_the_recording_was_raised() -> None:
    hop, f0_hz = 0.016, np.zeros(40)
    f0_hz[5:6], f0_hz[10:12], f0_hz[20:23] = 1800.0, 1800.0, 200.0
    everywhere = np.ones(40, np.bool_)
    assert np.flatnonzero(levelling.is_flicker(f0_hz, everywhere, hop)).tolist() == [5, 10, 11]  # three last 48 ms
    partly = everywhere.copy()
    partly[11] = False  # a voice that fades is raised at its end alone
    assert np.flatnonzero(levelling.is_flicker(f0_hz, partly, hop)).tolist() == [5]


@pytest.mark.kind("I")
def test_the_tracker_hears_no_hum_in_the_pauses_of_a_song_and_no_pitch_in_its_noise() -> None:
    times = np.arange(4 * RATE) / RATE
    hum = 1e-3 * sum(np.sin(2 * np.pi * 50 * k * times) / k for k in range(1, 8))
    noise = 1e-3 * np.random.default_rng(0).standard_normal(4 * RATE)
    for pause in (hum, noise):
        song = (np.concatenate([np.zeros(2 * RATE), tone(2.0, -20.0)]) + pause).astype(np.float32)
        track = PitchTracker().track(Clip(song, RATE))
        assert track.is_voiced[:110].mean() < 0.1 and track.is_voiced[130:].mean() > 0.95
