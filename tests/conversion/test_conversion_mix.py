"""A mix: only the voice changes, and it comes back where and as loud as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_conversion_separation import Below

from moksori.audio import f0_file, files, level
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker
from moksori.conversion import ConvertOptions, SongFile, Voice, mix, separation
from moksori.conversion.mix import Mixing
from moksori.conversion.options import Report
from moksori.errors import UserError
from moksori.progress import Progress

RATE, SECONDS = 44_100, 3.0
TIMES = np.arange(round(RATE * SECONDS)) / RATE
CUT = 372  # bins: 4005 Hz, which the tiny voice of 8 kHz never reaches
VOICE = 0.1 * np.asarray(sum(np.sin(2 * np.pi * 220 * k * TIMES) / k for k in range(1, 10)))
BACKING = np.stack([0.05 * np.sin(2 * np.pi * 6000 * TIMES), 0.1 * np.sin(2 * np.pi * 9000 * TIMES)], axis=1)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """A voice, louder on the left, and two tones far above it."""
    return _write(tmp_path / "song.flac", VOICE[:, None] * [1.0, 0.5] + BACKING)


def _write(path: Path, samples: np.ndarray) -> Path:
    with files.Writer(path, RATE, samples.shape[1]) as writer:
        writer.write(samples.astype(np.float32))
    return path


@pytest.fixture(autouse=True)
def separator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separation, "load", lambda: Below(CUT))


def _convert(voice: Voice, song: Path, mixing: Mixing | None = None) -> tuple[Samples, Report]:
    target = song.with_name("out.flac")
    report = mix.convert_file(voice, SongFile(song, target, "bass"), ConvertOptions(transpose=0), mixing or Mixing())
    return np.concatenate(list(files.blocks(target))), report


def _level_at(samples: Samples, hz: float) -> float:
    """Amplitude of a tone within the song."""
    inside = slice(RATE // 2, -RATE // 2)
    turn = np.exp(-2j * np.pi * hz * TIMES[inside])
    window = np.hanning(len(turn))
    return float(2 * np.abs((samples[inside] * turn * window).sum()) / window.sum())


def test_the_backing_is_untouched_in_each_channel(swift_voice: Voice, song: Path) -> None:
    found, report = _convert(swift_voice, song)
    assert found.shape == (len(TIMES), 2) and report.n_samples == len(TIMES)
    for channel, (hz, amplitude) in enumerate([(6000, 0.05), (9000, 0.1)]):
        assert _level_at(found[:, channel], hz) == pytest.approx(amplitude, rel=1e-3)
        assert _level_at(found[:, 1 - channel], hz) < 1e-4


def test_the_voice_comes_back_at_its_level_its_place_and_its_pitch(swift_voice: Voice, song: Path) -> None:
    found, _ = _convert(swift_voice, song)
    sung = found - BACKING
    before = level.sung_level_dbfs(level.measure((0.75 * VOICE).astype(np.float32), RATE).frame_dbfs)
    after = level.sung_level_dbfs(level.measure(sung.mean(axis=1).astype(np.float32), RATE).frame_dbfs)
    assert after == pytest.approx(before, abs=0.7)
    loud, soft = np.sqrt(np.square(sung[RATE:-RATE]).mean(axis=0))
    assert loud / soft == pytest.approx(2.0, rel=0.02)
    track = PitchTracker().track(Clip(sung[:, 0].astype(np.float32), RATE))
    assert np.median(track.voiced_hz) == pytest.approx(220, rel=0.02)
    assert np.corrcoef(sung[:, 0], VOICE)[0, 1] < 0.99  # it is another voice


def test_a_gain_is_over_the_level_it_had(swift_voice: Voice, song: Path) -> None:
    usual, louder = (_convert(swift_voice, song, Mixing(gain_db=gain_db))[0] - BACKING for gain_db in (0.0, 6.0))
    ratio = np.sqrt(np.square(louder[RATE:-RATE]).mean() / np.square(usual[RATE:-RATE]).mean())
    assert 20 * np.log10(ratio) == pytest.approx(6.0, abs=0.05)


def test_stems_add_up_and_what_is_sung_lies_beside_them(swift_voice: Voice, song: Path, tmp_path: Path) -> None:
    _convert(swift_voice, song, Mixing(stems=tmp_path))
    stems = {name: np.concatenate(list(files.blocks(tmp_path / f"out.{name}.wav"))) for name in mix.STEMS}
    whole = np.concatenate(list(files.blocks(song)))
    np.testing.assert_allclose(stems["voice"] + stems["backing"], whole, atol=1e-6)
    assert stems["sung"].shape == whole.shape


def test_a_mix_without_a_voice_stays_as_it_is_and_says_so(swift_voice: Voice, tmp_path: Path) -> None:
    found, report = _convert(swift_voice, _write(tmp_path / "song.flac", BACKING))
    inside = slice(3000, -3000)  # tones that begin at once are heard at all frequencies
    np.testing.assert_allclose(found[inside], BACKING[inside], atol=1e-3)
    assert "no voice was found in the mix" in report.remarks[0]


def test_several_voices_are_told(swift_voice: Voice, tmp_path: Path) -> None:
    second = 0.1 * np.asarray(sum(np.sin(2 * np.pi * 277 * k * TIMES) / k for k in range(1, 10)))
    _, report = _convert(swift_voice, _write(tmp_path / "song.flac", np.repeat((VOICE + second)[:, None], 2, axis=1)))
    assert any("a second pitch is heard" in remark for remark in report.remarks), report.remarks


def test_one_voice_is_not_told_to_be_several(swift_voice: Voice, song: Path) -> None:
    remarks = _convert(swift_voice, song)[1].remarks
    assert not [remark for remark in remarks if "second pitch" in remark or "stays in its key" in remark]


def test_a_mix_is_taken_apart_once_for_all_who_sing_it(
    swift_voice: Voice, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []
    stems = separation.stems
    monkeypatch.setattr(
        separation, "stems", lambda source, *rest, **how: (taken.append(source), stems(source, *rest, **how))
    )
    other = _write(song.with_name("other.flac"), BACKING)
    jobs = [(song, "bass"), (other, "bass"), (song, "tenor")]
    songs = [SongFile(path, path.with_name(f"{number}.flac"), singer) for number, (path, singer) in enumerate(jobs)]
    calls: list[Progress] = []
    outcomes = dict(mix.convert_files(swift_voice, songs, ConvertOptions(transpose=0), Mixing(), calls.append))
    assert taken == [song, other] and sorted(outcomes) == [0, 1, 2]
    assert all(isinstance(outcome, Report) for outcome in outcomes.values())
    for number in range(3):
        shares = [progress.share for progress in calls if progress.number == number]
        assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)


def test_a_song_that_cannot_be_read_fails_alone(swift_voice: Voice, song: Path) -> None:
    (song.parent / "bad.flac").write_bytes(b"no sound")
    songs = [SongFile(song.parent / name, song.with_name(f"{name}.wav"), "bass") for name in ("bad.flac", "song.flac")]
    outcomes = dict(mix.convert_files(swift_voice, songs, ConvertOptions(transpose=0), Mixing()))
    assert isinstance(outcomes[0], UserError) and isinstance(outcomes[1], Report)


def test_a_preview_is_where_the_voice_is_loudest_and_as_high_as_the_whole(swift_voice: Voice, tmp_path: Path) -> None:
    """The loudest of the mix was taken, and the key was that of its ten seconds."""
    sung = np.concatenate([0.3 * VOICE, VOICE])[:, None] * [1.0, 0.5]
    loud = np.concatenate([6 * BACKING, np.zeros_like(BACKING)])
    song = _write(tmp_path / "song.flac", sung + loud)
    target = tmp_path / "out.flac"
    asked = Mixing(preview_seconds=1.0, stems=tmp_path)
    report = mix.convert_file(swift_voice, SongFile(song, target, "bass"), ConvertOptions(transpose=3), asked)
    found = np.concatenate(list(files.blocks(target)))
    assert len(found) == pytest.approx(RATE, abs=RATE * 0.02) and report.transpose_semitones == 3
    assert "the backing stays in its key" in report.remarks[-1]
    assert level.rms_dbfs(found[:, 0].astype(np.float32)) == pytest.approx(
        level.rms_dbfs(VOICE.astype(np.float32)), abs=1.5
    )
    stems = [np.concatenate(list(files.blocks(tmp_path / f"out.{name}.wav"))) for name in mix.STEMS]
    assert [len(stem) for stem in stems] == [len(found)] * 3


def test_the_melody_of_the_voice_is_written(swift_voice: Voice, song: Path) -> None:
    place = song.with_name("song.f0.csv")
    _convert(swift_voice, song, Mixing(melodies={song: place}))
    assert np.median(f0_file.read(place).voiced_hz) == pytest.approx(220.0, rel=0.01)


def test_the_result_says_what_it_is(swift_voice: Voice, song: Path) -> None:
    _convert(swift_voice, song)
    with soundfile.SoundFile(song.with_name("out.flac")) as file:
        assert "A singing voice conversion by Moksori" in file.comment and "bass" in file.comment


@pytest.mark.parametrize(("semitones", "is_said"), [(0, False), (12, False), (5, True)])
def test_a_voice_that_leaves_the_key_of_its_backing_is_reported(
    swift_voice: Voice, song: Path, semitones: int, is_said: bool
) -> None:
    target = song.with_name("out.flac")
    report = mix.convert_file(
        swift_voice, SongFile(song, target, "bass"), ConvertOptions(transpose=semitones), Mixing()
    )
    assert any("the backing stays in its key" in remark for remark in report.remarks) == is_said


def test_only_our_own_nets_have_to_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(separation, "weights_file", lambda: tmp_path / "gone.safetensors")
    with pytest.raises(UserError, match=r"gone|separator"):
        Mixing().check()
    Mixing(separator=separation.PROGRAMS[1]).check()


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(UserError, match="unknown separator 'demucs'; expected spleeter or audio-separator"):
        Mixing(separator="demucs")
    with pytest.raises(UserError, match="expected -24 to 24"):
        Mixing(gain_db=30.0)
