"""Nothing is written over unasked, and nothing is taken for ours that no record of ours vouches for."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result
from tests_of_trust import RATE, sing, write_takes
from typer.testing import CliRunner

from moksori import atomic, ownership, presets, run_files, workflow
from moksori.audio import files, level
from moksori.audio.files import AudioInfo, Encoding
from moksori.cli import convert, evaluate, jobs
from moksori.cli.app import app
from moksori.conversion import ConvertOptions, SongFile, Voice, many
from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.errors import AudioFileError, DataError, UserError
from moksori.evaluation import folder as report_folder
from moksori.evaluation.report import data as reports
from moksori.evaluation.report.data import Report
from moksori.training import recipe as recipes
from moksori.training.folder import Identity, RunFolder
from moksori.training.logging.events import Event
from moksori.training.recipe import Recipe
from moksori.workflow import evaluate as moksori_evaluate

Train = Callable[[Path, Path, int], Result]


@pytest.fixture
def moksori_train() -> Train:
    """Train for some steps in all, by the command line."""

    def train(takes: Path, folder: Path, n_steps: int) -> Result:
        given = ["train", takes, "-o", folder, "-r", "smoke", "--max-steps", n_steps]
        return CliRunner().invoke(app, [*map(str, given)])

    return train


@pytest.mark.kind("D")
def test_a_page_never_takes_the_place_of_a_song(tmp_path: Path) -> None:
    """`convert s.flac --page s.flac` once turned the song into HTML."""
    song, before = tmp_path / "s.flac", None
    soundfile.write(song, sing(1.0), RATE)
    before = song.read_bytes()
    done = moksori("convert", song, "-s", "kumi", "--page", song, "--force")
    assert isinstance(done.exception, UserError) and "is itself read or written" in str(done.exception)
    done = moksori("convert", song, "-s", "kumi", "-o", tmp_path / "r.flac", "--page", tmp_path / "r.flac")
    assert isinstance(done.exception, UserError) and "is itself read or written" in str(done.exception)
    (tmp_path / "page.html").write_text("mine", encoding="utf-8")
    done = moksori("convert", song, "-s", "kumi", "--page", tmp_path / "page.html")
    assert isinstance(done.exception, UserError) and "exists already" in str(done.exception)
    assert song.read_bytes() == before and sorted(path.name for path in tmp_path.glob("*.*")) == ["page.html", "s.flac"]


@pytest.mark.kind("E")
@pytest.mark.parametrize("name", ["model.safetensors", "recipe.toml", "notes.txt", "states/step-000000001.safetensors"])
def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path, name: str) -> None:
    """A foreign voice in a file of our name was once replaced by training."""
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_text("theirs", encoding="utf-8")
    with pytest.raises(UserError, match=r"holds .* but no run\.json"):
        RunFolder(tmp_path / "run").claim(Identity(0, ["ana"], "f" * 64), Recipe())
    assert path.read_text(encoding="utf-8") == "theirs" and len(list((tmp_path / "run").iterdir())) == 1


@pytest.mark.kind("E")
def test_data_prepared_in_a_run_folder_does_not_make_it_foreign(tmp_path: Path) -> None:
    (tmp_path / "run" / "data").mkdir(parents=True)
    RunFolder(tmp_path / "run").refuse_foreign()


@pytest.mark.kind("E")
def test_prepare_leaves_a_folder_alone_that_it_did_not_make(tmp_path: Path) -> None:
    takes = write_takes(tmp_path / "takes")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("theirs", encoding="utf-8")
    with pytest.raises(DataError, match=r"thesis\.txt but no manifest"):
        prepare(takes, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


@pytest.mark.kind("F")
def test_a_take_that_was_away_comes_back_to_its_split(tmp_path: Path) -> None:
    """It once came back into validation, after it had been trained on."""
    takes = write_takes(tmp_path / "takes", n_takes=5)
    before = prepare(takes, tmp_path / "data")
    gone = [recording for recording in before.recordings if recording.split == "train"][:2]
    for recording in gone:
        shutil.move(takes / recording.source, tmp_path / f"{gone.index(recording)}.wav")
    prepare(takes, tmp_path / "data")
    for recording in gone:
        shutil.move(tmp_path / f"{gone.index(recording)}.wav", takes / recording.source)
    after = prepare(takes, tmp_path / "data")
    assert {r.source: r.split for r in after.recordings} == {r.source: r.split for r in before.recordings}
    assert after.fingerprint == before.fingerprint


@pytest.mark.kind("F")
def test_a_run_whose_recordings_are_away_for_a_moment_is_left_as_it_is(tmp_path: Path, moksori_train: Train) -> None:
    """The data was changed before the run was checked; the take came back into validation, and the run was lost."""
    takes, run = write_takes(tmp_path / "takes"), tmp_path / "run"
    assert moksori_train(takes, run, 2).exit_code == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    names = {r.source for r in Corpus.load(run / "data").recordings if r.split == "train"}
    shutil.move(takes / min(names), tmp_path / "away.wav")
    refused = moksori_train(takes, run, 4)
    assert refused.exit_code == 1 and f"({min(names)} gone or changed)" in str(refused.exception)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    shutil.move(tmp_path / "away.wav", takes / min(names))
    (takes / "ana" / "new.wav").write_bytes(b"no sound")  # is skipped, and so no difference
    assert moksori_train(takes, run, 3).exit_code == 0
    soundfile.write(takes / "ana" / "new.wav", sing(1.0, 300.0), RATE)
    refused = moksori_train(takes, run, 4)
    assert refused.exit_code == 1 and "ana/new.wav new or changed" in str(refused.exception)


@pytest.mark.kind("F")
def test_a_run_whose_data_was_deleted_remembers_no_splits_of_what_was_left(
    tmp_path: Path, moksori_train: Train
) -> None:
    """Data made anew without a take has other splits, and would keep them when the take is back."""
    takes, run = write_takes(tmp_path / "takes"), tmp_path / "run"
    assert moksori_train(takes, run, 1).exit_code == 0
    shutil.rmtree(run / "data")
    shutil.move(takes / "ana" / "take 1.wav", tmp_path / "away.wav")
    refused = moksori_train(takes, run, 2)
    assert refused.exit_code == 1 and "whose data is gone; bring them back" in str(refused.exception)
    assert not (run / "data").exists()
    shutil.move(tmp_path / "away.wav", takes / "ana" / "take 1.wav")
    assert moksori_train(takes, run, 2).exit_code == 0


@pytest.mark.kind("F")
def test_a_sound_keeps_its_split_when_its_singer_is_renamed(tmp_path: Path) -> None:
    takes = write_takes(tmp_path / "takes", n_takes=6)
    before = {r.audio_sha256: r.split for r in prepare(takes, tmp_path / "data").recordings}
    (takes / "ana").rename(takes / "anna")
    assert {r.audio_sha256: r.split for r in prepare(takes, tmp_path / "data").recordings} == before


@pytest.mark.kind("E")
def test_comments_in_the_recipe_of_a_run_stay(tmp_path: Path) -> None:
    folder, identity = RunFolder(tmp_path / "run"), Identity(0, ["ana"], "f" * 64)
    folder.claim(identity, Recipe())
    mine = "# mine\n" + folder.recipe.read_text(encoding="utf-8")
    folder.recipe.write_text(mine, encoding="utf-8")
    folder.claim(identity, recipes.load(str(folder.recipe)))
    assert folder.recipe.read_text(encoding="utf-8") == mine
    folder.claim(identity, recipes.changed(Recipe(), ["loop.max_steps=7"]))
    assert "max_steps = 7" in folder.recipe.read_text(encoding="utf-8")
    assert folder.recipe.with_name("recipe.1.toml").read_text(encoding="utf-8") == mine


@pytest.mark.kind("J")
def test_two_at_once_are_told_apart_before_anything_is_prepared(tmp_path: Path, moksori_train: Train) -> None:
    """Two trainings on one unprepared folder: one of them died of a file that the other had moved away."""
    takes, run = write_takes(tmp_path / "takes", n_takes=1), tmp_path / "run"
    run.mkdir()
    with RunFolder(run).lock():
        refused = moksori_train(takes, run, 1)
    assert refused.exit_code == 1 and "another training is writing here" in str(refused.exception)
    assert not (run / "data").exists()
    data = tmp_path / "data"
    data.mkdir()
    with ownership.lock(data, "mine"), pytest.raises(UserError, match="another preparation or training"):
        prepare(takes, data)
    prepare(takes, data)
    with ownership.lock(data, "mine", is_shared=True), pytest.raises(UserError, match="another preparation"):
        prepare(takes, data)  # under the eyes of a training


@pytest.mark.kind("J")
def test_what_others_wrote_while_a_song_was_sung_stays(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two `convert` at once into one file, the last replaced what the first had made, without --force."""
    place, plan = tmp_path / "result.wav", many.planned

    def planned(song: SongFile) -> tuple[AudioInfo, Encoding]:
        place.write_bytes(b"theirs")  # behind the look whether it is there
        return plan(song)

    monkeypatch.setattr(many, "planned", planned)
    for link in (os.link, _no_links):
        place.unlink(missing_ok=True)
        monkeypatch.setattr(os, "link", link)
        refused = moksori("convert", songs / "a.wav", "-s", "kumi", "-o", place)
        assert isinstance(refused.exception, UserError) and "written by another program" in str(refused.exception)
        assert place.read_bytes() == b"theirs" and not list(tmp_path.glob(".*.part"))
    assert moksori("convert", songs / "a.wav", "-s", "kumi", "-o", place, "--force").exit_code == 0


