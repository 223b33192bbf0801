"""WaveNet: scores for the next code from all codes before it, and from a condition. Usable alone.

    codes -> shift by one -> first conv -> blocks x layers of gated residuals -> sum of skips -> head -> logits

Source: van den Oord et al. 2016; widths as in the Universal Music Translation Network, which the published singing
system stands on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.audio import bands, mulaw
from moksori.models.conditions import Conditioning
from moksori.models.layers import GatedResidual, add_frames


@dataclass(frozen=True)
class WaveNetConfig:
    """Size of the decoder; the defaults are the paper's."""

    blocks: int = 4  # dilation cycles
    layers: int = 10  # layers a cycle, dilations 1, 2, 4, ...
    kernel_size: int = 2  # taps
    residual_channels: int = 128
    skip_channels: int = 128
    bands: int = 1  # codes a step: 1, those of a waveform; 4, those of its sub-bands (`audio.bands`)
    first_kernel_size: int = 0  # taps of the first convolution, a bank of learned filters; 0: as many as of the others

    def __post_init__(self) -> None:
        if self.kernel_size < 2:
            raise ValueError(f"wavenet kernel_size must be at least 2, not {self.kernel_size}")
        if min(self.blocks, self.layers, self.residual_channels, self.skip_channels) < 1:
            raise ValueError(f"wavenet sizes must be at least 1: {self}")
        if self.first_kernel_size < 0 or self.first_kernel_size == 1:
            raise ValueError(f"wavenet first_kernel_size must be 0 or at least 2, not {self.first_kernel_size}")
        if self.bands not in (1, bands.N_BANDS):
            raise ValueError(f"wavenet bands must be 1 or {bands.N_BANDS}, not {self.bands}")

    @property
    def dilations(self) -> list[int]:
        """Dilation of every layer, first to last."""
        return [2**layer for _ in range(self.blocks) for layer in range(self.layers)]

    @property
    def first_taps(self) -> int:
        """Taps of the first convolution."""
        return self.first_kernel_size or self.kernel_size

    @property
    def receptive_field(self) -> int:
        """Past samples one output can see, the first convolution included; 4,094 for the paper."""
        return self.bands * ((self.kernel_size - 1) * sum(self.dilations) + self.first_taps)


class WaveNet(nn.Module):
    """Codes `[B, T]` and a condition -> logits `[B, 256, T]`.

    The logits at t are the scores of code t given the codes before t: the input is shifted right by one inside, so a
    clip is its own target. Before the first sample the first convolution reads silence (code 128) and every layer
    above it zeros, in training and in generation alike.

    With four bands a step has four codes, which lie side by side in `codes`. All four are scored by one column of the
    net, each given the codes of earlier steps; a dilation counts steps. So a second of sound has a quarter of the
    columns, and each sees four times as far.

    Source of several bands a step: FeatherWave, Tian et al. 2020.
    """

    def __init__(self, config: WaveNetConfig, condition_channels: int = 0) -> None:
        super().__init__()
        residual, skip = config.residual_channels, config.skip_channels
        self.config = config
        self.condition_channels = condition_channels
        self.first = nn.Conv1d(config.bands, residual, config.first_taps)
        self.layers = nn.ModuleList(
            GatedResidual(residual, skip, condition_channels, config.kernel_size, dilation)
            for dilation in config.dilations
        )
        self.first_skip = nn.Conv1d(residual, skip, 1)
        self.hidden = nn.Conv1d(skip, skip, 1)
        self.hidden_condition = nn.Conv1d(condition_channels, skip, 1) if condition_channels else None
        self.logits = nn.Conv1d(skip, config.bands * mulaw.N_CODES, 1)

    def forward(self, codes: Tensor, conditioning: Conditioning | None = None, noise: Tensor | None = None) -> Tensor:
        """Score every code of a clip at once (teacher forcing).

        Args:
            codes: integers 0..255, `[B, T]`; with bands T is a multiple of their number.
            conditioning: describes exactly T samples; None for a net without a condition.
            noise: `[B, T]`, in codes, added to the past that is heard; None for none.

        Returns:
            `[B, 256, T]`; column t does not depend on codes[t:], nor on those of its own step.

        Raises:
            ValueError: a condition is missing, unasked for, or of another length or width.
        """
        frames = self._checked(conditioning, codes.shape[1])
        past = mulaw.to_scalar(codes) if noise is None else mulaw.to_scalar(codes) + noise / (mulaw.N_CODES - 1)
        steps = torch.unflatten(past.to(self.first.weight.dtype), 1, (-1, self.config.bands)).transpose(1, 2)
        x = self.first(shift_right(steps, self.config.first_taps))  # [B, bands, T / bands] -> [B, R, T / bands]
        skips = self.first_skip(x)
        for layer in self.gated_layers():
            x, skip = layer(x, frames)
            skips = skips + skip
        return self.head(skips, frames)

    def head(self, skips: Tensor, frames: Tensor | None) -> Tensor:
        """Sum of skips `[B, S, T / bands]` and frames `[B, C, F]` -> logits `[B, 256, T]`; steps a multiple of F."""
        hidden = self.hidden(torch.relu(skips))
        if self.hidden_condition is not None:
            hidden = add_frames(hidden, self.hidden_condition(frames))
        logits: Tensor = self.logits(torch.relu(hidden))
        if self.config.bands == 1:
            return logits
        by_band = torch.unflatten(logits, 1, (self.config.bands, -1))  # [B, bands, 256, T / bands]
        return by_band.permute(0, 2, 3, 1).flatten(2)

    def gated_layers(self) -> Iterator[GatedResidual]:
        """The gated layers, first to last, under their own type."""
        for layer in self.layers:
            assert isinstance(layer, GatedResidual)
            yield layer

    def _checked(self, conditioning: Conditioning | None, n_samples: int) -> Tensor | None:
        channels = 0 if conditioning is None else conditioning.frames.shape[1]
        if channels != self.condition_channels:
            raise ValueError(f"this WaveNet takes a condition of {self.condition_channels} channels, not {channels}")
        if conditioning is None:
            return None
        if conditioning.n_samples != n_samples:
            raise ValueError(f"the condition describes {conditioning.n_samples} samples, the clip has {n_samples}")
        return conditioning.frames


def shift_right(steps: Tensor, kernel_size: int) -> Tensor:
    """What the first convolution reads, so that its output at t sees the codes before t only.

    With two taps, and s for silence:

        codes            c0 c1 c2 c3
        read       s  s  c0 c1 c2          one s for the shift, one for the first tap
        output           y0 y1 y2 y3       y3 = taps over (c1, c2)

    Args:
        steps: codes as scalars, `[B, bands, T / bands]`.
        kernel_size: taps of the first convolution.

    Returns:
        `[B, bands, T / bands + kernel_size - 1]`.
    """
    silence = mulaw.to_scalar(torch.tensor(mulaw.SILENCE)).item()
    return functional.pad(steps[..., :-1], (kernel_size, 0), value=silence)
