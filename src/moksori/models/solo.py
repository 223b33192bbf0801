"""A WaveNet by itself: no encoder, nobody to be converted. What it is told, if anything, stands in its settings.

    told                              condition                       what comes of it
    nothing                           none                            sound like that of the recordings, without words
    who sings                         global: the same at every step  the same, in one voice
    pitch and loudness                local: moves with time          a melody, without words
    log-mel                           local                           a vocoder: the recording, sung again

Global and local conditions may be joined. The paper of van den Oord et al. 2016 has them all: section 3.1 (a speaker),
3.2 (speech from text), 3.3 (music without a condition); equations of both kinds of condition are in section 2.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from moksori.audio import features
from moksori.audio.features import FeatureConfig
from moksori.models import conditions
from moksori.models.conditions import Conditioning
from moksori.models.singers import SingerTable
from moksori.models.wavenet import WaveNet, WaveNetConfig

N_MELODY_ROWS = 2  # f0 and level, the first rows of what is told of a recording


@dataclass(frozen=True)
class SoloConfig:
    """All that is needed, beside the singers' names, to build the model."""

    kind: str = "wavenet-alone"  # tells these settings from those of other models
    sample_rate: int = 16_000  # Hz
    hop_samples: int = 160  # how often the local condition changes
    singer_channels: int = 0  # width of a singer's vector, the global condition; 0: it is not told who sings
    is_told_melody: bool = False  # local condition: pitch and loudness
    mel_window_samples: int = 0  # local condition: the log-mel of this window, one of `features.WINDOWS`; 0: none
    decoder: WaveNetConfig = field(default_factory=WaveNetConfig)

    def __post_init__(self) -> None:
        if self.singer_channels < 0 or self.hop_samples < 1 or self.sample_rate < 1000:
            raise ValueError(
                f"singer_channels must not be negative, hop_samples at least 1, sample_rate at least 1000: {self}"
            )
        if self.mel_window_samples not in (0, *features.WINDOWS):
            known = ", ".join(map(str, sorted(features.WINDOWS)))
            raise ValueError(f"mel_window_samples must be 0 or one of {known}, not {self.mel_window_samples}")
        if self.is_told_a_recording:
            _ = self.features  # refuses what it refuses

    @property
    def is_told_a_recording(self) -> bool:
        """Whether there is a local condition, which comes from a recording."""
        return self.is_told_melody or self.mel_window_samples > 0

    @property
    def is_told_the_singer(self) -> bool:
        """Whether there is a global condition."""
        return self.singer_channels > 0

    @property
    def n_mels(self) -> int:
        """Mel bands that it is told; 0 for none."""
        return features.WINDOWS[self.mel_window_samples] if self.mel_window_samples else 0

    @property
    def condition_channels(self) -> int:
        """Width of the condition, all kinds together."""
        return self.singer_channels + conditions.MELODY_CHANNELS * self.is_told_melody + self.n_mels

    @property
    def features(self) -> FeatureConfig:
        """How a recording becomes what is told."""
        return FeatureConfig(self.sample_rate, self.hop_samples)

    @property
    def latent_hop_samples(self) -> int:
        """Samples that a frame of the condition lasts; there is no latent, but recipes ask every model alike."""
        return self.hop_samples

    @property
    def melody_hop_samples(self) -> int:
        """How often the melody is told; 0: it is not."""
        return self.hop_samples if self.is_told_melody else 0

    @property
    def has_detail(self) -> bool:
        """Nothing of a song goes along."""
        return False

    @property
    def depth(self) -> int:
        """Layers of the decoder."""
        return self.decoder.blocks * self.decoder.layers

    @property
    def receptive_field(self) -> int:
        """Past samples that a score depends on."""
        return self.decoder.receptive_field

    @property
    def longest_cycle(self) -> int:
        """Layers of a cycle of doubling dilations."""
        return self.decoder.layers


class Solo(nn.Module):
    """Codes, and what is told -> scores of the next code."""

    def __init__(self, config: SoloConfig, singer_names: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self.singers = SingerTable(singer_names, config.singer_channels)
        self.decoder = WaveNet(config.decoder, config.condition_channels)

    def conditioning(self, told: Tensor, singer_vectors: Tensor) -> Conditioning:
        """What the decoder is told, laid out: the melody, the log-mel, the singer, each if it is asked for.

        Args:
            told: `[B, R, F]`, rows of a recording: f0 in Hz (0 where unvoiced), level in dBFS, log-mel. A net that is
                told nothing of a recording reads only F, how long it shall sing.
            singer_vectors: `[B, E]`, E = 0 for a net that is not told who sings.

        Raises:
            ValueError: not as many rows as this net is told.
        """
        config, n_frames = self.config, told.shape[2]
        n_rows = N_MELODY_ROWS + config.n_mels
        if config.is_told_a_recording and told.shape[1] != n_rows:
            raise ValueError(f"this WaveNet is told {n_rows} rows of a recording, not {told.shape[1]}")
        parts = []
        if config.is_told_melody:
            parts.append(conditions.melody(told[:, 0], told[:, 1]))
        if config.n_mels:
            parts.append(conditions.mel(told[:, N_MELODY_ROWS:]))
        parts.append(singer_vectors.unsqueeze(2).expand(-1, -1, n_frames))  # [B, E] -> [B, E, F]
        return Conditioning(torch.cat([part.to(singer_vectors) for part in parts], dim=1), config.hop_samples)

    def logits(self, codes: Tensor, told: Tensor, singer_vectors: Tensor) -> Tensor:
        """Scores `[B, 256, T]` of the codes `[B, T]`, each given the ones before it and what `conditioning` tells."""
        scores: Tensor = self.decoder(codes, self.conditioning(told, singer_vectors))
        return scores
