"""Held-out figures of a model: does its decoder use its conditioning, and does its latent hide the singer?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moksori.data.corpus import Corpus
from moksori.data.segments import Segment
from moksori.errors import DataError
from moksori.evaluation.judges import probe
from moksori.models.kinds import Converter
from moksori.training.logging import validation
from moksori.training.media import base as media
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.base import Latent

_TRAIN_SEGMENTS = 30  # a singer, for the probe
_PROBE_STEPS = 300  # that the probe is trained for
_SECONDS = 1.0  # of a segment, rounded to whole latent frames


@dataclass(frozen=True)
class Figures:
    """Figures over held-out segments of one second; losses as in `training.logging.validation.HeldOut`."""

    n_segments: int
    unit: str  # of the losses
    loss: float  # with the segment's own latent
    shuffled_loss: float  # with another segment's latent
    probe_accuracy: float  # share of segments whose singer a fresh probe reads from the latent
    chance: float  # the same by guessing the commonest singer


def evaluate(model: Converter, corpus: Corpus, split: str = "test", per_singer: int = 8, seed: int = 0) -> Figures:
    """Score a model on a split of a corpus that has the model's singers.

    Args:
        model: trained or not.
        corpus: prepared recordings.
        split: which recordings to score; those of "train" teach the probe.
        per_singer: segments for each singer, evenly spread.
        seed: of the probe.

    Raises:
        DataError: the corpus has other singers than the model, or the split has fewer than two segments.
    """
    if corpus.singers != model.singers.names:
        raise DataError(
            f"{corpus.folder}: its singers are {', '.join(corpus.singers)}; "
            f"the model knows {', '.join(model.singers.names)}; evaluate on the data it was trained with"
        )
    rate, hop = model.config.sample_rate, model.config.latent_hop_samples
    length = max(1, round(_SECONDS * rate / hop)) * hop
    medium = media.medium_for(model, PerturbConfig())
    held_out = medium.table(corpus, split, length).fixed_items(per_singer)
    if len(held_out) < 2:
        raise DataError(
            f"{corpus.folder}: the {split} split has fewer than two segments; add recordings to each singer"
        )
    scored = validation.held_out(medium, *media.stacked(medium.singers, held_out))
    trained = medium.table(corpus, "train", length).fixed_items(_TRAIN_SEGMENTS)
    test_z, test_singer = _latents(medium, held_out)
    accuracy = probe.accuracy(*_latents(medium, trained), test_z, test_singer, seed, _PROBE_STEPS)
    chance = test_singer.bincount().max().item() / len(test_singer)
    return Figures(len(held_out), medium.unit, scored.loss, scored.shuffled_loss, accuracy, chance)


@torch.no_grad()
def _latents(medium: Latent, segments: Sequence[Segment]) -> tuple[Tensor, Tensor]:
    """Latents `[N, D, F]` and singers `[N]` of segments."""
    device = medium.singers.table.weight.device
    z = [medium.encode(segment.clip.unsqueeze(0).to(device)) for segment in segments]
    return torch.cat(z), torch.tensor([segment.singer for segment in segments], device=device)
