import dataclasses
import os
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from synthetic import Note, Singer, render

from moksori.audio import files, level
from moksori.audio.clip import Clip, Samples
from moksori.data.corpus import CLIPS, SAME_SOUND, Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.errors import DataError

CONFIG = PrepareConfig(sample_rate=16000, workers=1)
DEMO_SINGERS = Path(__file__).parents[2] / "demo" / "singers"


def sing(path: Path, seed: int = 0, seconds: float = 1.0, gain: float = 1.0, sample_rate: int = 16000) -> Samples:
    """Write an invented recording and return its samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    song = [Note(50 + seed % 12, seconds, "aeiou"[seed % 5])]
    samples = gain * render(song, Singer("x"), sample_rate, np.random.default_rng(seed)).clip.samples
    soundfile.write(path, samples, sample_rate, format="WAV")
    return samples


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reasons(corpus: Corpus) -> dict[str, str]:
    return {skip.source: skip.reason for skip in corpus.skipped}


def test_the_result_does_not_depend_on_the_number_of_workers(songs: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        prepare(songs, tmp_path / str(workers), dataclasses.replace(CONFIG, workers=workers))
    assert tree(tmp_path / "1") == tree(tmp_path / "3")


def test_clips_have_the_rate_the_level_and_the_length_stated(songs: Path, tmp_path: Path) -> None:
    corpus = prepare(songs, tmp_path, PrepareConfig(sample_rate=22050))
    for recording in corpus.recordings:
        clip = files.read(corpus.clip_path(recording))
        measured = level.measure(clip.samples, clip.sample_rate)
        assert (clip.sample_rate, clip.n_samples) == (22050, recording.n_samples)
        assert level.sung_level_dbfs(measured.frame_dbfs) == pytest.approx(-23, abs=0.2)  # the trim moves frames a bit
        assert measured.peak_dbfs == pytest.approx(recording.peak_dbfs, abs=0.1)
        assert recording.f0_median_hz is not None


def test_high_peaks_keep_a_recording_quiet(tmp_path: Path) -> None:
    samples = sing(tmp_path / "songs/x/a.wav", gain=0.1)
    samples[500::1000] = 0.9
    soundfile.write(tmp_path / "songs/x/a.wav", samples, 16000)
    (recording,) = prepare(tmp_path / "songs", tmp_path / "out", CONFIG).recordings
    assert recording.peak_dbfs == pytest.approx(-1, abs=0.01)


def test_a_click_does_not_keep_a_recording_quiet(tmp_path: Path) -> None:
    """Once three samples set the level of a take: it came out at -45 dBFS where -23 is promised."""
    samples = sing(tmp_path / "songs/x/a.wav", gain=0.02)
    expected = prepare(tmp_path / "songs", tmp_path / "out", CONFIG).recordings[0].gain_db
    samples[8000:8003] = 0.9
    soundfile.write(tmp_path / "songs/x/a.wav", samples, 16000)
    (recording,) = prepare(tmp_path / "songs", tmp_path / "out", CONFIG).recordings
    assert recording.gain_db == pytest.approx(expected, abs=0.5) and recording.peak_dbfs <= 0
    assert any("clicks stand out" in remark for remark in recording.remarks)


def test_silence_at_the_ends_goes_and_regions_are_sung(tmp_path: Path) -> None:
    note = sing(tmp_path / "songs/x/a.wav")
    rest = np.zeros(32000, np.float32)
    soundfile.write(tmp_path / "songs/x/a.wav", np.concatenate([rest, note, rest, note, rest]), 16000)
    (recording,) = prepare(tmp_path / "songs", tmp_path / "out", CONFIG).recordings
    guard = 4000  # 0.25 s
    assert recording.n_samples == pytest.approx(2 * 16000 + 32000 + 2 * guard, abs=700)  # to a frame of 20 ms each end
    assert len(recording.regions) == 2
    assert recording.sung_seconds == pytest.approx(2 + 4 * 0.25, abs=0.1)


def test_stereo_is_averaged_and_clipping_counted(tmp_path: Path) -> None:
    note = sing(tmp_path / "songs/x/a.wav")
    soundfile.write(tmp_path / "songs/x/a.wav", np.stack([note, np.where(np.arange(16000) < 160, 1.0, note)], 1), 16000)
    (recording,) = prepare(tmp_path / "songs", tmp_path / "out", CONFIG).recordings
    assert recording.clipped_fraction == pytest.approx(160 / 32000)


def test_the_config_is_checked() -> None:
    for wrong in (
        {"sample_rate": 10},
        {"level_dbfs": 3.0},
        {"test_share": 0.5, "validation_share": 0.5},
        {"workers": -1},
    ):
        with pytest.raises(ValueError, match=r"expected|should"):
            PrepareConfig(**wrong)


# --- bad files ---


def test_bad_files_are_listed_and_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "songs/x"
    sing(folder / "good.wav")
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("la la la", encoding="utf-8")
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    files.write(folder / "silent.wav", Clip(np.zeros(32000, np.float32), 16000))
    sing(folder / "short.wav", seconds=0.2)
    (folder / "cut.flac").write_bytes((folder / "good.wav").read_bytes()[:30])
    soundfile.write(folder / "nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    corpus = prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    assert [recording.source for recording in corpus.recordings] == ["x/good.wav"]
    for name, reason in {
        "empty.wav": "0 bytes",
        "text.wav": "not a sound file",
        "folder.wav": "is a folder",
        "pipe.wav": "is a pipe",
        "loop.wav": "leads back to itself",
        "gone.wav": "no such file",
        "silent.wav": "0.00 s of singing",
        "short.wav": "s of singing in 0.20 s",
        "cut.flac": "",
        "nan.wav": "NaN",
    }.items():
        assert reason in reasons(corpus)[f"x/{name}"]
    assert str(tmp_path) not in (tmp_path / "out/manifest.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "stem",
    [
        *("-rf", "a b", "a'b", 'a"b', "$(ls);", "🎤", "미나", "%s", "CON", "a\nb", "n" * 240, "..a", "‮abc"),
        *(unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
    ],
)
def test_odd_names_are_prepared_under_the_data_folder(tmp_path: Path, stem: str) -> None:
    try:
        sing(tmp_path / "songs" / stem.replace("\n", "") / f"x{stem}.wav")
    except OSError:
        pytest.skip("this file system refuses the name")
    if stem.startswith(".."):
        sing(tmp_path / "songs/mina/a.wav")  # `..a` is hidden
    corpus = prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    assert Corpus.load(tmp_path / "out") == corpus
    assert len(corpus.recordings) == 1
    assert files.read(corpus.clip_path(corpus.recordings[0])).n_samples == corpus.recordings[0].n_samples


def test_files_whose_names_differ_only_in_unicode_form_are_both_kept(tmp_path: Path) -> None:
    sing(tmp_path / "songs/x" / unicodedata.normalize("NFC", "é.wav"), seed=0)
    sing(tmp_path / "songs/x" / unicodedata.normalize("NFD", "é.wav"), seed=1)
    if len(list((tmp_path / "songs/x").iterdir())) < 2:
        pytest.skip("this file system joins the two names itself")
    assert len(prepare(tmp_path / "songs", tmp_path / "out", CONFIG).recordings) == 2


def test_songs_and_data_may_not_lie_in_each_other(songs: Path) -> None:
    for out in (songs, songs / "out", songs.parent):
        with pytest.raises(DataError, match="lie in each other"):
            prepare(songs, out, CONFIG)


def test_a_folder_without_any_sound_names_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "songs/x").mkdir(parents=True)
    (tmp_path / "songs/x/a.wav").touch()
    with pytest.raises(DataError, match=r"no recording with singing in it; x/a\.wav: is empty"):
        prepare(tmp_path / "songs", tmp_path / "out", CONFIG)


def test_a_data_folder_that_cannot_be_written_is_a_plain_message(songs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be used"):
        prepare(songs, tmp_path / "out", CONFIG)


def test_a_damaged_manifest_is_not_overwritten(songs: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="to give up its splits and draw new ones, delete"):
        prepare(songs, tmp_path, CONFIG)


# --- doubles and splits ---


def test_the_same_sound_is_kept_once_also_across_singers_and_formats(tmp_path: Path) -> None:
    sing(tmp_path / "songs/x/a.wav")
    soundfile.write(tmp_path / "songs/x/b.flac", soundfile.read(tmp_path / "songs/x/a.wav")[0], 16000)
    sing(tmp_path / "songs/y/c.wav")
    sing(tmp_path / "songs/y/d.wav", seed=1)
    corpus = prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    assert [recording.source for recording in corpus.recordings] == ["x/a.wav", "y/d.wav"]
    assert reasons(corpus) == {"x/b.flac": f"{SAME_SOUND} x/a.wav", "y/c.wav": f"{SAME_SOUND} x/a.wav"}
    assert len(list((tmp_path / "out" / CLIPS).glob("*/*.flac"))) == 2


def test_every_singer_is_held_out_and_no_sound_is_in_two_splits(corpus: Corpus) -> None:
    for singer in corpus.singers:
        assert {r.split for r in corpus.recordings if r.singer == singer} == {"train", "validation", "test"}
    assert len({r.audio_sha256 for r in corpus.recordings}) == len(corpus.recordings)


def test_added_and_removed_files_leave_the_other_splits_alone(tmp_path: Path) -> None:
    for seed in range(5):
        sing(tmp_path / f"songs/x/{seed}.wav", seed=seed)
    before = {r.source: r.split for r in prepare(tmp_path / "songs", tmp_path / "out", CONFIG).recordings}
    sing(tmp_path / "songs/x/new.wav", seed=9)
    (tmp_path / "songs/x/4.wav").unlink()
    corpus = prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    after = {r.source: r.split for r in corpus.recordings}
    assert {source: split for source, split in after.items() if source != "x/new.wav"} == {
        source: split for source, split in before.items() if source != "x/4.wav"
    }
    clips = sorted(path.name for path in (tmp_path / "out" / CLIPS).glob("*/*.flac"))
    assert clips == sorted(Path(r.path).name for r in corpus.recordings)


def test_one_singer_with_one_file_is_legal_and_all_training(tmp_path: Path) -> None:
    sing(tmp_path / "songs/x/a.wav")
    (recording,) = prepare(tmp_path / "songs", tmp_path / "out", CONFIG).recordings
    assert recording.split == "train"


def test_only_what_prepare_wrote_is_deleted(tmp_path: Path) -> None:
    sing(tmp_path / "songs/x/a.wav")
    mine = tmp_path / "out" / CLIPS / "x" / "mine.flac"
    sing(mine)
    prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    assert mine.exists()


# --- resuming ---


def test_finished_recordings_are_not_decoded_again(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(songs, tmp_path, CONFIG)
    before = tree(tmp_path)
    monkeypatch.setattr(files, "blocks", None)  # any decoding would fail
    assert prepare(songs, tmp_path, CONFIG) == first
    assert tree(tmp_path) == before


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded from now on."""
    names: list[str] = []
    original = files.blocks

    def counting(path: Path, block_samples: int) -> object:
        names.append(path.name)
        return original(path, block_samples)

    monkeypatch.setattr(files, "blocks", counting)
    return names


