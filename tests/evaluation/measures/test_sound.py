"""Rhythm, clipping, clicks and rests, on sounds that were made for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from moksori.audio import level, signals
from moksori.audio.clip import Clip
from moksori.evaluation.measures import sound
from moksori.evaluation.measures.sound import Sound

RATE = 16000
EMPTY = Clip(np.zeros(0, np.float32), RATE)


def _voice(seconds: float, rate: int = RATE) -> Clip:
    """Harmonics and a little breath: something that can be predicted, but not too well."""
    tone = signals.tone(150.0, seconds, rate, amplitude=0.2, n_harmonics=3)
    breath = signals.noise(seconds, rate, np.random.default_rng(0), amplitude=0.002)
    return Clip(tone.samples + breath.samples, rate)


def _phrases(rate: int = RATE) -> Clip:
    """Half a second of singing, half a second of rest, and again."""
    sung, rest = _voice(0.5, rate).samples, np.zeros(rate // 2, np.float32)
    return Clip(np.concatenate([sung, rest, sung, rest]), rate)


T = TypeVar("T")


def _of(measure: Callable[[Sound, Sound], T], source: Clip, conversion: Clip) -> T:
    return measure(sound.analyse(source), sound.analyse(conversion))


class TestLevel:
    def test_gain_and_sample_rate_do_not_matter(self) -> None:
        louder = Clip(level.apply_gain(_phrases(24000).samples, 6.0), 24000)
        assert _of(sound.level_correlation, _phrases(), louder) == pytest.approx(1.0, abs=0.01)

    def test_singing_in_the_rests_is_the_opposite(self) -> None:
        shifted = Clip(np.roll(_phrases().samples, RATE // 2), RATE)
        assert _of(sound.level_correlation, _phrases(), shifted) == pytest.approx(-1.0, abs=0.01)

    @pytest.mark.parametrize("still", [EMPTY, signals.silence(1.0, RATE), signals.tone(1000.0, 1.0, RATE)])
    def test_a_curve_that_does_not_move_has_none(self, still: Clip) -> None:
        assert _of(sound.level_correlation, _phrases(), still) is None
        assert _of(sound.level_correlation, still, _phrases()) is None


class TestClipping:
    def test_by_hand(self) -> None:
        # A lone full sample is a peak; two in a row and three in a row are cut tops: 5 of 10.
        samples = np.array([0, 1, 0, 1, 1, 0, -1, -1, -1, 0], np.float32)
        assert sound.clipped_fraction(Clip(samples, RATE)) == 0.5

    def test_a_wave_below_full_scale_and_no_wave_are_not_clipped(self) -> None:
        assert sound.clipped_fraction(_voice(0.5)) == sound.clipped_fraction(EMPTY) == 0.0


class TestClicks:
    def _clicking(self, times: list[float]) -> Clip:
        samples = _voice(3.0).samples.copy()
        for time in times:
            samples[round(time * RATE) :] += 0.1
        return Clip(samples, RATE)

    def test_each_step_is_a_click(self) -> None:
        clicking = self._clicking([0.5, 1.4])
        assert _of(sound.clicks_per_minute, _voice(3.0), clicking) == pytest.approx(60 * 2 / 3.0)

    def test_clicks_that_the_source_has_are_not_counted(self) -> None:
        assert _of(sound.clicks_per_minute, self._clicking([0.5, 1.4]), self._clicking([0.5, 1.4])) == 0.0
        assert _of(sound.clicks_per_minute, self._clicking([0.5]), self._clicking([0.5, 1.4])) == pytest.approx(20.0)

    @pytest.mark.parametrize("clip", [EMPTY, _voice(0.01), _voice(2.0), signals.silence(1.0, RATE)])
    def test_clean_and_degenerate_sounds_have_none(self, clip: Clip) -> None:
        assert _of(sound.clicks_per_minute, clip, clip) == _of(sound.clicks_per_minute, _voice(3.0), clip) == 0.0


class TestRests:
    def test_noise_in_rests_is_measured_against_the_singing(self) -> None:
        source = _phrases()
        noisy = source.samples.copy()
        sung_rms = np.sqrt(np.mean(np.square(noisy[: RATE // 2])))
        noise = np.random.default_rng(1).standard_normal(len(noisy)).astype(np.float32)
        noisy += np.where(noisy == 0, noise * sung_rms * 0.01, 0).astype(np.float32)  # 40 dB below
        assert _of(sound.rest_noise_db, source, Clip(noisy, RATE)) == pytest.approx(-40.0, abs=0.5)

    def test_silent_rests_are_at_the_floor(self) -> None:
        found = _of(sound.rest_noise_db, _phrases(), _phrases())
        assert found is not None
        assert found < -50.0

    def test_without_rests_or_singing_there_is_nothing_to_say(self) -> None:
        assert _of(sound.rest_noise_db, _voice(1.0), _phrases()) is None
        assert _of(sound.rest_noise_db, EMPTY, _phrases()) is None
        assert _of(sound.rest_noise_db, signals.silence(1.0, RATE), _phrases()) is None
        assert _of(sound.rest_noise_db, _phrases(), signals.silence(2.0, RATE)) is None


def test_only_what_is_defined_is_told() -> None:
    assert set(_of(sound.evaluate, _voice(1.0), signals.silence(1.0, RATE))) == {
        "clipped_fraction",
        "clicks_per_minute",
    }
    assert set(_of(sound.evaluate, _phrases(), _phrases())) == {
        "level_correlation",
        "clipped_fraction",
        "clicks_per_minute",
        "rest_noise_db",
    }
