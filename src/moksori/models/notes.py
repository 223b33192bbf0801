"""The pitch adversary: which note does a latent frame come from? Trained to know, while the encoder learns to hide it.

A decoder conditioned on the pitch must take it from there, and from nowhere else: what is left of it in the latent
would pull against a transposition, and sing out of key.

Source: Deng et al. 2020 (PitchNet), section 2.2, an adversary that reads pitch from the latent. Theirs regresses; this
one names the note, so that its loss has a ceiling of guessing, as the confusion network's has.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

LOWEST_MIDI, N_NOTES = 36, 49  # C2 to C6; what lies beyond counts as the nearest
NO_NOTE = -1


@dataclass(frozen=True)
class NoteConfig:
    """Size of the note classifier."""

    channels: int = 100

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1, not {self.channels}")


class NoteClassifier(nn.Module):
    """Latent `[B, D, F]` -> note logits `[B, 49, F]`."""

    def __init__(self, config: NoteConfig, latent_channels: int) -> None:
        super().__init__()
        width = config.channels
        self.body = nn.Sequential(
            nn.Conv1d(latent_channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, N_NOTES, 1),
        )

    def forward(self, z: Tensor) -> Tensor:
        scores: Tensor = self.body(z)
        return scores


def of(f0_hz: Tensor, n_latents: int) -> Tensor:
    """The note of each latent frame: the mean over the voiced frames of pitch within it.

    Args:
        f0_hz: `[B, n_latents * r]`, 0 where unvoiced.
        n_latents: latent frames.

    Returns:
        int64 `[B, n_latents]`, 0..48, or `NO_NOTE`.
    """
    within = torch.unflatten(f0_hz, 1, (n_latents, -1))  # [B, F, r]
    is_voiced = within > 0
    midi = 69.0 + 12.0 * torch.log2(within.clamp(min=1.0) / 440.0)
    mean = (midi * is_voiced).sum(dim=2) / is_voiced.sum(dim=2).clamp(min=1)
    notes = (mean.round().long() - LOWEST_MIDI).clamp(0, N_NOTES - 1)
    return torch.where(is_voiced.any(dim=2), notes, NO_NOTE)