def test_changed_sources_settings_and_damaged_clips_are_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4):
        sing(tmp_path / f"songs/x/{seed}.wav", seed=seed)
    corpus = prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    names = decoded(monkeypatch)
    sing(tmp_path / "songs/x/0.wav", seed=7)
    os.truncate(corpus.clip_path(corpus.recordings[1]), 50)
    corpus.clip_path(corpus.recordings[2]).with_suffix(".json").write_text("{", encoding="utf-8")
    prepare(tmp_path / "songs", tmp_path / "out", CONFIG)
    assert names == ["0.wav", "1.wav", "2.wav"]
    names.clear()
    louder = dataclasses.replace(CONFIG, level_dbfs=-20.0)
    prepare(tmp_path / "songs", tmp_path / "out", louder)
    assert len(names) == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
def progress(now):
    if now.done == 5:
        os.kill(os.getpid(), signal.SIGKILL)
prepare(Path(sys.argv[1]), Path(sys.argv[2]), PrepareConfig(sample_rate=16000, workers=1), progress)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_resumes_and_ends_like_an_undisturbed_one(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(songs), str(tmp_path / "killed")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert killed.returncode == -signal.SIGKILL
    (tmp_path / "killed" / CLIPS / "alto" / ".0123456789abcdef.part").touch()  # what a kill while writing leaves
    names = decoded(monkeypatch)
    prepare(songs, tmp_path / "killed", CONFIG)
    assert len(names) <= 12 - 5
    prepare(songs, tmp_path / "whole", CONFIG)
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


# --- size, and real singing ---


def test_a_recording_larger_than_the_spool_is_the_same(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(songs, tmp_path / "memory", CONFIG)
    monkeypatch.setattr("moksori.data.clips.SPOOL_BYTES", 1000)
    prepare(songs, tmp_path / "disk", CONFIG)
    assert tree(tmp_path / "memory") == tree(tmp_path / "disk")


def test_singers_that_others_invented_are_prepared(tmp_path: Path) -> None:
    corpus = prepare(DEMO_SINGERS, tmp_path, CONFIG)
    assert len(corpus.singers) == 4
    assert all(recording.f0_median_hz for recording in corpus.recordings)
    assert not corpus.skipped
