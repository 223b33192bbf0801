"""What stands beside one dry voice is told, in words that fit where the voice comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from moksori.audio import pitch
from moksori.audio.pitch import PitchTrack
from moksori.conversion import Voice, acoustics
from moksori.conversion.acoustics import Acoustics

RATE = 16_000
TIMES = np.arange(5 * RATE) / RATE


def _tone(hz: float) -> np.ndarray:
    return np.asarray(0.1 * sum(np.sin(2 * np.pi * hz * k * TIMES) / k for k in range(1, 9)))


def _heard(samples: np.ndarray, n_blocks: int = 7) -> Acoustics:
    n_frames = round(5.0 / pitch.HOP_SECONDS)
    track = PitchTrack(np.full(n_frames, 220.0), np.ones(n_frames), np.ones(n_frames, bool), pitch.HOP_SECONDS)
    return acoustics.estimate(iter(np.array_split(samples.astype(np.float32), n_blocks)), RATE, track)


def test_a_second_voice_is_heard_and_one_is_one() -> None:
    one, two = _heard(_tone(220.0)), _heard(_tone(220.0) + 0.6 * _tone(277.2))
    assert one.second_pitch_share < 0.05 and not one.is_many
    assert two.second_pitch_share > 0.9 and two.is_many


def test_no_more_is_read_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acoustics, "_SOUGHT_SECONDS", 1.0)
    blocks = iter(np.array_split(_tone(220.0).astype(np.float32), 5))
    track = PitchTrack(np.full(400, 220.0), np.ones(400), np.ones(400, bool), pitch.HOP_SECONDS)
    acoustics.estimate(blocks, RATE, track)
    assert len(list(blocks)) == 4


def test_words_name_what_helps() -> None:
    many, room = Acoustics(0.6, 30.0), Acoustics(0.0, 14.2)
    assert not acoustics.remarks(Acoustics(0.3, 25.0), is_separated=False)
    assert not acoustics.remarks(Acoustics(0.0, None), is_separated=False)
    assert "60% of the singing" in acoustics.remarks(many, is_separated=False)[0]
    assert "moksori convert --separate takes the voice out" in acoustics.remarks(many, is_separated=False)[0]
    assert "--separate" not in acoustics.remarks(many, is_separated=True)[0]
    assert "falls by more than 14 dB in 0.2 s" in acoustics.remarks(room, is_separated=True)[0]


def test_a_song_with_backing_is_told_of_when_it_is_converted(swift_voice: Voice, tmp_path: Path) -> None:
    """A mix was sung as it was, without a word."""
    said = {}
    for name, sound in (("voice", _tone(220.0)), ("mix", _tone(220.0) + 0.7 * _tone(277.2))):
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE)
        said[name] = swift_voice.convert_file(tmp_path / f"{name}.wav", tmp_path / "o.wav", singer="bass").remarks
    assert "a second pitch is heard" in said["mix"][0] and not [line for line in said["voice"] if "second" in line]
