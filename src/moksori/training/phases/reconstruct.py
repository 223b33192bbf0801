"""Phase 1, reconstruction: every singer's clips again from a latent that must not show who sings."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from moksori.data.batches import Batch, Batches
from moksori.training.phases.base import DrawnPhase, Latent, Update


class Reconstruction(DrawnPhase):
    """Classifier step, then autoencoder step, on every batch.

    With s a clip of singer j, E encoder, D decoder, C confusion network, v singer vectors, CE cross-entropy:

        1. min over C         of  CE(C(E(s)), j)                                     E is held fixed
        2. min over E, D, v   of  CE(D(s | E(s), v_j), s) - lambda CE(C(E(s)), j)    C is held fixed

    C stands for every adversary of the model. One whose decoder is conditioned on the pitch has a second, which
    reads notes from the latent (`models/notes.py`).

    Source: Nachmani and Wolf 2019, section 3, equations for the two alternating objectives.
    """

    name = "reconstruction"

    def __init__(self, medium: Latent, batches: Batches) -> None:
        super().__init__(batches)
        self._medium = medium

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        """See `base.Phase.updates`."""
        medium = self._medium
        inputs = medium.perturbed(batch.clips, generator)
        z = medium.encode(inputs)
        adversaries = medium.adversaries(batch.clips, batch.singer, z)
        # E does not move in the updates of its adversaries, so its own update can use the same latent.
        for adversary in reversed(adversaries):
            yield Update(adversary.learner, {adversary.learner: adversary.loss(z.detach(), generator)})
        named = {"reconstruction": medium.loss(batch.clips, inputs, z, medium.singers(batch.singer))}
        # The sign-flip form of confusion, not gradient reversal: Nachmani and Wolf 2019, section 3.
        named |= {adversary.confusion: -adversary.loss(z, generator) for adversary in adversaries}
        yield Update("autoencoder", named)
        yield from medium.companions(batch.clips)
