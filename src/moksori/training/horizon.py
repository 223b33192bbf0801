"""Estimated time of training: what a run will reach and when, from the speed of its first steps.

Training on one machine is forty times as fast as on another, so a recipe tells of steps, and a run turns them into
hours once it has taken some.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from moksori.training.loop import Budget
from moksori.training.phases.schedule import PhaseSchedule
from moksori.training.recipe import Recipe


@dataclass(frozen=True)
class Milestone:
    """Something that a run comes past."""

    name: str  # one of `MILESTONES`
    step: int  # the first step of it
    seconds: float  # of training from the run's beginning until then, at the present speed
    is_within: bool  # whether the budget lasts until then


PHASE_2, USABLE, GOOD = "phase 2", "usable", "good"
MILESTONES = (PHASE_2, USABLE, GOOD)


def last_step(budget: Budget, step: int, seconds: float, steps_per_second: float) -> int:
    """The step at which the budget will be spent, at the present speed.

    Args:
        budget: steps, seconds or both.
        step: taken so far.
        seconds: trained so far.
        steps_per_second: above 0.
    """
    if math.isinf(budget.seconds):
        return budget.max_steps
    return min(budget.max_steps, step + max(0, round((budget.seconds - seconds) * steps_per_second)))


def budget_text(seconds: float) -> str:
    """A duration for `--for`, a little longer: in tens of minutes up to two hours, then in hours.

    >>> budget_text(100), budget_text(3000), budget_text(20000)
    ('10m', '50m', '6h')
    """
    minutes = 10 * -(-seconds // 600)
    return f"{minutes:.0f}m" if minutes <= 120 else f"{-(-seconds // 3600):.0f}h"


def milestones(
    recipe: Recipe, n_singers: int, budget: Budget, step: int, seconds: float, steps_per_second: float
) -> list[Milestone]:
    """What is still to come, as far as the recipe tells, in the order of the steps.

    Args:
        recipe: says when phase 2 comes in, and after how many steps a voice is usable and good.
        n_singers: a single one has no phase 2.
        budget: of the run.
        step: taken so far.
        seconds: trained so far.
        steps_per_second: at present, above 0.
    """
    until = last_step(budget, step, seconds, steps_per_second)
    steps = {USABLE: recipe.loop.usable_steps or None, GOOD: recipe.loop.good_steps or None}
    if n_singers > 1:
        steps[PHASE_2] = PhaseSchedule(recipe.back_translation).expected_first_step(until)
    found = [
        Milestone(name, place, seconds + (place - step) / steps_per_second, place <= until)
        for name, place in steps.items()
        if place is not None and place > step
    ]
    return sorted(found, key=lambda milestone: (milestone.step, MILESTONES.index(milestone.name)))
