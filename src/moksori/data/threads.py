"""Ordered parallel map: work spread over threads, results in the order of the work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

from moksori.workers import pool

_MOST_AHEAD = 256  # items begun, or done and not yet taken: their results are held in memory

T = TypeVar("T")
R = TypeVar("R")


def n_cores() -> int:
    """Cores that this process may use; see `workers.pool.n_cores`."""
    return pool.n_cores()


def map_in_order(work: Callable[[T], R], items: Iterable[T], workers: int, stop: Event | None = None) -> Iterator[R]:
    """Apply `work` to every item on `workers` threads (0: one for each core).

    Decoding, resampling and the pitch network release the interpreter's lock, so threads are enough.

    Returns:
        Results in the order of the items, however the threads take turns. An exception of `work`, or one thrown by the
        consumer (Ctrl-C), drops what has not begun, and sets `stop` so that what has begun may end early.

    >>> list(map_in_order(str.upper, ["do", "re", "mi"], workers=2))
    ['DO', 'RE', 'MI']
    """
    threads = ThreadPoolExecutor(workers or n_cores())
    waiting, begun = iter(items), deque[Future[R]]()
    try:
        while True:
            begun.extend(threads.submit(work, item) for item in islice(waiting, _MOST_AHEAD - len(begun)))
            if not begun:
                return
            yield begun.popleft().result()
    finally:
        if stop is not None:
            stop.set()
        threads.shutdown(cancel_futures=True)
