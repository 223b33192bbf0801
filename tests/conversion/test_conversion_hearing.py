"""Pitch and level of a song, as the voice is told them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from singing import HERE, RANGES, RATE, pitch_hz, vowel

from moksori.audio.clip import Clip
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice
from moksori.errors import UserError
from moksori.models.autoencoder import Autoencoder
from moksori.models.swift import Swift


@pytest.mark.parametrize(
    ("singer", "transpose", "ratio"),
    [("tenor", "auto", 1), ("bass", "auto", 0.5), ("tenor", 12, 2), ("bass", 0, 1), ("tenor", -5, 2 ** (-5 / 12))],
)
def test_the_pitch_is_the_songs_transposed(
    swift_voice: Voice, singer: str, transpose: float | str, ratio: float
) -> None:
    sung = swift_voice.convert(vowel(), RATE, singer=singer, options=ConvertOptions(transpose=transpose))
    assert pitch_hz(sung) == pytest.approx(220.0 * ratio, rel=0.015)


@pytest.mark.parametrize("f0_hz", [70.0, 1046.5, 1480.0])
def test_basses_and_sopranos_keep_their_pitch(swift_voice: Voice, f0_hz: float) -> None:
    assert pitch_hz(swift_voice.convert(vowel(f0_hz), RATE, singer="tenor", options=HERE)) == pytest.approx(
        f0_hz, rel=0.015
    )


def test_nearest_changes_the_key(swift_voice: Voice) -> None:
    sung = swift_voice.convert(vowel(185.0), RATE, singer="tenor", options=ConvertOptions(transpose="nearest"))
    assert pitch_hz(sung) == pytest.approx(185.0 * 2 ** (3 / 12), rel=0.015)


def test_the_report_tells_transposition_and_notes_outside(swift_voice: Voice, tmp_path: Path) -> None:
    source = np.concatenate([vowel(220.0, 1.0), vowel(523.25, 1.0)])
    soundfile.write(tmp_path / "song.wav", source, RATE)
    report = swift_voice.convert_file(tmp_path / "song.wav", tmp_path / "sung.wav", singer="tenor")
    assert report.transpose_semitones == 0
    (part,) = report.outside
    assert part.note == "C5" and part.start_seconds == pytest.approx(1.0, abs=0.1)
    down = swift_voice.convert_file(tmp_path / "song.wav", tmp_path / "down.wav", singer="bass")
    assert down.transpose_semitones == -12


def test_a_mix_has_a_range_between(swift_voice: Voice) -> None:
    clip = Clip(vowel(311.0), RATE)
    assert swift_voice.transposition(clip, {"bass": 1.0, "tenor": 1.0}, ConvertOptions()) == -12


def test_a_voice_without_known_ranges_stays_where_the_song_is(tiny_swift: Swift) -> None:
    voice = Voice(tiny_swift, Provenance(ranges={"tenor": RANGES["tenor"]}))
    assert voice.transposition(Clip(vowel(880.0), RATE), "bass", ConvertOptions()) == 0


def test_a_voice_that_hears_the_pitch_cannot_transpose(tiny_model: Autoencoder) -> None:
    voice = Voice(tiny_model, Provenance(ranges=RANGES))
    assert not voice.is_told_the_pitch
    with pytest.raises(UserError, match="cannot transpose"):
        voice.convert(vowel()[:500], RATE, singer="bass", options=ConvertOptions(transpose=12))
