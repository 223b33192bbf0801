"""The demo folder: the song is what its score says, the singers can be trained on."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from moksori.audio import files, level, pitch

DEMO = Path(__file__).parents[1] / "demo"
LEAD_IN_SECONDS = 0.3  # of silence, see render_arirang.py
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def score_notes() -> list[tuple[float, float, int]]:
    """Start and length in seconds from the first note, and MIDI number, of every note of the score."""
    part = ET.parse(DEMO / "arirang.musicxml").getroot().find("part")
    assert part is not None
    tempo = part.find(".//sound")
    assert tempo is not None and part.find(".//alter") is None
    second = 60 / float(tempo.attrib["tempo"]) / int(part.findtext(".//divisions", ""))
    notes, now = [], 0
    for note in part.iter("note"):
        length = int(note.findtext("duration", ""))
        if note.find("rest") is None:
            midi = 12 * (int(note.findtext("pitch/octave", "")) + 1) + SEMITONES[note.findtext("pitch/step", "")]
            notes.append((now * second, length * second, midi))
        now += length
    return [(start - notes[0][0], length, midi) for start, length, midi in notes]


def test_the_song_follows_its_score_note_by_note() -> None:
    clip = files.read(DEMO / "arirang.flac")
    track = pitch.PitchTracker().track(clip)
    errors = []
    for start, length, midi in score_notes():
        # The middle half: the voice scoops into its notes, and glides between them.
        inside = np.abs(track.times_seconds - LEAD_IN_SECONDS - start - length / 2) < length / 4
        sung = track.f0_hz[inside & track.is_voiced]
        assert len(sung) > 0
        errors.append(float(np.median(pitch.cents_between(sung, pitch.midi_to_hz(midi)))))
    assert len(errors) > 50
    # The voice sings beside the note now and then, mostly flat in passing eighths. Measured: half of the notes within
    # 27 cents, 93 % within a semitone, 157 cents at worst.
    assert np.median(np.abs(errors)) < 50, errors
    assert np.mean(np.abs(errors) < 100) > 0.9, errors
    assert np.abs(errors).max() < 200, errors


def test_the_song_is_mono_16_bit_at_16_khz_and_not_clipped() -> None:
    info = files.probe(DEMO / "arirang.flac")
    clip = files.read(DEMO / "arirang.flac")
    assert (info.sample_rate, info.n_channels, info.subtype) == (16000, 1, "PCM_16")
    assert 20 < info.seconds < 32
    assert level.peak_dbfs(clip.samples) == pytest.approx(-3.0, abs=0.01)


def test_every_singer_has_clean_songs_to_train_on() -> None:
    singers = set()
    for path in (DEMO / "singers").rglob("*.flac"):
        clip = files.read(path)
        measured = level.measure(clip.samples, clip.sample_rate)
        assert clip.sample_rate == 16000
        assert clip.seconds > 20
        assert level.peak_dbfs(clip.samples) < -0.5
        # One recording came as a burst of noise, and nothing that could be heard after it.
        assert np.mean(measured.frame_dbfs > level.gate_dbfs(measured.frame_dbfs)) > 0.5, path
        singers.add(path.parent.name)
    assert singers == {"syn_bass", "syn_child", "syn_sop", "syn_tenor"}
