from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import synthetic
from calling import Moksori
from rich.cells import cell_len

from moksori.cli import prepare
from moksori.data.corpus import Corpus
from moksori.data.doctor import SingerHealth
from moksori.language import Words


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two singers, four recordings each."""
    folder = tmp_path_factory.mktemp("songs")
    singers = synthetic.SINGERS[:2]
    synthetic.write_corpus(folder, np.random.default_rng(0), singers=singers, n_songs=4, seconds=1.0, sample_rate=8000)
    return folder


def files_of(songs: Path) -> list[str]:
    return sorted(path.relative_to(songs).as_posix() for path in songs.glob("*/*.*"))


def splits_of(out: Path) -> dict[str, str]:
    return {recording.source: recording.split for recording in Corpus.load(out).recordings}


def write_list(path: Path, rows: dict[str, str]) -> Path:
    path.write_text("file,split\n" + "".join(f"{file},{split}\n" for file, split in rows.items()), encoding="utf-8")
    return path


def test_a_given_list_says_what_is_for_what(moksori: Moksori, songs: Path, tmp_path: Path) -> None:
    wanted = dict(zip(files_of(songs), ["train", "train", "val", "test"] * 2, strict=True))
    listed = write_list(tmp_path / "splits.csv", wanted)
    done = moksori("prepare", songs, "-o", tmp_path / "data", "--rate", 8000, "--splits", listed)
    assert done.code == 0, done.err
    assert splits_of(tmp_path / "data") == {f: {"val": "validation"}.get(s, s) for f, s in wanted.items()}


def test_what_a_list_leaves_open_is_never_for_a_split_that_it_names(
    moksori: Moksori, songs: Path, tmp_path: Path
) -> None:
    files = files_of(songs)
    listed = write_list(tmp_path / "splits.csv", {files[0]: "test", files[4]: "test"})
    moksori("prepare", songs, "-o", tmp_path / "data", "--rate", 8000, "--splits", listed)
    found = splits_of(tmp_path / "data")
    assert [file for file, split in found.items() if split == "test"] == [files[0], files[4]]
    assert "validation" in found.values()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"nobody/x.wav": "test"}, "names nobody/x.wav, which the songs folder has not"),
        ({"alto/00.wav": "maybe"}, "split 'maybe'; expected train, validation or test"),
    ],
)
def test_a_list_that_cannot_be_followed_is_refused(
    moksori: Moksori, songs: Path, tmp_path: Path, rows: dict[str, str], expected: str
) -> None:
    listed = write_list(tmp_path / "splits.csv", rows)
    done = moksori("prepare", songs, "-o", tmp_path / "data", "--splits", listed)
    assert done.code == 4 and expected in done.err


def test_a_list_that_leaves_a_singer_nothing_to_train_on_is_refused(
    moksori: Moksori, songs: Path, tmp_path: Path
) -> None:
    listed = write_list(tmp_path / "splits.csv", dict.fromkeys(files_of(songs)[:4], "test"))
    done = moksori("prepare", songs, "-o", tmp_path / "data", "--rate", 8000, "--splits", listed)
    assert done.code == 4 and "leaves nothing of" in done.err


def test_a_list_never_holds_out_what_may_have_been_trained_on(moksori: Moksori, songs: Path, tmp_path: Path) -> None:
    moksori("prepare", songs, "-o", tmp_path / "data", "--rate", 8000)
    trained = next(file for file, split in splits_of(tmp_path / "data").items() if split == "train")
    listed = write_list(tmp_path / "splits.csv", {trained: "test"})
    done = moksori("prepare", songs, "-o", tmp_path / "data", "--rate", 8000, "--splits", listed)
    assert done.code == 4 and "prepare another folder" in done.err


def test_another_seed_and_other_shares_are_another_split(moksori: Moksori, songs: Path, tmp_path: Path) -> None:
    def split(name: str, *options: object) -> list[str]:
        assert moksori("prepare", songs, "-o", tmp_path / name, "--rate", 8000, *options).code == 0
        return list(splits_of(tmp_path / name).values())

    usual = split("usual")
    assert any(split(f"seed {seed}", "--split-seed", seed) != usual for seed in (1, 2, 3))
    assert split("none", "--test-share", 0, "--validation-share", 0) == ["train"] * 8


def test_shares_that_leave_nothing_are_refused(moksori: Moksori, songs: Path, tmp_path: Path) -> None:
    done = moksori("prepare", songs, "-o", tmp_path / "data", "--test-share", 0.6, "--validation-share", 0.4)
    assert done.code == 1 and "leave nothing to train on" in done.err


def test_the_table_counts_files_and_the_minutes_held_out(moksori: Moksori, songs: Path, tmp_path: Path) -> None:
    done = moksori("prepare", songs, "-o", tmp_path / "data", "--rate", 8000, "--json")
    answer = json.loads(done.out)["singers"][0]
    assert answer["n_files"] == 4 and answer["sung_minutes"] > answer["training_minutes"]


@pytest.mark.parametrize("code", ["en", "ko"])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_doctors_table_is_whole_at_any_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, code: str
) -> None:
    """At 80 columns heads once read "minut...", "recor...", and a note was cut in two."""
    say = Words(code)
    found = SingerHealth("somebody", {}, 1234, 12.3, 11.1, 9.9, 103.8, 440.0, 0.0123, -70.4, 3, "fair", ())
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("COLUMNS", str(width))
    prepare._print_table({name: prepare._cells(found, say) for name in ("somebody", "another-singer")}, say)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(cell_len, lines)) <= width
    answer = "\n".join(lines)
    assert "…" not in answer and answer.count("somebody") == 1 and answer.count("-70 dBFS") == 2
    cells = prepare._cells(found, say)
    assert [text for text in (*cells, *cells.values()) if text not in answer and text != say("verdict")] == []
    assert len(lines) == 3 if width >= 120 else len(lines) >= 6, answer
