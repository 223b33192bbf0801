"""What Ray costs a file of a catalogue: seconds beside the same work without it.

    python benchmarks/catalogue.py [--songs 24 --seconds 4]

The same invented songs are converted by the shipped voice with `--ray off` on one worker and with `--ray local` on one
worker; and once more, few of them and then all, so that the start is told apart from what each file takes. CPU seconds
of all processes count, since others may be at work; the clock is told beside them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

FEW = 4


def convert(songs: Path, out: Path, ray: str) -> tuple[float, float]:
    """Convert a folder; CPU seconds, and seconds by the clock."""
    command = [sys.executable, "-m", "moksori", "convert", songs, "-s", "kumi", "-o", out, "--ray", ray, "--workers", 1]
    before, began = os.times(), time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, time.perf_counter() - began


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--songs", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    times = np.arange(round(24_000 * given.seconds)) / 24_000
    print("| --ray | start, CPU s | a file, CPU s | start, s | a file, s |\n| --- | --- | --- | --- | --- |")
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for count in (FEW, given.songs):
            songs = Path(name) / f"songs-{count}"
            songs.mkdir()
            soundfile.write(songs / "0.wav", 0.1 * np.sin(2 * np.pi * 220 * times), 24_000)
            for number in range(1, count):
                shutil.copy(songs / "0.wav", songs / f"{number}.wav")
        for ray in ("off", "local"):
            few = convert(Path(name) / f"songs-{FEW}", Path(name) / f"few-{ray}", ray)
            all_ = convert(Path(name) / f"songs-{given.songs}", Path(name) / f"all-{ray}", ray)
            a_file = [(b - a) / (given.songs - FEW) for a, b in zip(few, all_, strict=True)]
            start = [a - FEW * each for a, each in zip(few, a_file, strict=True)]
            found[ray] = a_file
            print(f"| {ray} | {start[0]:.1f} | {a_file[0]:.3f} | {start[1]:.1f} | {a_file[1]:.3f} |", flush=True)
    print(f"\nRay's overhead a file: {1000 * (found['local'][0] - found['off'][0]):.0f} ms of CPU", end=", ")
    print(f"{1000 * (found['local'][1] - found['off'][1]):.0f} ms by the clock")
    print(f"load of the machine: {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
