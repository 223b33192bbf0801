"""Pitch-synchronous overlap-add: what moves, what stays, and that nothing moved is the sound itself."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import overlap_add, pitch
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack

RATE = 24000
FORMANT_HZ, BANDWIDTH_HZ = 1200.0, 150.0


def _track(clip: Clip, f0_hz: float, *, is_voiced: bool = True) -> PitchTrack:
    n_frames = int(clip.seconds / pitch.HOP_SECONDS) + 1
    voiced = np.full(n_frames, is_voiced)
    return PitchTrack(np.where(voiced, f0_hz, 0.0), np.ones(n_frames), voiced, pitch.HOP_SECONDS)


def _voice(f0_hz: float, seconds: float = 1.0) -> Clip:
    """Harmonics under one formant."""
    times = np.arange(int(seconds * RATE)) / RATE
    numbers = np.arange(1, int(8000 / f0_hz))
    amplitudes = 1 / (1 + np.square((numbers * f0_hz - FORMANT_HZ) / BANDWIDTH_HZ))
    sound = (amplitudes[:, None] * np.cos(2 * np.pi * f0_hz * numbers[:, None] * times)).sum(axis=0)
    return Clip((0.2 * sound / np.abs(sound).max()).astype(np.float32), RATE)


def _spectrum(clip: Clip) -> np.ndarray:
    middle = clip.samples[RATE // 4 : RATE // 4 + RATE // 2]
    return np.abs(np.fft.rfft(middle * np.hanning(len(middle))))  # bins of 2 Hz


def test_moved_by_nothing_is_the_sound_itself() -> None:
    clip = _voice(150.0)
    for is_voiced in (True, False):
        same = overlap_add.moved(clip, _track(clip, 150.0, is_voiced=is_voiced), 0.0)
        assert np.abs(same.samples - clip.samples).max() < 1e-6


@pytest.mark.parametrize("semitones", [-7.0, -3.0, 4.0, 12.0])
def test_pitch_moves_while_formant_loudness_and_length_stay(semitones: float) -> None:
    clip = _voice(150.0)
    result = overlap_add.moved(clip, _track(clip, 150.0), semitones)
    assert result.n_samples == clip.n_samples
    spectrum = _spectrum(result)
    f0_hz = 150.0 * 2 ** (semitones / 12)
    numbers = np.arange(1, int(4000 / f0_hz))
    on = spectrum[np.round(numbers * f0_hz / 2).astype(int)]
    between = spectrum[np.round((numbers[:-1] + 0.5) * f0_hz / 2).astype(int)]
    assert between.max() < 0.1 * on.max()  # a comb at the new pitch, and nothing at the old one
    assert abs(numbers[on.argmax()] * f0_hz - FORMANT_HZ) < 0.6 * f0_hz  # the harmonic nearest to the formant
    ratio_db = 10 * np.log10(np.square(result.samples).mean() / np.square(clip.samples).mean())
    assert abs(ratio_db) < 1.5


def test_what_is_not_voiced_passes_unchanged() -> None:
    rng = np.random.default_rng(0)
    clip = Clip((0.1 * rng.standard_normal(RATE)).astype(np.float32), RATE)
    result = overlap_add.moved(clip, _track(clip, 0.0, is_voiced=False), 9.0)
    assert np.abs(result.samples - clip.samples).max() < 1e-6


@pytest.mark.parametrize("n_samples", [0, 1, 2, 100])
def test_very_short_clips_keep_their_length(n_samples: int) -> None:
    clip = Clip(np.full(n_samples, 0.1, np.float32), RATE)
    assert overlap_add.moved(clip, _track(clip, 200.0), 5.0).n_samples == n_samples
