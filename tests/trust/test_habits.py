"""Habits that people have with programs and files, and that no program should stumble over."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests_of_trust import RATE, sing

import moksori
from moksori.audio import files
from moksori.cli import jobs
from moksori.errors import AudioFileError, UserError
from moksori.training import recipe as recipes

FORK = """
import multiprocessing, sys
import torch
import moksori
from moksori import workflow
sys.path.insert(0, {here!r})
from tests_of_trust import RATE, sing

torch.set_num_threads(2)  # a team of threads, that no child inherits
torch.ones(1 << 22).sum()


def train():  # before any voice was loaded
    with workflow._threads(2):
        torch.ones(1 << 22).sum()


def convert():
    sys.exit(0 if voice.convert(sing(0.6), RATE, singer="kumi").any() else 1)


def ask_for_threads():
    torch.set_num_threads(2)
    convert()


children = []
for work in (train, convert, ask_for_threads):
    if work == convert:
        voice = moksori.load()
    children.append(multiprocessing.get_context("fork").Process(target=work))
    children[-1].start()
for child in children:
    child.join(60)
    child.kill()
    child.join()
print([child.exitcode for child in children])
"""


@pytest.mark.kind("K")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")
def test_forked_children_wait_for_no_threads_of_their_parent() -> None:
    """They had not inherited them, and waited for ever: to sing, to train, or where they asked torch for threads."""
    code = FORK.format(here=str(Path(__file__).parent))
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert done.stdout == "[0, 0, 0]\n", done.stderr


@pytest.mark.kind("polish")
def test_a_recipe_may_begin_with_the_mark_of_an_editor(tmp_path: Path) -> None:
    """Once: "Invalid statement (line 1, column 1)"."""
    path = tmp_path / "mine.toml"
    path.write_text(recipes.dump(recipes.load("smoke")), encoding="utf-8-sig")
    assert recipes.load(str(path)) == recipes.load("smoke")


@pytest.mark.kind("polish")
def test_segments_of_a_day_are_refused() -> None:
    """100,000 s took 20 GB."""
    with pytest.raises(UserError, match="expected at most 60"):
        recipes.changed(recipes.load("smoke"), ["segments.seconds=100000"])


@pytest.mark.kind("Q")
def test_a_place_that_may_not_be_written_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libsndfile said: cannot write FLAC/PCM_16 with 1 channel(s) (System error)."""

    def refused(path: object, mode: str = "r", *rest: object, **named: object) -> object:
        if "x" in mode or "w" in mode:
            raise OSError(number, os.strerror(number))
        return open(path, mode, *rest, **named)  # type: ignore[call-overload]

    for number in (errno.EACCES, errno.EROFS, errno.EDQUOT, errno.ENOSPC):
        monkeypatch.setattr(files, "open", refused, raising=False)
        words = re.escape(f"cannot be written into {tmp_path} ({os.strerror(number)}); choose another place with -o")
        with pytest.raises(AudioFileError, match=words):
            files.write(tmp_path / "song.flac", moksori.Clip(sing(0.1), RATE))
    assert not list(tmp_path.iterdir())


@pytest.mark.kind("polish")
def test_a_long_name_gets_a_shorter_result_and_one_that_is_asked_for_is_refused(tmp_path: Path) -> None:
    """Once, after the whole conversion: "File name too long"."""
    name = jobs.result_name(tmp_path / ("아" * 83 + ".flac"), "kumi").name
    assert name.endswith("아.kumi.flac") and 250 < len(name.encode()) <= 255
    with pytest.raises(AudioFileError, match="a name of more than 255 bytes"):
        files.write(tmp_path / ("x" * 252 + ".flac"), moksori.Clip(sing(0.1), RATE))
