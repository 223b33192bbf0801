"""Harmonics, their movement, noise and hoarse patches: of sounds whose figures are known by how they were made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from moksori.audio import pitch
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.evaluation.measures import harmonics

RATE, F0_HZ, SECONDS = 24000, 160.0, 2.0
TIMES = np.arange(int(SECONDS * RATE)) / RATE
GRID = np.arange(int(SECONDS / harmonics.HOP_SECONDS) + 1) * harmonics.HOP_SECONDS
NUMBERS = np.arange(1, 48)  # to 7.5 kHz

Gains = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(harmonic numbers `[K, 1]`, times `[T]`) -> dB on top of 1 / number."""


def _f0(times: np.ndarray) -> np.ndarray:
    return F0_HZ * (1 + 0.02 * np.sin(2 * np.pi * 5 * times))  # a vibrato of a third of a semitone


def _voice(gains: Gains | None = None, noise: float | np.ndarray = 1e-4, seed: int = 0) -> Clip:
    phase = 2 * np.pi * np.cumsum(_f0(TIMES)) / RATE
    numbers = NUMBERS[:, None]
    amplitudes = 0.1 / numbers * 10 ** ((gains(numbers, TIMES) if gains else np.zeros((1, 1))) / 20)
    sound = (amplitudes * np.cos(numbers * phase + numbers**2)).sum(axis=0)
    return Clip((sound + noise * np.random.default_rng(seed).standard_normal(len(TIMES))).astype(np.float32), RATE)


def _measured(clip: Clip, wrong_cents: float = 0.0) -> harmonics.Harmonics:
    return harmonics.measure(clip, _f0(GRID) * 2 ** (wrong_cents / 1200))


def _track() -> PitchTrack:
    times = np.arange(int(SECONDS / pitch.HOP_SECONDS) + 1) * pitch.HOP_SECONDS
    return PitchTrack(_f0(times), np.ones(len(times)), np.ones(len(times), np.bool_), pitch.HOP_SECONDS)


@pytest.mark.parametrize("wrong_cents", [0.0, 25.0, -25.0])
def test_powers_are_those_that_were_put_in_even_if_the_tracker_errs(wrong_cents: float) -> None:
    found = _measured(_voice(noise=0.001), wrong_cents)
    voiced = found.f0_hz > 0
    assert np.abs(pitch.cents_between(found.f0_hz[voiced], _f0(GRID)[voiced])).mean() < 2.0
    expected = np.square(0.1 / NUMBERS[:40]) / 2
    assert np.abs(10 * np.log10(found.tone[voiced][:, :40].mean(axis=0) / expected)).max() < 0.5
    noise = 0.001**2 * F0_HZ / (RATE / 2)
    assert np.abs(10 * np.log10(np.median(found.noise[voiced][:, 5:40].mean(axis=1)) / noise)) < 1.0


def test_harmonic_error_is_the_mean_of_what_was_changed_and_gain_is_none() -> None:
    source = _measured(_voice())
    louder = _measured(_voice(lambda k, t: np.full((1, 1), 6.0)))
    assert all(harmonics.harmonic_error_db(source, louder, band) < 0.15 for band in harmonics.BANDS_HZ)  # type: ignore[operator]
    third = _measured(_voice(lambda k, t: np.where((k % 3 == 0) & (k * F0_HZ < 4000), 9.0, 0.0)))
    assert harmonics.harmonic_error_db(source, third, "mid") == pytest.approx(3.0, abs=0.4)
    assert harmonics.harmonic_error_db(source, third, "high") == pytest.approx(0.0, abs=0.2)


def test_movement_is_that_of_the_levels() -> None:
    def wave(depth: float) -> Gains:
        return lambda k, t: depth * np.sin(2 * np.pi * 4 * t + k)  # 4 Hz: slow against a window of 25 ms

    found = {depth: harmonics.movement_db(_measured(_voice(wave(depth))), "mid") for depth in (3.0, 6.0)}
    steps = np.abs(6.0 * np.diff(np.sin(2 * np.pi * 4 * GRID))).mean()
    assert found[6.0] == pytest.approx(steps, rel=0.06)
    assert found[3.0] is not None and found[3.0] / found[6.0] == pytest.approx(0.5, abs=0.03)


