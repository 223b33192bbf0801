"""Figures on held-out recordings while training: does the decoder use what it is told?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from moksori.data.segments import Segment
from moksori.training.media import Medium, SoloMedium

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
    clips, singer = _stacked(medium, segments)
    parts = torch.split(clips, _BATCH)
    z = torch.cat([medium.encode(part) for part in parts])
    # Segments are sorted by singer: half a turn gives nearly all of them the latent of another singer's clip.
    other = z.roll(len(segments) // 2, dims=0)

    def loss(latent: torch.Tensor) -> float:
        scored = [
            medium.loss(part, part, told, medium.singers(who)).double() * len(part)
            for part, told, who in zip(parts, torch.split(latent, _BATCH), torch.split(singer, _BATCH), strict=True)
        ]
        return torch.stack(scored).sum().item() / len(clips)

    guessed = medium.classifier(z).argmax(dim=1)
    return HeldOut(loss(z), loss(other), (guessed == singer).double().mean().item())


@torch.no_grad()
def held_out_alone(medium: SoloMedium, segments: Sequence[Segment]) -> dict[str, float]:
    """Score held-out segments with a WaveNet by itself.

    Args:
        medium: in any state of training.
        segments: at least 2, of one length.

    Returns:
        `loss`, in nats a sample; for a net that is told anything also `shuffled_loss`, with what is told of another
        segment and of its singer. The difference is what the condition is worth.

    Raises:
        ValueError: fewer than 2 segments; there is nothing to shuffle.
    """
    clips, singer = _stacked(medium, segments)
    told, vectors = medium.told(clips), medium.singers(singer)

    def loss(told: torch.Tensor, vectors: torch.Tensor) -> float:
        split = (torch.split(rows, _BATCH) for rows in (clips, told, vectors))
        scored = [medium.loss(*part).double() * len(part[0]) for part in zip(*split, strict=True)]
        return torch.stack(scored).sum().item() / len(clips)

    figures = {"loss": loss(told, vectors)}
    if told.shape[1] or vectors.shape[1]:
        turn = len(segments) // 2  # segments are sorted by singer: half a turn takes another singer's
        figures["shuffled_loss"] = loss(told.roll(turn, dims=0), vectors.roll(turn, dims=0))
    return figures


def _stacked(medium: Medium | SoloMedium, segments: Sequence[Segment]) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips `[N, ...]` and singers `[N]`, on the medium's device; N at least 2, or there is nothing to shuffle."""
    if len(segments) < 2:
        raise ValueError("held-out figures need at least 2 segments")
    device = medium.singers.table.weight.device
    clips = torch.stack([segment.clip for segment in segments]).to(device)
    return clips, torch.tensor([segment.singer for segment in segments], device=device)
