"""The contract of pools, by threads; `test_actors` holds Ray to the same."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from workshop import Nobody, Squares

from moksori.data import threads
from moksori.errors import UserError
from moksori.workers import pool
from moksori.workers.pool import Lost, ThreadPool


def test_every_task_is_done_once_by_one_worker(tmp_path: Path) -> None:
    kit = Squares(tmp_path)
    done = list(ThreadPool(3).each(kit, range(20)))
    assert sorted((number, found[0]) for number, found in done if not isinstance(found, Lost)) == [
        (n, n * n) for n in range(20)
    ]
    assert kit.n_made() == 1  # threads share it
    assert [kit.n_times(n) for n in range(20)] == [1] * 20


def test_what_fails_once_is_tried_again_and_what_always_fails_is_lost(tmp_path: Path) -> None:
    kit = Squares(tmp_path, wrong=2, wrong_once=3)
    done = dict(ThreadPool(2).each(kit, range(5)))
    assert done[2] == Lost("OSError: the store is out of reach")
    assert not isinstance(done[3], Lost) and done[3][0] == 9
    assert [kit.n_times(n) for n in range(5)] == [1, 1, pool.ATTEMPTS, 2, 1]


def test_no_more_tasks_are_begun_than_there_are_workers() -> None:
    """Back-pressure: who reads slowly holds the workers up, and nothing piles up."""
    begun: list[int] = []
    lock = threading.Lock()

    def kit() -> object:
        def work(number: int) -> int:
            with lock:
                begun.append(number)
            return number

        return work

    results = ThreadPool(2).each(kit, range(1000))  # type: ignore[arg-type]
    next(results)
    assert len(begun) <= 4  # two were under way; two more may have begun since
    results.close()  # type: ignore[attr-defined]


def test_a_kit_that_makes_no_worker_ends_everything() -> None:
    with pytest.raises(UserError, match="this model is damaged"):
        list(ThreadPool(2).each(Nobody(), range(3)))


def test_without_tasks_no_worker_is_made() -> None:
    assert list(ThreadPool(2).each(Nobody(), [])) == []


def test_an_error_of_the_users_ends_everything_at_the_first_attempt(tmp_path: Path) -> None:
    kit = Squares(tmp_path, refused=1)
    with pytest.raises(UserError, match="the store wants a password"):
        list(ThreadPool(1).each(kit, range(3)))
    assert kit.n_times(1) == 1


def test_the_environment_says_how_many_cores_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    here = pool.n_cores()
    monkeypatch.setenv(pool.CORES_VARIABLE, "1")
    assert pool.n_cores() == threads.n_cores() == 1
    monkeypatch.setenv(pool.CORES_VARIABLE, str(here + 100))
    assert pool.n_cores() == here  # no more than there are
    monkeypatch.setenv(pool.CORES_VARIABLE, "many")
    assert pool.n_cores() == here
