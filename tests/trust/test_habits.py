"""Habits that people have with programs and files, and that no program should stumble over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moksori.errors import UserError
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
