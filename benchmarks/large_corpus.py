"""What a start costs by the size of the corpus: seconds, memory, and how fast batches are drawn afterwards.

    python benchmarks/large_corpus.py [--hours 10 100 1000] [--singers-an-hour 10] [--recipe small swift]
    python benchmarks/large_corpus.py --singers 10 1000 10000 100000     # a training step by the number of singers
    python benchmarks/large_corpus.py --prepare 2500 10000 40000         # a preparation by the number of recordings

The corpora are invented: a manifest of clips of a minute with 15 sung regions and 40 notes each, and caches whose files
have the length of real ones and hold nothing (sparse files, all zeros), so no sound is computed and no disk is read.
Every row is a process of its own: CPU seconds of the package's imports, of opening the manifest and of opening the run
(tables, model, learners); the memory that it has then taken beside that of the imports, the files that it has mapped,
and its memory at most; and how many rows of batches a CPU second draws and reads. A preparation is the program's own,
of empty files, but for the worker: it measures nothing and writes no clip.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RATE, CLIP_SECONDS, N_REGIONS, N_NOTES = 24_000, 60, 15, 40
N_BATCHES = 50


def invented(singer: str, source: str, sound: str, split: str) -> Any:
    """A recording of a minute."""
    from moksori.data.corpus import Recording

    length = RATE * CLIP_SECONDS
    edges = [length * i // (2 * N_REGIONS) for i in range(2 * N_REGIONS)]
    return Recording(
        singer=singer,
        source=source,
        path=f"clips/{source.removesuffix('.wav')}.flac",
        split=split,
        n_samples=length,
        seconds=float(CLIP_SECONDS),
        sung_seconds=CLIP_SECONDS / 2,
        regions=tuple(zip(edges[::2], edges[1::2], strict=True)),
        source_sha256=sound,
        audio_sha256=sound,
        gain_db=0.0,
        peak_dbfs=-1.0,
        clipped_fraction=0.0,
        noise_dbfs=-60.0,
        f0_low_hz=200.0,
        f0_median_hz=300.0,
        f0_high_hz=400.0,
        notes=tuple((300 + i, 5000) for i in range(N_NOTES)),
    )


def write_corpus(folder: Path, n_clips: int, n_singers: int) -> Any:
    """A manifest of invented clips, at least three of every singer, and its index."""
    from moksori.data.corpus import CACHE, Corpus

    names = [f"singer-{i:06d}" for i in range(n_singers)]
    recordings = []
    for singer, name in enumerate(names):
        for i in range(singer, n_clips, n_singers):
            of_singer = i // n_singers
            split = {0: "test", 1: "validation"}.get(of_singer, "train")
            recordings.append(invented(name, f"{name}/{of_singer:06d}.wav", f"{i:064d}", split))
    corpus = Corpus(folder, RATE, -23.0, tuple(names), tuple(recordings))
    (folder / CACHE).mkdir(parents=True)
    corpus.save()
    return corpus


def write_caches(corpus: Any, recipe_name: str) -> None:
    """Sparse files in place of what a recipe's run computes of the corpus."""
    import numpy as np

    from moksori.audio import features
    from moksori.data import feature_cache, segments
    from moksori.training import recipe as recipes

    recipe = recipes.load(recipe_name)
    model: Any = recipe.model
    if model.kind == "source-filter":
        n_frames = CLIP_SECONDS * model.sample_rate // model.hop_samples
        clips = [{"n_frames": n_frames, "n_loud": n_frames // 2, "mean": [0.0] * 2 * features.N_BANDS}]

        def build(path: Path, work: Any, recordings: Any, workers: int, progress: Any) -> Any:
            for suffix, size in ((".f16", features.N_VALUES * 2), (".levels", 2)):
                with open(path.with_suffix(suffix), "wb") as file:
                    file.truncate(len(recordings) * n_frames * size)
            return clips * len(recordings)

        def levels(path: Path, values: Any) -> Any:
            if not path.exists() or path.stat().st_size != 2 * len(values):
                with open(path, "wb") as file:
                    file.truncate(2 * len(values))
            return np.memmap(path, np.float16, mode="r")

        vars(feature_cache).update(_build=build, _levels=levels, PitchTracker=object)
        for copy in range(1 + recipe.segments.moved_copies):
            feature_cache.open_features(corpus, model.features, copy).n_sung(corpus.level_dbfs - 40)
    else:

        def encode(path: Path, corpus: Any, rows: Any, *_: Any) -> None:
            with open(path, "wb") as file:
                file.truncate(sum(length for _, _, length in rows))

        vars(segments)["_build"] = encode
        segments.open_codes(corpus, model.sample_rate)


def memory_mb() -> dict[str, float]:
    """Anonymous and mapped memory of this process, and the most that it had of both, in MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return {name: int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "VmHWM")}


def measure(folder: Path, recipe_name: str) -> dict[str, float]:
    """Start a run on a corpus, in this process."""
    clock = [time.process_time()]
    from moksori.data.corpus import Corpus
    from moksori.training import recipe as recipes
    from moksori.training import run
    from moksori.training.folder import RunFolder

    recipe = recipes.load(recipe_name)
    clock.append(time.process_time())
    before = memory_mb()["RssAnon"]
    corpus = Corpus.load(folder)
    clock.append(time.process_time())
    with tempfile.TemporaryDirectory() as out:
        trainer = run.open_run(RunFolder(Path(out) / "run"), corpus, recipe, run.RunOptions(0))
        clock.append(time.process_time())
        found = memory_mb()
        phase = trainer.plan.phase_at(0)
        phase.batch(0, 0)
        began = time.process_time()
        for step in range(1, 1 + N_BATCHES):
            phase.batch(step, 0)
        rows = N_BATCHES * recipe.segments.batch_size
        spent = time.process_time() - began
    imports, manifest, opened = (b - a for a, b in itertools.pairwise(clock))
    return found | {
        "imports": imports,
        "manifest": manifest,
        "run": opened,
        "before": before,
        "rows a CPU second": rows / spent,
    }


def measure_step(n_singers: int, recipe_name: str) -> dict[str, float]:
    """CPU seconds of a training step of phase 1, and what is learned in it, in this process."""
    import torch
    from cost import Step

    from moksori.training import recipe as recipes

    torch.set_num_threads(1)
    recipe = recipes.load(recipe_name)
    step = Step(recipe, n_singers, recipe.segments.batch_size)
    return {"step": step.cpu_seconds(8), "parameters": float(step.n_parameters())}


def measure_preparation(songs: Path) -> dict[str, float]:
    """Prepare a folder of empty files, twice, in this process: the second time all splits are known."""
    from moksori.data import clips
    from moksori.data import prepare as preparing

    def run(worker: Any, source: Any) -> Any:
        sound = hashlib.sha256(source.name.encode()).hexdigest()
        return clips.Clips(source.name, sound, (invented(source.singer, source.name, sound, "train"),))

    vars(clips)["ClipMaker"].run = run
    preparing.prepare(songs / "one", songs.with_name("one"))
    before, began = memory_mb()["VmHWM"], time.process_time()
    preparing.prepare(songs / "all", songs.with_name("data"))
    first = {"seconds": time.process_time() - began, "first": memory_mb()["VmHWM"] - before}
    preparing.prepare(songs / "all", songs.with_name("data"))
    return first | {"again": memory_mb()["VmHWM"] - before}


def in_a_process(*arguments: object) -> dict[str, float]:
    """The same in a fresh process, on one core."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *map(str, arguments)]
    told = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--singers-an-hour", type=int, default=10)
    parser.add_argument("--recipe", nargs="*", default=["small", "swift"])
    parser.add_argument("--singers", type=int, nargs="*")
    parser.add_argument("--prepare", type=int, nargs="*", help="numbers of recordings, 50 a singer")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure and given.prepare is not None:
        print(json.dumps(measure_preparation(Path(given.measure))))
    elif given.prepare:
        prepare(given.prepare)
    elif given.measure:
        (recipe,) = given.recipe
        is_step = given.measure.isdecimal()
        print(json.dumps(measure_step(int(given.measure), recipe) if is_step else measure(Path(given.measure), recipe)))
    elif given.singers:
        print("| recipe | singers | parameters | CPU s a step |\n| --- | --- | --- | --- |")
        for recipe in given.recipe:
            for n in given.singers:
                found = in_a_process("--measure", n, "--recipe", recipe)
                print(f"| {recipe} | {n:,} | {found['parameters'] / 1e6:.2f} M | {found['step']:.2f} |", flush=True)
    else:
        compare(given.hours, given.singers_an_hour, given.recipe)


def prepare(sizes: list[int]) -> None:
    """Preparations of several sizes, one after the other."""
    print("| recordings | manifest | CPU s | memory, first time | again |\n" + "| --- " * 5 + "|")
    for n in sizes:
        with tempfile.TemporaryDirectory() as name:
            for group, n_files in (("one", 1), ("all", n)):
                for i in range(n_files):
                    path = Path(name, "songs", group, f"singer-{i // 50:06d}", f"{i % 50:06d}.wav")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
            found = in_a_process("--measure", Path(name, "songs"), "--prepare")
            megabytes = Path(name, "data", "manifest.json").stat().st_size / 1e6
            print(
                f"| {n:,} | {megabytes:.0f} MB | {found['seconds']:.0f} | {found['first']:.0f} MB | "
                f"{found['again']:.0f} MB |",
                flush=True,
            )


def compare(hours: list[int], singers_an_hour: int, recipes: list[str]) -> None:
    """Corpora of several sizes, one after the other."""
    print(
        "| hours | singers | clips | manifest, MB | recipe | imports | manifest | run | anonymous | mapped "
        "| at most | rows a second |\n" + "| --- " * 12 + "|"
    )
    for n_hours in hours:
        with tempfile.TemporaryDirectory() as name:
            folder, n_singers = Path(name), n_hours * singers_an_hour
            n_clips = n_hours * 3600 // CLIP_SECONDS
            corpus = write_corpus(folder, n_clips, n_singers)
            megabytes = (folder / "manifest.json").stat().st_size / 1e6
            for recipe in recipes:
                write_caches(corpus, recipe)
                found = in_a_process("--measure", folder, "--recipe", recipe)
                print(
                    f"| {n_hours:,} | {n_singers:,} | {n_clips:,} | {megabytes:.0f} MB | {recipe} | "
                    f"{found['imports']:.1f} s | {found['manifest']:.2f} s | {found['run']:.2f} s | "
                    f"{found['RssAnon'] - found['before']:.0f} MB | {found['RssFile']:.0f} MB | "
                    f"{found['VmHWM']:.0f} MB | {found['rows a CPU second']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
