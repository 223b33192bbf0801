"""Figures on held-out recordings while training: does the decoder use what it is told?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from moksori.data.segments import Segment
from moksori.models.autoencoder import Autoencoder
from moksori.training import losses

_BATCH = 8  # segments scored at a time


@dataclass(frozen=True)
class HeldOut:
    """Cross-entropies in nats a sample, teacher-forced, mean over segments; lower is better, 5.545 knows nothing."""

    cross_entropy: float  # with the segment's own latent
    shuffled_cross_entropy: float  # with the latent of another segment: what the past and the singer tell alone
    classifier_accuracy: float  # share of segments whose singer the confusion network reads from the latent


@torch.no_grad()
def held_out(model: Autoencoder, segments: Sequence[Segment]) -> HeldOut:
    """Score held-out segments with their own latents and with each other's.

    Args:
        model: any state of training.
        segments: at least 2, of one length.

    Raises:
        ValueError: fewer than 2 segments; there is nothing to shuffle.
    """
    if len(segments) < 2:
        raise ValueError("held-out figures need at least 2 segments")
    device = model.singers.table.weight.device
    codes = torch.stack([segment.codes for segment in segments]).to(device)
    singer = torch.tensor([segment.singer for segment in segments], device=device)
    parts = torch.split(codes, _BATCH)
    z = torch.cat([model.encode(part) for part in parts])
    # Segments are sorted by singer: half a turn gives nearly all of them the latent of another singer's clip.
    other = z.roll(len(segments) // 2, dims=0)

    def cross_entropy(latent: torch.Tensor) -> float:
        scored = [
            losses.reconstruction(model.logits(part, told, model.singers(who)), part).double() * len(part)
            for part, told, who in zip(parts, torch.split(latent, _BATCH), torch.split(singer, _BATCH), strict=True)
        ]
        return torch.stack(scored).sum().item() / len(codes)

    guessed = model.classifier(z).argmax(dim=1)
    return HeldOut(cross_entropy(z), cross_entropy(other), (guessed == singer).double().mean().item())
