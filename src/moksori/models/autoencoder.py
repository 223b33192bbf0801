"""The named parts joined: encoder, decoder, singer table and confusion network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from moksori.models import conditions
from moksori.models.classifier import ClassifierConfig, SingerClassifier
from moksori.models.encoder import Encoder, EncoderConfig
from moksori.models.singers import SingerTable
from moksori.models.wavenet import WaveNet, WaveNetConfig


@dataclass(frozen=True)
class ModelConfig:
    """All that is needed, beside the singers' names, to build the model."""

    kind: str = "wavenet"  # tells these settings from those of other models
    sample_rate: int = 16_000  # Hz
    singer_channels: int = 64  # E
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: WaveNetConfig = field(default_factory=WaveNetConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)

    def __post_init__(self) -> None:
        if self.sample_rate < 1000 or self.singer_channels < 1:
            raise ValueError(f"sample_rate must be at least 1000 Hz and singer_channels at least 1: {self}")

    @property
    def latent_hop_samples(self) -> int:
        """Samples a latent frame lasts."""
        return self.encoder.hop_samples


class Autoencoder(nn.Module):
    """Clips of any singer -> latent -> clips of a chosen singer.

    `encode` listens, `conditioning` says what to sing and by whom, `logits` scores a clip under that condition. The
    confusion network `classifier` travels with the model but takes no part in conversion.
    """

    def __init__(self, config: ModelConfig, singer_names: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.singers = SingerTable(singer_names, config.singer_channels)
        self.decoder = WaveNet(config.decoder, config.encoder.latent_channels + config.singer_channels)
        self.classifier = SingerClassifier(config.classifier, config.encoder.latent_channels, len(singer_names))

    @property
    def hop_samples(self) -> int:
        """Samples a latent frame lasts."""
        return self.config.encoder.hop_samples

    def encode(self, codes: Tensor) -> Tensor:
        """Codes `[B, T]` -> latent `[B, D, T / hop_samples]`."""
        z: Tensor = self.encoder(codes)
        return z

    def conditioning(self, z: Tensor, singer_vectors: Tensor) -> conditions.Conditioning:
        """Latent `[B, D, F]` and singer vectors `[B, E]` -> what the decoder is told."""
        return conditions.join(z, singer_vectors, self.hop_samples)

    def logits(self, codes: Tensor, z: Tensor, singer_vectors: Tensor) -> Tensor:
        """Scores `[B, 256, T]` of the codes `[B, T]`, each given the ones before it, z and the singer."""
        scores: Tensor = self.decoder(codes, self.conditioning(z, singer_vectors))
        return scores
