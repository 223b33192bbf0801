"""What a person sees while a voice is trained: a progress bar with clocks, and lines where there is something to say.

    ━━━━━━━━━━━━━━━━━━━━╸               4:12 gone  10:48 left  step 127  0.51 steps/s
    reconstruction 1.234  confusion 0.693  classifier 0.693

Bar, elapsed and left come first, and are there at any width; the rest is shown as far as there is room.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress, ProgressColumn, Task
from rich.text import Text

from moksori.cli import console

if TYPE_CHECKING:
    from moksori.training.horizon import Milestone
    from moksori.training.logging.events import Event, Logged
    from moksori.training.loop import Budget
    from moksori.training.recipe import Recipe

SCORES = {"identified": "heard as the target", "melody": "pitch right", "content": "moves as the source does"}
_NO_GRADE = "  these scores choose the best model, and are no grade; moksori evaluate gives one"
_PACE_STEPS = 20  # after so many the speed is shown, and when what will be reached
_WARM_UP_STEPS = 2  # the first ones load, compile and fill caches
_BAR = (10, 40)  # columns, at least and at most
_LINE_SECONDS = 30.0  # between two lines where no bar can be drawn


def clock(seconds: float) -> str:
    """A duration as clocks show it.

    >>> clock(252), clock(3725)
    ('4:12', '1:02:05')
    """
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def live_line(
    width: int, share: float, gone_seconds: float, left_seconds: float | None, step: int, speed: float | None
) -> str:
    """The line under the eyes: bar, gone, left, then at most two figures; never wider than `width`.

    >>> live_line(60, 0.5, 60.0, 60.0, 127, 0.51)
    '━━━━━━━━━━──────────  1:00 gone  1:00 left  step 127  0.51/s'
    """
    left = "left: soon known" if left_seconds is None else f"{clock(left_seconds)} left"
    parts = [f"{clock(gone_seconds)} gone", left, f"step {step}"]
    if speed is not None:
        parts.append(f"{speed:.2f}/s")
    while len(parts) > 2 and _BAR[0] + len("  ".join(["", *parts])) > width:
        parts.pop()
    facts = "  ".join(["", *parts])
    n_columns = max(0, min(_BAR[1], width - len(facts)))
    n_done = round(min(1.0, max(0.0, share)) * n_columns)
    return ("━" * n_done + "─" * (n_columns - n_done) + facts)[:width]


def horizon_text(speed: float, until: int, budget: Budget, found: list[Milestone], seconds: float) -> list[str]:
    """What will be reached and when, in lines.

    Args:
        speed: steps a second, here.
        until: the step at which the budget will be spent.
        budget: of the run.
        found: what is still to come, see `horizon.milestones`.
        seconds: trained so far.
    """
    from moksori.training import horizon

    names = {
        horizon.PHASE_2: "phase 2 begins",
        horizon.USABLE: "a usable voice",
        horizon.GOOD: "as good as the voice that is shipped",
    }
    where = f"within {console.duration_text(budget.seconds)}" if math.isfinite(budget.seconds) else "asked for"
    lines = [f"{speed:.2g} steps/s here: about {until} steps {where}"]
    for place in found:
        when = console.duration_text(place.seconds - seconds)
        lines.append(
            f"  in {when}: {names[place.name]} (step {place.step}){'' if place.is_within else ', after the end'}"
        )
    return lines


class Watcher:
    """Shows a person how training goes."""

    def __init__(
        self,
        budget: Budget,
        recipe: Recipe,
        n_singers: int,
        unit: str,
        sample_file: Callable[[int, str], Path],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget, self._recipe, self._unit, self._n_singers, self._now = budget, recipe, unit, n_singers, now
        self._console = console.stderr()
        self._is_timed = budget.seconds < float("inf")
        # Drawn by nobody but ourselves: columns of rich are cut from the right where there is no room.
        self._bar = Progress(_Lines(self), console=self._console, disable=not self._console.is_terminal)
        self._bar.add_task("training", total=None)
        self._step, self._seconds, self._updated_at = 0, 0.0, now()
        self._n_here, self._paced = 0, (0, 0.0)  # steps of this sitting; step and seconds after the warm-up
        self._sample_file = sample_file
        self._figures, self._is_scored = "", False
        self._next_line_seconds = 0.0

    def tell(self, event: Event) -> None:
        """See `events.Observer.tell`."""
        from moksori.training.logging import events

        match event:
            case events.Resumed():
                self._step, self._seconds, self._updated_at = event.step, event.seconds, self._now()
                self._bar.start()
                for warning in event.warnings:
                    self._say(f"warning: {warning}")
                if event.step:
                    self._say(f"going on at step {event.step}, after {console.duration_text(event.seconds)}")
            case events.Stepped():
                self._note_step(event.step, event.seconds)
            case events.Logged():
                self._figures = "  ".join(f"{name} {value:.3f}" for name, value in event.losses.items())
                self._bar.refresh()
                self._tell_plainly(event)
            case events.Validated():
                self._say(self._held_out(event))
            case events.Scored():
                scores = "  ".join(f"{SCORES[name]} {value:.0%}" for name, value in event.scores.items())
                self._say(f"step {event.step}: {scores}{'  best so far' if event.is_best else ''}")
                if not self._is_scored and event.step < self._recipe.loop.usable_steps:
                    self._say(_NO_GRADE)
                self._is_scored = True
            case events.RolledBack():
                self._say(f"step {event.step}: {event.reason}; back to step {event.to_step}, with other batches")
            case events.Unrecorded():
                self._say(f"step {event.step}: not written down ({event.reason}); training goes on")
            case events.Sampled():
                self._say(f"step {event.step}: sample {self._sample_file(event.step, event.name)}")

    @property
    def speed(self) -> float | None:
        """Steps a second of this sitting, the first ones left out; None while there are too few."""
        n_steps, seconds = self._step - self._paced[0], self._seconds - self._paced[1]
        return n_steps / seconds if self._n_here > _WARM_UP_STEPS and seconds > 0 and n_steps > 0 else None

    def lines(self, width: int) -> str:
        """The live lines at a width: the first always, then the losses once there are some."""
        gone = self._seconds + (self._now() - self._updated_at)  # also while a step takes long
        left = self._left(gone)
        whole = self._budget.max_steps
        share = gone / self._budget.seconds if self._is_timed else self._step / whole
        first = live_line(width, share, gone, left, self._step, self.speed)
        return f"{first}\n{self._figures[:width]}" if self._figures else first

    def close(self) -> None:
        """Put the bar away."""
        self._bar.stop()

    def _left(self, gone: float) -> float | None:
        by_clock = self._budget.seconds - gone if self._is_timed else None
        by_steps = (self._budget.max_steps - self._step) / self.speed if self.speed else None
        known = [left for left in (by_clock, by_steps) if left is not None]
        return min(known) if known else None

    def _note_step(self, step: int, seconds: float) -> None:
        self._n_here += 1
        self._step, self._seconds, self._updated_at = step, seconds, self._now()
        if self._n_here <= _WARM_UP_STEPS:
            self._paced = (step, seconds)
        if self._n_here == _PACE_STEPS and self.speed:
            self._tell_horizon(self.speed)

    def _tell_horizon(self, speed: float) -> None:
        from moksori.training import horizon

        place = (self._step, self._seconds, speed)
        until = horizon.last_step(self._budget, *place)
        found = horizon.milestones(self._recipe, self._n_singers, self._budget, *place)
        for line in horizon_text(speed, until, self._budget, found, self._seconds):
            self._say(line)

    def _tell_plainly(self, event: Logged) -> None:
        if not self._console.is_terminal and event.seconds >= self._next_line_seconds:
            left = self._left(event.seconds)
            known = "" if left is None else f"  {console.duration_text(max(0.0, left))} left"
            self._say(f"step {event.step}  {self._figures}  {event.steps_per_second:.2f} steps/s{known}")
            self._next_line_seconds = event.seconds + _LINE_SECONDS

    def _held_out(self, event: Any) -> str:
        figures, said = event.figures, f"step {event.step}: held-out {event.figures['loss']:.3f} {self._unit}"
        accuracy = figures.get("classifier_accuracy")
        if "shuffled_loss" in figures:
            what = "the conditioning of another clip" if accuracy is None else "another clip's latent"
            said += f" (with {what} {figures['shuffled_loss']:.3f})"
        if accuracy is not None:
            said += f"; the latent tells the singer in {accuracy:.0%} (chance {1 / self._n_singers:.0%})"
        return said

    def _say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)


class _Lines(ProgressColumn):
    """The live lines as a column of rich's."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__()
        self._watcher = watcher

    def render(self, task: Task) -> Text:
        """The lines, at the width of the terminal."""
        return Text(self._watcher.lines(self._watcher._console.width - 1), no_wrap=True, overflow="crop")
