"""Scores: MIDI is read by its clock, and singing is brought onto its notes with its vibrato."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moksori.audio import pitch, score
from moksori.audio.pitch import PitchTrack
from moksori.audio.score import Note, Score
from moksori.errors import UserError

mido = pytest.importorskip("mido")


def _file(path: Path, *tracks: tuple[str, list[Any]], ticks: int = 480) -> Path:
    file = mido.MidiFile(ticks_per_beat=ticks)
    for name, messages in tracks:
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name), *messages])
        file.tracks.append(track)
    file.save(path)
    return path


def _on(note: int, time: int = 0, velocity: int = 80, channel: int = 0) -> Any:
    return mido.Message("note_on", note=note, time=time, velocity=velocity, channel=channel)


def _off(note: int, time: int = 0, channel: int = 0) -> Any:
    return mido.Message("note_off", note=note, time=time, channel=channel)


def _told(found: Score) -> list[tuple[float, float, float]]:
    return [(round(note.start_seconds, 6), round(note.stop_seconds, 6), note.midi) for note in found.notes]


def test_times_are_those_of_the_clock_whatever_track_changes_it(tmp_path: Path) -> None:
    tempo = [mido.MetaMessage("set_tempo", tempo=250_000, time=480)]  # twice as fast from the second beat on
    notes = [_on(60), _off(60, 480), _on(62, 480), _on(62, 480, velocity=0)]  # a velocity of 0 ends a note, too
    found = score.read(_file(tmp_path / "a.mid", ("tempo", tempo), ("tune", notes)))
    assert _told(found) == [(0.0, 0.5, 60.0), (0.75, 1.0, 62.0)]
    assert found.seconds == 1.0


def test_one_note_at_a_time(tmp_path: Path) -> None:
    notes = [_on(60), _on(64), _on(67, 480), _off(60, 240), _off(64), _off(67, 240), _on(50, 0, 80, 9), _on(61)]
    found = score.read(_file(tmp_path / "a.mid", ("", notes)))
    # Of those begun together the highest; the last begun cuts it; drums are none, and what never ends lasts no time.
    assert _told(found) == [(0.0, 0.5, 64.0), (0.5, 1.0, 67.0)]


def test_the_track_that_is_named_as_the_melody_is_meant(tmp_path: Path) -> None:
    tune, chords = [_on(72), _off(72, 480)], [_on(48), _off(48, 480)]
    found = score.read(_file(tmp_path / "a.mid", ("piano", chords), ("Vocals", tune)))
    assert _told(found) == [(0.0, 0.5, 72.0)]
    with pytest.raises(UserError, match=r"notes in 2 tracks, 'piano', 'strings'; leave only the melody"):
        score.read(_file(tmp_path / "b.mid", ("piano", chords), ("strings", tune)))


def test_tracks_of_one_name_are_two_tracks(tmp_path: Path) -> None:
    tune = [_on(72), _off(72, 480)]
    with pytest.raises(UserError, match="notes in 2 tracks"):
        score.read(_file(tmp_path / "a.mid", ("", tune), ("", tune)))


@pytest.mark.parametrize(
    "content", [b"", b"MThd", b"RIFF....", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\4\0\xff\x51\x03"]
)
def test_what_is_no_midi_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mid").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.mid: "):
        score.read(tmp_path / "a.mid")


def test_refusals_say_what_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no note in it"):
        score.read(_file(tmp_path / "a.mid", ("tune", [])))
    with pytest.raises(UserError, match=r"none\.mid: cannot be read as MIDI \(No such file"):
        score.read(tmp_path / "none.mid")
    with pytest.raises(UserError, match="frames of film"):
        score.read(_file(tmp_path / "b.mid", ("tune", [_on(60), _off(60, 10)]), ticks=-6360))
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(UserError, match=r"pip install 'moksori\[midi\]'"):
        score.read(tmp_path / "a.mid")


TIMES = np.arange(round(3.0 / pitch.HOP_SECONDS)) * pitch.HOP_SECONDS
NOTES = Score((Note(0.0, 1.0, 60.0), Note(1.0, 2.0, 64.0), Note(2.2, 3.0, 62.0)))


def _sung(*midi: float, vibrato: float = 0.4) -> PitchTrack:
    """The three notes at other pitches, with vibrato, and a consonant between the first two."""
    place = np.searchsorted([1.0, 2.1], TIMES, side="right")
    curve = np.array(midi)[place] + vibrato * np.sin(2 * np.pi * 5.0 * TIMES)
    is_voiced = np.abs(TIMES - 1.0) > 0.05
    f0_hz = np.where(is_voiced, 440.0 * 2 ** ((curve - 69.0) / 12.0), 0.0)
    return PitchTrack(f0_hz, is_voiced.astype(float), is_voiced, pitch.HOP_SECONDS)


def _midi(track: PitchTrack, start: float, stop: float) -> np.ndarray:
    inside = (track.times_seconds > start) & (track.times_seconds < stop) & track.is_voiced
    return 69.0 + 12.0 * np.log2(track.f0_hz[inside] / 440.0)


@pytest.mark.parametrize("octaves", [0, 12, -12])
def test_notes_are_brought_onto_the_score_with_their_vibrato_in_the_octave_that_is_sung(octaves: int) -> None:
    track = _sung(*(np.array([59.6, 64.5, 62.2]) + octaves))
    found, far = score.tuned(track, NOTES)
    assert far == 0.0
    assert np.array_equal(found.is_voiced, track.is_voiced) and not found.f0_hz[~track.is_voiced].any()
    for note in NOTES.notes:
        inside = _midi(found, note.start_seconds + 0.06, note.stop_seconds - 0.06)
        assert np.median(inside) == pytest.approx(note.midi + octaves, abs=0.05)
        assert np.ptp(inside) == pytest.approx(0.8, abs=0.05)  # vibrato


def test_what_is_in_tune_stays_and_between_notes_nothing_leaps() -> None:
    track = _sung(60.0, 64.0, 62.0)
    found, _ = score.tuned(track, NOTES)
    np.testing.assert_allclose(_midi(found, 0, 3), _midi(track, 0, 3), atol=0.03)
    off, _ = score.tuned(_sung(60.5, 63.5, 62.0), NOTES)
    moved = _midi(off, 1.1, 3.0) - _midi(_sung(60.5, 63.5, 62.0), 1.1, 3.0)
    assert np.abs(np.diff(moved)).max() < 0.06  # half a semitone within the rest of 0.2 s and its edges


def test_notes_of_another_song_are_told() -> None:
    assert score.tuned(_sung(60.0, 67.0, 55.0), NOTES)[1] > 0.5
    track = _sung(60.0, 64.0, 62.0)
    assert score.tuned(track, Score((Note(10.0, 11.0, 60.0),))) == (track, 1.0)


def test_an_excerpt_is_in_its_own_time() -> None:
    assert _told(NOTES.excerpt(0.5, 1.0)) == [(0.0, 0.5, 60.0), (0.5, 1.5, 64.0)]
