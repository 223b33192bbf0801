"""The loop: step, guard, log, validate, score, save; the same for every phase.

A step is a function of the state before it and of (seed, step, attempt): the batch and every draw within the step come
from generators made of these three, and nothing else is drawn. So a run that is killed and resumed at a saved state
takes the very same steps; on the CPU of one machine bit for bit, on a GPU up to the order in which it adds. `attempt`
counts the times the run went astray: it is what makes the retaken steps see other batches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moksori import checkpoint
from moksori.audio.clip import Clip
from moksori.checkpoint import Provenance
from moksori.errors import DivergenceError
from moksori.models import roster
from moksori.models.kinds import Model
from moksori.training import losses, schedules, shards
from moksori.training.average import Average
from moksori.training.choose import Chosen, Scorer
from moksori.training.folder import RunFolder
from moksori.training.guard import SpikeGuard
from moksori.training.learner import Diverged, Learner
from moksori.training.logging.events import (
    Event,
    Logged,
    Observer,
    Resumed,
    RolledBack,
    Sampled,
    Saved,
    Scored,
    Stepped,
    Unrecorded,
    Validated,
    tell_all,
)
from moksori.training.phases.base import Plan, Update
from moksori.training.plateau import Plateau
from moksori.training.ranks import Ranks
from moksori.training.recipe import Recipe
from moksori.training.shards import Differentiated, Team

_MAX_ROLLBACKS = 5  # without a save beyond the place where it went astray
_PATIENCE = 3  # rollbacks to the same state, before the one before it is taken


@dataclass
class Counters:
    """Where the run stands."""

    step: int = 0  # steps taken
    attempt: int = 0  # times it was taken back
    seconds: float = 0.0  # of training, at the last save


@dataclass(frozen=True)
class Budget:
    """When to stop; counts from the run's first step, earlier sittings included."""

    max_steps: int
    seconds: float = float("inf")
    until_plateau: bool = False  # also when conversions (or, where nobody scores them, the held-out loss) get no better

    def share(self, counters: Counters) -> float:
        """How much of it is spent: steps or seconds, whichever is spent faster."""
        return max(counters.step / self.max_steps, counters.seconds / self.seconds)


@dataclass
class Monitor:
    """What is looked at and listened to on the way; neither may change the model."""

    figures: Callable[[], dict[str, float]]  # held-out figures by name, empty without held-out recordings
    samples: Callable[[], Iterator[tuple[str, Clip]]]  # named conversions of held-out clips


