"""Processes started by torchrun and connected by gloo: one curve, kills, and other numbers of processes.

Each process loads torch anew, so these take minutes; `test_ranks.py` says the same of threads, in seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_ranks import assert_same_curve, curve
from tiny_recipes import TINY_RECIPE, TINY_SWIFT

from moksori.data.corpus import Corpus
from moksori.training.logging import journal

CHANGES = {
    "segments.shards": 4,
    "back_translation.start": "step",
    "back_translation.start_step": 5,
    "back_translation.refresh_every_steps": 4,
    "back_translation.pool_batches": 2,
    "loop.log_every_steps": 1,
    "loop.save_every_steps": 6,
    "loop.score_every_steps": 0,
}

pytestmark = pytest.mark.slow


@pytest.fixture(params=["codes", "features"])
def recipe_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_RECIPE if request.param == "codes" else TINY_SWIFT, encoding="utf-8")
    return path


def start(
    n_processes: int, corpus: Corpus, recipe_file: Path, run: Path, n_steps: int, *options: object
) -> subprocess.Popen[bytes]:
    """Begin `torchrun -m moksori train`, or a plain `moksori train` for no process."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", n_processes, "--standalone"]
    begin = [*torchrun, *options, "-m", "moksori"] if n_processes else [sys.executable, "-m", "moksori"]
    changes = [word for key, value in CHANGES.items() for word in ("--set", f"{key}={value}")]
    command = [*begin, "train", corpus.folder, "-o", run, "-r", recipe_file, "--max-steps", n_steps, *changes]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)


def train(*arguments: Any) -> None:
    assert start(*arguments).wait(600) == 0


def test_one_two_and_four_processes_have_the_curve_of_a_plain_run(
    tiny_corpus: Corpus, recipe_file: Path, tmp_path: Path
) -> None:
    for n_processes in (0, 1, 2, 4):
        train(n_processes, tiny_corpus, recipe_file, tmp_path / str(n_processes), 12)
    expected = curve(tmp_path / "0")
    assert expected[-1][0] == 12 and {"reconstruction", "back-translation"} == {row[1] for row in expected}
    for n_processes in (1, 2, 4):
        assert_same_curve(curve(tmp_path / str(n_processes)), expected)


def test_a_run_goes_on_with_one_and_with_four_processes_where_two_have_stopped(
    tiny_corpus: Corpus, recipe_file: Path, tmp_path: Path
) -> None:
    train(1, tiny_corpus, recipe_file, tmp_path / "whole", 18)
    for n_processes, n_steps in ((2, 7), (1, 12), (4, 18)):
        train(n_processes, tiny_corpus, recipe_file, tmp_path / "parts", n_steps)
    assert_same_curve(curve(tmp_path / "parts"), curve(tmp_path / "whole"))


def test_a_killed_process_is_replaced_and_the_run_ends_as_if_nothing_had_happened(
    tiny_corpus: Corpus, recipe_file: Path, tmp_path: Path
) -> None:
    train(2, tiny_corpus, recipe_file, tmp_path / "whole", 60)
    run = tmp_path / "killed"
    process = start(2, tiny_corpus, recipe_file, run, 60, "--max-restarts", 3)
    wait_for_step(run, 13)
    os.kill(_a_rank_of(process.pid), signal.SIGKILL)
    assert process.wait(600) == 0
    entries = [entry for entry in journal.read(run / "journal.jsonl") if entry["event"] == "losses"]
    steps = [(entry["step"], entry["phase"]) for entry in entries]
    assert len(steps) == len(set(steps)) and {step for step, _ in steps} == set(
        range(1, 61)
    )  # none twice, none left out
    assert_same_curve(curve(run), curve(tmp_path / "whole"))


def wait_for_step(run: Path, step: int) -> None:
    for _ in range(3000):
        path = run / "journal.jsonl"
        if path.exists() and any(entry["step"] >= step for entry in journal.read(path)):
            return
        time.sleep(0.05)
    raise AssertionError("the run did not get there")


def _a_rank_of(pid: int) -> int:
    """The process of rank 1 that a torchrun has started."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
                environment = (folder / "environ").read_bytes()
            except (OSError, ValueError):
                continue
            if parent == pid and b"\0LOCAL_RANK=1\0" in b"\0" + environment + b"\0":
                return int(folder.name)
    raise AssertionError("no rank 1")
