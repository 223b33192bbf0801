"""Phase 1: every singer learns to sing their own clips again, from a latent that must not tell who sings."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from moksori.data.batches import Batch, Batches
from moksori.training import losses
from moksori.training.media import CodeMedium, Medium
from moksori.training.phases.base import DrawnPhase, Update


class Reconstruction(DrawnPhase):
    """Classifier step, then autoencoder step, on every batch.

    With s a clip of singer j, E encoder, D decoder, C confusion network, v singer vectors, CE cross-entropy:

        1. min over C         of  CE(C(E(s)), j)                                     E is held fixed
        2. min over E, D, v   of  CE(D(s | E(s), v_j), s) - lambda CE(C(E(s)), j)    C is held fixed

    A model whose decoder is told the pitch has a second adversary, which reads notes from the latent, and is treated
    alike (`models/notes.py`).

    Source: Nachmani and Wolf 2019, section 3, equations for the two alternating objectives.
    """

    name = "reconstruction"

    def __init__(self, medium: Medium, batches: Batches) -> None:
        super().__init__(batches)
        self._medium = medium

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        """See `base.Phase.updates`."""
        medium = self._medium
        heard = medium.disturbed(batch.clips, generator)
        z = medium.encode(heard)
        if isinstance(medium, CodeMedium) and medium.notes is not None:
            note = medium.notes_of(batch.clips, z)
            yield Update("notes", {"notes": losses.notes(medium.notes(z.detach()), note)})
        # E does not move in the first update, so the second one can use the same latent.
        singer_logits = medium.classifier(z.detach(), generator)
        yield Update("classifier", {"classifier": losses.classifier(singer_logits, batch.singer)})
        reconstruction = medium.loss(batch.clips, heard, z, medium.singers(batch.singer))
        singer_logits = medium.classifier(z, generator)
        named = {"reconstruction": reconstruction, "confusion": losses.confusion(singer_logits, batch.singer)}
        if isinstance(medium, CodeMedium) and medium.notes is not None:
            named["pitch_confusion"] = -losses.notes(medium.notes(z), medium.notes_of(batch.clips, z))
        yield Update("autoencoder", named)
