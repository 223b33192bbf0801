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
sys.path.insert(0, {here!r})
from tests_of_trust import RATE, sing

torch.set_num_threads(2)  # a team of threads, that no child inherits
torch.ones(1 << 22).sum()
voice = moksori.load()

def convert():
    sys.exit(0 if voice.convert(sing(0.6), RATE, singer="kumi").any() else 1)

child = multiprocessing.get_context("fork").Process(target=convert)
child.start()
child.join(120)
child.kill()
sys.exit(child.exitcode)
"""


@pytest.mark.kind("K")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")
def test_a_voice_sings_in_a_forked_child() -> None:
    """It waited for ever, for threads that its parent had and it had not."""
    code = FORK.format(here=str(Path(__file__).parent))
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


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
