"""The loop: what it tells, exact resume, kills, divergence."""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moksori import checkpoint
from moksori.checkpoint import Provenance
from moksori.data.batches import Batch
from moksori.data.corpus import Corpus
from moksori.errors import DivergenceError, UserError
from moksori.models.kinds import Model
from moksori.training import run
from moksori.training.choose import Score
from moksori.training.folder import RunFolder
from moksori.training.logging import journal
from moksori.training.logging.events import (
    Event,
    Logged,
    Resumed,
    RolledBack,
    Sampled,
    Saved,
    Scored,
    Stepped,
    Validated,
)
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget, Counters, Trainer, step_generator
from moksori.training.phases.base import SinglePhase, Update
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions

TIMES = ("seconds", "steps_per_second")


def _look_on(event: Event) -> None:
    """Do nothing about an event."""


class Listener:
    """Remembers events, and may act on one."""

    def __init__(self, act: Callable[[Event], None] = _look_on) -> None:
        self.events: list[Event] = []
        self._act = act

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self._act(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


Open = Callable[..., tuple[Trainer, Listener]]


@pytest.fixture
def open_run(tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path) -> Open:
    """Open a run in a folder under `tmp_path`, with a journal and a listener."""

    def opened(
        name: str = "run", recipe: Recipe = tiny_recipe, act: Callable[[Event], None] = _look_on, seed: int = 0
    ) -> tuple[Trainer, Listener]:
        folder, listener = RunFolder(tmp_path / name), Listener(act)
        trainer = run.open_run(folder, tiny_corpus, recipe, RunOptions(seed=seed, software="moksori 0"))
        trainer.observers += [Journal(folder.journal), listener]
        return trainer, listener

    return opened


def _state(folder: RunFolder) -> tuple[dict[str, Tensor], dict[str, Any]]:
    found = folder.load_state()
    assert found is not None
    return found[0], {key: value for key, value in found[1].items() if key != "seconds"}


def _lines(folder: RunFolder) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key not in TIMES} for line in journal.read(folder.journal)]


def _assert_same_run(one: RunFolder, two: RunFolder) -> None:
    """Parameters, optimiser memory, guard, meter, counters, model file and journal, bit for bit but for times."""
    (tensors, header), (other_tensors, other_header) = _state(one), _state(two)
    assert header == other_header
    assert tensors.keys() == other_tensors.keys()
    assert any(name.startswith("learner autoencoder|") for name in tensors)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other_tensors[name]), name
    assert _lines(one) == _lines(two)
    (model, origin), (other_model, other_origin) = checkpoint.read_model(one.model), checkpoint.read_model(two.model)
    assert replace(origin, training_seconds=0) == replace(other_origin, training_seconds=0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other_model.state_dict()[name]), name


def test_a_run_tells_what_its_recipe_asks_for(open_run: Open) -> None:
    trainer, listener = open_run()
    reached = trainer.run(Budget(40))
    assert reached.step == 40
    assert listener.events[0] == Resumed(0, 0.0, [])
    assert [event.step for event in listener.of(Logged)] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert [event.step for event in listener.of(Validated)] == [20, 40]
    assert [event.step for event in listener.of(Saved)] == [0, 10, 20, 30, 40]
    assert {path.name for path in (trainer.folder.root / "states").iterdir()} == {
        "step-000000030.safetensors",
        "step-000000040.safetensors",
    }


def test_the_loss_begins_near_ln_256_and_falls(open_run: Open) -> None:
    trainer, listener = open_run()
    trainer.run(Budget(60))
    logged = listener.of(Logged)
    assert set(logged[0].losses) == {"classifier", "reconstruction", "confusion"}
    assert logged[0].losses["reconstruction"] == pytest.approx(math.log(256), abs=0.3)
    assert logged[-1].losses["reconstruction"] < logged[0].losses["reconstruction"] - 0.1
    figures = listener.of(Validated)[-1].figures
    assert figures["loss"] < math.log(256)


def test_the_model_file_converts_and_says_where_it_comes_from(open_run: Open, tiny_corpus: Corpus) -> None:
    trainer, listener = open_run()
    trainer.run(Budget(20))
    model, origin = checkpoint.read_model(trainer.folder.model)
    assert model.singers.names == tiny_corpus.singers
    assert (origin.steps, origin.data_fingerprint, origin.software) == (20, tiny_corpus.fingerprint, "moksori 0")
    assert origin.figures == listener.of(Validated)[-1].figures


