"""Next-code prediction, the one phase of a WaveNet by itself: every code from those before it and its conditioning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from moksori.data.batches import Batch, Batches
from moksori.models.singers import SingerTable
from moksori.training.phases.base import DrawnPhase, Update


class Predicted(Protocol):
    """What the phase asks of a model."""

    singers: SingerTable

    def local_features(self, clips: Tensor) -> Tensor:
        """Local conditioning features `[B, R, F]` of clips `[B, ...]`."""

    def loss(
        self, clips: Tensor, local_features: Tensor, singer_vectors: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """How badly the net guesses the codes of clips: a scalar, the mean over samples; the generator is for noise."""


class Prediction(DrawnPhase):
    """One update a batch: min over net and singer vectors of CE(net(s | h), s), with h the conditioning.

    Source: van den Oord et al. 2016, equations 1 and 2.
    """

    name = "prediction"

    def __init__(self, medium: Predicted, batches: Batches) -> None:
        super().__init__(batches)
        self._medium = medium

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        """See `base.Phase.updates`."""
        medium = self._medium
        loss = medium.loss(batch.clips, medium.local_features(batch.clips), medium.singers(batch.singer), generator)
        yield Update("autoencoder", {"reconstruction": loss})
