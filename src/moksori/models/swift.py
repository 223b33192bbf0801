"""The parts of a voice that knows the melody, joined."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from moksori.audio import features
from moksori.audio.features import FeatureConfig
from moksori.models.classifier import ClassifierConfig, SingerClassifier
from moksori.models.critic import Critic, CriticConfig
from moksori.models.expectation import Expectation
from moksori.models.mel_encoder import MelEncoder, MelEncoderConfig
from moksori.models.singers import SingerTable
from moksori.models.source_filter import SourceFilterConfig, SourceFilterDecoder
from moksori.models.synthesiser import Controls, SynthesiserConfig


@dataclass(frozen=True)
class SwiftConfig:
    """All that is needed, beside the singers' names, to build the model."""

    kind: str = "source-filter"  # tells these settings from those of other models
    sample_rate: int = 24_000  # Hz
    hop_samples: int = 240  # from one frame of features to the next
    singer_channels: int = 64  # E
    encoder: MelEncoderConfig = field(default_factory=MelEncoderConfig)
    decoder: SourceFilterConfig = field(default_factory=SourceFilterConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)

    def __post_init__(self) -> None:
        if self.singer_channels < 1:
            raise ValueError(f"singer_channels must be at least 1: {self}")
        _ = self.features, self.synthesiser  # refuse what they refuse

    @property
    def features(self) -> FeatureConfig:
        """How a recording becomes features."""
        return FeatureConfig(self.sample_rate, self.hop_samples)

    @property
    def synthesiser(self) -> SynthesiserConfig:
        """How controls become sound."""
        return SynthesiserConfig(self.sample_rate, self.hop_samples, self.decoder.n_bands)

    @property
    def latent_hop_samples(self) -> int:
        """Samples a latent frame lasts."""
        return self.hop_samples * self.encoder.pool_frames

    @property
    def context_frames(self) -> int:
        """Feature frames on either side that the controls of a frame depend on; a whole number of latent frames."""
        pool = self.encoder.pool_frames
        needed = self.encoder.context_frames + self.decoder.context_frames + pool
        return -(-needed // pool) * pool


class Swift(nn.Module):
    """Features of any singer -> latent -> controls of a chosen singer.

    `encode` listens, `controls` says what to sing and by whom, `heard` tells what that will sound like. The confusion
    network and the critic travel with the model but take no part in conversion.
    """

    def __init__(self, config: SwiftConfig, singer_names: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        n_singers, n_mels, d = len(singer_names), features.WINDOWS[features.HEARD], config.encoder.latent_channels
        self.encoder = MelEncoder(config.encoder, n_mels)
        self.singers = SingerTable(singer_names, config.singer_channels)
        self.decoder = SourceFilterDecoder(config.decoder, d, config.singer_channels)
        self.classifier = SingerClassifier(config.classifier, d, n_singers)
        self.critic = Critic(config.critic, n_mels, n_singers)

    @functools.cached_property
    def expectation(self) -> Expectation:
        """What controls will sound like; made when it is first asked for, since only training asks."""
        device = self.singers.table.weight.device
        with torch.autocast(device.type, enabled=False):
            return Expectation(self.config.synthesiser, device)

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel of the window `features.HEARD`, `[B, M, F]` -> latent `[B, D, ceil(F / pool_frames)]`."""
        z: Tensor = self.encoder(mel)
        return z

    def controls(self, z: Tensor, told: Tensor, singer_vectors: Tensor) -> Controls:
        """What to sing.

        Args:
            z: `[B, D, F']`.
            told: features `[B, N_VALUES, F]`, of which only pitch and level are read.
            singer_vectors: `[B, E]`.
        """
        controls: Controls = self.decoder(z, features.f0_hz(told), features.levels_dbfs(told), singer_vectors)
        return controls

    def sung(self, controls: Controls) -> Tensor:
        """What the encoder would hear of the sound of controls: log-mel `[B, M, F]`."""
        return self.expectation.of(controls, (features.HEARD,))[features.HEARD]
