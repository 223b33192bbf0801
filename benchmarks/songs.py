"""Whole songs by strangers, into every singer of a voice, for the judges.

    python benchmarks/songs.py MODEL OUT SONG [SONG ...] [--transpose nearest]
    moksori evaluate DATA --conversions OUT -o REPORT --tracker pyin

DATA is what the voice was trained with: its judges know the singers. The songs' own singers are unknown to them.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import torch

import moksori
from moksori.conversion import ConvertOptions


def main() -> None:
    """Convert, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--transpose", default="auto")
    given = parser.parse_args()
    torch.set_num_threads(1)
    voice, options = moksori.load(given.model), ConvertOptions(transpose=given.transpose)
    given.out.mkdir(parents=True, exist_ok=True)
    n_seconds, began = 0.0, time.monotonic()
    with open(given.out / "conversions.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["conversion", "source", "target", "transpose"])
        for song in given.songs:
            for singer in voice.singers:
                result = given.out / f"{song.stem}.{singer}.flac"
                report = voice.convert_file(song, result, singer=singer, options=options)
                table.writerow([result.name, str(song.resolve()), singer, f"{report.transpose_semitones:g}"])
                n_seconds += report.n_samples / report.sample_rate
    spent = time.monotonic() - began
    print(f"converted {n_seconds:.0f} s of sound in {spent:.0f} s on one core: {n_seconds / spent:.0f} times real time")


if __name__ == "__main__":
    main()