def test_samples_are_rendered_on_the_way_and_change_nothing(open_run: Open, tiny_recipe: Recipe) -> None:
    often = replace(tiny_recipe, loop=replace(tiny_recipe.loop, sample_every_steps=5))
    plain, _ = open_run("plain")
    sampling, listener = open_run("sampling", often)
    plain.run(Budget(10))
    sampling.run(Budget(10))
    assert [event.step for event in listener.of(Sampled)] == [5, 10]
    assert listener.of(Sampled)[0].clip.sample_rate == 4000
    _assert_same_run(plain.folder, sampling.folder)


def test_slow_steps_are_saved_and_heard_by_the_clock(open_run: Open, tiny_recipe: Recipe) -> None:
    rare = replace(tiny_recipe.loop, save_every_steps=1000, sample_every_steps=1000, log_every_steps=1000)
    rare = replace(rare, save_every_minutes=5.0, sample_every_minutes=10.0, validate_every_steps=1000)
    slow, listener = open_run("slow", replace(tiny_recipe, loop=rare))
    seconds = [0.0]
    slow.clock = lambda: seconds[0]
    step = slow._step

    def taken() -> dict[str, float]:
        seconds[0] += 60.0
        return step()

    slow._step = taken  # type: ignore[method-assign]
    slow.run(Budget(22))
    assert [event.step for event in listener.of(Saved)] == [0, 5, 10, 15, 20, 22]
    assert sorted({event.step for event in listener.of(Sampled)}) == [10, 20]
    assert [(event.step, event.seconds) for event in listener.of(Stepped)] == [(n, 60.0 * n) for n in range(1, 23)]
    plain, _ = open_run("plain", replace(tiny_recipe, loop=rare))
    plain.run(Budget(22))
    _assert_same_run(slow.folder, plain.folder)


def test_a_score_that_the_clock_told_is_saved_at_once(open_run: Open, tiny_recipe: Recipe) -> None:
    """It may decide when to stop, and a run that resumes has another clock."""
    loop = replace(tiny_recipe.loop, save_every_steps=1000, score_every_steps=1000, score_every_minutes=3.0)
    trainer, listener = open_run("run", replace(tiny_recipe, loop=loop))
    trainer.scorer = _Steady()
    seconds = [0.0]
    trainer.clock = lambda: seconds[0]
    step = trainer._step

    def taken() -> dict[str, float]:
        seconds[0] += 60.0
        return step()

    trainer._step = taken  # type: ignore[method-assign]
    trainer.run(Budget(7))
    assert [event.step for event in listener.of(Scored)] == [3, 6, 7]
    assert {3, 6} <= {event.step for event in listener.of(Saved)}


class _Steady:
    """Always of one opinion."""

    def score(self, model: Model, provenance: Provenance) -> Score:
        return Score(0.5, 0.5, 0.5)


def test_another_seed_is_another_run(open_run: Open) -> None:
    one, _ = open_run("one")
    two, _ = open_run("two", seed=1)
    one.run(Budget(1))
    two.run(Budget(1))
    assert not torch.equal(one.model.encoder.stem.weight, two.model.encoder.stem.weight)


