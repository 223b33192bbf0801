"""What a second process brings to training: steps a second, and what a step costs, with one process and with two.

    python benchmarks/ranks.py [--recipe small] [--steps 24] [--rounds 2]
    python benchmarks/ranks.py --profile [--steps 24]     # where the CPU seconds of a step go

Both are the real command, on the demo's singers: `torchrun --nproc-per-node N -m moksori train ...`, each process on a
core of its own. Efficiency by the clock is the speed of two beside twice that of one; where others are at work on the
machine it says little, so it is told by CPU seconds, too: what a step costs one process, beside what it costs both
together. That counts what is done twice and what is sent, and not the waiting. The first third of the steps warms up.

How much of what is lost is the machine's own (caches, memory, clock: two cores at work are not twice one) is told by
two runs side by side that know nothing of each other, each with one process on a core of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SINGERS = Path(__file__).parents[1] / "demo" / "singers"

CHANGES = [  # one core a part; nothing but steps
    "segments.shards=2",
    "loop.log_every_steps=1",
    "loop.score_every_steps=0",
    "loop.validate_every_steps=1000000",
    "loop.sample_every_steps=1000000",
    "loop.save_every_steps=1000000",
    "loop.save_every_minutes=10000",
    "loop.sample_every_minutes=10000",
]


@dataclass(frozen=True)
class Run:
    """What a run of some steps took."""

    cpu_seconds: float  # of all processes, starts included
    seconds: list[float]  # of each step, by the clock


def train(data: Path, folder: Path, recipe: str, n_processes: int, n_steps: int, cores: list[int] | None = None) -> Run:
    """Train for some steps."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes), "-m", "moksori"]
    command = [sys.executable, *launch, "train", str(data), "-o", str(folder), "-r", recipe]
    command += ["--max-steps", str(n_steps), *(word for change in CHANGES for word in ("--set", change))]
    cores = cores or sorted(os.sched_getaffinity(0))[:n_processes]
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


def train_beside(data: Path, folder: Path, recipe: str, n_steps: int) -> list[float]:
    """Seconds of the steps of two runs at once, each of one process."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    with ThreadPoolExecutor(2) as threads:
        jobs = [
            threads.submit(train, data, folder.with_name(f"{folder.name}-{core}"), recipe, 1, n_steps, [core])
            for core in cores
        ]
        return [seconds for job in jobs for seconds in job.result().seconds]


def profile(data: Path, out: Path, recipe_name: str, n_steps: int) -> None:
    """Take steps as one of the processes that torchrun started; the first one prints CPU seconds a step."""
    import torch

    from moksori.data.corpus import Corpus
    from moksori.training import ranks, run
    from moksori.training import recipe as recipes
    from moksori.training.folder import RunFolder
    from moksori.training.loop import Budget

    torch.set_num_threads(1)
    spent: dict[str, float] = {}

    def timed(owner: Any, name: str, label: str) -> None:
        work = getattr(owner, name)

        def measured(*given: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return work(*given, **named)
            finally:
                spent[label] = spent.get(label, 0.0) + time.process_time() - began

        setattr(owner, name, measured)

    with ranks.joined("cpu") as (among, _):
        recipe = recipes.changed(recipes.load(recipe_name), CHANGES)
        trainer = run.open_run(RunFolder(out), Corpus.load(data), recipe, run.RunOptions(0), None, among)
        trainer.run(Budget(n_steps // 3))  # warms up
        timed(trainer, "_step", "step")
        timed(trainer.team, "side_by_side", "forward and backward of own parts")
        timed(type(among), "mean", "sum of gradients over processes")
        timed(type(among), "agreed", "agreement about the clock")
        timed(trainer.average, "add", "average of the weights")
        for phase in trainer.plan.phases():
            timed(phase, "batch", "batch")
        for learner in trainer.learners.values():
            timed(learner, "step", "Adam")
        trainer.run(Budget(n_steps))
        if among.is_writer:
            n = n_steps - n_steps // 3
            for label, seconds in spent.items():
                print(f"| {label} | {among.world} | {1000 * seconds / n:.1f} |")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--profile", nargs="?", const="all", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.profile not in (None, "all"):
        profile(Path(given.profile) / "data", Path(given.profile) / os.environ["WORLD_SIZE"], given.recipe, given.steps)
        return
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
        if given.profile:
            print("| CPU milliseconds a step, in the first process | processes | |\n| --- | --- | --- |", flush=True)
            for n in (1, 2):
                launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n), __file__]
                command = [sys.executable, *launch, "--profile", name, "--recipe", given.recipe]
                environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
                subprocess.run([*command, "--steps", str(given.steps)], env=environment, check=True)
            return
        beside: list[float] = []
        for turn in range(given.rounds):
            beside += train_beside(data, Path(name) / f"beside-{turn}", given.recipe, given.steps)
            for n in (1, 2):
                few = train(data, Path(name) / f"few-{n}-{turn}", given.recipe, n, 1)
                many = train(data, Path(name) / f"many-{n}-{turn}", given.recipe, n, given.steps)
                seconds[n] += many.seconds
                cpu[n].append((many.cpu_seconds - few.cpu_seconds) / (given.steps - 1))
    one, two = (statistics.median(seconds[n]) for n in (1, 2))
    print("| processes | s a step | CPU s a step, all together |\n| --- | --- | --- |")
    for n in (1, 2):
        print(f"| {n} | {statistics.median(seconds[n]):.2f} | {statistics.median(cpu[n]):.2f} |")
    print(f"| two runs of one process at once | {statistics.median(beside):.2f} | |")
    print(f"\nefficiency by the clock {one / (2 * two):.2f}", end=", ")
    print(f"of what two runs at once do {statistics.median(beside) / (2 * two):.2f}", end=", ")
    print(f"by CPU seconds {statistics.median(cpu[1]) / statistics.median(cpu[2]):.2f}")
    print(f"load of the machine: {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
