"""A pool of Ray actors: workers in processes of their own, on this machine or all over a cluster.

    driver (this process)                     Ray
    kit --put once--------------------------> object store
    task --one a worker under way-----------> actor: kit() once, then work(task)
    outcome <-------------------------------- plain data
    a worker died: another takes its place, and its task goes to the front of the line, at most `ATTEMPTS` times

Kits and tasks are serialised by Ray, which runs whatever it is sent: a Ray cluster trusts everybody who reaches its
ports. Keep them closed, as Ray's own pages say; nothing here opens one.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from moksori import surroundings
from moksori.errors import UserError
from moksori.workers.pool import ATTEMPTS, CORES_VARIABLE, Kit, Lost, n_cores, why

T = TypeVar("T")
R = TypeVar("R")

LOCAL, AUTO, OFF = "local", "auto", "off"
WAYS = (AUTO, LOCAL, OFF)

_STORE_BYTES = 512 << 20  # of Ray's object store where we start it: a kit lies there once, outcomes are small
_STILLBORN = 3  # workers in a row that die before they do anything


def is_installed() -> bool:
    """Whether Ray is there (extra `ray`)."""
    return importlib.util.find_spec("ray") is not None


@contextlib.contextmanager
def connected(address: str, n_workers: int = 0, *, gpus: float = 0.0) -> Iterator[ActorPool]:
    """Start Ray on this machine, or join a cluster that runs; either is left when the `with` block ends.

    Args:
        address: `LOCAL`; `AUTO` for the cluster that the environment (RAY_ADDRESS) or this machine knows; or where one
            is (`ray://host:10001`, `host:6379`).
        n_workers: 0 for one each core of the cluster, or one each of its GPUs.
        gpus: of each worker.

    Raises:
        UserError: Ray is not installed, or there is no cluster.
    """
    if not is_installed():
        raise UserError(
            f"--ray {address}: Ray is not installed; `pip install 'moksori[ray]'` brings it, and --ray {OFF} does the "
            "same work on the cores of this machine"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage is reported
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # workers without a GPU see what we see
    ray: Any = importlib.import_module("ray")
    is_local = address == LOCAL
    try:
        # Ray puts the working folder before all others on its workers' path: a `torch.py` among songs would run there.
        with contextlib.chdir(surroundings.compiled_folder()):
            if is_local:
                ray.init(
                    address="local",
                    num_cpus=n_workers or n_cores(),
                    include_dashboard=False,
                    object_store_memory=_STORE_BYTES,
                    log_to_driver=False,
                    logging_level="error",
                )
            else:
                ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--ray {address}: no cluster answers ({why(error)}); `ray start --head` makes one (one with a token: "
            f"RAY_AUTH_MODE=token), and --ray {LOCAL} needs none"
        ) from None
    try:
        there = ray.cluster_resources()
        n_fitting = int(there.get("GPU", 0) / gpus) if gpus else int(there.get("CPU", 1))
        with contextlib.redirect_stdout(sys.stderr):  # of a worker that died Ray tells where results are told
            yield ActorPool(ray, n_workers or max(1, n_fitting), gpus)
    finally:
        ray.shutdown()


class _Holder:
    """What an actor is: a worker that is made when it is first needed, and kept."""

    def __init__(self, kit: Callable[[], Callable[[Any], Any]]) -> None:
        os.environ[CORES_VARIABLE] = "1"  # its share of the machine, whatever else it may see
        self._kit, self._work = kit, None

    def run(self, task: Any) -> Any:
        """Do a task."""
        if self._work is None:
            try:
                self._work = self._kit()  # type: ignore[assignment]
            except UserError as error:
                return _NoWorker(error)
            except Exception as error:
                return _NoWorker(UserError(f"no worker can be made: {why(error)}"))
        return self._work(task)  # type: ignore[misc]

    def process(self) -> int:
        """Its process id; answered when the actor has started."""
        return os.getpid()


@dataclass(frozen=True)
class _NoWorker:
    """Instead of an outcome: the kit said that no worker can be made."""

    error: UserError


@dataclass
class _Task:
    number: int
    n_attempts: int = 0


@dataclass(frozen=True)
class ActorPool:
    """Ray actors with the contract of `pool.Pool`."""

    ray: Any
    n_workers: int
    gpus: float = 0.0
    started: Callable[[int], None] | None = None  # called with the process id of each worker

    def each(self, kit: Kit[T, R], tasks: Sequence[T]) -> Iterator[tuple[int, R | Lost]]:
        """See `Pool.each`."""
        if not tasks:
            return
        ray = self.ray
        make = ray.remote(_Holder).options(num_cpus=0 if self.gpus else 1, num_gpus=self.gpus, max_restarts=0)
        stored = ray.put(kit)
        waiting = collections.deque(_Task(number) for number in range(len(tasks)))
        actors: dict[Any, Any] = {}  # what an actor is asked for at present -> the actor
        under_way: dict[Any, _Task] = {}  # the same -> its task, unless it is starting
        n_stillborn, n_open = 0, len(tasks)

        def hire() -> None:
            actor = make.remote(stored)
            actors[actor.process.remote()] = actor

        def go_on(actor: Any) -> None:
            if waiting:
                task = waiting.popleft()
                task.n_attempts += 1
                asked = actor.run.remote(tasks[task.number])
                actors[asked], under_way[asked] = actor, task
            else:
                idle.append(actor)

        idle: list[Any] = []
        try:
            for _ in range(min(self.n_workers, len(tasks))):
                hire()
            while n_open:
                (asked,), _ = ray.wait(list(actors), num_returns=1)
                actor, task_of = actors.pop(asked), under_way.pop(asked, None)
                try:
                    found = ray.get(asked)
                except ray.exceptions.RayActorError as error:
                    n_stillborn += task_of is None
                    if n_stillborn >= _STILLBORN:
                        raise UserError(f"workers die as soon as they start: {why(error)}") from None
                    hire()
                    if task_of is not None and (lost := self._again(waiting, task_of, "its worker died")):
                        n_open -= 1
                        yield task_of.number, lost
                    continue
                except ray.exceptions.RayTaskError as error:
                    assert task_of is not None
                    if isinstance(error.cause, UserError):
                        raise error.cause from None
                    lost = self._again(waiting, task_of, why(error.cause))
                    go_on(actor)
                    if lost:
                        n_open -= 1
                        yield task_of.number, lost
                    continue
                if task_of is None:
                    if self.started is not None:
                        self.started(found)
                    go_on(actor)
                    continue
                if isinstance(found, _NoWorker):
                    raise found.error
                n_stillborn, n_open = 0, n_open - 1
                go_on(actor)
                yield task_of.number, found
        finally:
            for actor in [*actors.values(), *idle]:
                ray.kill(actor)

    def _again(self, waiting: collections.deque[_Task], task: _Task, reason: str) -> Lost | None:
        """Put a task that failed to the front of the line, or give it up."""
        if task.n_attempts >= ATTEMPTS:
            return Lost(f"{reason}, {task.n_attempts} times")
        waiting.appendleft(task)
        return None
