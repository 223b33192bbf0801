"""What a second process brings to training: steps a second, and what a step costs, with one process and with two.

    python benchmarks/ranks.py [--recipe small] [--steps 24] [--rounds 2]

Both are the real command, on the demo's singers: `torchrun --nproc-per-node N -m moksori train ...`, each process on a
core of its own. Efficiency by the clock is the speed of two beside twice that of one; where others are at work on the
machine it says little, so it is told by CPU seconds, too: what a step costs one process, beside what it costs both
together. That counts what is done twice and what is sent, and not the waiting. The first third of the steps warms up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SINGERS = Path(__file__).parents[1] / "demo" / "singers"


@dataclass(frozen=True)
class Run:
    """What a run of some steps took."""

    cpu_seconds: float  # of all processes, starts included
    seconds: list[float]  # of each step, by the clock


def train(data: Path, folder: Path, recipe: str, n_processes: int, n_steps: int) -> Run:
    """Train for some steps."""
    changes = [
        "segments.shards=2",
        "loop.log_every_steps=1",
        "loop.score_every_steps=0",
        "loop.validate_every_steps=1000000",
        "loop.sample_every_steps=1000000",
        "loop.save_every_steps=1000000",
        "loop.save_every_minutes=10000",
        "loop.sample_every_minutes=10000",
    ]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes), "-m", "moksori"]
    command = [sys.executable, *launch, "train", str(data), "-o", str(folder), "-r", recipe]
    command += ["--max-steps", str(n_steps), *(word for change in changes for word in ("--set", change))]
    cores = sorted(os.sched_getaffinity(0))[:n_processes]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    before = os.times()
    subprocess.run(
        ["taskset", "-c", ",".join(map(str, cores)), *command],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    told = [json.loads(line) for line in (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    speeds = [entry["steps_per_second"] for entry in told if entry["event"] == "losses"]
    return Run(spent, [1 / speed for speed in speeds[n_steps // 3 :]])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        subprocess.run(
            [sys.executable, "-m", "moksori", "prepare", str(SINGERS), "-o", str(data)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        train(data, Path(name) / "first", given.recipe, 1, 1)  # makes the cache
        for turn in range(given.rounds):
            for n in (1, 2):
                few = train(data, Path(name) / f"few-{n}-{turn}", given.recipe, n, 1)
                many = train(data, Path(name) / f"many-{n}-{turn}", given.recipe, n, given.steps)
                seconds[n] += many.seconds
                cpu[n].append((many.cpu_seconds - few.cpu_seconds) / (given.steps - 1))
    one, two = (statistics.median(seconds[n]) for n in (1, 2))
    print("| processes | s a step | CPU s a step, all together |\n| --- | --- | --- |")
    for n in (1, 2):
        print(f"| {n} | {statistics.median(seconds[n]):.2f} | {statistics.median(cpu[n]):.2f} |")
    print(f"\nefficiency by the clock {one / (2 * two):.2f}", end=", ")
    print(f"by CPU seconds {statistics.median(cpu[1]) / statistics.median(cpu[2]):.2f}")
    print(f"load of the machine: {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
