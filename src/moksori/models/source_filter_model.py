"""The source-filter model: encoder of log-mels, decoder to a synthesiser's controls, and critic, joined.

Recipe `swift` trains it. Pitch and level come from the recording, so it is conditioned on the melody.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from moksori.audio import features, shapes
from moksori.audio.features import FeatureConfig
from moksori.models import conditions, synthesiser
from moksori.models.classifier import ClassifierConfig, SingerClassifier
from moksori.models.critic import Critic, CriticConfig
from moksori.models.expectation import Expectation
from moksori.models.mel_encoder import MelEncoder, MelEncoderConfig
from moksori.models.singers import SingerTable
from moksori.models.source_filter import SourceFilterConfig, SourceFilterDecoder
from moksori.models.synthesiser import Controls, SynthesiserConfig


@dataclass(frozen=True)
class SourceFilterModelConfig:
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
    def melody_hop_samples(self) -> int:
        """Hop of the melody conditioning, in samples: that of the features."""
        return self.hop_samples

    @property
    def has_detail(self) -> bool:
        """Whether the song's own envelopes are corrected."""
        return self.decoder.has_detail

    @property
    def depth(self) -> int:
        """Layers of encoder and decoder."""
        return self.encoder.layers + self.decoder.layers

    @property
    def receptive_field(self) -> None:
        """No past samples: frames on either side, see `context_frames`."""
        return None

    @property
    def longest_cycle(self) -> int:
        """Dilations do not go on doubling here."""
        return 0

    @property
    def context_frames(self) -> int:
        """Feature frames on either side that the controls of a frame depend on; a whole number of latent frames."""
        pool = self.encoder.pool_frames
        needed = self.encoder.context_frames + self.decoder.context_frames + pool
        return -(-needed // pool) * pool


class SourceFilterModel(nn.Module):
    """Source-filter model: features of any singer -> latent -> controls of a chosen singer.

    `encode` listens, `controls` says what to sing and by whom, `sung` tells what that will sound like. The confusion
    network and the critic travel with the model but take no part in conversion.
    """

    def __init__(self, config: SourceFilterModelConfig, singer_names: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        n_singers, n_mels, d = (
            len(singer_names),
            features.WINDOWS[features.ENCODER_WINDOW],
            config.encoder.latent_channels,
        )
        detailed = config.decoder.has_detail
        self.encoder = MelEncoder(config.encoder, features.N_BANDS + 1 if detailed else n_mels)
        self.singers = SingerTable(singer_names, config.singer_channels, 2 * features.N_BANDS if detailed else 0)
        self.decoder = SourceFilterDecoder(config.decoder, d, config.singer_channels)
        self.classifier = SingerClassifier(config.classifier, d, n_singers)
        self.critic = Critic(config.critic, n_mels, n_singers)

    @functools.cached_property
    def expectation(self) -> Expectation:
        """The expected log-mels of controls; made when first asked for, since only training asks."""
        device = self.singers.table.weight.device
        with torch.autocast(device.type, enabled=False):
            return Expectation(self.config.synthesiser, device)

    def encode(self, excerpts: Tensor) -> Tensor:
        """Excerpts of features `[B, N, F]` -> latent `[B, D, ceil(F / pool_frames)]`.

        The encoder gets the log-mel of the window `features.ENCODER_WINDOW`; in a model with a detail path the total
        shape less the recording's mean, which knows neither pitch nor microphone, and the level.
        """
        z: Tensor = self.encoder(self._encoder_input(excerpts))
        return z

    def _encoder_input(self, excerpts: Tensor) -> Tensor:
        if not self.config.decoder.has_detail:
            return conditions.mel(features.mels(excerpts)[features.ENCODER_WINDOW])
        shape, level = features.shape_of(excerpts, self.config.features)
        return self.encoder_input_of(shape, level, features.f0_hz(excerpts), features.mean_shape(excerpts))

    def encoder_input_of(self, shape: Tensor, level: Tensor, f0_hz: Tensor, mean: Tensor) -> Tensor:
        """The encoder's input of a sound, with a detail path: `[B, N_BANDS + 1, F]`.

        Args:
            shape: `[B, 2 N_BANDS, F]`, see `audio.shapes`.
            level: `[B, F]` in nepers.
            f0_hz: `[B, F]`, of which the voicing counts.
            mean: the recording's mean shape, `[B, 2 N_BANDS, 1]`.
        """
        whole = shapes.total(mean, torch.ones_like(f0_hz[:, :1]))
        return torch.cat([shapes.total(shape, f0_hz) - whole, conditions.level(conditions.dbfs(level))[:, None]], dim=1)

    def controls(self, z: Tensor, excerpts: Tensor, singer_vectors: Tensor) -> Controls:
        """What to sing.

        Args:
            z: `[B, D, F']`.
            excerpts: features `[B, N, F]`, of which pitch and level are read; with a detail path envelopes, the
                recording's mean and the gain, too.
            singer_vectors: `[B, E]`; with a detail path `[B, E + 2 N_BANDS]`.
        """
        f0_hz = features.f0_hz(excerpts)
        if not self.config.decoder.has_detail:
            controls: Controls = self.decoder(z, f0_hz, features.levels_dbfs(excerpts), singer_vectors)
            return controls
        shape, level = features.shape_of(excerpts, self.config.features)
        mean = features.mean_shape(excerpts)
        return self.controls_of(z, shape, level, f0_hz, mean, singer_vectors, self.gain(excerpts))

    def controls_of(
        self, z: Tensor, shape: Tensor, level: Tensor, f0_hz: Tensor, mean: Tensor, singer_vectors: Tensor, gain: Tensor
    ) -> Controls:
        """Controls with a detail path: of the excerpts that `encoder_input_of` is of, at a gain `[B]` in [0, 1]."""
        passing = shapes.coloured(shape, f0_hz, shapes.colour(mean, self._voice(singer_vectors)))
        sung = self.decoder.corrected(z, f0_hz, conditions.dbfs(level), singer_vectors, passing, gain)
        log_envelopes = shapes.log_envelopes(sung, level, f0_hz, self.config.features.envelope)
        harmonics, noise = log_envelopes.chunk(2, dim=1)
        return Controls(f0_hz, harmonics, noise)

    def sharpened(self, controls: Controls) -> Controls:
        """The controls as conversions sing them; training learns from controls as they are."""
        return synthesiser.sharpened(controls, self.config.decoder.sharpening, self.config.synthesiser)

    def gain(self, excerpts: Tensor) -> Tensor:
        """How much of the source's detail goes along, `[B]`: what the excerpts say, or what the model was made for."""
        said = features.gain(excerpts)
        return torch.where(said >= 0, said, torch.full_like(said, self.config.decoder.detail_gain))

    def sung_mean_shape(self, excerpts: Tensor, singer_vectors: Tensor) -> Tensor:
        """The mean shape of a song sung by singers of these vectors, `[B, 2 N_BANDS]`, corrections aside."""
        mean, voice = features.mean_shape(excerpts), self._voice(singer_vectors)
        colour = shapes.colour(mean, voice)
        passing = mean + torch.cat([colour, colour], dim=1)
        return torch.lerp(voice, passing, self.gain(excerpts)[:, None, None])[:, :, 0]

    def _voice(self, singer_vectors: Tensor) -> Tensor:
        """The mean shape of the singers' recordings, `[B, 2 N_BANDS, 1]`."""
        return singer_vectors[:, self.config.singer_channels :, None]

    def densities(self, controls: Controls) -> Tensor:
        """What would be measured of the sound of controls: envelopes without their pitch, `[B, 2 N_BANDS, F]`."""
        log_envelopes = torch.cat([controls.harmonics, controls.noise], dim=1)
        return shapes.densities(log_envelopes, controls.f0_hz, self.config.features.envelope)

    def sung(self, controls: Controls) -> Tensor:
        """What the encoder would hear of the sound of controls: log-mel `[B, M, F]`."""
        return self.expectation.of(controls, (features.ENCODER_WINDOW,))[features.ENCODER_WINDOW]
