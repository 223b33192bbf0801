"""Octaves and ranges, by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from moksori.audio import transposition
from moksori.audio.pitch import PitchRange, PitchTrack
from moksori.audio.transposition import Outside

BASS = PitchRange(80.0, 120.0, 180.0)


def track(song_hz: npt.ArrayLike) -> PitchTrack:
    f0_hz = np.asarray(song_hz, np.float64)
    return PitchTrack(f0_hz, (f0_hz > 0).astype(np.float64), f0_hz > 0, 0.016)


@pytest.mark.parametrize(
    ("song_hz", "semitones"),
    [
        ([120.0], 0),
        ([90.0, 170.0], 0),
        ([240.0], -12),
        ([440.0], -24),
        ([30.0], 24),
        ([0.0], 0),
        ([], 0),
        ([2000.0], -36),
    ],
)
def test_whole_octaves(song_hz: list[float], semitones: float) -> None:
    assert transposition.whole_octaves(track(song_hz), BASS) == semitones


def test_a_song_that_mostly_fits_stays() -> None:
    song_hz = np.array([100.0] * 95 + [400.0] * 5)
    assert transposition.whole_octaves(track(song_hz), BASS) == 0


def test_no_more_octaves_than_the_singer_needs() -> None:
    """A singer who sings high for the most part: one octave is within the range, two are nearer to the middle."""
    wide = PitchRange(222.0, 435.0, 594.0)
    assert transposition.whole_octaves(track([120.0, 131.0, 131.0, 147.0]), wide) == 12
    assert transposition.whole_octaves(track([60.0, 65.0, 70.0]), wide) == 24


def test_of_two_octaves_outside_the_nearer_to_the_range_is_taken() -> None:
    alto = PitchRange(262.0, 300.0, 330.0)
    assert transposition.whole_octaves(track([180.0] * 9 + [210.0]), alto) == 12  # one hangs 6 below, or 2 above
    assert transposition.whole_octaves(track([220.0, 247.0]), alto) == 0  # a tone below; an octave more were too high


def test_nothing_is_moved_beyond_what_can_be_heard() -> None:
    soprano = PitchRange(900.0, 1500.0, 1900.0)
    song_hz = np.array([700.0, 700.0, 700.0, 1000.0])
    assert transposition.whole_octaves(track(song_hz), soprano) == 0


def test_a_handful_of_glitches_does_not_hold_an_octave_back() -> None:
    """Five frames of 846 at 1.8 kHz, and a low song stayed an octave below its singer."""
    alto = PitchRange(262.0, 350.0, 440.0)
    song_hz = np.full(846, 165.0)
    song_hz[100:846:160] = 1800.0
    assert transposition.whole_octaves(track(song_hz), alto) == 12
    song_hz[100:105] = 1800.0  # and a stretch that is as long as a note
    assert transposition.whole_octaves(track(song_hz), alto) == 12


def test_nearest_semitone() -> None:
    assert transposition.nearest(track([0.0, 240.0, 240.0]), BASS) == -12
    assert transposition.nearest(track([133.0]), BASS) == -2
    assert transposition.nearest(track([0.0, 0.0, 0.0]), BASS) == 0


def test_nearest_fits_the_range_before_the_middle() -> None:
    """A singer who sings low for the most part, and a song that would hang out below: it is moved up until it fits."""
    low_middle = PitchRange(277.0, 330.0, 466.0)
    song = track([330.0 * 2 ** (semitone / 12) for semitone in (-6, -3, 0, 0, 0, 2)])
    assert transposition.nearest(song, low_middle) == 3
    inside = track([330.0, 330.0, 349.0])
    assert transposition.nearest(inside, low_middle) == 0
    wide = track([330.0 * 2 ** (semitone / 12) for semitone in (-8, 0, 8)])  # hangs out on both sides, by as much
    assert transposition.nearest(wide, PitchRange(300.0, 330.0, 363.0)) == 0


def test_moving_keeps_silence() -> None:
    np.testing.assert_allclose(transposition.moved(np.array([0.0, 220.0]), 12), [0.0, 440.0])


def test_notes_outside_are_told_with_times_and_the_furthest_note() -> None:
    song_hz = np.full(300, 150.0)
    song_hz[100:150] = 220.0
    song_hz[120] = 247.0
    song_hz[152:160] = 220.0  # goes on after a moment
    song_hz[200:205] = 440.0  # too short for a word
    song_hz[250:] = 60.0
    assert transposition.outside(song_hz, 0.01, BASS) == [Outside(1.0, 1.6, "B3"), Outside(2.5, 3.0, "B1")]


def test_a_whole_tone_beyond_counts_as_inside() -> None:
    assert transposition.outside(np.full(100, 200.0), 0.01, BASS) == []
    assert len(transposition.outside(np.full(100, 203.0), 0.01, BASS)) == 1


def test_a_voice_between_two_has_a_range_between_theirs() -> None:
    found = transposition.between([(PitchRange(100, 200, 300), 0.5), (PitchRange(400, 800, 1200), 0.5)])
    np.testing.assert_allclose([found.low_hz, found.median_hz, found.high_hz], [200, 400, 600])
