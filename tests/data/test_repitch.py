"""Moved pitch: the pitch moves as drawn, formants stay, and it is a function of its arguments."""

from __future__ import annotations

import numpy as np
import torch

from moksori.audio import features
from moksori.audio.clip import Clip
from moksori.audio.features import FeatureConfig
from moksori.audio.pitch import PitchTracker
from moksori.data import repitch

CONFIG = FeatureConfig()
RATE = CONFIG.sample_rate


def _vowel(f0_hz: float, seconds: float = 2.0) -> Clip:
    """Harmonics under two formants, at 700 and 2,500 Hz."""
    times, sound = np.arange(round(seconds * RATE)) / RATE, np.zeros(round(seconds * RATE))
    for k in range(1, int(10_000 / f0_hz)):
        hz = k * f0_hz
        loud = 1 / (1 + ((hz - 700) / 120) ** 2) + 0.5 / (1 + ((hz - 2500) / 200) ** 2) + 0.002
        sound += loud * np.sin(2 * np.pi * hz * times + k * k)
    return Clip((0.2 * sound / np.abs(sound).max()).astype(np.float32), RATE)


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


def test_a_curve_moves_within_its_limits() -> None:
    curves = [repitch.curve(1000, 0.01, np.random.default_rng(seed)) for seed in range(50)]
    assert all(len(curve) == 1000 and np.abs(curve).max() <= 9.0 for curve in curves)
    assert np.std([curve.mean() for curve in curves]) > 3.0  # up and down
    assert np.mean([curve.std() for curve in curves]) > 0.5  # and on the way
    assert max(np.abs(np.diff(curve)).max() for curve in curves) < 0.6  # a tenth of a semitone or so a frame: no jumps


def test_the_pitch_moves_as_told() -> None:
    clip, semitones = _vowel(200.0), np.linspace(-5, 5, 400)
    moved = repitch.moved(clip.samples, PitchTracker().track(clip), semitones, CONFIG)
    f0_hz = features.f0_hz(moved).numpy()
    asked = 200.0 * 2 ** (semitones[: len(f0_hz)] / 12)
    voiced = f0_hz[10:-10] > 0
    assert voiced.mean() > 0.95
    assert np.abs(1200 * np.log2(f0_hz[10:-10][voiced] / asked[10:-10][voiced])).mean() < 10
    # And the spectrum has its harmonics there: the sound moved, not only what is told of it.
    mel, edges = features.mels(moved)[2048], np.linspace(*map(_mel, (features.LOW_HZ, RATE / 2)), 102)[1:-1]

    def loudness(hz: float, frame: int) -> float:
        return float(mel[int(np.abs(edges - _mel(hz)).argmin()), frame])

    above = [loudness(2 * asked[frame], frame) - loudness(1.5 * asked[frame], frame) for frame in range(20, 180, 5)]
    assert np.mean(np.array(above) > 0.5) > 0.9


def test_all_of_the_recording_is_read() -> None:
    clip = _vowel(200.0)
    track = PitchTracker().track(clip)
    for semitones, frames in [(0.0, 200), (12.0 * np.log2(1.25), 160), (-12.0 * np.log2(1.25), 250)]:
        moved = repitch.moved(clip.samples, track, np.full(10, semitones), CONFIG)
        assert abs(moved.shape[1] - frames) <= 1


def test_formants_stay_where_they_were() -> None:
    clip = _vowel(110.0)
    track = PitchTracker().track(clip)
    own = features.of(clip.samples, track, CONFIG)
    for semitones in (-6.0, 6.0):
        moved = repitch.moved(clip.samples, track, np.full(10, semitones), CONFIG)
        mels = [features.mels(f)[512][:, 50:100].mean(dim=1) for f in (own, moved)]  # too short to show harmonics
        peaks = [int(mel[:30].argmax()) for mel in mels], [30 + int(mel[25:40].argmax()) - 5 for mel in mels]
        for before, after in peaks:
            assert abs(before - after) <= 2
        # A move without the formants' way back would shift them by six semitones.
        assert (mels[0] - mels[1])[:45].abs().mean() < 0.8


def test_an_envelope_has_no_harmonics() -> None:
    clip = _vowel(200.0)
    logarithm = (features.magnitude(clip.samples, 2048, CONFIG) + 1e-6).log()[:, 50:60]
    smooth = repitch.envelope(logarithm, np.full(10, 200.0), RATE)
    rough = (logarithm[2:] - 2 * logarithm[1:-1] + logarithm[:-2]).abs().mean()
    assert (smooth[2:] - 2 * smooth[1:-1] + smooth[:-2]).abs().mean() < 0.1 * rough
    torch.testing.assert_close(smooth.mean(dim=0), logarithm.mean(dim=0), atol=0.1, rtol=0)
