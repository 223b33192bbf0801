"""Pitch and level of a song, as the voice is told them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from singing import HERE, RANGES, RATE, pitch_hz, vowel

from moksori.audio import f0_file, features, level, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.features import FeatureConfig
from moksori.audio.pitch import HOP_SECONDS, PitchTrack, PitchTracker
from moksori.audio.score import Note, Score
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice, analysis
from moksori.conversion.analysis import Recording
from moksori.errors import UserError
from moksori.models.autoencoder import Autoencoder
from moksori.models.source_filter_model import SourceFilterModel


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
    source = np.concatenate([vowel(220.0, 3.0), vowel(523.25, 1.0)])
    soundfile.write(tmp_path / "song.wav", source, RATE)
    report = swift_voice.convert_file(tmp_path / "song.wav", tmp_path / "sung.wav", singer="tenor")
    assert report.transpose_semitones == 0
    (part,) = report.outside
    assert part.note == "C5" and part.start_seconds == pytest.approx(3.0, abs=0.1)
    down = swift_voice.convert_file(tmp_path / "song.wav", tmp_path / "down.wav", singer="bass")
    assert down.transpose_semitones == -12


def test_a_mix_has_a_range_between(swift_voice: Voice) -> None:
    clip = Clip(vowel(311.0), RATE)
    assert swift_voice.transposition(clip, {"bass": 1.0, "tenor": 1.0}, ConvertOptions()) == -12


def test_a_voice_without_known_ranges_stays_where_the_song_is(tiny_swift: SourceFilterModel) -> None:
    voice = Voice(tiny_swift, Provenance(ranges={"tenor": RANGES["tenor"]}))
    assert voice.transposition(Clip(vowel(880.0), RATE), "bass", ConvertOptions()) == 0


def test_a_voice_that_hears_the_pitch_cannot_transpose(tiny_model: Autoencoder) -> None:
    voice = Voice(tiny_model, Provenance(ranges=RANGES))
    assert not voice.is_pitch_conditioned
    with pytest.raises(UserError, match="cannot transpose"):
        voice.convert(vowel()[:500], RATE, singer="bass", options=ConvertOptions(transpose=12))


def constant(f0_hz: float, seconds: float) -> PitchTrack:
    """A melody of one note."""
    n_frames = round(seconds / HOP_SECONDS)
    return PitchTrack(np.full(n_frames, f0_hz), np.ones(n_frames), np.ones(n_frames, np.bool_), HOP_SECONDS)


def test_a_melody_by_hand_is_sung_in_the_place_of_the_one_that_is_heard(swift_voice: Voice) -> None:
    source = vowel(220.0)
    sung = swift_voice.convert(source, RATE, singer="tenor", options=HERE, melody=constant(293.66, 1.5))
    assert pitch_hz(sung) == pytest.approx(293.66, rel=0.015)
    up = ConvertOptions(transpose=2)
    assert pitch_hz(swift_voice.convert(source, RATE, singer="tenor", options=up, melody=constant(220.0, 1.5))) == (
        pytest.approx(220.0 * 2 ** (2 / 12), rel=0.015)
    )


def test_the_melody_that_was_heard_changes_nothing_when_it_is_given_back(swift_voice: Voice) -> None:
    source = np.concatenate([vowel(220.0, 0.7), vowel(277.2, 0.8)])
    heard = f0_file.parse(f0_file.text(PitchTracker().track(Clip(source, RATE))), "here")
    # To the 0.001 Hz of its file: a hundredth of a radian of the eleventh partial, at worst, after a second and a half.
    alone = swift_voice.convert(source, RATE, singer="tenor", options=HERE)
    given = swift_voice.convert(source, RATE, singer="tenor", options=HERE, melody=heard)
    assert np.abs(given - alone).max() < 0.05 * np.abs(alone).max()


def test_a_melody_of_another_song_and_one_for_a_voice_that_listens_are_refused(
    swift_voice: Voice, voice: Voice, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"goes on to 4\.0 s, but the recording ends at 1\.5 s"):
        swift_voice.convert(vowel(), RATE, singer="tenor", melody=constant(220.0, 4.0))
    soundfile.write(tmp_path / "song.wav", vowel(), RATE)
    with pytest.raises(UserError, match="cannot be given another"):
        voice.convert_file(tmp_path / "song.wav", tmp_path / "sung.wav", singer="bass", melody=constant(220.0, 1.0))
    assert not (tmp_path / "sung.wav").exists()


def test_levels_of_frames_are_those_of_training() -> None:
    """They were measured every 20 ms at the recording's rate, and interpolated."""
    samples = vowel(seconds=0.5) * np.linspace(0.1, 1.0, RATE // 2, dtype=np.float32)
    config = FeatureConfig(8000, 80)
    blocks = [samples[start : start + 999] for start in range(0, len(samples), 999)]
    heard = analysis.analyse(Recording(lambda: iter(blocks), RATE), PitchTracker(), -30.0, config=config)
    melody = analysis.melody(heard, None, HERE, config).melody
    own = resample.resample(level.apply_gain(samples, heard.gain_db), RATE, 8000)
    expected = features.level_dbfs(own, config)
    assert melody.rows.shape == (2, len(expected))
    np.testing.assert_allclose(melody.rows[1], expected, atol=0.01)
    assert abs(heard.gain_db) > 1.0
    assert (
        analysis.melody(
            analysis.analyse(Recording(lambda: iter(blocks), RATE), PitchTracker(), -30.0), None, HERE, config
        ).melody.level_dbfs
        is None
    )


def _remarks(samples: np.ndarray) -> list[str]:
    """Those of the analysis of a recording."""
    recording = Recording(lambda: iter([samples.astype(np.float32)]), RATE)
    return analysis.remarks(analysis.analyse(recording, PitchTracker(), -30.0), RATE)


def test_a_silent_song_and_one_without_singing_are_remarked_and_singing_is_not() -> None:
    assert _remarks(np.zeros(RATE)) == ["the song is silent, and so is the result"]
    (noisy,) = _remarks(0.1 * np.random.default_rng(0).standard_normal(RATE))
    assert noisy.startswith("no singing was found")
    assert _remarks(vowel()) == []


class _OctaveTooLow(PitchTracker):
    """Hears half of what is sung."""

    def track_blocks(self, blocks: Iterator[Samples], sample_rate: int) -> PitchTrack:
        found = super().track_blocks(blocks, sample_rate)
        return replace(found, f0_hz=found.f0_hz / 2)


def test_what_was_heard_an_octave_too_low_is_brought_up_if_it_is_asked_for() -> None:
    recording = Recording(lambda: iter([vowel(600.0)]), RATE)
    usual = analysis.analyse(recording, _OctaveTooLow(), -23.0)
    repaired = analysis.analyse(recording, _OctaveTooLow(), -23.0, repairs_octaves=True)
    pitches = [np.median(one.track.voiced_hz) for one in (usual, repaired) if one.track is not None]
    assert pitches == [pytest.approx(300.0, rel=0.01), pytest.approx(600.0, rel=0.01)]
    remarks = set(analysis.remarks(repaired, RATE)) - set(analysis.remarks(usual, RATE))
    assert remarks == {"1 stretches of the melody were heard an octave too low, and were brought up"}


def test_notes_of_another_song_are_told(swift_voice: Voice, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", vowel(220.0), RATE)
    ways = {}
    for name, midi in (("own", 57.4), ("other", 60.0)):
        report = swift_voice.convert_file(
            tmp_path / "song.wav",
            tmp_path / f"{name}.wav",
            singer="tenor",
            options=HERE,
            melody=Score((Note(0.0, 1.5, midi),)),
        )
        ways[name] = report.remarks
    assert not ways["own"] and "100% of what is sung lies further than 1.5 semitones" in ways["other"][0]
    sung, _ = soundfile.read(tmp_path / "own.wav", dtype="float32")
    assert pitch_hz(sung) == pytest.approx(440.0 * 2 ** ((57.4 - 69) / 12), rel=0.005)


def test_a_voice_that_listens_has_no_octaves_to_repair(tiny_model: Autoencoder) -> None:
    with pytest.raises(UserError, match="leave --repair-octaves out"):
        Voice(tiny_model, Provenance()).convert(
            vowel(seconds=0.1), RATE, singer="bass", options=ConvertOptions(repair_octaves=True)
        )
