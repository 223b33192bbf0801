"""What Ray costs a file of a catalogue: seconds a task beside threads, and of the start.

    python benchmarks/catalogue.py [--tasks 300]

The tasks do nothing, one worker at a time, so what is left is the way there and back: what a file costs on top of its
conversion. Of the times between one outcome and the next the lower quartile counts, since others may be at work.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np

from moksori.workers import actors
from moksori.workers.pool import Pool, ThreadPool


class Idle:
    """A kit whose work is nothing."""

    def __call__(self) -> Callable[[int], int]:
        """A worker."""
        return abs


def a_task(pool: Pool, n_tasks: int) -> float:
    """Seconds from one outcome to the next."""
    times = [time.perf_counter() for _ in pool.each(Idle(), range(n_tasks))]
    return float(np.quantile(np.diff(times), 0.25))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=300)
    n_tasks = parser.parse_args().tasks
    by_threads = a_task(ThreadPool(1), n_tasks)
    began = time.perf_counter()
    with actors.connected("local", 1) as pool:
        next(iter(pool.each(Idle(), range(1))))
        start = time.perf_counter() - began
        by_ray = a_task(pool, n_tasks)
    print("| workers | start, s | a task, ms |\n| --- | --- | --- |")
    print(f"| threads | 0 | {1000 * by_threads:.2f} |\n| Ray | {start:.1f} | {1000 * by_ray:.2f} |")
    print(f"\nload of the machine: {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