def _no_links(*_: object) -> None:
    raise PermissionError


@pytest.mark.kind("J")
def test_a_file_that_is_to_be_new_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, link in enumerate((os.link, _no_links)):
        monkeypatch.setattr(os, "link", link)
        path = tmp_path / f"{number}.txt"
        atomic.write(path, b"first", is_new=True)
        with pytest.raises(FileExistsError):
            atomic.write(path, b"second", is_new=True)
        assert path.read_bytes() == b"first"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.kind("J")
def test_an_evaluation_keeps_others_from_its_report_and_its_recordings(tmp_path: Path, voice: Voice) -> None:
    """Two wrote into one report; and `prepare` took the recordings away from under it."""
    takes, data, report = write_takes(tmp_path / "takes", n_takes=1), tmp_path / "data", tmp_path / "report"
    prepare(takes, data)
    with report_folder.held(report, data):
        refused = moksori("evaluate", run_files.shipped_voice(), data, "-o", report)
        assert isinstance(refused.exception, UserError)
        assert "another evaluation is writing here" in str(refused.exception)
        with pytest.raises(UserError, match="another evaluation is writing here"):
            moksori_evaluate(voice, data, report)
        with pytest.raises(UserError, match="another preparation"):
            prepare(takes, data)
    assert not report.exists()
    prepare(takes, data)


