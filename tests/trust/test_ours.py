"""Nothing is written over unasked, and nothing is taken for ours that no record of ours vouches for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile
from tests_of_trust import RATE, Run, sing, write_takes

from moksori.data.prepare import prepare
from moksori.errors import DataError, UserError
from moksori.training.folder import Identity, RunFolder
from moksori.training.recipe import Recipe


def test_a_page_never_takes_the_place_of_a_song(tmp_path: Path, run: Run) -> None:
    """`convert s.flac --page s.flac` once turned the song into HTML."""
    song, before = tmp_path / "s.flac", None
    soundfile.write(song, sing(1.0), RATE)
    before = song.read_bytes()
    done = run("convert", song, "-s", "kumi", "--page", song, "--force")
    assert done.returncode == 1 and "is itself read or written" in done.stderr
    done = run("convert", song, "-s", "kumi", "-o", tmp_path / "r.flac", "--page", tmp_path / "r.flac")
    assert done.returncode == 1 and "is itself read or written" in done.stderr
    (tmp_path / "page.html").write_text("mine", encoding="utf-8")
    done = run("convert", song, "-s", "kumi", "--page", tmp_path / "page.html")
    assert done.returncode == 1 and "exists already" in done.stderr
    assert song.read_bytes() == before and sorted(path.name for path in tmp_path.glob("*.*")) == ["page.html", "s.flac"]


@pytest.mark.parametrize("name", ["model.safetensors", "recipe.toml", "notes.txt", "states/step-000000001.safetensors"])
def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path, name: str) -> None:
    """A foreign voice in a file of our name was once replaced by training."""
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_text("theirs", encoding="utf-8")
    with pytest.raises(UserError, match=r"holds .* but no run\.json"):
        RunFolder(tmp_path / "run").claim(Identity(0, ["ana"], "f" * 64), Recipe())
    assert path.read_text(encoding="utf-8") == "theirs" and len(list((tmp_path / "run").iterdir())) == 1


def test_data_prepared_in_a_run_folder_does_not_make_it_foreign(tmp_path: Path) -> None:
    (tmp_path / "run" / "data").mkdir(parents=True)
    RunFolder(tmp_path / "run").refuse_foreign()


def test_prepare_leaves_a_folder_alone_that_it_did_not_make(tmp_path: Path) -> None:
    takes = write_takes(tmp_path / "takes")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("theirs", encoding="utf-8")
    with pytest.raises(DataError, match=r"thesis\.txt and no manifest"):
        prepare(takes, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


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
