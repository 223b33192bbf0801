"""Pools of workers: the contract, and the one of threads on this machine.

A worker is made once, by a kit, and then does one task after the other; a model is loaded once a worker, not once a
file. Kits and tasks are plain data, so that they can travel; `actors` has a pool on Ray with the same contract.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from moksori.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

Kit = Callable[[], Callable[[T], R]]
"""Makes what does the tasks; called once for each worker, or once for workers that share a process."""

CORES_VARIABLE = "MOKSORI_CORES"
"""Environment variable: how many cores this process may keep busy, where the machine shows it more than it may use."""

ATTEMPTS = 3  # at a task whose worker dies, or that fails in a way nobody foresaw


@dataclass(frozen=True)
class Lost:
    """A task that came to nothing, again and again, and why the last time."""

    reason: str


class Pool(Protocol):
    """Workers at tasks that know nothing of each other."""

    def each(self, kit: Kit[T, R], tasks: Sequence[T]) -> Iterator[tuple[int, R | Lost]]:
        """Do every task once to its end, whatever becomes of the workers.

        At most as many tasks as there are workers are under way, so that nothing piles up anywhere.

        Args:
            kit: makes a worker.
            tasks: are begun in this order.

        Yields:
            The number of a task that is done with, as it ends, and what came of it.

        Raises:
            UserError: the kit raised it: no worker can be made; or a task did, which no other attempt would change.
        """
        ...


_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of a period, and the period


def n_cores() -> int:
    """Cores that this process may keep busy: what the environment says, but no more than there are for it.

    A container of two cores' worth on a machine of 64 shows all of them; as many threads would wait for one another.
    """
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = min(here, _quota() or here)
    asked = os.environ.get(CORES_VARIABLE, "")
    return max(1, min(here, int(asked))) if asked.isdecimal() else here


def _quota() -> int | None:
    """How many cores' worth of time a container has, rounded up; None where nobody says."""
    try:
        allowed, period = _QUOTA.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(allowed) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file; or "max", no bound
        return None


@dataclass(frozen=True)
class ThreadPool:
    """Threads of this process that share one worker, which must bear that; for work that releases the interpreter."""

    n_workers: int = 0  # 0: as many as there are cores

    def each(self, kit: Kit[T, R], tasks: Sequence[T]) -> Iterator[tuple[int, R | Lost]]:
        """See `Pool.each`."""
        if not tasks:
            return
        work, n_workers = kit(), self.n_workers or n_cores()
        pool, waiting = ThreadPoolExecutor(n_workers), iter(enumerate(tasks))
        under_way: dict[Future[R | Lost], int] = {}
        try:
            while True:
                while len(under_way) < n_workers and (following := next(waiting, None)) is not None:
                    under_way[pool.submit(_tried, work, following[1])] = following[0]
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _tried(work: Callable[[T], R], task: T) -> R | Lost:
    """What comes of a task, tried a few times: a store may be out of reach for a moment."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work(task)
        except UserError:
            raise  # of a kind that another attempt does not change
        except Exception as error:
            if attempt == ATTEMPTS:
                return Lost(why(error))
    raise AssertionError("ATTEMPTS is at least one")


def why(error: BaseException) -> str:
    """An error nobody foresaw, in a line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
