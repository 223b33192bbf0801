"""Converting with a voice that is told the melody: pitch, transposition, breaths, loudness, length."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_conversion import peaks_mb

from moksori import checkpoint, conversion
from moksori.audio import level
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker
from moksori.checkpoint import Provenance, Range
from moksori.conversion import ConvertOptions, Voice
from moksori.errors import UserError
from moksori.models.autoencoder import Autoencoder
from moksori.models.swift import Swift

RATE = 22_050
RANGES = {"bass": Range(80.0, 110.0, 160.0), "tenor": Range(160.0, 220.0, 330.0)}
HERE = ConvertOptions(transpose=0)


@pytest.fixture
def voice(tiny_swift: Swift) -> Voice:
    return Voice(tiny_swift, Provenance(ranges=RANGES))


def _song(f0_hz: float = 220.0, seconds: float = 1.5) -> Samples:
    times = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * f0_hz * k * times) / k for k in range(1, 10))
    return (0.1 * np.asarray(tone)).astype(np.float32)


def _pitch_hz(samples: Samples) -> float:
    return float(np.median(PitchTracker().track(Clip(samples, RATE)).voiced_hz))


def test_length_and_channels_stay(voice: Voice) -> None:
    for n_samples in (1, 100, 4001, 30_000):
        assert voice.convert(_song()[:n_samples], RATE, singer="tenor").shape == (n_samples,)
    stereo = np.stack([_song(), _song()], axis=1)
    sung = voice.convert(stereo, RATE, singer="tenor")
    assert sung.shape == stereo.shape and np.array_equal(sung[:, 0], sung[:, 1])


@pytest.mark.parametrize(
    ("singer", "transpose", "ratio"),
    [("tenor", "auto", 1), ("bass", "auto", 0.5), ("tenor", 12, 2), ("bass", 0, 1), ("tenor", -5, 2 ** (-5 / 12))],
)
def test_the_pitch_is_the_songs_transposed(voice: Voice, singer: str, transpose: float | str, ratio: float) -> None:
    sung = voice.convert(_song(), RATE, singer=singer, options=ConvertOptions(transpose=transpose))
    assert _pitch_hz(sung) == pytest.approx(220.0 * ratio, rel=0.015)


@pytest.mark.parametrize("f0_hz", [70.0, 1046.5, 1480.0])
def test_basses_and_sopranos_keep_their_pitch(voice: Voice, f0_hz: float) -> None:
    assert _pitch_hz(voice.convert(_song(f0_hz), RATE, singer="tenor", options=HERE)) == pytest.approx(f0_hz, rel=0.015)


def test_nearest_changes_the_key(voice: Voice) -> None:
    sung = voice.convert(_song(185.0), RATE, singer="tenor", options=ConvertOptions(transpose="nearest"))
    assert _pitch_hz(sung) == pytest.approx(185.0 * 2 ** (3 / 12), rel=0.015)


def test_the_report_tells_transposition_and_notes_outside(voice: Voice, tmp_path: Path) -> None:
    source = np.concatenate([_song(220.0, 1.0), _song(523.25, 1.0)])
    soundfile.write(tmp_path / "song.wav", source, RATE)
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "sung.wav", singer="tenor")
    assert report.transpose_semitones == 0
    (part,) = report.outside
    assert part.note == "C5" and part.start_seconds == pytest.approx(1.0, abs=0.1)
    down = voice.convert_file(tmp_path / "song.wav", tmp_path / "down.wav", singer="bass")
    assert down.transpose_semitones == -12


def test_a_mix_has_a_range_between(voice: Voice) -> None:
    clip = Clip(_song(311.0), RATE)
    assert voice.transposition(clip, {"bass": 1.0, "tenor": 1.0}, ConvertOptions()) == -12


def test_a_voice_without_known_ranges_stays_where_the_song_is(tiny_swift: Swift) -> None:
    voice = Voice(tiny_swift, Provenance(ranges={"tenor": RANGES["tenor"]}))
    assert voice.transposition(Clip(_song(880.0), RATE), "bass", ConvertOptions()) == 0


def test_many_clips_are_as_each_alone(voice: Voice) -> None:
    clips = [Clip(_song(220.0, 0.8), RATE), Clip(_song(440.0, 0.5), RATE)]
    together = voice.convert_clips(clips, ["bass", "tenor"], transpose_semitones=[-12.0, 0.0])
    alone = [
        voice.convert(clip.samples, RATE, singer=singer, options=ConvertOptions(transpose=semitones))
        for clip, singer, semitones in zip(clips, ["bass", "tenor"], [-12.0, 0.0], strict=True)
    ]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.samples, other, atol=1e-6)


def test_breaths_stay_the_songs_own(voice: Voice) -> None:
    breath = 0.02 * np.random.default_rng(0).standard_normal(RATE // 2).astype(np.float32)
    source = np.concatenate([_song(), breath, _song()])
    kept = voice.convert(source, RATE, singer="tenor", options=dataclasses.replace(HERE, keep_breaths=True))
    lost = voice.convert(source, RATE, singer="tenor", options=HERE)
    inside = slice(len(_song()) + 3500, len(_song()) + len(breath) - 3500)
    # The model works at 8 kHz: what is kept of the breath is what it could hear.
    assert np.corrcoef(kept[inside], source[inside])[0, 1] > 0.5
    assert abs(np.corrcoef(lost[inside], source[inside])[0, 1]) < 0.2
    np.testing.assert_allclose(kept[2000:20_000], lost[2000:20_000], atol=1e-5)


def test_loudness_follows_the_song_or_stands_at_one_level(voice: Voice) -> None:
    loud, soft = _song(), 0.1 * _song()
    follow = [level.rms_dbfs(voice.convert(source, RATE, singer="tenor", options=HERE)) for source in (loud, soft)]
    assert follow[0] - follow[1] == pytest.approx(20.0, abs=0.2)
    even = dataclasses.replace(HERE, loudness="normalise")
    equal = [level.rms_dbfs(voice.convert(source, RATE, singer="tenor", options=even)) for source in (loud, soft)]
    assert equal[0] == pytest.approx(equal[1], abs=0.2)


def test_silence_is_converted_without_complaint(voice: Voice) -> None:
    sung = voice.convert(np.zeros(RATE, np.float32), RATE, singer="bass")
    assert sung.shape == (RATE,) and np.isfinite(sung).all()


def test_a_model_file_remembers_ranges_and_kind(voice: Voice, tmp_path: Path) -> None:
    checkpoint.write_model(tmp_path / "model.safetensors", voice.model, voice.provenance)
    again = conversion.load(tmp_path)
    assert again.is_told_the_pitch and again.provenance.ranges == RANGES
    one, two = (v.convert(_song(), RATE, singer="bass") for v in (voice, again))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"transpose": "up"}, "transpose is up"), ({"transpose": 40}, "transpose is 40"), ({"loudness": "x"}, "loudness")],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float | str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConvertOptions(**wrong)  # type: ignore[arg-type]


def test_a_voice_that_hears_the_pitch_cannot_transpose(tiny_model: Autoencoder) -> None:
    voice = Voice(tiny_model, Provenance(ranges=RANGES))
    assert not voice.is_told_the_pitch
    with pytest.raises(UserError, match="cannot transpose"):
        voice.convert(_song()[:500], RATE, singer="bass", options=ConvertOptions(transpose=12))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_a_song_is_never_in_memory_as_a_whole(voice: Voice, tmp_path: Path) -> None:
    short, long = peaks_mb(voice, tmp_path, 0.3, 100, 300)
    # 200 seconds of stereo floats at 48 kHz are 77 MB, of mono 38 MB; 6 MB were measured, and 5 more for the next 600.
    assert long - short < 14, (short, long)
