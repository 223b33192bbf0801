"""What an encoder hears while it learns: the same words, as if sung by anybody.

Formants are moved and the tone is coloured by chance, so that they tell the encoder nothing about the singer, and what
it says cannot depend on them. The clip to be rebuilt stays as it is.

Source: information perturbation, Choi et al. 2021 (NANSY), section 3.1; here on the log-mel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_TONE_KNOTS = 6  # of the line that colours a spectrum


@dataclass(frozen=True)
class PerturbConfig:
    """How far a log-mel may be moved."""

    stretch: float = 0.12  # of the axis of bands, up or down, as a share of it
    shift_bands: float = 3.0  # up or down
    tone: float = 0.8  # standard deviation of the colouring's knots, in nepers
    loudness: float = 0.5  # standard deviation, in nepers

    def __post_init__(self) -> None:
        if min(self.stretch, self.shift_bands, self.tone, self.loudness) < 0 or self.stretch >= 1:
            raise ValueError(f"perturbations must not be negative, and stretch below 1: {self}")


def perturbed(mel: Tensor, config: PerturbConfig, generator: torch.Generator) -> Tensor:
    """Another colour for every clip: `[B, M, F] -> [B, M, F]`."""
    n_clips, n_mels, n_frames = mel.shape
    device = mel.device

    def either_way(size: float) -> Tensor:
        return size * (2 * torch.rand(n_clips, 1, generator=generator, device=device) - 1)

    bands = torch.arange(n_mels, device=device)
    place = (bands * (1 + either_way(config.stretch)) + either_way(config.shift_bands)).clamp(0, n_mels - 1.001)
    low = place.long()
    share = (place - low)[:, :, None]
    ends = [mel.gather(1, (low + step)[:, :, None].expand(-1, -1, n_frames)) for step in (0, 1)]
    knots = config.tone * torch.randn(n_clips, 1, _TONE_KNOTS, generator=generator, device=device)
    tone = functional.interpolate(knots, n_mels, mode="linear", align_corners=True).transpose(1, 2)
    loudness = config.loudness * torch.randn(n_clips, 1, 1, generator=generator, device=device)
    return ends[0] * (1 - share) + ends[1] * share + tone + loudness
