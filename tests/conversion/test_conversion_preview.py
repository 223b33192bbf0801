"""A preview is the loudest part, in the key of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from singing import RATE, vowel

from moksori.audio import f0_file, files, pitch
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTracker
from moksori.audio.score import Note, Score
from moksori.conversion import ConvertOptions, SongFile, Voice
from moksori.conversion.options import Report
from moksori.conversion.preview import Loudest


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Two soft seconds at 440 Hz, a loud one at 220 Hz."""
    soft, loud = 0.2 * vowel(440.0, 2.0), vowel(220.0, 1.0)
    files.write(tmp_path / "song.wav", Clip(np.concatenate([soft, loud]), RATE))
    return tmp_path / "song.wav"


def _preview(voice: Voice, song: SongFile, seconds: float, options: ConvertOptions) -> Report:
    found = voice.loudest(song.source, seconds, options)
    ((_, outcome),) = voice.convert_files([voice.part_of(song, found, options)], options=options)
    assert isinstance(outcome, Report), outcome
    return outcome


def test_it_is_the_loudest_stretch_and_no_longer(swift_voice: Voice, song: Path) -> None:
    found = swift_voice.loudest(song, 0.8)
    assert 2.0 <= found.start_seconds <= 2.2 and found.seconds == pytest.approx(0.8)
    target = song.parent / "out.wav"
    report = _preview(swift_voice, SongFile(song, target, "bass"), 0.8, ConvertOptions(transpose=0))
    assert report.n_samples == files.probe(target).n_samples == round(0.8 * RATE)
    heard = PitchTracker().track(files.read(target))
    assert np.median(heard.voiced_hz) == pytest.approx(220.0, rel=0.02)


def test_a_song_that_is_shorter_is_converted_whole(swift_voice: Voice, song: Path) -> None:
    target = song.parent / "out.wav"
    assert _preview(swift_voice, SongFile(song, target, "bass"), 10.0, ConvertOptions()).n_samples == 3 * RATE


def test_it_is_moved_as_far_as_the_whole(swift_voice: Voice, song: Path) -> None:
    # By itself the loud second would be sung an octave lower by the bass, the whole song two.
    target = song.parent / "out.wav"
    options = ConvertOptions(transpose="auto")
    whole = swift_voice.convert_file(song, target, singer="bass", options=options)
    alone = swift_voice.transposition(files.read_stretch(song, 2.0, 1.0), "bass", options)
    preview = _preview(swift_voice, SongFile(song, target, "bass"), 0.8, options)
    assert preview.transpose_semitones == whole.transpose_semitones
    assert whole.transpose_semitones != alone


def test_a_melody_is_cut_along(swift_voice: Voice, song: Path) -> None:
    lines = [f"{time:.3f},{300.0 if time < 2 else 250.0:.3f},1" for time in np.arange(0, 3, 0.016)]
    melody = f0_file.parse("\n".join(lines), "here")
    target = song.parent / "out.wav"
    _preview(swift_voice, SongFile(song, target, "tenor", melody=melody), 0.8, ConvertOptions(transpose=0))
    assert np.median(PitchTracker().track(files.read(target)).voiced_hz) == pytest.approx(250.0, rel=0.02)


def test_notes_are_cut_along(swift_voice: Voice, song: Path) -> None:
    notes = Score((Note(0.0, 1.2, 57.0), Note(1.2, 30.0, 56.0)))
    asked = SongFile(song, song.with_name("sung.wav"), "tenor", melody=notes)
    found = swift_voice.part_of(asked, Loudest(1.0, 0.5, None), ConvertOptions(transpose=0)).melody
    assert isinstance(found, Score)
    assert [(round(n.start_seconds, 6), round(n.stop_seconds, 6), n.midi) for n in found.notes] == [
        (0.0, 0.2, 57.0),
        (0.2, 29.0, 56.0),
    ]


def test_beyond_the_end_of_a_track_nothing_is_voiced() -> None:
    track = f0_file.parse("0,200\n0.016,200\n0.032,300\n", "here")
    part = pitch.excerpt(track, 0.032, 0.08)
    assert part.f0_hz.round(6).tolist() == [300.0, 300.0, 0.0, 0.0, 0.0]
