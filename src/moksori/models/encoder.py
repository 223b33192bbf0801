"""The encoder: codes in, latent out. One for all singers. It hears the codes themselves, or their spectrogram."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.audio import bands, features, mulaw, spectral
from moksori.audio.spectral import SpectralConfig
from moksori.models import conditions
from moksori.models.layers import CentredResidual
from moksori.models.mel_encoder import MelEncoder, MelEncoderConfig

_LONGEST_WINDOW = 1 << 15  # samples; a header may ask for any
_MOST_MELS = 512


@dataclass(frozen=True)
class EncoderConfig:
    """Size of the encoder; the defaults are the paper's."""

    blocks: int = 3  # dilation cycles
    layers: int = 10  # layers a cycle, dilations 1, 2, 4, ...
    channels: int = 128
    kernel_size: int = 3  # taps, odd
    latent_channels: int = 64  # D
    hop_samples: int = 800  # samples pooled into one latent vector: 50 ms at 16 kHz
    # Of an encoder that hears the log-mel of its codes, `SpectralEncoder`:
    window_samples: int = 0  # 0: it hears the codes themselves
    n_mels: int = 80
    pool_frames: int = 2  # mel frames in a latent frame
    # At either end of a training clip an encoder hears silence where the song goes on: so many latent frames there are
    # heard, but no decoder is taught them. An encoder of long context and a decoder of short clips want that.
    untaught_frames: int = 0

    def __post_init__(self) -> None:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"encoder kernel_size must be odd, not {self.kernel_size}")
        sizes = (self.blocks, self.layers, self.channels, self.kernel_size, self.latent_channels, self.hop_samples)
        if min(sizes) < 1:
            raise ValueError(f"encoder sizes must be at least 1: {self}")
        if min(self.window_samples, self.n_mels - 1, self.pool_frames - 1, self.untaught_frames) < 0 or (
            self.is_spectral and self.hop_samples % self.pool_frames
        ):
            raise ValueError(
                f"encoder window_samples and untaught_frames are at least 0, n_mels and pool_frames at least 1, and "
                f"pool_frames divides hop_samples: {self}"
            )
        if self.window_samples > _LONGEST_WINDOW or self.n_mels > _MOST_MELS:
            raise ValueError(
                f"encoder window_samples is at most {_LONGEST_WINDOW}, n_mels at most {_MOST_MELS}: {self}"
            )

    @property
    def is_spectral(self) -> bool:
        """Whether it hears the log-mel of its codes."""
        return self.window_samples > 0

    @property
    def mel_hop_samples(self) -> int:
        """Samples from one frame of the log-mel to the next."""
        return self.hop_samples // self.pool_frames

    @property
    def net(self) -> MelEncoderConfig:
        """The net that hears a log-mel."""
        layers = self.blocks * self.layers
        return MelEncoderConfig(self.channels, layers, self.kernel_size, self.latent_channels, self.pool_frames)

    @property
    def context_samples(self) -> int:
        """Samples on either side of a sample that its features can see (before pooling)."""
        if self.is_spectral:
            reach = self.window_samples // 2 + bands.TAPS
            return self.net.context_frames * self.mel_hop_samples + reach
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
        _check_length(codes, hop)
        sound = mulaw.to_scalar(codes).to(self.stem.weight.dtype).unsqueeze(1)  # [B, 1, T]
        features = self.head(self.body(self.stem(sound)))  # [B, D, T]
        return functional.avg_pool1d(features, hop)


class SpectralEncoder(nn.Module):
    """Codes `[B, T]` -> latent z `[B, D, T / hop_samples]`, by way of their log-mel spectrogram. Not causal.

    Pitch is a period of the codes, which a net that hears them has to learn from reconstruction alone. In a window of
    several periods it is a place in the spectrum: a small net has it in its latent from the first steps on. What is
    heard has no gradient.
    """

    def __init__(self, config: EncoderConfig, sample_rate: int, n_bands: int = 1) -> None:
        super().__init__()
        self.config, self.n_bands = config, n_bands
        self.spectral = SpectralConfig(
            sample_rate, config.window_samples, config.mel_hop_samples, config.n_mels, features.LOW_HZ
        )
        self.net = MelEncoder(config.net, config.n_mels)
        self.filterbank: Tensor
        with torch.device("cpu"):  # a model file is first read into shapes without numbers, and these are not in it
            self.register_buffer("filterbank", spectral.mel_filterbank(self.spectral), persistent=False)

    @torch.no_grad()
    def log_mels(self, codes: Tensor) -> Tensor:
        """Log-mels of codes, as channels of around 1: `[B, T] -> [B, M, T / mel_hop_samples]`."""
        magnitude = spectral.magnitude(bands.decode(codes, self.n_bands), self.spectral)
        return conditions.mel(features.log_mel(magnitude, self.filterbank))

    def forward(self, codes: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        _check_length(codes, self.config.hop_samples)
        z: Tensor = self.net(self.log_mels(codes))
        return z


AnyEncoder = Encoder | SpectralEncoder


def build(config: EncoderConfig, sample_rate: int, n_bands: int) -> AnyEncoder:
    """The encoder of these settings, untrained."""
    return SpectralEncoder(config, sample_rate, n_bands) if config.is_spectral else Encoder(config)


def _check_length(codes: Tensor, hop_samples: int) -> None:
    if codes.dim() != 2 or codes.shape[1] == 0 or codes.shape[1] % hop_samples:
        raise ValueError(f"codes must be [B, T] with T a positive multiple of {hop_samples}, not {list(codes.shape)}")