@pytest.mark.kind("J")
def test_the_recordings_of_a_run_are_not_prepared_anew_while_it_trains(tmp_path: Path, moksori_train: Train) -> None:
    takes, run, refused = write_takes(tmp_path / "takes", n_takes=1), tmp_path / "run", list[str]()

    class Preparing:
        def tell(self, event: Event) -> None:
            with pytest.raises(UserError) as caught:
                prepare(takes, run / "data")
            refused.append(str(caught.value))

    workflow.train(takes, run, recipe="smoke", max_steps=1, observers=[Preparing()], is_quiet=True)
    assert refused and all("another preparation or training" in reason for reason in refused)


@pytest.mark.kind("J")
@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_a_folder_that_may_only_be_read_is_locked_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever trained on recordings that others had prepared had no lock, and they could be changed meanwhile."""
    with ownership.lock(tmp_path, "mine"):
        pass

    def refused(path: object, mode: str = "r", *rest: object, **named: object) -> object:
        if mode == "a":
            raise PermissionError
        return open(path, mode, *rest, **named)  # type: ignore[call-overload]

    with monkeypatch.context() as patched:
        patched.setattr(ownership, "open", refused, raising=False)
        theirs = ownership.lock(tmp_path, "theirs", is_shared=True)
        theirs.__enter__()
    with pytest.raises(UserError, match="busy"), ownership.lock(tmp_path, "busy"):
        pass
    theirs.__exit__(None, None, None)


@pytest.mark.kind("J")
@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_presets_that_are_kept_at_once_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read the file, and wrote it anew without those of the others."""
    model, write = tmp_path / "voice.safetensors", atomic.write

    def slow(path: Path, content: bytes) -> None:
        time.sleep(0.02)
        write(path, content)

    monkeypatch.setattr(atomic, "write", slow)
    names = [f"p{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: presets.keep(name, presets.Preset(seed=1), model), names))
    assert sorted(presets.of(model)) == names


@pytest.mark.kind("J")
def test_a_refused_training_leaves_no_folder(tmp_path: Path, moksori_train: Train) -> None:
    (tmp_path / "takes").mkdir()
    assert isinstance(moksori_train(tmp_path / "takes", tmp_path / "run", 1).exception, DataError)
    assert not (tmp_path / "run").exists()


@pytest.mark.kind("E")
def test_a_folder_that_is_no_studios_is_left_alone(tmp_path: Path) -> None:
    from moksori.studio.store import Store

    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "mine.wav").write_bytes(b"mine")
    with pytest.raises(UserError, match="no folder of a studio"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["songs"]
    Store(tmp_path / "studio")
    Store(tmp_path / "studio")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Three songs of half a second."""
    folder = tmp_path / "songs"
    folder.mkdir()
    for name in "abc":
        soundfile.write(folder / f"{name}.wav", sing(0.5, 220.0 + ord(name)), RATE)
    return folder


def moksori(*arguments: object) -> Result:
    """The command in this process; a `UserError` is its exception."""
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.mark.kind("R")
def test_a_batch_that_was_interrupted_goes_on(songs: Path, tmp_path: Path) -> None:
    """The same command again said "exists already" of the first file, and did nothing."""
    out = tmp_path / "out"
    first = out / "a.kumi.wav"
    out.mkdir()
    shutil.copy(songs / "a.wav", first)  # done before
    before = first.read_bytes()
    done = moksori("convert", songs, "-s", "kumi", "-o", out)
    assert done.exit_code == 7 and "a.kumi.wav: exists already" in done.stderr and "--skip-existing" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["a.kumi.wav", "b.kumi.wav", "c.kumi.wav"]
    (out / "c.kumi.wav").unlink()
    done = moksori("convert", songs, "-s", "kumi", "-o", out, "--skip-existing")
    assert done.exit_code == 0 and (out / "c.kumi.wav").is_file() and first.read_bytes() == before
    assert "a.kumi.wav: is there already" in done.stderr
    page = tmp_path / "page.html"
    done = moksori("convert", songs, "-s", "kumi", "-o", out, "--skip-existing", "--page", page)
    assert done.exit_code == 0 and "page.html: not written, since nothing was sung now; 3 results" in done.stderr
    again = moksori("convert", songs / "a.wav", "-s", "kumi", "-o", out)
    assert isinstance(again.exception, UserError) and "--skip-existing" in str(again.exception)


@pytest.mark.kind("R")
def test_what_is_left_out_is_whole(songs: Path, tmp_path: Path) -> None:
    """A result of 0 bytes, and half of one, were taken for done; with --force all were made again."""
    out = tmp_path / "out"
    out.mkdir()
    empty, half, whole = (out / f"{name}.kumi.wav" for name in "abc")
    shutil.copy(songs / "c.wav", whole)
    empty.touch()
    half.write_bytes((songs / "b.wav").read_bytes()[:9000])
    before = half.read_bytes(), whole.read_bytes()
    done = moksori("convert", songs, "-s", "kumi", "-o", out, "--skip-existing")
    assert done.exit_code == 7 and "b.kumi.wav: ends after 0.2 s, where its song has 0.5 s" in done.stderr
    assert soundfile.info(empty).duration == 0.5 and (half.read_bytes(), whole.read_bytes()) == before
    done = moksori("convert", songs, "-s", "kumi", "-o", out, "--skip-existing", "--force")
    assert done.exit_code == 0 and done.stdout.count("->") == 1
    assert soundfile.info(half).duration == 0.5 and whole.read_bytes() == before[1]


@pytest.mark.kind("R")
def test_a_melody_that_is_there_concerns_one_song(songs: Path, tmp_path: Path) -> None:
    """It refused the whole batch."""
    (songs / "c.wav").unlink()
    (tmp_path / "f0").mkdir()
    (tmp_path / "f0" / "b.wav.f0.csv").write_text("mine", encoding="utf-8")
    done = moksori("convert", songs, "-s", "kumi", "-o", tmp_path / "out", "--melody-out", tmp_path / "f0")
    assert done.exit_code == 7 and "b.wav.f0.csv: exists already" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.kumi.wav"]
    assert (tmp_path / "f0" / "b.wav.f0.csv").read_text(encoding="utf-8") == "mine"


@pytest.mark.kind("R")
def test_a_stem_that_is_there_concerns_one_song(tmp_path: Path) -> None:
    results = [tmp_path / "a.wav", tmp_path / "b.wav"]
    (tmp_path / "stems").mkdir()
    (tmp_path / "stems" / "b.backing.wav").touch()
    assert list(convert._stem_clashes(tmp_path / "stems", results, force=False)) == [1]
    assert not convert._stem_clashes(tmp_path / "stems", results, force=True)


@pytest.mark.kind("R")
def test_a_folder_that_may_not_be_listed_is_told(songs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its songs were left out without a word."""
    closed, scan = songs / "closed", os.scandir
    closed.mkdir()

    def scandir(path: str | Path) -> object:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        found = jobs.planned([songs], None, [{"kumi": 1.0}])
    assert [job.source.name for job in found] == ["closed", "a.wav", "b.wav", "c.wav"]
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(AudioFileError, match="may not be listed"):
        files.probe(closed)


@pytest.mark.kind("R")
def test_names_that_a_file_system_takes_for_one_clash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --force the second was written over the first, where capitals, or forms of Unicode, do not count."""
    names = ("Ana", "ana", "\u00e9", "e\u0301")
    planned = [
        jobs.Job(Path(f"{number}.wav"), tmp_path / f"{name}.wav", {"kumi": 1.0}) for number, name in enumerate(names)
    ]
    assert not jobs.clashes(planned, force=True)
    monkeypatch.setattr(ownership, "is_same", lambda one, other: str(one).casefold() == str(other).casefold())
    assert list(jobs.clashes(planned, force=True)) == [1, 3]


@pytest.mark.kind("R")
def test_a_song_that_is_gone_when_it_was_sung_has_its_result(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was called a failure, since what stands beside the voice could not be heard any more."""
    write = many._write

    def gone_then(*arguments: Any) -> Any:
        report = write(*arguments)
        (songs / "a.wav").unlink()
        return report

    monkeypatch.setattr(many, "_write", gone_then)
    done = moksori("convert", songs / "a.wav", "-s", "kumi", "-o", tmp_path / "result.wav")
    assert done.exit_code == 0 and (tmp_path / "result.wav").is_file()


@pytest.mark.kind("polish")
def test_a_song_that_is_replaced_while_it_is_sung_is_told(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result had the length of one, and the sound of the other."""
    sound = many.Song.sound

    def replaced(song: many.Song, codes: Any) -> Any:
        os.replace(songs / "b.wav", songs / "a.wav")
        return sound(song, codes)

    monkeypatch.setattr(many.Song, "sound", replaced)
    done = moksori("convert", songs / "a.wav", "-s", "kumi", "-o", tmp_path / "result.wav")
    assert isinstance(done.exception, UserError) and "was replaced while it was converted" in str(done.exception)
    assert not list(tmp_path.glob("*result*"))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A song in parts: one high, one low and soft, one silent, one that is no sound."""
    folder = tmp_path / "parts"
    folder.mkdir()
    soundfile.write(folder / "high.wav", sing(0.4, 880.0), RATE)
    soundfile.write(folder / "low.wav", sing(1.0, 110.0, peak=0.03), RATE)
    soundfile.write(folder / "rest.wav", np.zeros(RATE // 2, np.float32), RATE)
    (folder / "notes.wav").write_bytes(b"RIFF....WAVE")
    return folder


@pytest.mark.kind("L")
def test_parts_that_were_done_before_have_their_say(parts: Path, tmp_path: Path) -> None:
    """With --skip-existing the rest of a song was moved by an interval of its own."""

    def together() -> dict[str, float]:
        given = [parts, "-s", "kumi", "-o", tmp_path / "out", "--together", "--skip-existing", "--json"]
        lines = [json.loads(line) for line in moksori("convert", *given).stdout.splitlines()]
        return {Path(line["source"]).stem: line["transpose_semitones"] for line in lines if "n_samples" in line}

    first = together()
    assert sorted(first) == ["high", "low", "rest"] and len(set(first.values())) == 1
    (tmp_path / "out" / "high.kumi.wav").unlink()
    assert together() == {"high": first["high"]}


@pytest.mark.kind("L")
def test_parts_keep_their_loudness_beside_each_other(parts: Path, voice: Voice) -> None:
    """With --loudness normalise a soft part was made as loud as the others."""
    given = [parts / f"{name}.wav" for name in ("high", "low", "rest", "notes")]
    options = ConvertOptions(loudness="normalise")
    (alike,) = voice.together(given, ["kumi"], options)
    songs = [SongFile(path, parts / f"{path.stem}.sung.wav", "kumi", 0.0, gain_db=alike.gain_db) for path in given[:2]]
    assert not any(isinstance(outcome, UserError) for _, outcome in voice.convert_files(songs, options=options))
    high, low = (level.rms_dbfs(files.read(song.destination).samples) for song in songs)
    assert 14 < high - low < 26  # 20 dB in the song
    assert voice.together([parts / "notes.wav"], ["kumi"], options)[0].transpose_semitones == 0.0


@pytest.mark.kind("L")
def test_what_has_no_pitch_goes_no_other_way(parts: Path, tmp_path: Path) -> None:
    """A silent part was told to have been "moved by +0", and to move nothing was the advice."""
    (parts / "high.wav").unlink()
    (parts / "notes.wav").unlink()
    done = moksori("convert", parts, "-s", "kumi", "-o", tmp_path / "out")
    assert done.exit_code == 0 and "octave higher" in done.stderr and "moved differently" not in done.stderr


@pytest.mark.kind("L")
def test_parts_of_one_song_that_go_different_ways_are_told(tmp_path: Path) -> None:
    """A song in short files went up, down and stayed, file by file."""
    for name, hz in (("high", 880.0), ("low", 110.0), ("low2", 116.0)):
        soundfile.write(tmp_path / f"{name}.wav", sing(0.5, hz), RATE)
    done = moksori("convert", tmp_path, "-s", "kumi", "-o", tmp_path / "out")
    (line,) = [line for line in done.stderr.splitlines() if "moved differently" in line]
    assert "low.wav, low2.wav by +" in line and "high.wav by -" in line and "--transpose" in line
    together = moksori("convert", tmp_path, "-s", "kumi", "-o", tmp_path / "again", "--together", "--json")
    moved = [json.loads(song)["transpose_semitones"] for song in together.stdout.splitlines()]
    assert together.exit_code == 0 and "moved differently" not in together.stderr
    assert len(moved) == 3 and len(set(moved)) == 1 and moved[0] in (0.0, 12.0)  # the two low parts have the most notes


@pytest.mark.kind("D")
def test_no_option_that_names_a_file_writes_over_a_song(songs: Path) -> None:
    song, before = songs / "a.wav", (songs / "a.wav").read_bytes()
    for option in ("--melody-out", "--page"):
        refused = moksori("convert", song, "-s", "kumi", "--force", option, song)
        assert isinstance(refused.exception, UserError), refused.stderr
        assert "is itself read or written" in str(refused.exception)
    link = songs / "link.wav"
    link.hardlink_to(song)
    assert moksori("convert", song, "-s", "kumi", "--force", "-o", link).exit_code != 0
    assert song.read_bytes() == before and not list(songs.glob("*.kumi*"))


@pytest.mark.kind("D")
def test_the_tables_of_a_measurement_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "speed.md").write_text("mine", encoding="utf-8")
    refused = moksori("bench", "-r", "small", "-o", tmp_path)
    assert isinstance(refused.exception, UserError) and "speed.md: exists already" in str(refused.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["speed.md"]


@pytest.mark.kind("D")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_no_device_and_no_pipe_is_replaced(songs: Path, tmp_path: Path) -> None:
    """`--page /dev/full --force` put a file in the place of the device."""
    for option, name in (("--page", "pipe.html"), ("--melody-out", "pipe.csv")):
        os.mkfifo(tmp_path / name)
        refused = moksori("convert", songs / "a.wav", "-s", "kumi", "--force", option, tmp_path / name)
        assert isinstance(refused.exception, UserError) and "is a device or a pipe" in str(refused.exception)
        assert (tmp_path / name).is_fifo()
    assert not list(songs.glob("*.kumi*"))


@pytest.mark.kind("Q")
def test_a_name_that_is_too_long_is_told_before_any_work(tmp_path: Path) -> None:
    """The page of a song was refused when the song was sung."""
    with pytest.raises(UserError, match="a name of more than 255 bytes"):
        ownership.refuse_to_overwrite(tmp_path / f"{'n' * 300}.html", force=False)


@pytest.mark.kind("Q")
def test_a_place_that_cannot_be_written_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A singer was fitted, and a song sung, before it was."""
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "page.html", tmp_path / "file" / "new" / "page.html"):
        with pytest.raises(UserError, match="file is no folder; choose another place"):
            ownership.refuse_to_overwrite(path, force=True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match=r"cannot be written into .* choose another place"):
        ownership.refuse_to_overwrite(tmp_path / "new" / "page.html", force=False)


@pytest.mark.kind("D")
@pytest.mark.parametrize("name", ["voice.json", "encoder.onnx", "mine.onnx"])
def test_export_leaves_a_folder_alone_that_holds_a_net_or_a_voice(tmp_path: Path, name: str) -> None:
    """Nets of others were once written over, since only voice.json was looked for."""
    (tmp_path / name).write_text("theirs", encoding="utf-8")
    refused = moksori("export", "--onnx", tmp_path)
    assert isinstance(refused.exception, UserError) and f"{name}: exists already" in str(refused.exception)
    assert isinstance(moksori("export", "--onnx", tmp_path / name).exception, UserError)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text(encoding="utf-8") == "theirs"


@pytest.mark.kind("D")
def test_an_evaluation_from_python_writes_over_no_report_of_others(tmp_path: Path, voice: Voice) -> None:
    """A page of that name was replaced."""
    data, mine = prepare(write_takes(tmp_path / "takes", n_takes=1), tmp_path / "data").folder, tmp_path / "mine"
    mine.mkdir()
    (mine / "report.html").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"report\.html: exists already"):
        moksori_evaluate(voice, data, mine)
    (mine / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"thesis\.txt but no report\.json"):
        moksori_evaluate(voice, data, mine, force=True)
    assert (mine / "report.html").read_text(encoding="utf-8") == "mine"


@pytest.mark.kind("D")
def test_a_report_takes_no_place_of_another_and_none_of_ones_own(tmp_path: Path) -> None:
    given = ["RUN", "DATA", "-o", tmp_path]

    def refusal(folder: Path, force: bool = False) -> str:
        with pytest.raises(UserError) as caught:
            report_folder.refuse_other(folder, evaluate.origin_of(given).command, force)
        return str(caught.value)

    report_folder.refuse_other(tmp_path / "new", evaluate.origin_of(given).command, False)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "report.md").write_text("my own words", encoding="utf-8")
    assert "report.md: exists already" in refusal(mine)
    (mine / "thesis.txt").write_text("theirs", encoding="utf-8")
    assert "holds thesis.txt but no report.json" in refusal(mine, force=True)

    ours = tmp_path / "ours"
    blank = Report("t", evaluate.origin_of(given).command, "2026-01-01", "s", [], [], [], [], {}, [], [], {}, {})
    ours.mkdir()
    reports.save(blank, ours)
    (ours / "report.md").write_text("as it was written", encoding="utf-8")
    assert "exists already" in refusal(ours)
    ownership.vouch(ours, ["report.json", "report.md"])
    report_folder.refuse_other(ours, evaluate.origin_of(given).command, False)
    (ours / "report.md").write_text("as it was written, and a note", encoding="utf-8")
    assert "report.md: exists already" in refusal(ours)
    ownership.vouch(ours, ["report.md"])
    given[0] = "ANOTHER"
    assert "holds the report of another evaluation (moksori evaluate RUN DATA" in refusal(ours)
    report_folder.refuse_other(ours, evaluate.origin_of(given).command, True)
