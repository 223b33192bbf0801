"""The encoder of models conditioned on the melody: log-mel in, latent out. One for all singers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

_DILATIONS = (1, 2, 4)


@dataclass(frozen=True)
class MelEncoderConfig:
    """Size of the encoder."""

    channels: int = 160
    layers: int = 5
    kernel_size: int = 5  # taps, odd
    latent_channels: int = 16  # D
    pool_frames: int = 2  # feature frames a latent frame lasts

    def __post_init__(self) -> None:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"encoder kernel_size must be odd, not {self.kernel_size}")
        if min(self.channels, self.layers, self.kernel_size, self.latent_channels, self.pool_frames) < 1:
            raise ValueError(f"encoder sizes must be at least 1: {self}")

    @property
    def context_frames(self) -> int:
        """Feature frames on either side of a latent frame that it depends on."""
        dilations = [1, *(_DILATIONS[index % len(_DILATIONS)] for index in range(self.layers))]
        return (self.kernel_size // 2) * sum(dilations)


class MelEncoder(nn.Module):
    """Bands of around 1 `[B, M, F]` -> latent z `[B, D, ceil(F / pool_frames)]`.

    Not causal. Every frame is normalised by itself, so a stretch of a song (with context) has the latent of the whole.
    """

    def __init__(self, config: MelEncoderConfig, n_bands: int) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.first = nn.Conv1d(n_bands, width, config.kernel_size, padding=config.kernel_size // 2)
        self.layers = nn.ModuleList(
            _Layer(width, config.kernel_size, _DILATIONS[index % len(_DILATIONS)]) for index in range(config.layers)
        )
        self.last = nn.Conv1d(width, config.latent_channels, 1)

    def forward(self, bands: Tensor) -> Tensor:
        hidden = self.first(bands)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        z: Tensor = self.last(functional.avg_pool1d(hidden, self.config.pool_frames, ceil_mode=True))
        return z.float()


class _Layer(nn.Module):
    """Normalised, activated, convolved, mixed: what is added to the input, `[B, C, F] -> [B, C, F]`."""

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        padding = (kernel_size // 2) * dilation
        self.dilated = nn.Conv1d(channels, channels, kernel_size, padding=padding, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normalised = self.norm(x.transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = self.mix(functional.silu(self.dilated(functional.silu(normalised))))
        return mixed
