"""A run that was stopped and goes on is the run that was never stopped: the same hashes, the same journal.

In phase 2, where a step depends on what other steps generated, on whichever moment it was stopped, and by whatever.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_recipes import TINY_SWIFT

from moksori import checkpoint
from moksori.cli.train import Request
from moksori.cli.train import train as train_verb
from moksori.data.corpus import Corpus
from moksori.training import recipe as recipes
from moksori.training import run
from moksori.training.folder import RunFolder
from moksori.training.logging import journal
from moksori.training.logging.events import Event, Stepped
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget

RECIPE = recipes.parse("average_decay = 0.9\n" + TINY_SWIFT, "tiny")  # phase 2 from step 5, generated anew every 2nd
Hashes = tuple[str, str, list[dict[str, Any]]]
GOAL = 23  # saves are at 10 and 20, so that every stop lies between two


class Act:
    """Does something as soon as a step is taken."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self._at, self._act = at, act

    def tell(self, event: Event) -> None:
        if isinstance(event, Stepped) and event.step == self._at:
            self._act()


def train(corpus: Corpus, folder: Path, *, stop_at: int | None = None, goal: int = GOAL) -> RunFolder:
    """Train to a goal, or until it is told to stop."""
    trainer = run.open_run(RunFolder(folder), corpus, RECIPE, run.RunOptions(software="moksori 0"))
    trainer.observers.append(Journal(trainer.folder.journal))
    if stop_at is not None:
        trainer.observers.append(Act(stop_at, trainer.stop.set))
    trainer.run(Budget(goal))
    return trainer.folder


def hashes(folder: RunFolder) -> Hashes:
    """Of the state with all that the next step depends on, of the model file's weights, and the journal."""
    found = folder.load_state()
    assert found is not None
    model, _ = checkpoint.read_model(folder.model)
    lines = [
        {key: value for key, value in line.items() if key not in ("seconds", "steps_per_second")}
        for line in journal.read(folder.journal)
    ]
    return checkpoint.fingerprint(found[0]), checkpoint.fingerprint(model.state_dict()), lines


@pytest.fixture(scope="module")
def undisturbed(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Hashes:
    torch.set_num_threads(1)
    found = hashes(train(tiny_corpus, tmp_path_factory.mktemp("undisturbed") / "run"))
    assert any(line.get("phase") == "back-translation" for line in found[2])  # phase 2 was there
    return found


@pytest.mark.parametrize("stop_at", [6, 13, 14])  # phase 2; 13 and 14 lie on either side of a new pool
def test_stopped_in_phase_2_and_resumed_has_the_same_hashes(
    tiny_corpus: Corpus, tmp_path: Path, undisturbed: Hashes, stop_at: int
) -> None:
    train(tiny_corpus, tmp_path / "run", stop_at=stop_at)
    state, model, journal_lines = hashes(train(tiny_corpus, tmp_path / "run"))
    assert (state, model) == undisturbed[:2]
    # Who is asked to stop validates once more, which is written down.
    more = [line for line in journal_lines if line["event"] == "validation" and line["step"] == stop_at]
    assert [line for line in journal_lines if line not in more] == undisturbed[2]


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
import torch
import test_resumed
from moksori.data.corpus import Corpus
torch.set_num_threads(1)
act = {act}
original = test_resumed.Act
test_resumed.Act = lambda at, stop: original(at, lambda: act(stop))
test_resumed.train(Corpus.load(Path(sys.argv[1])), Path(sys.argv[2]), stop_at=int(sys.argv[3]))
"""
KILL = "lambda stop: os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("at", [[17], pytest.param([7, 12, 19, 22], marks=pytest.mark.slow)])
def test_killed_in_phase_2_and_resumed_has_the_same_hashes(
    tiny_corpus: Corpus, tmp_path: Path, undisturbed: Hashes, at: list[int], record_property: Any
) -> None:
    """Nothing is saved when a process is killed: it goes on from the save before."""
    for step in at:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                CHILD.format(path=sys.path, act=KILL),
                *map(str, (tiny_corpus.folder, tmp_path / "run", step)),
            ],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
    assert hashes(train(tiny_corpus, tmp_path / "run")) == undisturbed
    record_property("faults_survived", len(at))


def test_a_run_keeps_the_threads_that_it_began_with(
    tiny_corpus: Corpus, tmp_path: Path, undisturbed: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of two threads is not, to the last bit, the sum of one: a run that went on with more cores differed."""
    (tmp_path / "recipe.toml").write_text("average_decay = 0.9\n" + TINY_SWIFT, encoding="utf-8")

    def go_on(n_cores: int, max_steps: int) -> int:
        monkeypatch.setattr("moksori.data.threads.n_cores", lambda: n_cores)
        asked = Request(tiny_corpus.folder, tmp_path / "run", None, max_steps, 0, "cpu", "", as_json=True)
        monkeypatch.setattr("moksori.cli.train._stop_on_signal", lambda stop: None)
        train_verb(asked, recipes.load(str(tmp_path / "recipe.toml")))
        return torch.get_num_threads()

    assert go_on(n_cores=2, max_steps=13) == 1  # a core for each shard
    assert go_on(n_cores=8, max_steps=GOAL) == 1
    assert (
        hashes(RunFolder(tmp_path / "run"))[1] == undisturbed[1]
    )  # the state also tells of judges, which others had not


def test_threads_are_remembered_where_they_make_sense(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.threads(usual=4) == 4
    for recorded, expected in ((2, 2), (4, 4), (8, 4), (0, 4), (-1, 4), ("2", 4), (True, 4), (10**30, 4)):
        (tmp_path / "run.json").write_text(json.dumps({"threads": recorded}), encoding="utf-8")
        assert folder.threads(usual=4) == expected
    for text in ("{}", "[]", "{", "\x00"):
        (tmp_path / "run.json").write_text(text, encoding="utf-8")
        assert folder.threads(usual=4) == 4
