"""When what is reached, by hand."""

from __future__ import annotations

from dataclasses import replace

from moksori.training import horizon
from moksori.training import recipe as recipes
from moksori.training.horizon import GOOD, PHASE_2, USABLE, Milestone
from moksori.training.loop import Budget

SWIFT = recipes.load("swift")


def test_a_budget_of_time_ends_where_the_speed_leads() -> None:
    assert horizon.last_step(Budget(10**12, 900.0), 20, 100.0, 0.2) == 180
    assert horizon.last_step(Budget(100, 900.0), 20, 100.0, 0.2) == 100
    assert horizon.last_step(Budget(100), 20, 100.0, 0.2) == 100
    assert horizon.last_step(Budget(10**12, 50.0), 20, 100.0, 0.2) == 20


def test_a_short_budget_has_a_phase_2_and_no_usable_voice() -> None:
    found = horizon.milestones(SWIFT, 2, Budget(10**12, 900.0), 20, 100.0, 0.2)
    assert found == [
        Milestone(PHASE_2, 72, 360.0, True),  # two fifths of 180 steps
        Milestone(USABLE, 2000, 100.0 + 1980 / 0.2, False),
        Milestone(GOOD, 7400, 100.0 + 7380 / 0.2, False),
    ]


def test_a_long_budget_has_phase_2_where_the_recipe_says() -> None:
    found = horizon.milestones(SWIFT, 2, Budget(20000), 20, 10.0, 2.0)
    assert [(place.name, place.step, place.is_within) for place in found] == [
        (PHASE_2, 500, True),
        (USABLE, 2000, True),
        (GOOD, 7400, True),
    ]


def test_what_is_past_or_unknown_is_not_told() -> None:
    assert [place.name for place in horizon.milestones(SWIFT, 2, Budget(20000), 5000, 10.0, 2.0)] == [GOOD]
    assert [place.name for place in horizon.milestones(SWIFT, 1, Budget(20000), 20, 10.0, 2.0)] == [USABLE, GOOD]
    silent = replace(SWIFT, loop=replace(SWIFT.loop, usable_steps=0, good_steps=0))
    assert [place.name for place in horizon.milestones(silent, 2, Budget(20000), 20, 10.0, 2.0)] == [PHASE_2]