def test_ten_decibels_of_noise_are_ten_decibels_in_every_band() -> None:
    quiet, loud = (_measured(_voice(noise=noise, seed=seed)) for noise, seed in ((0.001, 0), (0.001 * 10**0.5, 1)))
    for band in harmonics.BANDS_HZ:
        first, second = (harmonics.tone_to_noise_db(voice, band) for voice in (quiet, loud))
        assert first is not None and second is not None
        assert first - second == pytest.approx(10.0, abs=1.0)


def _hissing(*patches: tuple[float, float], gain_db: float = 0.0) -> Clip:
    """The voice, but for patches (start, length in s) of hiss as loud as what it replaces."""
    is_hiss = np.zeros(len(TIMES), np.bool_)
    for start, length in patches:
        is_hiss |= (start <= TIMES) & (start + length > TIMES)
    clean = _voice()
    hiss = np.random.default_rng(3).standard_normal(len(TIMES)) * 10 ** (gain_db / 20) * 0.02
    return Clip(np.where(is_hiss, hiss, clean.samples).astype(np.float32), RATE)


@pytest.mark.parametrize(
    ("patches", "count"),
    [((), 0), (((0.5, 0.1),), 1), (((0.4, 0.08), (0.8, 0.12), (1.4, 0.1)), 3), (((0.5, 0.02),), 0), (((0.5, 0.4),), 3)],
)
def test_hoarse_patches_are_counted(patches: tuple[tuple[float, float], ...], count: int) -> None:
    source, conversion = _measured(_voice()), _measured(_hissing(*patches))
    minutes = (conversion.f0_hz > 0).sum() * harmonics.HOP_SECONDS / 60
    found = harmonics.hoarse_per_minute(source, conversion)
    assert found is not None and found * minutes == pytest.approx(count)


def test_a_source_that_hisses_itself_and_a_faint_hiss_are_no_hoarse_patches() -> None:
    hissing = _measured(_hissing((0.5, 0.1)))
    assert harmonics.hoarse_per_minute(hissing, hissing) == 0.0
    assert harmonics.hoarse_per_minute(_measured(_voice()), _measured(_hissing((0.5, 0.1), gain_db=-30.0))) == 0.0


def test_hoarse_patches_count_where_both_are_voiced() -> None:
    source, conversion = _measured(_voice()), _measured(_hissing((0.5, 0.1), (1.5, 0.1)))
    early = GRID[: len(conversion.f0_hz)] < 1.0
    half = dataclasses.replace(conversion, f0_hz=np.where(early, conversion.f0_hz, 0.0))
    minutes = (half.f0_hz > 0).sum() * harmonics.HOP_SECONDS / 60
    found = harmonics.hoarse_per_minute(source, half)
    assert found is not None and found * minutes == pytest.approx(1.0)


def test_figures_of_a_pair_and_what_has_none() -> None:
    voice, track = _voice(noise=0.001), _track()
    same = harmonics.evaluate(voice, track, voice, track, 0.0, is_same=True)
    for band in harmonics.BANDS_HZ:
        assert same[f"harmonic_error_{band}_db"] == 0.0
        assert same[f"movement_{band}"] == 1.0
        assert same[f"tone_to_noise_{band}_db"] == 0.0
    assert same["hoarse_per_minute"] == 0.0
    assert not [name for name in harmonics.evaluate(voice, track, voice, track, 0.0, is_same=False) if "error" in name]
    silence = Clip(np.zeros(RATE, np.float32), RATE)
    unvoiced = PitchTrack(np.zeros(63), np.zeros(63), np.zeros(63, np.bool_), pitch.HOP_SECONDS)
    assert harmonics.evaluate(silence, unvoiced, silence, unvoiced, 0.0, is_same=True) == {}
    low = Clip(voice.samples[::3].copy(), 8000)  # holds nothing above 4 kHz
    assert "movement_high" not in harmonics.evaluate(low, track, low, track, 0.0, is_same=True)