@dataclass
class Trainer:
    """A run in progress: the model, what moves it, and where it stands."""

    model: Model
    learners: dict[str, Learner]
    average: Average[Model]  # whose model is looked at and handed out
    plan: Plan
    recipe: Recipe
    seed: int
    folder: RunFolder
    monitor: Monitor
    provenance: Callable[[Counters, dict[str, float]], Provenance]  # header of the model file
    clock: Callable[[], float]  # seconds, from any origin
    team: Team  # who works on the parts of a batch
    own_singers: tuple[str, ...] = ()  # whom the model that is handed out has; (): all
    scorer: Scorer | None = None  # of conversions; without one, the last state is the best that is known
    observers: list[Observer] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)  # set it to end the run after the present step
    counters: Counters = field(default_factory=Counters)
    figures: dict[str, float] = field(default_factory=dict)  # the latest held-out ones
    chosen: Chosen | None = None  # the best state so far; it lies in a file of its own

    def __post_init__(self) -> None:
        self._meter = _Meter(self.clock)
        self._unrecorded: set[str] = set()  # what hindered observers, and was reported
        self._times: dict[str, float] = {}  # seconds of the clock at which each kind of look was last taken
        self._plateau = Plateau(self.recipe.loop.plateau_scores)
        self._guards = {phase.name: SpikeGuard() for phase in self.plan.phases()}  # each has losses of its own size

    @property
    def has_reached_a_plateau(self) -> bool:
        """Whether the last judgements brought nothing better."""
        return self._plateau.is_reached

    @property
    def ranks(self) -> Ranks:
        """The processes that train this model together."""
        return self.team.ranks

    def run(self, budget: Budget, *, is_locked: bool = False) -> Counters:
        """Train until the budget is spent, a plateau is reached (if asked for) or `stop` is set, and save.

        Args:
            budget: how long.
            is_locked: the caller has taken the folder's lock.

        Raises:
            DivergenceError: training went astray again and again; the last good state is on disk.
            UserError: another run writes into the same folder.
        """
        with contextlib.nullcontext() if is_locked or not self.ranks.is_writer else self.folder.lock():
            return self._run(budget)

    def _run(self, budget: Budget) -> Counters:
        began = self._look_at_the_clock()
        warnings = self._resume()
        counters, before = self.counters, self.counters.seconds
        self._tell(Resumed(counters.step, before, warnings or []))
        if warnings is None:
            self._save()  # so that there is always a state to go back to
        else:
            self._write_model()  # a kill may have come between a state and its model file
        self._times = dict.fromkeys(("save", "sample", "score"), self._look_at_the_clock())
        saved_step, rollbacks, diverged_at = counters.step, 0, 0

        def is_over() -> bool:
            counters.seconds = before + self._look_at_the_clock() - began
            is_spent = counters.step >= budget.max_steps or counters.seconds >= budget.seconds
            return is_spent or (budget.until_plateau and self.has_reached_a_plateau) or self.stop.is_set()

        while not is_over():
            try:
                if self.plan.spend(counters.step, budget.share(counters)):
                    self._save()
                phase = self.plan.phase_at(counters.step).name
                self._meter.add(phase, self._step())
                counters.step += 1
                self.average.add(counters.step)
                self._tell(Stepped(counters.step, phase, before + self.clock() - began))
                if self._observe():
                    saved_step = counters.step
                    rollbacks = rollbacks if saved_step <= diverged_at else 0  # it came past the bad place
            except Diverged as reason:
                rollbacks, diverged_at = rollbacks + 1, max(diverged_at, counters.step)
                self._roll_back(str(reason), rollbacks)
                saved_step = counters.step
        if counters.step != saved_step:
            self._save_at_the_end()
        return counters

    def _look_at_the_clock(self) -> float:
        """The time by which all ranks decide; whoever was asked to stop tells the others."""
        self._now, is_stopped = self.ranks.agreed(self.clock(), self.stop.is_set())
        if is_stopped:
            self.stop.set()
        return self._now

    def _observe(self) -> bool:
        """Log, validate, score, sample, save: whatever is due at this step, or by the clock. Whether it was saved.

        A score may decide which model is handed out, and when to stop. One that the clock decided is saved at once:
        a run that resumes has another clock, and shall know what was decided all the same.
        """
        loop, step = self.recipe.loop, self.counters.step
        is_decided = False
        if step % loop.log_every_steps == 0:
            self._log()
        if step % loop.validate_every_steps == 0:
            self._validate()
            is_decided = bool(self.figures) and self.plan.validate(step, self.figures)
            if self.scorer is None and self.figures:
                self._note_progress(self.figures["loss"])
        if self.scorer and loop.score_every_steps and self._is_due("score", loop.score_every_steps):
            self._note_progress(-self._score(self.scorer))
            is_decided = is_decided or step % loop.score_every_steps != 0
        if self._is_due("sample", loop.sample_every_steps):
            self._sample()
        if self._is_due("save", loop.save_every_steps) or is_decided:
            self._save()
            return True
        return False

    def _is_due(self, look: str, every_steps: int) -> bool:
        """Whether a look is to be taken now: after so many steps, or so many minutes after the last one."""
        seconds = 60.0 * float(getattr(self.recipe.loop, f"{look}_every_minutes"))
        now = self._now if self.ranks.is_launched else self.clock()
        if self.counters.step % every_steps and now - self._times[look] < seconds:
            return False
        self._times[look] = now
        return True

    def _note_progress(self, value: float) -> None:
        """Take in a judgement, lower is better, once the last phase has begun; those at a run's end do not count."""
        if self.plan.has_begun_the_last_phase(self.counters.step):
            self._plateau.add(value)

    def _save_at_the_end(self) -> None:
        loop, step = self.recipe.loop, self.counters.step
        try:
            if step % loop.validate_every_steps:
                self._validate()
            # Who stops by hand does not want to wait for judges.
            if self.scorer and loop.score_every_steps and step % loop.score_every_steps and not self.stop.is_set():
                self._score(self.scorer)
            self._save()
        except Diverged as reason:
            self._roll_back(str(reason), rollbacks=1)

    def _step(self) -> dict[str, float]:
        """Take one step; the losses by name. Every update waits for all shards of the batch."""
        counters, team = self.counters, self.team
        phase = self.plan.phase_at(counters.step)
        batch = phase.batch(counters.step, counters.attempt)
        parts = [
            phase.updates(shard, counters.step, step_generator(self.seed, counters, index, team.device))
            for index, shard in zip(team.own, shards.split(batch, team.n_parts, team.device), strict=True)
        ]
        named: dict[str, float] = {}
        while True:
            worked = [part for part in team.side_by_side(self._differentiate, parts) if part is not None]
            if not worked:
                return named
            update = team.mean(worked)
            if not math.isfinite(update.total):
                raise Diverged(f"the loss is {update.total}")
            if update.learner == "autoencoder":
                self._guards[phase.name].check(update.total)
            self.learners[update.learner].step(update.gradients, counters.step)
            named |= update.losses

    def _differentiate(self, updates: Iterator[Update]) -> Differentiated | None:
        """Ask a shard for its next update and differentiate it; None when it has no more."""
        with self.team.forward():
            update = next(updates, None)
        if update is None:
            return None
        total = losses.total(update.losses, self.recipe.losses)
        # Whoever trains with others says so beside them, when all have summed theirs; nobody may be left waiting.
        gradients = self.learners[update.learner].gradients(total, is_checked=not self.ranks.is_launched)
        # All at once: on a GPU every number that is asked for waits for all that was begun before.
        weighted, *values = torch.stack([total, *update.losses.values()]).tolist()
        return Differentiated(update.learner, dict(zip(update.losses, values, strict=True)), weighted, gradients)

    def _log(self) -> None:
        step, (by_phase, steps_per_second) = self.counters.step, self._meter.pop()
        rate = schedules.learning_rate(self.recipe.optimiser.learning_rate, step - 1)
        for phase, means in by_phase.items():
            self._tell(Logged(step, phase, means, rate, self.counters.seconds, steps_per_second))

    def _validate(self) -> None:
        figures = self.monitor.figures() if self.ranks.is_writer else {}
        self.figures = self.ranks.broadcast(figures)
        if self.figures:
            self._tell(Validated(self.counters.step, self.figures))

    def _score(self, scorer: Scorer) -> float:
        """Have conversions judged; the best model so far is written apart. How good they are, 0..1."""
        self._refuse_non_finite()
        return float(self.ranks.broadcast(self._judged(scorer) if self.ranks.is_writer else 0.0))

    def _judged(self, scorer: Scorer) -> float:
        step = self.counters.step
        shown = self.average.model
        score = scorer.score(shown, self.provenance(self.counters, self._finite_figures()))
        first = Chosen(step, score.merit, score.merit)
        is_best = self.chosen is None or self.chosen.gives_way_to(score.merit)
        chosen = self.chosen.or_later(step, score.merit) if self.chosen else first
        if is_best:
            figures = self._finite_figures() | dataclasses.asdict(score)
            checkpoint.write_model(self.folder.best, self._handed_out(), self.provenance(self.counters, figures))
        self.chosen = chosen
        self._tell(Scored(step, dataclasses.asdict(score), score.merit, is_best))
        return score.merit

    def _sample(self) -> None:
        if not self.ranks.is_writer:
            return
        for name, clip in self.monitor.samples():
            self._tell(Sampled(self.counters.step, name, clip))

    def _save(self) -> None:
        self._refuse_non_finite()
        self._align()
        if not self.ranks.is_writer:
            return
        counters = self.counters
        chosen = dataclasses.asdict(self.chosen) if self.chosen else None
        header = {**dataclasses.asdict(counters), "figures": self.figures, "chosen": chosen}
        path = self.folder.save_state(counters.step, self._tensors(), header, self.recipe.loop.keep_states)
        self._write_model()
        self._tell(Saved(counters.step, path))

    def _refuse_non_finite(self) -> None:
        if not all(torch.isfinite(parameter).all() for parameter in self.model.parameters()):
            raise Diverged("a weight is not finite")

    def _finite_figures(self) -> dict[str, float]:
        return {name: value for name, value in self.figures.items() if math.isfinite(value)}

    def _align(self) -> None:
        """Let all ranks go on from what is saved."""
        if self.ranks.is_launched:
            parts = {"model": self.model.state_dict(), "average": self.average.tensors()}
            parts |= {f"learner {name}": learner.tensors() for name, learner in self.learners.items()}
            named = {(part, name): tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
            # By name: a rank that was sent its memory keeps it in another order than the one that has read it.
            self.ranks.align_([named[key] for key in sorted(named)])

    def _handed_out(self) -> Model:
        """The model without the singers of the voice that it began from."""
        shown = self.average.model
        if not self.own_singers or self.own_singers == shown.singers.names:
            return shown
        return roster.with_singers(shown, {name: name for name in self.own_singers})

    def _write_model(self) -> None:
        if not self.ranks.is_writer:
            return
        provenance = self.provenance(self.counters, self._finite_figures())
        checkpoint.write_model(self.folder.model, self._handed_out(), provenance)

    def _roll_back(self, reason: str, rollbacks: int) -> None:
        diverged_at, attempt = self.counters.step, self.counters.attempt
        if rollbacks == _PATIENCE and self.ranks.is_writer:
            self.folder.discard_newest_state()
        self._resume()
        if rollbacks > _MAX_ROLLBACKS:
            raise DivergenceError(
                f"training went astray {rollbacks} times after step {self.counters.step} (last: {reason}); the state "
                f"of that step is kept in {self.folder.root}. Lower optimiser.learning_rate.initial in the recipe, or "
                "set optimiser.clip_value to 1.0, and train into a new folder"
            )
        self.counters.attempt = attempt + 1
        self._tell(RolledBack(diverged_at, self.counters.step, reason))

    def _resume(self) -> list[str] | None:
        """Take up the newest whole state on disk; warnings about damaged ones, or None if there is no state."""
        found = self.folder.load_state() if self.ranks.is_writer else None
        state = self.ranks.broadcast(found and [found[1], found[2]])
        if state is None:
            return None
        tensors = self.ranks.tensors_of_first(found and found[0])
        header: dict[str, Any] = state[0]
        warnings: list[str] = state[1]
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("|")
            parts.setdefault(part, {})[rest] = tensor
        checkpoint.load_strictly(self.model, parts.get("model", {}), str(self.folder.root))
        self.average.restore(parts.get("average", {}))
        for name, learner in self.learners.items():
            learner.restore(parts.get(f"learner {name}", {}))
        for phase in self.plan.phases():
            phase.restore(parts.get(f"phase {phase.name}", {}))
        for name, guard in self._guards.items():
            guard.restore(parts[f"guard {name}"])
        self._meter.restore(parts.get("meter", {}))
        self.plan.restore(parts.get("plan", {}))
        self._plateau.restore(parts.get("progress", {}))
        self._restore_choice(header.get("chosen"))
        self.counters.step, self.counters.attempt = header["step"], header["attempt"]
        self.counters.seconds, self.figures = header["seconds"], header.get("figures", {})
        return warnings

    def _restore_choice(self, saved: dict[str, Any] | None) -> None:
        """Take up the choice; one that was made since, before a rollback, stays, for its file is there."""
        chosen = self.chosen or (Chosen(**saved) if saved else None)
        self.chosen = chosen if self.folder.best.is_file() else None

    def _tensors(self) -> dict[str, Tensor]:
        """Everything the next step depends on; a bar stands between part and name."""
        parts = {"model": self.model.state_dict(), "meter": self._meter.tensors(), "average": self.average.tensors()}
        parts |= {f"guard {name}": guard.tensors() for name, guard in self._guards.items()}
        parts |= {f"learner {name}": learner.tensors() for name, learner in self.learners.items()}
        parts |= {f"phase {phase.name}": phase.tensors() for phase in self.plan.phases()}
        parts |= {"plan": self.plan.tensors(), "progress": self._plateau.tensors()}
        return {f"{part}|{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def _tell(self, event: Event) -> None:
        for reason in tell_all(self.observers, event):
            if reason not in self._unrecorded:  # said once; on a full disk it is every line
                self._unrecorded.add(reason)
                tell_all(self.observers, Unrecorded(self.counters.step, reason))


def step_generator(seed: int, counters: Counters, shard: int, device: torch.device) -> torch.Generator:
    """The source of chance within one shard of one step; a function of seed, step, attempt and shard."""
    key = (counters.step, counters.attempt, shard)
    (state,) = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state) >> 1)  # torch takes 63 bits


