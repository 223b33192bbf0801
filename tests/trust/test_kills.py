"""SIGKILL at any moment: nothing half-written is ever met, and what goes on ends as if it had never been killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests_of_trust import write_takes

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL") or not hasattr(os, "fork"), reason="needs SIGKILL")

# Children are forked before anything has started a thread, so that no kill waits for an interpreter to start.
SAVING = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from moksori.training.folder import RunFolder
from moksori.training.logging import journal
from moksori.training.logging.events import Logged, Resumed
from moksori.training.logging.journal import Journal

torch.set_num_threads(1)
root, n_kills = Path(sys.argv[1]), int(sys.argv[2])
folder, chance = RunFolder(root), random.Random(int(sys.argv[3]))
tensors = {str(i): torch.full((30_000,), float(i)) for i in range(4)}
notes = Journal(folder.journal)

def train(first):
    notes.tell(Resumed(first, 0.0))
    for step in range(first + 1, first + 100_000):
        notes.tell(Logged(step, "reconstruction", {"loss": float(step)}, 0.1, 1.0, 1.0))
        if step % 3 == 0:
            folder.save_state(step, {**tensors, "step": torch.tensor([step])}, {"step": step}, 2)

reached = n_torn = 0
for kill in range(n_kills):
    child = os.fork()
    if child == 0:
        train(reached)
        os._exit(1)
    time.sleep(chance.uniform(0.0, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    n_torn += bool(list((root / "states").glob(".*.part")))
    found = folder.load_state()
    if found is not None:
        assert found[2] == [], found[2]
        assert found[0]["step"].item() == found[1]["step"] >= reached
        reached = found[1]["step"]
    if folder.journal.exists():  # a line a step without a gap, and at least up to what was saved
        steps = [line["step"] for line in journal.read(folder.journal)]
        assert steps == list(range(1, len(steps) + 1)) and len(steps) >= reached, (steps, reached)
print(reached, n_torn)
"""

PREPARING = """
import os, random, signal, sys, time
from pathlib import Path
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig

songs, root, n_kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
chance, config = random.Random(int(sys.argv[4])), PrepareConfig(sample_rate=8000, workers=2)

def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

def started(out):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            prepare(songs, out, config)
            code = 0
        finally:
            os._exit(code)
    return child

began = time.monotonic()
assert os.waitpid(started(root / "whole"), 0)[1] == 0
seconds, whole = time.monotonic() - began, tree(root / "whole")
n_killed = n_ended = run = 0
while n_killed < n_kills:
    child = started(root / f"killed {run}")
    time.sleep(chance.uniform(0.0, seconds))
    os.kill(child, signal.SIGKILL)
    if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        n_killed += 1
        if n_killed % 5:  # so often on one folder
            continue
    assert os.waitpid(started(root / f"killed {run}"), 0)[1] == 0
    assert tree(root / f"killed {run}") == whole
    run += 1
print(n_killed, run)
"""


def _run(program: str, *arguments: object) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    return list(map(int, done.stdout.split()))


def test_fifty_kills_while_saving_and_logging(tmp_path: Path, record_property: Any) -> None:
    (tmp_path / "states").mkdir()
    reached, n_torn = _run(SAVING, tmp_path, 50, 0)
    assert reached + n_torn > 10  # they did get somewhere, or were killed in the middle of a save
    record_property("faults_survived", 50)


@pytest.mark.parametrize("n_kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_while_preparing_leave_no_trace(tmp_path: Path, n_kills: int, record_property: Any) -> None:
    n_killed, n_runs = _run(PREPARING, write_takes(tmp_path / "takes", n_takes=2, seconds=1.2), tmp_path, n_kills, 0)
    assert n_killed == n_kills and n_runs >= 1
    record_property("faults_survived", n_killed)
