"""What a decoder may be told, and how it is laid out.

A condition is a row of frames: `[B, C, F]` with a hop in samples. The latent changes from frame to frame (local
condition), the singer does not (global condition) and is repeated over the frames. Further conditions (pitch,
loudness, mel) join along the channels after being brought to the same hop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Frames that a decoder is told, each one valid for `hop_samples` samples."""

    frames: Tensor  # [B, C, F]
    hop_samples: int

    @property
    def n_samples(self) -> int:
        """Length of the clip described, F * hop."""
        return self.frames.shape[2] * self.hop_samples


def join(latent: Tensor, singer: Tensor, hop_samples: int) -> Conditioning:
    """Put the latent and the singer's vector into one condition, as in the concatenation of the published system.

    Args:
        latent: z `[B, D, F]`.
        singer: singer embedding `[B, E]`, repeated over the frames.
        hop_samples: samples a latent frame lasts.

    Returns:
        Frames `[B, D + E, F]`, the latent first.
    """
    repeated = singer.unsqueeze(2).expand(-1, -1, latent.shape[2])  # [B, E] -> [B, E, F]
    return Conditioning(torch.cat([latent, repeated], dim=1), hop_samples)
