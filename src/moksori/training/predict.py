"""The one phase of a WaveNet by itself: guess every code from the codes before it, and from what is told."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from moksori.data.batches import Batch, Batches
from moksori.training.media import SoloMedium
from moksori.training.phases import Update


class Prediction:
    """One update a batch: min over net and singer vectors of CE(net(s | h), s), with h whatever the net is told of s.

    Source: van den Oord et al. 2016, equations 1 and 2.
    """

    name = "prediction"

    def __init__(self, medium: SoloMedium, batches: Batches) -> None:
        self._medium = medium
        self._batches = batches

    def batch(self, step: int, attempt: int) -> Batch:
        """See `phases.Phase.batch`."""
        return self._batches.batch(step, attempt)

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        """See `phases.Phase.updates`; nothing is left to chance."""
        medium = self._medium
        loss = medium.loss(batch.clips, medium.told(batch.clips), medium.singers(batch.singer))
        yield Update("autoencoder", {"reconstruction": loss})

    def tensors(self) -> dict[str, Tensor]:
        """Nothing is kept between steps."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Nothing to take up."""
        if tensors:
            raise ValueError(f"prediction keeps nothing between steps, but was given {sorted(tensors)}")
