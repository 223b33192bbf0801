"""The guard: what is a spike, what is a beginning."""

from __future__ import annotations

import math

import pytest

from moksori.training.guard import SpikeGuard
from moksori.training.learner import Diverged


def _settled(n: int = 100) -> SpikeGuard:
    guard = SpikeGuard()
    for i in range(n):
        guard.check(3.0 + 0.01 * math.sin(i))
    return guard


def test_a_spike_is_refused_and_not_remembered() -> None:
    guard = _settled()
    for _ in range(200):  # were it remembered, it would soon be normal
        with pytest.raises(Diverged, match=r"jumped to 60\.000; it was 3\.0"):
            guard.check(60.0)


def test_half_as_much_again_is_the_least_that_counts_as_a_spike() -> None:
    guard = _settled()  # the spread is tiny here: the share of the median decides
    guard.check(4.4)
    with pytest.raises(Diverged):
        guard.check(4.6)


def test_a_restless_loss_may_move_by_ten_spreads() -> None:
    guard = SpikeGuard()
    for i in range(200):
        guard.check(1.0 + i % 5 / 4)  # 1 to 2: median 1.5, median deviation 0.25, so ten spreads are 3.7
    guard.check(5.1)
    with pytest.raises(Diverged):
        guard.check(5.4)


def test_the_first_losses_may_do_what_they_like() -> None:
    guard = SpikeGuard()
    for i in range(50):
        guard.check(1000.0 if i == 49 else 3.0)


def test_the_51st_may_not() -> None:
    with pytest.raises(Diverged):
        _settled(50).check(60.0)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("n", [0, 100])
def test_what_is_not_finite_is_refused_at_any_time(loss: float, n: int) -> None:
    with pytest.raises(Diverged):
        _settled(n).check(loss)


def test_a_falling_loss_is_welcome_however_fast() -> None:
    guard = _settled()
    guard.check(0.001)
    guard.check(-5.0)  # the confusion term may make the sum negative


def test_negative_losses_have_spikes_too() -> None:
    guard = SpikeGuard()
    for _ in range(60):
        guard.check(-2.0)
    guard.check(-1.1)
    with pytest.raises(Diverged):
        guard.check(0.0)


def test_only_the_last_losses_count() -> None:
    guard = _settled(100)
    for step in range(400):
        guard.check(3.0 + 4.0 * step / 400)  # a slow climb is no spike
    guard.check(7.0)


def test_a_restored_guard_objects_to_the_same() -> None:
    guard = SpikeGuard()
    guard.restore(_settled().tensors())
    with pytest.raises(Diverged):
        guard.check(60.0)


def test_the_memory_is_bounded() -> None:
    assert len(_settled(1000).tensors()["recent"]) == 200


def test_an_empty_memory_survives() -> None:
    guard = SpikeGuard()
    guard.restore(SpikeGuard().tensors())
    guard.check(60.0)