class _Meter:
    """Means of losses by phase, and the speed, since the last look."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begin({})

    def add(self, phase: str, named: dict[str, float]) -> None:
        """Note the losses of one step of a phase."""
        self._n_steps += 1
        for name, loss in named.items():
            self._losses.setdefault((phase, name), []).append(loss)

    def pop(self) -> tuple[dict[str, dict[str, float]], float]:
        """Means by phase and name, and steps a second; begins anew. Phases that had no step are left out."""
        means: dict[str, dict[str, float]] = {}
        for (phase, name), found in sorted(self._losses.items()):
            means.setdefault(phase, {})[name] = sum(found) / len(found)
        speed = self._n_steps / max(self._clock() - self._since, 1e-9)
        self._begin({})
        return means, speed

    def tensors(self) -> dict[str, Tensor]:
        """Losses by phase and name, for a training state: a mean begun before a kill is finished after it."""
        return {
            f"{phase}/{name}": torch.tensor(found, dtype=torch.float64) for (phase, name), found in self._losses.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the losses where `tensors` left them; the speed begins anew.

        States of before named no phase: what they had begun to average is left out of the next mean.
        """
        named = {tuple(key.split("/")): found.tolist() for key, found in tensors.items()}
        self._begin({(key[0], key[1]): found for key, found in named.items() if len(key) == 2})

    def _begin(self, losses: dict[tuple[str, str], list[float]]) -> None:
        self._losses, self._n_steps, self._since = losses, 0, self._clock()
