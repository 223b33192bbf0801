"""The encoder: codes in, latent out. One for all singers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from moksori.audio import mulaw
from moksori.models.layers import CentredResidual


@dataclass(frozen=True)
class EncoderConfig:
    """Size of the encoder; the defaults are the paper's."""

    blocks: int = 3  # dilation cycles
    layers: int = 10  # layers a cycle, dilations 1, 2, 4, ...
    channels: int = 128
    kernel_size: int = 3  # taps, odd
    latent_channels: int = 64  # D
    hop_samples: int = 800  # samples pooled into one latent vector: 50 ms at 16 kHz

    def __post_init__(self) -> None:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"encoder kernel_size must be odd, not {self.kernel_size}")
        sizes = (self.blocks, self.layers, self.channels, self.kernel_size, self.latent_channels, self.hop_samples)
        if min(sizes) < 1:
            raise ValueError(f"encoder sizes must be at least 1: {self}")

    @property
    def context_samples(self) -> int:
        """Samples on either side of a sample that its features can see (before pooling)."""
        half, cycle = self.kernel_size // 2, (1 << self.layers) - 1
        return half + self.blocks * half * cycle

    @property
    def receptive_field(self) -> int:
        """Samples that one feature can see, itself included; 6,141 for the paper."""
        return 2 * self.context_samples + 1


class Encoder(nn.Module):
    """Codes `[B, T]` -> latent z `[B, D, F]`, F = T / hop_samples.

    A stem, `blocks` cycles of non-causal dilated residual layers, a 1x1 head, and an average over each hop. Moving the
    input by one hop moves the latent by one frame (away from the ends, where zeros are padded).

    Source: Nachmani and Wolf 2019, section 3; sizes as in Mor et al. 2019, section 3.1.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv1d(1, config.channels, config.kernel_size, padding=config.kernel_size // 2)
        self.body = nn.Sequential(
            *(
                CentredResidual(config.channels, config.kernel_size, 2**layer)
                for _ in range(config.blocks)
                for layer in range(config.layers)
            )
        )
        self.head = nn.Conv1d(config.channels, config.latent_channels, 1)

    def layers(self) -> Iterator[CentredResidual]:
        """The layers of the body, first to last."""
        for layer in self.body:
            assert isinstance(layer, CentredResidual)
            yield layer

    def forward(self, codes: Tensor) -> Tensor:
        """Listen to clips of mu-law codes.

        Args:
            codes: integers 0..255, `[B, T]`, T a multiple of the hop.

        Returns:
            z `[B, D, T / hop_samples]`, not bounded.

        Raises:
            ValueError: T is not a positive multiple of the hop.
        """
        hop = self.config.hop_samples
        if codes.dim() != 2 or codes.shape[1] == 0 or codes.shape[1] % hop:
            raise ValueError(f"codes must be [B, T] with T a positive multiple of {hop}, not {list(codes.shape)}")
        sound = mulaw.to_scalar(codes).to(self.stem.weight.dtype).unsqueeze(1)  # [B, 1, T]
        features = self.head(self.body(self.stem(sound)))  # [B, D, T]
        return functional.avg_pool1d(features, hop)
