"""Odd recordings of one and the same song: the result is as loud, as long and as melodious as that of the plain one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from tests_of_trust import RATE, sing

from moksori.audio import level
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker
from moksori.conversion import ConvertOptions, Voice
from moksori.data.prepare import prepare

SONG = sing(4.0)


@pytest.fixture(scope="module")
def plain(voice: Voice) -> Samples:
    return voice.convert(SONG, RATE, singer="kumi")


def _rms(samples: Samples) -> float:
    return level.rms_dbfs(samples)


def _voiced(samples: Samples) -> float:
    loud = level.apply_gain(samples, -25.0 - _rms(samples))
    return float(PitchTracker().track(Clip(loud, RATE)).is_voiced.mean())


def _beside_nothing(samples: Samples, noise: float) -> Samples:
    return (samples + noise * np.random.default_rng(0).standard_normal(len(samples))).astype(np.float32)


def test_an_ordinary_song_is_as_loud_as_it_was(plain: Samples) -> None:
    assert _rms(plain) == pytest.approx(_rms(SONG), abs=3.0)
    assert _voiced(plain) > 0.9


@pytest.mark.kind("B")
@pytest.mark.parametrize(
    "channels",
    [(SONG, -SONG), (SONG, -0.9 * SONG), (SONG, np.roll(SONG, 12)), (SONG, 0 * SONG), (SONG, -SONG, SONG, -SONG)],
    ids=["opposite", "nearly", "late", "one side", "four"],
)
def test_channels_that_cancel_do_not_silence_a_song(
    voice: Voice, plain: Samples, channels: tuple[Samples, ...]
) -> None:
    """-18 dBFS in, -77 out, once; and not a word."""
    given = np.stack(channels, axis=1).astype(np.float32)
    sung = voice.convert(given, RATE, singer="kumi")
    assert sung.shape == given.shape
    assert _rms(sung[:, 0]) == pytest.approx(_rms(plain), abs=0.7)


@pytest.mark.kind("B")
def test_channels_that_cancel_only_now_and_then_leave_no_gap(voice: Voice, plain: Samples) -> None:
    """The last tenth upside down, or every other third of a second: that much of the melody was lost, once."""
    at = np.arange(len(SONG))
    for sign in (np.where(at > 0.9 * len(SONG), -1, 1), np.where(at % 14400 < 7200, 1, -1)):
        sung = voice.convert(np.stack([SONG, SONG * sign], axis=1).astype(np.float32), RATE, singer="kumi")
        assert _voiced(sung[:, 0]) > 0.95 and _rms(sung[:, 0]) == pytest.approx(_rms(plain), abs=0.5)


@pytest.mark.kind("B")
def test_a_hum_beside_a_voice_does_not_halve_it(voice: Voice, plain: Samples) -> None:
    hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(len(SONG)) / RATE)
    sung = voice.convert(np.stack([hum, SONG], axis=1).astype(np.float32), RATE, singer="kumi")
    assert _rms(sung[:, 0]) == pytest.approx(_rms(plain), abs=0.5)


@pytest.mark.kind("G")
def test_an_offset_is_not_taken_for_clipping(voice: Voice, tmp_path: Path) -> None:
    """Silence with an offset was taken for flat tops."""
    soundfile.write(tmp_path / "song.wav", SONG * 0.2 + 0.9, RATE, "FLOAT")
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.wav", singer="kumi")
    assert not any("clipped" in remark for remark in report.remarks)
    assert any("an offset" in remark for remark in report.remarks)


@pytest.mark.kind("G")
@pytest.mark.parametrize("offset", [0.03, -0.1])
def test_an_offset_does_not_set_the_level(voice: Voice, plain: Samples, offset: float) -> None:
    """An offset of 0.03 once made a song 7 dB too loud."""
    sung = voice.convert((SONG + np.float32(offset)).astype(np.float32), RATE, singer="kumi")
    assert _rms(sung) == pytest.approx(_rms(plain), abs=0.5)


@pytest.mark.kind("G")
@pytest.mark.parametrize("hz", [8.0, 15.0, 20.0])
def test_rumble_does_not_set_the_level(voice: Voice, plain: Samples, hz: float) -> None:
    rumble = 0.1 * np.sin(2 * np.pi * hz * np.arange(len(SONG)) / RATE)
    sung = voice.convert((SONG + rumble).astype(np.float32), RATE, singer="kumi")
    assert _rms(sung) == pytest.approx(_rms(plain), abs=0.7)


@pytest.mark.kind("I")
@pytest.mark.parametrize("gain_db", [-30.0, -50.0, -65.0, -70.0])
def test_a_soft_song_keeps_its_melody(voice: Voice, plain: Samples, gain_db: float) -> None:
    """At -50 dB nothing of it was voiced, once, and the result was 25 dB softer than the song."""
    sung = voice.convert(level.apply_gain(SONG, gain_db), RATE, singer="kumi")
    assert _rms(sung) == pytest.approx(_rms(plain) + gain_db, abs=1.0)
    assert _voiced(sung) > 0.9


@pytest.mark.kind("I")
@pytest.mark.parametrize("pause", [2.0, 0.3, 0.0])
def test_a_soft_verse_before_a_loud_chorus_keeps_its_melody(voice: Voice, plain: Samples, pause: float) -> None:
    """With no pause in it but zeros, or none at all, the soft verse itself was taken for the noise."""
    gap = np.zeros(int(pause * RATE), np.float32)
    song = np.concatenate([level.apply_gain(SONG, -45.0), gap, SONG])
    sung = voice.convert(song, RATE, singer="kumi")
    verse = sung[: len(SONG)]
    assert _rms(verse[:-2400]) == pytest.approx(_rms(plain) - 45.0, abs=3.0)
    assert _voiced(verse) > 0.9


@pytest.mark.kind("I")
def test_a_soft_verse_between_loud_ones_keeps_its_melody(voice: Voice) -> None:
    track = PitchTracker().track(Clip(np.concatenate([SONG, level.apply_gain(SONG, -50.0), SONG]), RATE))
    assert track.is_voiced[250:500].mean() > 0.85  # 0.4 s of reverberation are allowed for
    assert track.is_voiced[:250].mean() > 0.95


@pytest.mark.kind("I")
def test_a_soft_song_is_moved_to_the_singer_as_a_loud_one_is(voice: Voice) -> None:
    """`transposition` and `--melody-out` heard the song before its gain, once."""
    deep = Clip(sing(2.0, 110.0), RATE)
    soft = Clip(level.apply_gain(deep.samples, -55.0), RATE)
    options = ConvertOptions(transpose="nearest")
    moved = voice.transposition(deep, "kumi", options)
    assert voice.transposition(soft, "kumi", options) == pytest.approx(moved, abs=1.01) and moved > 12


@pytest.mark.kind("H")
@pytest.mark.parametrize("gain_db", [6.0, 12.0, 20.0])
def test_headroom_of_floats_is_kept(voice: Voice, plain: Samples, gain_db: float, tmp_path: Path) -> None:
    """7 % of the samples of a song 12 dB above full scale were bent flat, once, and nothing was said."""
    louder = level.apply_gain(SONG, gain_db + 10.0)
    sung = voice.convert(louder, RATE, singer="kumi")
    # Phases drift with the last cent of the melody, so levels are compared: bending would cost them.
    assert _rms(sung) == pytest.approx(_rms(plain) + gain_db + 10.0, abs=0.5) and np.abs(sung).max() > 1.0
    soundfile.write(tmp_path / "song.wav", louder, RATE, "FLOAT")
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.wav", singer="kumi")
    written, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert report.n_clipped == 0 and np.abs(written).max() > 1.0
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.flac", singer="kumi")
    assert report.n_clipped > 0


@pytest.mark.kind("H")
def test_the_scale_of_integers_is_refused_in_an_array_and_brought_down_in_a_file(
    voice: Voice, plain: Samples, tmp_path: Path
) -> None:
    """It once became a square wave at full scale."""
    with pytest.raises(ValueError, match="divide 16-bit ones by 32768"):
        voice.convert(SONG * 32768, RATE, singer="kumi")
    with pytest.raises(ValueError, match="divide 16-bit ones by 32768"):
        voice.convert_clips([Clip(SONG * 32768, RATE)], ["kumi"])
    soundfile.write(tmp_path / "song.wav", SONG * 32768, RATE, "FLOAT")
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.wav", singer="kumi")
    written, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert _rms(written) == pytest.approx(_rms(plain), abs=0.5)
    assert any("integers of 16 bits" in remark for remark in report.remarks)


@pytest.mark.kind("H")
@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (np.rint(SONG * 255), "integers of 8 bits"),
        (np.rint(SONG * 254 + 127), "unsigned integers of 8 bits"),
        (np.where(np.arange(len(SONG)) == 9000, 1e20, SONG), "1 of its samples, up to 1e+20, are no sound"),
    ],
    ids=["8 bits", "unsigned", "one damaged"],
)
def test_other_scales_and_damage_are_brought_down(
    voice: Voice, plain: Samples, odd: Samples, words: str, tmp_path: Path
) -> None:
    """A song in the scale of 8 bits came out 48 dB too soft; with one sample of 1e20, silent."""
    soundfile.write(tmp_path / "song.wav", odd, RATE, "FLOAT")
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.wav", singer="kumi")
    written, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    gain_db = 6.0 if "8 bits" in words else 0.0
    assert any(words in remark for remark in report.remarks)
    assert _rms(written) == pytest.approx(_rms(plain) + gain_db, abs=0.7)


@pytest.mark.kind("O")
def test_silence_with_an_offset_is_silence(voice: Voice) -> None:
    """It hissed at -60 dBFS."""
    song = np.concatenate([np.zeros(RATE, np.float32), SONG]) + np.float32(0.001)
    sung = voice.convert(song, RATE, singer="kumi")
    assert not sung[: RATE - 600].any() and sung[RATE:].any()
    assert not voice.convert(np.full(RATE, 0.3, np.float32), RATE, singer="kumi").any()


@pytest.mark.kind("O")
@pytest.mark.parametrize("gain_db", [-140.0, -600.0])
def test_what_is_fainter_than_anything_stays_silent(voice: Voice, gain_db: float) -> None:
    """It came out at -91 dBFS, louder than it went in."""
    assert not voice.convert(level.apply_gain(SONG, gain_db), RATE, singer="kumi").any()


@pytest.mark.kind("N")
def test_a_soft_song_of_few_bits_is_not_taken_for_clipped(voice: Voice, tmp_path: Path) -> None:
    for name, samples in (
        ("soft", level.apply_gain(np.rint(SONG * 32768) / 32768, -50.0)),
        ("8", np.rint(SONG * 30) / 128),
    ):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, "FLOAT")
        report = voice.convert_file(tmp_path / f"{name}.wav", tmp_path / f"{name} out.wav", singer="kumi")
        assert not any("clipped" in remark for remark in report.remarks), name


@pytest.mark.kind("N")
def test_clipping_in_one_channel_is_told(voice: Voice, tmp_path: Path) -> None:
    hiss = _beside_nothing(SONG, 0.003)
    driven = np.clip(hiss / np.abs(hiss).max() * 2.0, -1.0, 1.0) * 0.3
    soundfile.write(tmp_path / "song.wav", np.stack([hiss, driven], axis=1), RATE)
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.wav", singer="kumi")
    assert sum("clipped" in remark for remark in report.remarks) == 1


@pytest.mark.kind("O")
def test_digital_silence_stays_digital_silence(voice: Voice, tmp_path: Path) -> None:
    """Zeros before a loud song became a hiss of -58 dBFS."""
    song = np.concatenate(
        [np.zeros(RATE, np.float32), SONG, np.zeros(RATE, np.float32), SONG, np.zeros(100, np.float32)]
    )
    sung = voice.convert(song, RATE, singer="kumi")
    assert not sung[: RATE - 600].any()
    assert not sung[RATE + len(SONG) + 600 : 2 * RATE + len(SONG) - 600].any()
    assert sung.shape == song.shape


@pytest.mark.kind("O")
def test_a_silent_song_stays_silent_and_is_named(voice: Voice, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", np.zeros(2 * RATE), RATE)
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.wav", singer="kumi")
    assert not soundfile.read(tmp_path / "out.wav")[0].any()
    assert any("silent" in remark for remark in report.remarks)


@pytest.mark.kind("O")
def test_a_song_without_singing_is_named(voice: Voice, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", _beside_nothing(np.zeros(2 * RATE, np.float32), 0.05), RATE)
    report = voice.convert_file(tmp_path / "song.wav", tmp_path / "out.wav", singer="kumi")
    assert any("no singing" in remark for remark in report.remarks)


@pytest.mark.kind("M")
def test_clicks_do_not_keep_a_song_soft(voice: Voice, plain: Samples) -> None:
    song = level.apply_gain(SONG, -40.0).copy()
    song[5000:5003] = 0.9
    sung = voice.convert(song, RATE, singer="kumi")
    inner = slice(RATE, None)
    assert _rms(sung[inner]) == pytest.approx(_rms(plain[inner]) - 40.0, abs=1.0)


TAKES = {
    "plain": SONG,
    "opposite": np.stack([SONG, -SONG], axis=1),
    "offset": SONG + 0.03,
    "rumble": SONG + 0.1 * np.sin(2 * np.pi * 15 * np.arange(len(SONG)) / RATE),
    "integers": SONG * 32768,
}


@pytest.mark.kind("G")
def test_odd_takes_become_the_clip_of_the_plain_one(tmp_path: Path) -> None:
    """As takes: "0.00 s of singing", or "accompaniment, room or hiss"."""
    for name, samples in TAKES.items():
        (tmp_path / "takes" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "takes" / name / "take.wav", samples, RATE, "FLOAT")
    corpus = prepare(tmp_path / "takes", tmp_path / "data")
    # The channel that was taken and the samples that were scaled down are the plain take to the last bit.
    assert {skip.source.split("/")[0] for skip in corpus.skipped} == {"opposite", "plain"}
    found = {recording.singer: recording for recording in corpus.recordings}
    for name in ("offset", "rumble"):
        clip = soundfile.read(tmp_path / "data" / found[name].path)[0]
        plain = soundfile.read(tmp_path / "data" / found["integers"].path)[0]
        assert _rms(clip) == pytest.approx(_rms(plain), abs=0.3)
        assert found[name].noise_dbfs == pytest.approx(found["integers"].noise_dbfs, abs=2.0)


@pytest.mark.kind("N")
def test_what_an_earlier_step_took_is_told_of_takes_and_songs(voice: Voice, tmp_path: Path) -> None:
    """Clipped at full scale and turned down: "0.00 %"; of 8 kHz in a file of 44.1 kHz: not a word."""
    hiss = _beside_nothing(SONG, 0.003)
    driven = np.clip(hiss / np.abs(hiss).max() * 2.0, -1.0, 1.0)
    share = float((np.abs(driven) >= 1.0).mean())
    odd = {
        "clipped": (driven * 0.2, RATE),
        "narrow": (soxr.resample(soxr.resample(hiss, RATE, 8000), 8000, 44100), 44100),
    }
    remark_of = {"clipped": "it was clipped", "narrow": "nothing is heard above 3.9 kHz", "plain": ""}
    for name, (samples, rate) in {**odd, "plain": (hiss, RATE)}.items():
        (tmp_path / "takes" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "takes" / name / "take.wav", samples, rate)
    corpus = prepare(tmp_path / "takes", tmp_path / "data")
    for recording in corpus.recordings:
        assert remark_of[recording.singer] in "".join(recording.remarks) and bool(recording.remarks) == bool(
            remark_of[recording.singer]
        )
        assert recording.clipped_fraction == pytest.approx(share if recording.singer == "clipped" else 0.0, rel=0.1)
    for name in odd:
        report = voice.convert_file(tmp_path / "takes" / name / "take.wav", tmp_path / "out.wav", singer="kumi")
        assert remark_of[name] in "".join(report.remarks)
