"""A decoder that knows the melody: it says how loud each region of the spectrum is, and never makes a wave.

    z, f0, level, singer --net--> envelopes of harmonics and of noise, by frame --synthesiser--> sound

Pitch comes from outside, so it is right by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.models import conditions
from moksori.models.synthesiser import Controls

_SILENT = -9.0  # log amplitude that an untrained decoder begins with, -78 dB


@dataclass(frozen=True)
class SourceFilterConfig:
    """Sizes of the net."""

    n_bands: int = 64  # of each envelope
    channels: int = 192
    layers: int = 6  # gated convolutions, dilations 1, 2, 4, 1, 2, 4, ...
    kernel_size: int = 3  # taps, odd

    def __post_init__(self) -> None:
        if min(self.channels, self.layers) < 1 or self.n_bands < 2:
            raise ValueError(f"channels and layers are at least 1, bands at least 2: {self}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; a centred convolution has an odd number of taps")

    @property
    def context_frames(self) -> int:
        """Frames on either side that a frame of controls depends on."""
        return _STEM // 2 + sum(_dilation(index) * (self.kernel_size // 2) for index in range(self.layers))


class SourceFilterDecoder(nn.Module):
    """Latent, pitch, level and singer -> `Controls`.

    The singer's vector scales and shifts the channels of every layer (feature-wise modulation: Perez et al. 2018) and
    has a word in the output, so that a voice is more than a word at the door.
    """

    def __init__(self, config: SourceFilterConfig, latent_channels: int, singer_channels: int) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Conv1d(latent_channels + conditions.MELODY_CHANNELS, config.channels, _STEM, padding=_STEM // 2)
        self.layers = nn.ModuleList(
            _ModulatedLayer(config.channels, singer_channels, config.kernel_size, _dilation(index))
            for index in range(config.layers)
        )
        self.last = nn.Conv1d(config.channels, 2 * config.n_bands, 1)
        self.timbre = nn.Linear(singer_channels, 2 * config.n_bands, bias=False)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, _SILENT)  # type: ignore[arg-type]

    def forward(self, z: Tensor, f0_hz: Tensor, level_dbfs: Tensor, singer: Tensor) -> Controls:
        """Say what to sing.

        Args:
            z: latent `[B, D, ceil(F / r)]` for some whole r; each frame of it holds for r frames.
            f0_hz: `[B, F]`, 0 where unvoiced.
            level_dbfs: `[B, F]`.
            singer: vectors `[B, E]`.
        """
        n_frames = f0_hz.shape[1]
        repeats = -(-n_frames // z.shape[2])
        held = z.repeat_interleave(repeats, dim=2)[:, :, :n_frames]
        told = conditions.melody(f0_hz, level_dbfs)
        hidden = self.first(torch.cat([held, told.to(held)], dim=1))
        for layer in self.layers:
            hidden = layer(hidden, singer)
        # Envelopes span many decades: they leave in full precision, whatever the net runs in.
        harmonics, noise = (self.last(hidden).float() + self.timbre(singer).float()[:, :, None]).chunk(2, dim=1)
        return Controls(f0_hz, harmonics, noise)


class _ModulatedLayer(nn.Module):
    """A gated residual convolution `[B, C, F] -> [B, C, F]` whose input a singer's vector scales and shifts."""

    def __init__(self, channels: int, singer_channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.gated = nn.Conv1d(channels, 2 * channels, kernel_size, padding=padding, dilation=dilation)
        self.modulation = nn.Linear(singer_channels, 2 * channels)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, singer: Tensor) -> Tensor:
        scale, shift = self.modulation(singer)[:, :, None].chunk(2, dim=1)
        gate, value = self.gated(x * (1 + scale) + shift).chunk(2, dim=1)
        mixed: Tensor = self.mix(torch.sigmoid(gate) * functional.silu(value))
        return x + mixed


_STEM = 5  # taps of the first convolution


def _dilation(index: int) -> int:
    return int(2 ** (index % 3))
