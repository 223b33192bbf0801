"""Figures on held-out recordings while training: does the decoder use its conditioning?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from moksori.training.phases.base import Latent

_BATCH = 8  # clips scored at a time


@dataclass(frozen=True)
class HeldOut:
    """Losses in the medium's unit, mean over segments; lower is better.

    Codes: cross-entropy in nats a sample, 5.545 knows nothing. Features: distance of log-mels in nepers.
    """

    loss: float  # with the segment's own latent
    shuffled_loss: float  # with the latent of another segment: what the rest of the conditioning is worth alone
    classifier_accuracy: float  # share of segments whose singer the confusion network reads from the latent


@torch.no_grad()
def held_out(medium: Latent, clips: Tensor, singer: Tensor) -> HeldOut:
    """Score held-out clips with their own latents and with each other's.

    Args:
        medium: a model in any state of training.
        clips: `[N, ...]`, at least 2, of the medium's kind, sorted by singer.
        singer: `[N]`, whose they are.

    Raises:
        ValueError: fewer than 2 clips; there is nothing to shuffle.
    """
    check_there_are_two(clips)
    z = torch.cat([medium.encode(part) for part in torch.split(clips, _BATCH)])
    vectors = medium.singers(singer)
    # Half of the clips away is, as they are sorted, nearly always a clip of another singer.
    other = z.roll(len(clips) // 2, dims=0)

    def loss(clips: Tensor, z: Tensor, vectors: Tensor) -> Tensor:
        return medium.loss(clips, clips, z, vectors)

    guessed = medium.classifier(z).argmax(dim=1)
    accuracy = (guessed == singer).double().mean().item()
    return HeldOut(mean_loss(loss, clips, z, vectors), mean_loss(loss, clips, other, vectors), accuracy)


def mean_loss(loss: Callable[..., Tensor], clips: Tensor, *others: Tensor) -> float:
    """The mean of a loss over clips `[N, ...]`, some at a time; `loss` takes a part of the clips and of all others."""
    parts = zip(*(torch.split(rows, _BATCH) for rows in (clips, *others)), strict=True)
    scored = [loss(*part).double() * len(part[0]) for part in parts]
    return torch.stack(scored).sum().item() / len(clips)


def check_there_are_two(clips: Tensor) -> None:
    """Refuse fewer than 2 clips, which nobody can shuffle.

    Raises:
        ValueError: so it is.
    """
    if len(clips) < 2:
        raise ValueError("held-out figures need at least 2 segments")
