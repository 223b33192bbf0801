"""Processes that train together: the same curve for any number of them, and for any number that goes on.

Here the ranks are threads of one process, connected by a group of our own; `test_torchrun.py` does it with processes.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moksori.cli import train as cli_train
from moksori.data import threads
from moksori.data.corpus import Corpus
from moksori.errors import UserError
from moksori.models.autoencoder import ModelConfig
from moksori.training import run, shards
from moksori.training.folder import RunFolder
from moksori.training.logging import journal
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget, Trainer
from moksori.training.ranks import ALONE, Ranks
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions

CLOSE = 2e-4  # of losses: sums of gradients in another order differ in their last bits, and Adam's steps pass that on


@dataclass
class Meeting:
    """Where threads that play ranks lay down tensors for each other."""

    world: int
    held: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held = [None] * self.world
        self.barrier = threading.Barrier(self.world, timeout=60)


@dataclass(frozen=True)
class ThreadGroup:
    """A group among threads, for tests; see `ranks.Group`."""

    rank: int
    meeting: Meeting

    def all_of(self, tensor: Tensor) -> list[Tensor]:
        self.meeting.held[self.rank] = tensor.clone()
        self.meeting.barrier.wait()
        found = list(self.meeting.held)
        self.meeting.barrier.wait()
        return found

    def sum_(self, tensor: Tensor) -> None:
        tensor.copy_(torch.stack(self.all_of(tensor)).sum(dim=0))

    def from_first_(self, tensor: Tensor) -> None:
        tensor.copy_(self.all_of(tensor)[0])


def ranks_of(world: int) -> list[Ranks]:
    meeting = Meeting(world)
    return [Ranks(rank, world, rank, world, ThreadGroup(rank, meeting)) for rank in range(world)]


def together(world: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """Let `world` threads do the same work, each as a rank; what they return, by rank."""

    def guarded(among: Ranks) -> Any:
        try:
            return work(among)
        except threading.BrokenBarrierError:
            return None  # another one has failed, and tells
        except BaseException:
            assert isinstance(among.group, ThreadGroup)
            among.group.meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(world) as pool:
        return [job.result() for job in [pool.submit(guarded, among) for among in ranks_of(world)]]


@pytest.fixture(autouse=True)
def one_draws_weights_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads share torch's global generator, from which the weights' first values come; processes do not."""
    lock, fork = threading.Lock(), torch.random.fork_rng

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with lock, fork():
            yield

    monkeypatch.setattr(torch.random, "fork_rng", locked)


@pytest.fixture(params=["codes", "features"])
def recipe(request: pytest.FixtureRequest, tiny_recipe: Recipe, tiny_swift_recipe: Recipe) -> Recipe:
    """Four parts to share, phase 2 from step 2 on, with pools of two batches; every loss is logged."""
    medium, _, precision = request.param.partition(" in ")
    chosen = replace(tiny_recipe if medium == "codes" else tiny_swift_recipe, precision=precision or "float32")
    turns = replace(chosen.back_translation, start="step", start_step=2, refresh_every_steps=4, pool_batches=2, uses=1)
    loop = replace(chosen.loop, log_every_steps=1, validate_every_steps=3, save_every_steps=3, score_every_steps=0)
    return replace(chosen, segments=replace(chosen.segments, shards=4), back_translation=turns, loop=loop)


Train = Callable[..., list[Trainer]]


@pytest.fixture
def train(tiny_corpus: Corpus, recipe: Recipe, tmp_path: Path) -> Train:
    """Train in a folder under `tmp_path` by so many ranks up to a step."""

    def trained(name: str, world: int, n_steps: int, *, prepare: Callable[[Trainer], None] | None = None) -> list[Any]:
        folder = RunFolder(tmp_path / name)

        def one(among: Ranks) -> Trainer:
            trainer = run.open_run(folder, tiny_corpus, recipe, RunOptions(0), None, among)
            if among.is_writer:
                trainer.observers.append(Journal(folder.journal))
            if prepare:
                prepare(trainer)
            trainer.run(Budget(n_steps))
            return trainer

        return together(world, one)

    return trained


def curve(folder: Path) -> list[tuple[int, str, str, float]]:
    """Every loss of a journal: step, phase, name, value."""
    return [
        (entry["step"], entry["phase"], name, value)
        for entry in journal.read(folder / "journal.jsonl")
        if entry["event"] == "losses"
        for name, value in entry["losses"].items()
    ]


