"""A WaveNet by itself, a vocoder if conditioned on log-mels: no encoder. Its settings say its conditioning.

    conditioned on                    conditioning                    what comes of it
    nothing                           none                            sound like that of the recordings, without words
    who sings                         global: the same at every step  the same, in one voice
    pitch and loudness                local: moves with time          a melody, without words
    the phase of that pitch           local, every few samples        a melody in tune
    log-mel                           local                           a vocoder: the recording, sung again

Global and local conditions may be joined. The paper of van den Oord et al. 2016 has them all: section 3.1 (a speaker),
3.2 (speech from text), 3.3 (music without a condition); equations of both kinds of condition are in section 2.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor, nn

from moksori.audio import bands, features
from moksori.audio import phase as phases
from moksori.audio.features import FeatureConfig
from moksori.models import conditions
from moksori.models.conditions import Conditioning
from moksori.models.singers import SingerTable
from moksori.models.wavenet import WaveNet, WaveNetConfig
from moksori.settings import FormerName

N_MELODY_ROWS = 2  # f0 and level, the first rows of the local features


@dataclass(frozen=True)
class SoloConfig:
    """All that is needed, beside the singers' names, to build the model."""

    kind: str = "wavenet-alone"  # tells these settings from those of other models
    sample_rate: int = 16_000  # Hz
    hop_samples: int = 160  # how often the local conditioning changes
    singer_channels: int = 0  # width of a singer's vector, the global conditioning; 0: none
    # local conditioning: pitch and loudness
    is_melody_conditioned: Annotated[bool, FormerName("is_told_melody")] = False
    mel_window_samples: int = 0  # local conditioning: the log-mel of this window, one of `features.WINDOWS`; 0: none
    decoder: WaveNetConfig = field(default_factory=WaveNetConfig)
    phase_hop_samples: int = 0  # with the melody: how often the phase of its pitch is given, too; 0: never

    def __post_init__(self) -> None:
        if self.singer_channels < 0 or self.hop_samples < 1 or self.sample_rate < 1000:
            raise ValueError(
                f"singer_channels must not be negative, hop_samples at least 1, sample_rate at least 1000: {self}"
            )
        if self.hop_samples % self.decoder.bands:
            raise ValueError(f"hop_samples must be whole steps of {self.decoder.bands} bands, not {self.hop_samples}")
        if self.mel_window_samples not in (0, *features.WINDOWS):
            known = ", ".join(map(str, sorted(features.WINDOWS)))
            raise ValueError(f"mel_window_samples must be 0 or one of {known}, not {self.mel_window_samples}")
        if (hop := self.phase_hop_samples) and (
            hop < 0 or self.hop_samples % hop or hop % self.decoder.bands or not self.is_melody_conditioned
        ):
            raise ValueError(
                f"phase_hop_samples must be 0, or divide the hop of {self.hop_samples} in whole steps of "
                f"{self.decoder.bands} bands, and it wants is_melody_conditioned: {self}"
            )
        if self.has_local_conditioning:
            _ = self.features  # refuses what it refuses

    @property
    def has_local_conditioning(self) -> bool:
        """Whether there is local conditioning, which comes from a recording."""
        return self.is_melody_conditioned or self.mel_window_samples > 0

    @property
    def has_global_conditioning(self) -> bool:
        """Whether there is global conditioning."""
        return self.singer_channels > 0

    @property
    def n_mels(self) -> int:
        """Mel bands of the local conditioning; 0 for none."""
        return features.WINDOWS[self.mel_window_samples] if self.mel_window_samples else 0

    @property
    def condition_channels(self) -> int:
        """Width of the conditioning, all kinds together."""
        n_melody = conditions.MELODY_CHANNELS * self.is_melody_conditioned
        return self.singer_channels + n_melody + self.n_mels + conditions.PHASE_CHANNELS * self.has_phase

    @property
    def has_phase(self) -> bool:
        """Whether it is conditioned on the phase of the pitch, too."""
        return self.phase_hop_samples > 0

    @property
    def features(self) -> FeatureConfig:
        """How a recording becomes local features."""
        return FeatureConfig(self.sample_rate, self.hop_samples)

    @property
    def latent_hop_samples(self) -> int:
        """Samples that a frame of the condition lasts; there is no latent, but recipes ask every model alike."""
        return self.hop_samples

    @property
    def melody_hop_samples(self) -> int:
        """Hop of the melody conditioning, in samples; 0 where there is none."""
        return self.hop_samples if self.is_melody_conditioned else 0

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
    """WaveNet by itself: codes and conditioning features -> scores of the next code."""

    def __init__(self, config: SoloConfig, singer_names: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self.singers = SingerTable(singer_names, config.singer_channels)
        self.decoder = WaveNet(config.decoder, config.condition_channels)

    def conditioning(self, local_features: Tensor, singer_vectors: Tensor, codes: Tensor | None = None) -> Conditioning:
        """The decoder's conditioning: melody, log-mel, singer and phase, each if the settings ask for it.

        Args:
            local_features: `[B, R, F]`, rows of a recording: f0 in Hz (0 where unvoiced), level in dBFS, log-mel. A net
                without local conditioning reads only F, how long it shall sing.
            singer_vectors: `[B, E]`, E = 0 for a net without global conditioning.
            codes: those of the clip that are known, `[B, T]`, T at most F * hop: all while it learns, or those that it
                goes on from. The phase is that of their sound, and after them goes on by the pitch.

        Raises:
            ValueError: not as many rows as this net is conditioned on.
        """
        config, n_frames = self.config, local_features.shape[2]
        n_rows = N_MELODY_ROWS + config.n_mels
        if config.has_local_conditioning and local_features.shape[1] != n_rows:
            raise ValueError(
                f"this WaveNet is conditioned on {n_rows} rows of a recording, not {local_features.shape[1]}"
            )
        parts = []
        if config.is_melody_conditioned:
            parts.append(conditions.melody(local_features[:, 0], local_features[:, 1]))
        if config.n_mels:
            parts.append(conditions.mel(local_features[:, N_MELODY_ROWS:]))
        parts.append(singer_vectors.unsqueeze(2).expand(-1, -1, n_frames))  # [B, E] -> [B, E, F]
        rows = torch.cat([part.to(singer_vectors) for part in parts], dim=1)
        if not config.has_phase:
            return Conditioning(rows, config.hop_samples)
        f0_hz = local_features[:, 0]
        return conditions.with_phase(Conditioning(rows, config.hop_samples), self._cycles(f0_hz, codes), f0_hz)

    def _cycles(self, f0_hz: Tensor, codes: Tensor | None) -> Tensor:
        config = self.config
        sizes = (config.hop_samples, config.sample_rate, config.phase_hop_samples)
        if codes is None or not codes.shape[1]:
            return phases.of_pitch(f0_hz, *sizes)
        return phases.of_sound(bands.decode(codes, config.decoder.bands), f0_hz, *sizes)

    def logits(
        self, codes: Tensor, local_features: Tensor, singer_vectors: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Scores `[B, 256, T]` of the codes `[B, T]`, each given the ones before it and the `conditioning`.

        Noise `[B, T]`, in codes, is added to the ones before.
        """
        scores: Tensor = self.decoder(codes, self.conditioning(local_features, singer_vectors, codes), noise)
        return scores
