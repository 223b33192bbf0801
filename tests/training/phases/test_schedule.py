"""When phase 2 comes in, and whose turn each step is."""

from __future__ import annotations

import math

import pytest

from moksori.training.phases.mixup import MixupConfig
from moksori.training.phases.schedule import BackTranslationConfig, PhaseSchedule

CONFIG = BackTranslationConfig(start_step=10, refresh_every_steps=8, pool_batches=2, uses=2)


def test_steps_after_a_refresh_learn_from_the_pool_and_the_rest_is_phase_1() -> None:
    turns = PhaseSchedule(CONFIG)
    learning = [10, 11, 12, 13, 18, 19, 20, 21, 26, 27, 28, 29]
    assert [step for step in range(30) if turns.is_back_translation(step)] == learning
    assert [step for step in range(30) if turns.place(step) == 0] == [10, 18, 26]
    assert [turns.place(step) for step in range(8, 20)] == [None, None, 0, 1, 2, 3, None, None, None, None, 0, 1]


def test_the_paper_sings_96_clips_every_2000_steps_from_step_200000() -> None:
    config = BackTranslationConfig()
    assert (config.start, config.start_step, config.refresh_every_steps) == ("step", 200_000, 2000)
    assert 8 * config.pool_batches == 96
    assert sum(PhaseSchedule(config).is_back_translation(step) for step in range(198_000, 202_000)) == 12
    assert config.mixup == MixupConfig(law="beta", beta_parameter=0.2)


def test_a_share_of_the_budget_begins_phase_2_once() -> None:
    turns = PhaseSchedule(BackTranslationConfig(start="share", start_share=0.5))
    assert [turns.spend(step, share) for step, share in ((0, 0.0), (7, 0.49), (8, 0.51), (9, 0.6))] == [
        False,
        False,
        True,
        False,
    ]
    assert turns.first_step == 8
    assert turns.place(8) == 0


@pytest.mark.parametrize(("share", "first"), [(0.01, 8), (0.2, 5)])
def test_whichever_of_step_and_share_comes_first_begins_phase_2(share: float, first: int) -> None:
    turns = PhaseSchedule(BackTranslationConfig(start="first", start_step=8, start_share=0.9))
    assert turns.expected_first_step(100) == 8
    assert turns.expected_first_step(5) == 5
    decided = [step for step in range(12) if turns.spend(step, step * share)]
    assert decided == [first]
    assert turns.first_step == turns.expected_first_step(10**6) == first
    again = PhaseSchedule(turns.config)
    again.restore(turns.tensors())
    assert again.first_step == first


def test_a_plateau_of_the_held_out_loss_begins_phase_2() -> None:
    turns = PhaseSchedule(BackTranslationConfig(start="plateau", plateau_validations=2, plateau_gain=0.1))
    # 0.95 is lower than 1.0, but not by a tenth; 0.8 is; what is no number is no better.
    losses = [(10, 1.0), (20, 0.95), (30, 0.8), (40, math.nan), (50, 0.79), (60, 0.1)]
    assert [turns.validate(step, loss) for step, loss in losses] == [False, False, False, False, True, False]
    assert turns.first_step == 50


@pytest.mark.parametrize("start", ["step", "share", "first", "plateau", "never"])
def test_only_the_start_that_the_recipe_names_counts(start: str) -> None:
    turns = PhaseSchedule(BackTranslationConfig(start=start, start_step=5, plateau_validations=1))
    spent = turns.spend(3, 1.0)
    flat = [turns.validate(step, 1.0) for step in (4, 6)]
    assert (spent, flat) == (start in ("share", "first"), [False, start == "plateau"])
    assert turns.first_step == {"step": 5, "share": 3, "first": 3, "plateau": 6, "never": None}[start]


@pytest.mark.parametrize("start", ["share", "plateau"])
def test_what_was_decided_and_what_was_counted_is_taken_up_again(start: str) -> None:
    config = BackTranslationConfig(start=start, plateau_validations=2)
    first, second = PhaseSchedule(config), PhaseSchedule(config)
    for step in (1, 2):  # one validation short of a plateau
        first.validate(step, 1.0)
    second.restore(first.tensors())
    assert second.first_step is None
    assert second.validate(3, 1.0) == (start == "plateau")
    assert second.spend(4, 1.0) == (start == "share")
    third = PhaseSchedule(config)
    third.restore(second.tensors())
    assert third.first_step == second.first_step == {"plateau": 3, "share": 4}[start]
    third.restore({})
    assert third.first_step is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"uses": 0},
        {"start_step": -1},
        {"refresh_every_steps": 11},
        {"start": "soon"},
        {"start_share": 1.5},
        {"plateau_validations": 0},
        {"plateau_gain": -0.1},
        {"plateau_gain": 1.0},
    ],
)
def test_impossible_schedules_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least|longer than refresh_every_steps|known are|must be in"):
        BackTranslationConfig(**wrong)  # type: ignore[arg-type]
