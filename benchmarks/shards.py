"""How a batch is best spread over the cores of a CPU: seconds a training step of recipe `small`, on invented codes.

    python benchmarks/shards.py

All ways take turns within one run, so that a neighbour on the machine disturbs them alike; the table has medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import cast

import torch

from moksori.data.batches import Batch, Batches
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.training import losses, recipe, shards
from moksori.training.media.codes import CodeMedium
from moksori.training.phases.base import Update
from moksori.training.phases.reconstruct import Reconstruction
from moksori.training.shards import Differentiated

WAYS = [(1, 1), (1, 2), (2, 1)]  # (shards, threads of torch)
N_ROUNDS = 5


def step(model: Autoencoder, batch: Batch, n_shards: int) -> None:
    """One training step of phase 1, as the loop takes it."""
    settings, team = recipe.load("small"), shards.Team(n_shards)
    medium = CodeMedium(model)
    learners, phase = medium.learners(settings), Reconstruction(medium, cast(Batches, None))  # it is given its batch
    parts = [phase.updates(part, 0, torch.Generator()) for part in shards.split(batch, n_shards, torch.device("cpu"))]

    def differentiate(updates: Iterator[Update]) -> Differentiated:
        update = next(updates)
        total = losses.total(update.losses, settings.losses)
        named = {name: loss.item() for name, loss in update.losses.items()}
        return Differentiated(update.learner, named, total.item(), learners[update.learner].gradients(total))

    for _ in ("classifier", "autoencoder"):
        found = shards.mean(team.side_by_side(differentiate, parts))
        learners[found.learner].step(found.gradients, 0)


def main() -> None:
    """Print the table."""
    settings = recipe.load("small")
    assert isinstance(settings.model, ModelConfig)
    model = Autoencoder(settings.model, [str(i) for i in range(8)])
    codes = torch.randint(0, 256, (settings.segments.batch_size, settings.segment_samples))
    batch = Batch(codes, torch.arange(len(codes)) % 8)
    seconds: dict[tuple[int, int], list[float]] = {way: [] for way in WAYS}
    for _ in range(N_ROUNDS + 1):
        for way in WAYS:
            torch.set_num_threads(way[1])
            began = time.perf_counter()
            step(model, batch, way[0])
            seconds[way].append(time.perf_counter() - began)
    print("| shards | threads each | seconds a step |\n| --- | --- | --- |")
    for (n_shards, n_threads), found in seconds.items():
        print(f"| {n_shards} | {n_threads} | {statistics.median(found[1:]):.2f} |")  # the first round warms up


if __name__ == "__main__":
    main()
