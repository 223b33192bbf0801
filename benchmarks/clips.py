"""Many short clips through a voice that samples codes: together, and one after another.

    python benchmarks/clips.py MODEL SONG [--clips 64] [--rounds 3] [--backend float32]

The clips are cut from the song, 1 to 3 s each, always the same ones. Each round does it both ways, in turn, and looks
that every file is the same, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import moksori
from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.conversion import ConvertOptions, SongFile, Voice
from moksori.errors import UserError

SECONDS = 1.0, 3.0


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("song", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", default="float32")
    given = parser.parse_args()
    torch.set_num_threads(1)
    voice, options = moksori.load(given.model), ConvertOptions(backend=given.backend)
    with tempfile.TemporaryDirectory() as folder:
        songs, seconds = cut(given.song, Path(folder), given.clips, voice.singers[0])
        convert(voice, songs[:1], options)  # compiles
        alone, together = [], []

        def one_after_another() -> None:
            for song in songs:
                convert(voice, [song], options)

        for _ in range(given.rounds):
            alone.append(timed(one_after_another))
            expected = [song.destination.read_bytes() for song in songs]
            together.append(timed(lambda: convert(voice, songs, options)))
            if [song.destination.read_bytes() for song in songs] != expected:
                raise SystemExit("a clip became something else in company")
    print(f"{len(songs)} clips, {seconds:.0f} s of sound in all, {given.backend}, {os.cpu_count()} cores, medians of")
    print(f"{given.rounds} rounds:\n")
    print("| | seconds | CPU seconds | times real time |\n| --- | --- | --- | --- |")
    for name, spent in (("one after another", alone), ("together", together)):
        wall, cpu = (statistics.median(values) for values in zip(*spent, strict=True))
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {seconds / wall:.2f} |")
    ratios = [[a / b for a, b in zip(*pair, strict=True)] for pair in zip(alone, together, strict=True)]
    wall, cpu = (statistics.median(values) for values in zip(*ratios, strict=True))
    print(f"| ratio, within a round | {wall:.2f} | {cpu:.2f} | |")


def cut(song: Path, folder: Path, n_clips: int, singer: str) -> tuple[list[SongFile], float]:
    """Cut clips from a song, and say how long they are in all."""
    clip, chance = files.read(song), np.random.default_rng(0)
    songs, n_samples = [], 0
    for number in range(n_clips):
        length = round(chance.uniform(*SECONDS) * clip.sample_rate)
        start = int(chance.integers(0, clip.n_samples - length))
        source = folder / f"{number}.flac"
        files.write(source, Clip(clip.samples[start : start + length], clip.sample_rate))
        songs.append(SongFile(source, folder / f"{number}.sung.flac", singer))
        n_samples += length
    return songs, n_samples / clip.sample_rate


def convert(voice: Voice, songs: list[SongFile], options: ConvertOptions) -> None:
    """Convert, and let nothing pass that failed."""
    for _, outcome in voice.convert_files(songs, options=options):
        if isinstance(outcome, UserError):
            raise outcome


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and CPU seconds, that some work takes."""
    began, used = time.monotonic(), cpu_seconds()
    work()
    return time.monotonic() - began, cpu_seconds() - used


def cpu_seconds() -> float:
    """What this process has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
