"""Notes of a melody, and octave errors: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import notes, pitch
from moksori.audio.pitch import PitchTrack


def track(*parts: tuple[float, float]) -> PitchTrack:
    """Parts of (Hz, s), 0 Hz being a rest."""
    f0_hz = np.concatenate([np.full(round(seconds / pitch.HOP_SECONDS), hz) for hz, seconds in parts])
    return PitchTrack(f0_hz, (f0_hz > 0).astype(np.float64), f0_hz > 0, pitch.HOP_SECONDS)


def test_rests_and_steps_part_notes_and_every_voiced_frame_has_one() -> None:
    melody = track((0, 0.16), (220.0, 0.32), (246.94, 0.32), (0, 0.16), (246.94, 0.16))
    assert notes.notes(melody) == [(10, 30), (30, 50), (60, 70)]


def test_vibrato_and_a_wrong_moment_stay_in_their_note() -> None:
    times = np.arange(100) * pitch.HOP_SECONDS
    f0_hz = 220 * 2 ** (np.sin(2 * np.pi * 5.5 * times) / 12)  # a semitone either way
    f0_hz[50:52] = 440.0
    voiced = np.ones(100, np.bool_)
    assert notes.notes(PitchTrack(f0_hz, np.ones(100), voiced, pitch.HOP_SECONDS)) == [(0, 100)]


def test_silence_has_no_notes_and_nothing_to_repair() -> None:
    silent = track((0, 1.0))
    assert notes.notes(silent) == []
    assert notes.octaves_repaired(silent)[1] == 0


def test_an_onset_an_octave_off_is_repaired() -> None:
    repaired, n_moved = notes.octaves_repaired(track((440.0, 0.1), (220.0, 0.5)))
    assert n_moved == 1
    np.testing.assert_allclose(repaired.f0_hz, 220.0)


@pytest.mark.parametrize("wrong_hz", [110.0, 440.0])
def test_a_short_leap_of_an_octave_and_back_is_repaired(wrong_hz: float) -> None:
    repaired, n_moved = notes.octaves_repaired(track((220.0, 0.5), (wrong_hz, 0.2), (220.0, 0.5)))
    assert n_moved == 1
    np.testing.assert_allclose(repaired.f0_hz, 220.0)


@pytest.mark.parametrize(
    "sung",
    [
        [(220.0, 0.5), (440.0, 1.5), (220.0, 0.5)],  # stays up there
        [(220.0, 0.5), (440.0, 0.2), (466.2, 0.5)],  # a leap, not back
        [(220.0, 0.5), (330.0, 0.2), (220.0, 0.5)],  # a fifth
        [(220.0, 0.5), (0.0, 0.5), (440.0, 0.2), (0.0, 0.5), (220.0, 0.5)],  # rests between
        [(220.0, 0.3), (440.0, 0.3)],  # nobody can tell which of two is wrong
    ],
)
def test_octaves_that_somebody_sings_stay(sung: list[tuple[float, float]]) -> None:
    melody = track(*sung)
    repaired, n_moved = notes.octaves_repaired(melody)
    assert n_moved == 0
    np.testing.assert_array_equal(repaired.f0_hz, melody.f0_hz)