def assert_same_curve(found: list[Any], expected: list[Any], tolerance: float = CLOSE) -> None:
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    for own, other in zip(found, expected, strict=True):
        assert own[3] == pytest.approx(other[3], abs=tolerance), own[:3]


def test_one_two_and_four_ranks_have_the_same_curve_in_both_phases_and_one_has_that_of_a_process_alone(
    train: Train, tiny_corpus: Corpus, recipe: Recipe, tmp_path: Path
) -> None:
    groups = {world: train(str(world), world, 5) for world in (1, 2, 4)}
    for trainers in groups.values():
        weights = [torch.cat([p.detach().reshape(-1) for p in t.model.parameters()]) for t in trainers]
        assert all(torch.equal(weights[0], other) for other in weights)  # nobody drifts
    expected = curve(tmp_path / "1")
    assert {"reconstruction", "back-translation"} == {row[1] for row in expected}
    adversaries = {learner for learner in groups[2][0].learners if learner != "autoencoder"}
    assert adversaries == ({"classifier"} if isinstance(recipe.model, ModelConfig) else {"classifier", "critic"})
    assert {"confusion", "classifier"} <= {row[2] for row in expected}  # the adversaries' own losses, too
    assert [row[0] for row in expected] == sorted(row[0] for row in expected) and expected[-1][0] == 5
    assert_same_curve(curve(tmp_path / "2"), expected)
    assert_same_curve(curve(tmp_path / "4"), expected)

    folder = RunFolder(tmp_path / "alone")
    alone = run.open_run(folder, tiny_corpus, recipe, RunOptions(0))
    alone.observers.append(Journal(folder.journal))
    alone.run(Budget(5))
    assert_same_curve(curve(tmp_path / "alone"), expected, 1e-6)  # losses are told in float32
    for own, other in zip(alone.model.parameters(), groups[1][0].model.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("recipe", ["codes in bfloat16", "features in bfloat16"], indirect=True)
def test_in_half_precision_ranks_have_one_curve_up_to_its_rounding(train: Train, tmp_path: Path) -> None:
    """A weight that differs in its last bit may be rounded the other way, by one part in 256."""
    for world in (1, 2):
        trainers = train(str(world), world, 4)
        assert all(trainer.team.is_half for trainer in trainers)
    expected = curve(tmp_path / "1")
    assert_same_curve([row for row in curve(tmp_path / "2") if row[0] == 1], [row for row in expected if row[0] == 1])
    assert_same_curve(curve(tmp_path / "2"), expected, 0.05)


@pytest.mark.parametrize("recipe", ["codes"], indirect=True)
def test_gradients_that_one_thread_accumulates_are_those_of_four(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    for n_cores in (1, 4):
        monkeypatch.setattr(threads, "n_cores", lambda n=n_cores: n)
        (trainer,) = train(str(n_cores), 1, 4)
        assert len(trainer.team._threads) == (n_cores if n_cores > 1 else 0)
        weights.append(torch.cat([p.detach().reshape(-1) for p in trainer.model.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize("recipe", ["codes"], indirect=True)
def test_a_run_goes_on_with_another_number_of_ranks(train: Train, tmp_path: Path) -> None:
    train("whole", 1, 7)
    for world, n_steps in ((2, 3), (1, 5), (4, 7)):  # the first and the last stop within a pool
        train("parts", world, n_steps)
    assert_same_curve(curve(tmp_path / "parts"), curve(tmp_path / "whole"))


def test_what_diverges_on_one_rank_takes_all_of_them_back(train: Train, tmp_path: Path) -> None:
    """One rank whose loss is no number must not leave the others waiting for its gradients."""
    is_bad = [True]

    def spoil(trainer: Trainer) -> None:
        if trainer.ranks.rank != 1:
            return
        differentiate = trainer._differentiate

        def bad(updates: Any) -> Any:
            found = differentiate(updates)
            if found and trainer.counters.step == 4 and is_bad:
                is_bad.clear()
                return replace(found, total=float("nan"))
            return found

        trainer._differentiate = bad  # type: ignore[method-assign]

    trainers = train("run", 2, 5, prepare=spoil)
    assert [(t.counters.step, t.counters.attempt) for t in trainers] == [(5, 1), (5, 1)]
    entries = [e for e in journal.read(tmp_path / "run" / "journal.jsonl") if e["event"] == "rollback"]
    assert [(e["diverged_at"], e["step"]) for e in entries] == [(4, 3)]


def test_whoever_is_asked_to_stop_stops_all_and_the_first_saves(train: Train, tmp_path: Path) -> None:
    def stop(trainer: Trainer) -> None:
        if trainer.ranks.rank == 1:
            trainer.stop.set()

    trainers = train("run", 2, 12, prepare=stop)
    assert [t.counters.step for t in trainers] == [0, 0] and all(t.stop.is_set() for t in trainers)
    assert len(list((tmp_path / "run" / "states").iterdir())) == 1


def test_a_batch_that_cannot_be_shared_is_refused(train: Train) -> None:
    with pytest.raises(
        UserError, match=r"3 processes cannot share the 4 parts of a batch equally; .*segments.shards=3"
    ):
        train("run", 3, 1)


def test_ranks_with_different_data_are_refused() -> None:
    def check(among: Ranks) -> None:
        among.check_same("other data", f"fingerprint {among.rank}")

    with pytest.raises(UserError, match="process 1 of 2 has other data that the first one does not have"):
        together(2, check)


def test_where_the_first_rank_cannot_score_no_rank_waits_for_its_scores(tiny_corpus: Corpus) -> None:
    """Without recordings for validation the first had no judge, and the others waited for one: torchrun aborted."""
    silent = replace(tiny_corpus, recordings=tuple(r for r in tiny_corpus.recordings if r.split != "validation"))
    assert together(2, lambda among: cli_train.scorer_of(silent, 0, among)) == [None, None]


class TestCollectives:
    def test_means_joins_and_words(self) -> None:
        def work(among: Ranks) -> tuple[Any, ...]:
            own = float(among.rank)
            gradients, values = among.mean([torch.full((2, 2), own), None, torch.tensor(own)], [10 * own])
            assert gradients[1] is None
            return (
                gradients[0],
                gradients[2],
                values,
                among.joined(torch.tensor([among.rank, 7])).tolist(),
                among.broadcast({"x": [own, None]}),
                among.agreed(own + 100.25, among.rank == 2),
            )

        for found in together(4, work):
            assert torch.equal(found[0], torch.full((2, 2), 1.5)) and found[1].item() == 1.5
            assert found[2:] == ([15.0], [0, 7, 1, 7, 2, 7, 3, 7], {"x": [0.0, None]}, (100.25, True))

    def test_tensors_of_the_first_reach_all(self) -> None:
        sent = {"a": torch.arange(6).reshape(2, 3), "b/c": torch.tensor(0.5), "none": torch.zeros(0)}

        def work(among: Ranks) -> dict[str, Tensor]:
            return among.tensors_of_first(sent if among.is_writer else None)

        for found in together(2, work):
            assert found.keys() == sent.keys()
            assert all(torch.equal(found[name], sent[name]) and found[name].dtype == sent[name].dtype for name in sent)

    def test_aligned_tensors_are_those_of_the_first(self) -> None:
        def work(among: Ranks) -> list[float]:
            held = torch.tensor([float(among.rank), 1.0])
            among.align_([held])
            return held.tolist()

        assert together(2, work) == [[0.0, 1.0], [0.0, 1.0]]

    def test_one_a_machine_goes_first(self) -> None:
        order: list[int] = []

        def work(among: Ranks) -> None:
            with among.one_a_machine_first():
                order.append(among.rank)

        together(3, work)
        assert order[0] == 0 and sorted(order) == [0, 1, 2]

    def test_alone_nothing_is_asked_of_anybody(self) -> None:
        assert ALONE.agreed(3.5, True) == (3.5, True) and ALONE.broadcast("word") == "word"
        assert json.dumps(list(ALONE.share(3))) == "[0, 1, 2]"
        ALONE.wait()


def test_with_fewer_threads_than_parts_gradients_are_accumulated_and_are_the_same(tiny_corpus: Corpus) -> None:
    names: dict[int, set[str]] = {}

    def work(number: int) -> int:
        names.setdefault(number % 2, set()).add(threading.current_thread().name)
        return number * number

    team = shards.Team(5, n_threads=2)
    assert team.side_by_side(work, range(5)) == [0, 1, 4, 9, 16]
    assert team.side_by_side(work, range(5)) == [0, 1, 4, 9, 16]
    assert [len(found) for found in names.values()] == [1, 1]  # a part has the same thread every time