def test_opening_a_run_leaves_the_global_generator_alone(open_run: Open) -> None:
    before = torch.get_rng_state()
    trainer, _ = open_run()
    trainer.run(Budget(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_time_budget_ends_a_run(open_run: Open) -> None:
    trainer, _ = open_run()
    ticks = iter(range(10**6))
    trainer.clock = lambda: float(next(ticks))
    assert 0 < trainer.run(Budget(10**6, seconds=50.0)).step < 50


def test_time_of_earlier_sittings_counts(open_run: Open) -> None:
    trainer, _ = open_run()
    ticks = iter(range(10**6))
    trainer.clock = lambda: float(next(ticks))  # writing a state takes no time by it
    trainer.run(Budget(10))
    seconds = trainer.counters.seconds
    again, listener = open_run()
    reached = again.run(Budget(20, seconds=seconds / 2))
    assert reached.step == 10
    assert listener.events[0].seconds == pytest.approx(seconds, rel=0.5)


# Resume


@pytest.mark.parametrize("stop_at", [30, 33])
def test_stopped_and_resumed_is_as_if_never_stopped(open_run: Open, stop_at: int) -> None:
    straight, _ = open_run("straight")
    straight.run(Budget(60))
    first, _ = open_run("stopped")
    first.run(Budget(stop_at))
    second, listener = open_run("stopped")
    second.run(Budget(60))
    assert listener.events[0].step == stop_at
    # Stopping at 33 leaves a validation there, as it should; all else is the same.
    lines = _lines(second.folder)
    extra = {"event": "validation", "step": 33}
    kept = [line for line in lines if not extra.items() <= line.items()]
    assert len(lines) - len(kept) == (stop_at == 33)
    second.folder.journal.write_text("".join(f"{journal.json.dumps(line)}\n" for line in kept), encoding="utf-8")
    _assert_same_run(straight.folder, second.folder)


def test_a_kill_between_state_and_model_file_is_mended(open_run: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, _ = open_run()
    trainer.run(Budget(10))

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    again, _ = open_run()
    with monkeypatch.context() as patch:
        again._resume()
        patch.setattr(checkpoint, "write_model", killed)
        again.counters.step = 20
        with pytest.raises(KeyboardInterrupt):
            again._save()
    assert checkpoint.read_model(again.folder.model)[1].steps == 10
    last, _ = open_run()
    last.run(Budget(20))
    assert checkpoint.read_model(last.folder.model)[1].steps == 20


def test_a_resume_at_its_goal_changes_nothing(open_run: Open) -> None:
    first, _ = open_run()
    first.run(Budget(20))
    before, lines = _state(first.folder), _lines(first.folder)
    again, listener = open_run()
    assert again.run(Budget(20)).step == 20
    assert not listener.of(Saved)
    assert _lines(again.folder) == lines
    assert all(torch.equal(tensor, before[0][name]) for name, tensor in _state(again.folder)[0].items())


def test_a_damaged_newest_state_is_told_and_trained_over(open_run: Open) -> None:
    straight, _ = open_run("straight")
    straight.run(Budget(40))
    first, _ = open_run("damaged")
    first.run(Budget(30))
    newest = first.folder.root / "states" / "step-000000030.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    second, listener = open_run("damaged")
    second.run(Budget(40))
    assert listener.events[0].step == 20
    assert len(listener.events[0].warnings) == 1
    _assert_same_run(straight.folder, second.folder)


def test_damaged_states_alone_stop_the_run_instead_of_beginning_anew(open_run: Open) -> None:
    first, _ = open_run()
    first.run(Budget(20))
    for path in (first.folder.root / "states").iterdir():
        path.write_bytes(b"")
    again, listener = open_run()
    with pytest.raises(UserError, match="no training state can be read"):
        again.run(Budget(40))
    assert not listener.events


def test_stop_ends_after_the_present_step_and_saves(open_run: Open) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Logged) and event.step == 15:
            trainer.stop.set()

    trainer, listener = open_run(act=stop)
    assert trainer.run(Budget(60)).step == 15
    assert [event.step for event in listener.of(Saved)][-1] == 15


def test_the_last_step_is_validated_once(open_run: Open, tiny_recipe: Recipe) -> None:
    recipe = replace(tiny_recipe, loop=replace(tiny_recipe.loop, validate_every_steps=5, save_every_steps=100))
    trainer, listener = open_run(recipe=recipe)
    trainer.run(Budget(10))
    assert [event.step for event in listener.of(Validated)] == [5, 10]


# Kills of a real process, through the command line


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from moksori.cli.app import main; main()", "train", *map(str, arguments)]


def _train(corpus: Corpus, folder: Path, recipe: Path, *more: str) -> subprocess.Popen[str]:
    # One thread, as in this process: another number of threads sums in another order.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        _command(corpus.folder, "-o", folder, "-r", recipe, "--json", *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
    )


def _wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        event = journal.json.loads(line)
        if event["event"] == "logged" and event["step"] >= step:
            return
    raise AssertionError(process.stderr.read() if process.stderr else "")


def test_killed_and_resumed_is_as_if_never_killed(
    open_run: Open, tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path
) -> None:
    killed = _train(tiny_corpus, tmp_path / "killed", tiny_recipe_file, "--max-steps", "100000")
    _wait_for_step(killed, 35)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    killed.communicate()
    found = RunFolder(tmp_path / "killed").load_state()
    assert found is not None
    reached = found[1]["step"]
    assert reached >= 30
    goal = reached + 7
    resumed, listener = open_run("killed")
    resumed.run(Budget(goal))
    assert listener.events[0].step == reached
    straight, _ = open_run("straight")
    straight.run(Budget(goal))
    tensors, other = _state(resumed.folder)[0], _state(straight.folder)[0]
    assert tensors.keys() == other.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other[name]), name
    assert _lines(resumed.folder) == _lines(straight.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_says_how_to_go_on_and_exits_with_130(
    open_run: Open, tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = _train(tiny_corpus, tmp_path / "stopped", tiny_recipe_file, "--max-steps", "100000")
    _wait_for_step(process, 10)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopping after this step" in said
    assert "The same command goes on from there." in said
    assert "Traceback" not in said
    found = RunFolder(tmp_path / "stopped").load_state()
    assert found is not None
    stopped_at = found[1]["step"]
    assert f"Stopped and saved at {stopped_at} steps" in said
    resumed, listener = open_run("stopped")
    resumed.run(Budget(stopped_at + 5))
    straight, _ = open_run("straight")
    straight.run(Budget(stopped_at + 5))
    assert listener.events[0].step == stopped_at
    for name, tensor in _state(resumed.folder)[0].items():
        assert torch.equal(tensor, _state(straight.folder)[0][name]), name


# Divergence


class Poisoned:
    """Reconstruction whose loss is spoilt at one step, as long as `is_bad` says so."""

    name = "reconstruction"

    def __init__(self, trainer: Trainer, at: int, factor: float, is_bad: Callable[[Counters], bool]) -> None:
        self._inner = trainer.plan.phase_at(0)
        self._trainer, self._at, self._factor, self._is_bad = trainer, at, factor, is_bad
        self.batches: list[Tensor] = []

    def batch(self, step: int, attempt: int) -> Batch:
        return self._inner.batch(step, attempt)

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        for update in self._inner.updates(batch, step, generator):
            if step == self._at and update.learner == "autoencoder":
                self.batches.append(batch.clips)
                if self._is_bad(self._trainer.counters):
                    spoilt = {name: loss * self._factor for name, loss in update.losses.items()}
                    update = Update(update.learner, spoilt)
            yield update

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        assert not tensors


def _poison(trainer: Trainer, at: int, factor: float, is_bad: Callable[[Counters], bool]) -> Poisoned:
    phase = Poisoned(trainer, at, factor, is_bad)
    trainer.plan = SinglePhase(phase)
    return phase


@pytest.mark.parametrize(
    ("at", "factor", "reason"), [(25, math.nan, "nan"), (25, math.inf, "the loss is"), (57, 1e3, "jumped")]
)
def test_a_run_gone_astray_is_taken_back_and_sees_other_batches(
    open_run: Open, at: int, factor: float, reason: str
) -> None:
    trainer, listener = open_run()
    phase = _poison(trainer, at, factor, lambda counters: counters.attempt == 0)
    assert trainer.run(Budget(65)).step == 65
    (back,) = listener.of(RolledBack)
    assert (back.step, back.to_step) == (at, at // 10 * 10)
    assert reason in back.reason
    first, second = phase.batches[0], phase.batches[-1]
    assert not torch.equal(first, second)
    assert trainer.counters.attempt == 1
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


def test_a_rollback_puts_back_everything(open_run: Open) -> None:
    before: dict[str, Tensor] = {}

    def look(event: Event) -> None:
        if isinstance(event, Saved) and event.step == 20:
            before.update({name: tensor.clone() for name, tensor in trainer._tensors().items()})
        if isinstance(event, RolledBack):
            for name, tensor in trainer._tensors().items():
                assert torch.equal(tensor, before[name]), name

    trainer, listener = open_run(act=look)
    _poison(trainer, 25, math.nan, lambda counters: counters.attempt == 0)
    trainer.run(Budget(30))
    assert len(before) > 10
    assert len(listener.of(RolledBack)) == 1


def test_a_hopeless_run_ends_with_the_good_state_kept(open_run: Open) -> None:
    trainer, listener = open_run()
    _poison(trainer, 25, math.nan, lambda counters: True)
    with pytest.raises(DivergenceError, match=r"6 times after step 20 .*kept in .*learning_rate") as raised:
        trainer.run(Budget(60))
    assert raised.value.exit_code == 6
    # After three times the state itself is under suspicion: the one before it is taken.
    assert [event.to_step for event in listener.of(RolledBack)] == [20, 20, 10, 20, 20]
    tensors, header = _state(trainer.folder)
    assert header["step"] == 20
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert checkpoint.read_model(trainer.folder.model)[1].steps == 20


def test_rollbacks_are_forgiven_once_the_bad_place_is_passed(open_run: Open) -> None:
    # Four astray before 30 and four before 40: more than five in all, never more than five at one place.
    trainer, listener = open_run()
    astray = {25: 4, 35: 8}

    class Twice(Poisoned):
        def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
            self._at = step
            is_bad = trainer.counters.attempt < astray.get(step, 0)
            self._is_bad = lambda counters: is_bad
            return super().updates(batch, step, generator)

    trainer.plan = SinglePhase(Twice(trainer, 0, math.nan, lambda counters: False))
    assert trainer.run(Budget(40)).step == 40
    assert [event.to_step for event in listener.of(RolledBack)] == [20, 20, 10, 20, 30, 30, 20, 30]


def test_killed_after_a_rollback_the_journal_is_the_same(open_run: Open) -> None:
    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, Logged) and event.step == 25 and trainer.counters.attempt:
            raise Killed

    straight, _ = open_run("straight")
    _poison(straight, 25, math.nan, lambda counters: counters.attempt == 0)
    straight.run(Budget(40))
    trainer, _ = open_run("killed", act=kill)
    _poison(trainer, 25, math.nan, lambda counters: counters.attempt == 0)
    with pytest.raises(Killed):
        trainer.run(Budget(40))
    again, _ = open_run("killed")
    _poison(again, 25, math.nan, lambda counters: counters.attempt == 0)
    again.run(Budget(40))
    _assert_same_run(straight.folder, again.folder)


def test_an_exploding_learning_rate_ends_in_a_message(open_run: Open, tiny_recipe: Recipe) -> None:
    wild = replace(tiny_recipe.optimiser.learning_rate, initial=1e12)
    recipe = replace(tiny_recipe, optimiser=replace(tiny_recipe.optimiser, learning_rate=wild))
    trainer, _ = open_run(recipe=recipe)
    with pytest.raises(DivergenceError, match=r"Lower optimiser\.learning_rate\.initial"):
        trainer.run(Budget(60))


# Chance


def test_every_step_attempt_and_shard_has_its_own_chance() -> None:
    cpu = torch.device("cpu")
    keys = list(itertools.product((0, 1), repeat=4))
    draws = {
        torch.rand(2, generator=step_generator(seed, Counters(step, attempt), shard, cpu)).sum().item()
        for seed, step, attempt, shard in keys
    }
    assert len(draws) == len(keys)
    again = torch.rand(2, generator=step_generator(1, Counters(1, 1), 1, cpu)).sum().item()
    assert again in draws


def test_stop_can_be_set_from_another_thread(open_run: Open) -> None:
    trainer, _ = open_run()
    threading.Timer(0.3, trainer.stop.set).start()
    assert trainer.run(Budget(10**9)).step > 0


def test_losses_are_told_by_phase(open_run: Open, tiny_recipe: Recipe) -> None:
    """Where every second step is phase 2's and every second step was told of, only phase 1 was ever named."""
    turns = replace(tiny_recipe.back_translation, start_step=0, refresh_every_steps=2, pool_batches=1)
    loop = replace(tiny_recipe.loop, log_every_steps=4, validate_every_steps=100)
    trainer, listener = open_run(recipe=replace(tiny_recipe, back_translation=turns, loop=loop))
    trainer.run(Budget(8))
    logged = [(event.step, event.phase, sorted(event.losses)) for event in listener.of(Logged)]
    first, second = ["classifier", "confusion", "reconstruction"], ["back_translation"]
    assert logged == [
        (step, phase, names)
        for step in (4, 8)
        for phase, names in (("back-translation", second), ("reconstruction", first))
    ]
