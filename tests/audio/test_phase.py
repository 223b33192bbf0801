"""The phase of a voice: from its pitch, and from its sound."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from moksori.audio import phase

RATE, HOP = 8000, 80


def glide(seconds: float = 0.5) -> Tensor:
    """A pitch that rises by an octave, `[1, F]` in Hz."""
    return 150.0 * 2 ** torch.linspace(0, 1, round(seconds * RATE / HOP))[None]


def voice(cycles: Tensor) -> Tensor:
    """Four harmonics, the first not the loudest."""
    harmonics = [torch.cos(2 * math.pi * number * cycles) / max(1, abs(number - 2)) for number in (1, 2, 3, 4)]
    return torch.stack(harmonics).sum(dim=0) * 0.1


def distance(first: Tensor, second: Tensor) -> Tensor:
    """How far phases lie apart, in cycles."""
    return ((first - second + 0.5) % 1.0 - 0.5).abs()


def test_a_phase_at_every_fourth_sample_is_that_at_every_sample_there() -> None:
    often = phase.of_pitch(glide(), HOP, RATE, 1)
    for step in (4, 8, 80):
        assert distance(phase.of_pitch(glide(), HOP, RATE, step), often[:, ::step]).max() < 1e-5


def test_frame_by_frame_it_goes_on_by_the_pitch_that_was_asked_for() -> None:
    f0_hz = torch.tensor([[0.0, 100.0, 100.0, 0.0, 0.0, 200.0, 200.0]])
    cycles = phase.of_pitch(f0_hz, HOP, RATE, HOP)
    # One cycle a frame at 100 Hz, also before and after; within the frame that rises to 200 Hz a little under 1.5.
    assert distance(cycles[0, :5], torch.zeros(5)).max() < 1e-6
    assert cycles[0, 5].item() == pytest.approx((1 + 0.5 * 79 / 80) % 1)
    assert distance(cycles[0, 6], cycles[0, 5]).item() < 1e-6


def test_the_phase_of_a_recording_is_measured_wherever_it_begins() -> None:
    """A known answer for alignment: of frames a hop too early or too late the phase is off by a cycle and more."""
    cycles = (phase.of_pitch(glide(), HOP, RATE, 1) + 0.37) % 1
    measured = phase.of_sound(voice(cycles), glide(), HOP, RATE, 8)
    assert measured.shape == (1, cycles.shape[1] // 8)
    assert distance(measured, cycles[:, ::8]).quantile(0.95) < 0.02


def test_a_pitch_wrong_by_half_a_semitone_still_gives_the_phase_of_the_sound() -> None:
    cycles = phase.of_pitch(glide(), HOP, RATE, 1)
    measured = phase.of_sound(voice(cycles), glide() * 2 ** (0.5 / 12), HOP, RATE, 8)
    assert distance(measured, cycles[:, ::8])[:, 20:-20].max() < 0.06


def test_after_the_recording_the_phase_goes_on_by_the_pitch() -> None:
    cycles = (phase.of_pitch(glide(), HOP, RATE, 1) + 0.37) % 1
    measured = phase.of_sound(voice(cycles)[:, :2000], glide(), HOP, RATE, 8)
    assert distance(measured, cycles[:, ::8]).quantile(0.95) < 0.05


def test_a_clip_without_a_voiced_frame_has_a_phase_all_the_same() -> None:
    assert phase.of_pitch(torch.zeros(1, 3), HOP, RATE, 8).isfinite().all()
    assert phase.of_sound(torch.zeros(1, 240), torch.zeros(1, 3), HOP, RATE, 8).isfinite().all()
