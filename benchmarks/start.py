"""What a start costs: CPU seconds of calls that do little, and which packages they load for it.

    python benchmarks/start.py [--rounds 3]

Each call runs in a fresh process under `python -X importtime`; the least CPU time of the rounds counts, since others
may be at work. Self times of modules are added up by package, so that whoever grew is seen.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

CALLS = {  # what is called, and the CPU seconds that it may take on a processor of 2017
    "--help": 0.5,
    "singers": 0.5,
    "convert missing.wav -s kumi": 0.5,
    "convert song.wav -s kumy": 0.5,
    "train missing -o run": 0.5,
    "evaluate missing data -o report": 0.5,
    "info missing": 0.5,
    "convert song.wav -s kumi --force": 3.0,
}
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)")
_SHOWN = 6  # packages


def cpu_seconds(call: str, folder: Path) -> tuple[float, str]:
    """CPU seconds of a call, and what `-X importtime` says."""
    command = [sys.executable, "-X", "importtime", "-m", "moksori", *call.split()]
    before = os.times()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, done.stderr


def by_package(told: str) -> dict[str, float]:
    """Seconds of imports by the first part of the modules' names.

    >>> by_package("import time:      1500 |       2000 |   torch.nn")["torch"]
    0.0015
    """
    seconds: dict[str, float] = defaultdict(float)
    for microseconds, module in _LINE.findall(told):
        seconds[module.split(".")[0]] += int(microseconds) / 1e6
    return seconds


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print("| moksori ... | CPU seconds | aim | imports, s |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soundfile.write(folder / "song.wav", 0.1 * np.sin(np.arange(24_000) * 0.06), 24_000)
        for call, aim in CALLS.items():
            spent, told = min(cpu_seconds(call, folder) for _ in range(rounds))
            packages = sorted(by_package(told).items(), key=lambda package: -package[1])[:_SHOWN]
            largest = ", ".join(f"{package} {took:.2f}" for package, took in packages)
            print(f"| `{call}` | {spent:.2f} | {aim:g} | {largest} |", flush=True)


if __name__ == "__main__":
    main()
