"""Figures on held-out recordings while training: does the decoder use what it is told?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from moksori.data.segments import Segment
from moksori.training.media import Medium

_BATCH = 8  # segments scored at a time


@dataclass(frozen=True)
class HeldOut:
    """Losses in the medium's unit, mean over segments; lower is better.

    Codes: cross-entropy in nats a sample, 5.545 knows nothing. Features: distance of log-mels in nepers.
    """

    loss: float  # with the segment's own latent
    shuffled_loss: float  # with the latent of another segment: what is told besides it is worth alone
    classifier_accuracy: float  # share of segments whose singer the confusion network reads from the latent


@torch.no_grad()
def held_out(medium: Medium, segments: Sequence[Segment]) -> HeldOut:
    """Score held-out segments with their own latents and with each other's.

    Args:
        medium: a model in any state of training.
        segments: at least 2, of one length, in the medium's kind of clips.

    Raises:
        ValueError: fewer than 2 segments; there is nothing to shuffle.
    """
    if len(segments) < 2:
        raise ValueError("held-out figures need at least 2 segments")
    device = medium.singers.table.weight.device
    clips = torch.stack([segment.clip for segment in segments]).to(device)
    singer = torch.tensor([segment.singer for segment in segments], device=device)
    parts = torch.split(clips, _BATCH)
    z = torch.cat([medium.encode(part, None) for part in parts])
    # Segments are sorted by singer: half a turn gives nearly all of them the latent of another singer's clip.
    other = z.roll(len(segments) // 2, dims=0)

    def loss(latent: torch.Tensor) -> float:
        scored = [
            medium.loss(part, told, medium.singers(who)).double() * len(part)
            for part, told, who in zip(parts, torch.split(latent, _BATCH), torch.split(singer, _BATCH), strict=True)
        ]
        return torch.stack(scored).sum().item() / len(clips)

    guessed = medium.classifier(z).argmax(dim=1)
    return HeldOut(loss(z), loss(other), (guessed == singer).double().mean().item())
