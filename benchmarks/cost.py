"""Cost model: FLOPs, bytes and hours of training, of phase 2's sampling and of conversion, by the size of the corpus.

    python benchmarks/cost.py [--recipe paper swift] [--hours 10 1000 100000]     # the plan; some seconds
    python benchmarks/cost.py --check                                             # beside measured points; a minute

Everything is counted from a recipe's own sizes: its model is built and takes one step of one row, while torch's counter
adds up the multiply-adds of convolutions and matrix products (2 FLOP each, forward and backward). Pointwise functions,
FFTs and the sampling of codes itself are not in it; what that leaves out, `--check` shows, which sets CPU seconds of
this machine beside the prediction.

Assumptions, each an option or a constant below: as many singers as hours; a corpus is learned from at least once, and
never less than the recipe's own steps; phase 2 comes where the recipe has it, as a share of the steps; a GPU reaches
`--gpu-share` of `--gpu-tflops`, which nobody has measured here.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from moksori.audio import features
from moksori.data import feature_cache
from moksori.data.batches import Batches
from moksori.generation.songs import features as feature_song
from moksori.models import kinds
from moksori.training import losses, shards
from moksori.training import recipe as recipes
from moksori.training.loop import Counters, step_generator
from moksori.training.media import base as media
from moksori.training.media.base import Ingredients
from moksori.training.phases.backtranslate import BackTranslation
from moksori.training.recipe import Recipe
from moksori.training.shards import Team

FLAC_BYTES = 2 * 0.55  # a sample at 16 bit; measured on singing, see `bytes_an_hour`
MANIFEST_BYTES = 2500  # a clip of a minute; see benchmarks/large_corpus.py
PHASE_2 = "back-translation"
SIZES = (("phase 1", 1, 4), ("half the length", 0.5, 4), ("twice the rows", 1, 8))  # point, length, rows
CHECKED_SECONDS = {"paper": 0.1, "swift": 1.28}  # of a row; 0.4 of other recipes
CPU_GFLOPS = {"small": 54.0, "paper": 95.0, "swift": 90.0}  # of a core of the machine of docs/scale.md, by --check
COUNTED_SECONDS = 0.2  # of a row whose FLOPs are counted: they are proportional to its length


class Noise:
    """A table of clips of a recipe's kind, of noise or silence; nothing is read."""

    split = "train"

    def __init__(self, recipe: Recipe, n_singers: int) -> None:
        self.singers = tuple(f"singer-{i}" for i in range(n_singers))
        config: Any = recipe.model
        if config.kind == "source-filter":
            silence = feature_cache.silence(recipe.segment_samples // config.hop_samples)
            silence[features.N_MELS] = 220.0  # Hz: somebody sings
            self._clip = features.excerpt(silence, torch.zeros(2 * features.N_BANDS, dtype=torch.float64))
        else:
            codes = torch.from_numpy(np.random.default_rng(0).integers(0, 256, recipe.segment_samples))
            n_rows = 3 if getattr(config, "melody_hop_samples", 0) else 1
            self._clip = (
                codes if n_rows == 1 else torch.stack([codes.float(), *2 * [torch.full_like(codes, 200.0).float()]])
            )

    def sung_length(self, singer: int) -> int:
        """As much of everybody."""
        return 1

    def draw(self, singer: int, generator: np.random.Generator) -> Any:
        """The same clip for everybody."""
        return lambda: self._clip


class Step:
    """A recipe's training step, on one thread."""

    def __init__(self, recipe: Recipe, n_singers: int, n_rows: int) -> None:
        self.recipe = recipe
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = kinds.build(recipe.model, [f"singer-{i}" for i in range(n_singers)])
        self.medium: Any = media.medium_for(self.model, recipe.perturbation)
        self._learners = self.medium.learners(recipe)
        self._batches = Batches(Noise(recipe, n_singers), n_rows, 0, is_augmented=False)
        self._plan = self.medium.plan(Ingredients(self._batches, recipe, {}, Team(1)))
        self.batch = self._batches.batch(0)

    @property
    def phases(self) -> dict[str, Any]:
        """By name."""
        return {phase.name: phase for phase in self._plan.phases()}

    def take(self, name: str = "reconstruction", number: int = 0) -> None:
        """Take a step of a phase; back-translation learns from clips as they are, unsung."""
        phase, batch = self.phases[name], self.batch
        if isinstance(phase, BackTranslation):
            from moksori.training.phases.backtranslate import Translated

            batch = Translated(batch.clips, batch.singer, batch.clips)
        (part,) = shards.split(batch, 1, torch.device("cpu"))
        generator = step_generator(0, Counters(number), 0, torch.device("cpu"))
        for update in phase.updates(part, number, generator):
            learner = self._learners[update.learner]
            learner.step(learner.gradients(losses.total(update.losses, self.recipe.losses)), number)

    def cpu_seconds(self, n_steps: int, name: str = "reconstruction") -> float:
        """Of a step of a phase, the median after one that warms up."""
        spent = []
        for number in range(1 + n_steps):
            began = time.process_time()
            self.take(name, number)
            spent.append(time.process_time() - began)
        return statistics.median(spent[1:])

    def n_parameters(self) -> int:
        """That are learned."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)


def counted(work: Any) -> float:
    """FLOPs of convolutions and products."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


@dataclass(frozen=True)
class Costs:
    """FLOPs of a second of sound, unless it says otherwise."""

    parameters: int
    learning: float  # a step of phase 1
    back_translation: float  # a step of phase 2 that learns from what was sung
    singing: float  # for phase 2's pool
    converting: float


def costs(recipe: Recipe, n_singers: int) -> Costs:
    """Count a recipe's step, singing and conversion."""
    hop = recipe.model.latent_hop_samples
    n_samples = max(1, round(COUNTED_SECONDS * recipe.model.sample_rate / hop)) * hop
    seconds = n_samples / recipe.model.sample_rate
    short = replace(recipe, segments=replace(recipe.segments, seconds=seconds))
    step = Step(short, n_singers, 1)
    converting = counted(lambda: convert(step))
    translating = PHASE_2 in step.phases
    return Costs(
        step.n_parameters(),
        counted(step.take) / seconds,
        counted(lambda: step.take(PHASE_2)) / seconds if translating else 0.0,
        converting / seconds,
        converting / seconds,
    )


@torch.no_grad()
def convert(step: Step) -> Tensor:
    """What a conversion computes of the step's clip, once: codes are scored all at a time, which is as much."""
    medium, clips = step.medium, step.batch.clips
    model: Any = step.model
    vectors = medium.singers(step.batch.singer)
    if step.recipe.model.kind == "source-filter":
        return torch.from_numpy(feature_song.sing(model, clips[0], vectors[0], 0))
    z = medium.encode(clips)
    logits: Tensor = model.logits(medium.codes(clips), z, vectors, medium.melody(clips))
    return logits


def bytes_an_hour(recipe: Recipe) -> dict[str, float]:
    """On disk, for an hour of prepared singing; clips at 24 kHz."""
    config: Any = recipe.model
    if config.kind == "source-filter":
        frames = 3600 * config.sample_rate / config.hop_samples
        cache = frames * (features.N_VALUES + 1) * 2 * (1 + recipe.segments.moved_copies)
    else:
        cache = 3600.0 * config.sample_rate
    return {"clips": 3600 * 24_000 * FLAC_BYTES, "cache": cache, "manifest": 60 * MANIFEST_BYTES}


@dataclass(frozen=True)
class Plan:
    """What a run on a corpus comes to."""

    n_steps: int
    passes: float  # how often a second of the corpus is learned from
    learning: float  # FLOPs of phase 1
    back_translation: float  # FLOPs of phase 2's steps
    singing: float  # FLOPs of its pools
    converting: float  # of the corpus, once


def plan(recipe: Recipe, found: Costs, hours: float) -> Plan:
    """Steps and FLOPs of a run on so many hours."""
    segments, turns = recipe.segments, recipe.back_translation
    seconds = segments.batch_size * segments.seconds
    own = recipe.loop.max_steps
    n_steps = max(own, math.ceil(3600 * hours / seconds))
    first = {"step": turns.start_step / own, "first": min(turns.start_step / own, turns.start_share)}.get(
        turns.start, 1.0
    )
    n_pools = n_steps * max(0.0, 1 - first) / turns.refresh_every_steps
    n_second = n_pools * turns.steps_per_pool
    return Plan(
        n_steps,
        n_steps * seconds / (3600 * hours),
        (n_steps - n_second) * seconds * found.learning,
        n_second * seconds * found.back_translation,
        n_pools * turns.pool_batches * seconds * found.singing,
        3600 * hours * found.converting,
    )


def show_plan(names: list[str], hours: list[int], cpu_gflops: float | None, gpu_flops: float) -> None:
    """Print the table."""
    head = "recipe|hours = singers|parameters|clips|cache|state|all-reduce a step|steps|passes|training|phase 2"
    head += "|its singing|conversion|training, core hours|training, GPU hours"
    print(f"|{head}|\n|{' --- |' * (head.count('|') + 1)}")
    for name in names:
        recipe = recipes.load(name)
        for n in hours:
            found = costs(recipe, n)
            made, disk = plan(recipe, found, n), bytes_an_hour(recipe)
            whole = made.learning + made.back_translation + made.singing
            n_kept = 4 + (recipe.average_decay > 0) - 1  # weights, Adam's two, and the average
            cells = [
                name,
                f"{n:,}",
                f"{found.parameters / 1e6:.1f} M",
                size(disk["clips"] * n),
                size(disk["cache"] * n),
                size(4 * n_kept * found.parameters),
                size(4 * found.parameters),
                f"{made.n_steps:,}",
                f"{made.passes:.2g}",
                flops(made.learning + made.back_translation),
                flops(made.back_translation),
                flops(made.singing),
                flops(made.converting),
                f"{whole / ((cpu_gflops or CPU_GFLOPS[name]) * 1e9) / 3600:,.0f}",
                f"{whole / gpu_flops / 3600:,.1f}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def check(names: list[str]) -> None:
    """Print CPU seconds beside those that the FLOPs predict at the rate that the recipe's own step of phase 1 has."""
    torch.set_num_threads(1)
    print("| recipe | point | GFLOP | CPU s | GFLOP/s | predicted, CPU s | error |\n" + "| --- " * 7 + "|")
    for name in names:
        rate = 0.0
        for what, length, n_rows in SIZES:
            seconds = length * CHECKED_SECONDS.get(name, 0.4)
            recipe = recipes.load(name)
            hop = recipe.model.latent_hop_samples / recipe.model.sample_rate
            cut = replace(recipe.segments, seconds=max(1, round(seconds / hop)) * hop, batch_size=8, shards=1)
            step = Step(replace(recipe, segments=cut), 8, n_rows)
            points: dict[str, tuple[Callable[[], object], Callable[[], float]]] = {}
            points[what] = (step.take, functools.partial(step.cpu_seconds, 2))
            if n_rows > 4:
                points["conversion"] = (functools.partial(convert, step), functools.partial(timed, convert, step))
            if n_rows > 4 and PHASE_2 in step.phases:
                again = functools.partial(step.take, PHASE_2)
                points["phase 2"] = (again, functools.partial(step.cpu_seconds, 2, PHASE_2))
            for point, (work, measure) in points.items():
                n, took = counted(work), measure()
                rate = rate or n / took
                error = f"{n / rate / took - 1:+.0%}" if n / took != rate else "sets the rate"
                speed = f"{n / 1e9:.2f} | {took:.3f} | {n / took / 1e9:.0f} | {n / rate:.3f}"
                print(f"| {name} | {point} | {speed} | {error} |", flush=True)


def timed(work: Callable[[Step], object], step: Step) -> float:
    """CPU seconds of some work, the least of three."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        work(step)
        spent.append(time.process_time() - began)
    return min(spent)


def flops(n: float) -> str:
    """In words."""
    unit, word = next(
        (unit, word) for unit, word in ((1e18, "E"), (1e15, "P"), (1e12, "T")) if n >= 10 * unit or word == "T"
    )
    return f"{n / unit:,.0f} {word}"


def size(n: float) -> str:
    """In words."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n < 1000 or unit == "TB":
            break
        n /= 1000
    return f"{n:,.0f} {unit}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", nargs="*", default=["paper", "swift"])
    parser.add_argument("--hours", type=int, nargs="*", default=[10, 1000, 100_000])
    parser.add_argument("--cpu-gflops", type=float, help="that a core reaches, see --check; default: CPU_GFLOPS")
    parser.add_argument(
        "--gpu-tflops", type=float, default=989.0, help="of a GPU at best: H100, bfloat16, by its maker"
    )
    parser.add_argument("--gpu-share", type=float, default=0.2, help="of that, reached: an assumption")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        check(given.recipe)
    else:
        show_plan(given.recipe, given.hours, given.cpu_gflops, given.gpu_tflops * given.gpu_share * 1e12)


if __name__ == "__main__":
    main()
