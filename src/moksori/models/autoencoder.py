"""The WaveNet autoencoder of the paper: encoder, decoder, singer table and confusion network joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from moksori.audio import bands
from moksori.audio import phase as phases
from moksori.audio.features import FeatureConfig
from moksori.models import conditions, encoder
from moksori.models.classifier import ClassifierConfig, SingerClassifier
from moksori.models.ear import Ear, EarConfig
from moksori.models.encoder import EncoderConfig
from moksori.models.notes import NoteClassifier, NoteConfig
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
    melody_hop_samples: int = 0  # hop of the conditioning on pitch and loudness; 0: none, the latent says it
    notes: NoteConfig = field(default_factory=NoteConfig)  # the pitch adversary, where there is a melody
    ear: EarConfig = field(default_factory=EarConfig)  # what hears that melody, in a tracker's place
    phase_hop_samples: int = 0  # with the melody: how often the phase of its pitch is a condition, too; 0: never

    def __post_init__(self) -> None:
        if self.melody_hop_samples < 0 or (
            self.melody_hop_samples and self.encoder.hop_samples % self.melody_hop_samples
        ):
            raise ValueError(
                f"melody_hop_samples must be 0, or divide the latent's hop of {self.encoder.hop_samples}, not "
                f"{self.melody_hop_samples}"
            )
        if self.ear.channels and not self.melody_hop_samples:
            raise ValueError("an ear tells a decoder the melody; with ear.channels, set melody_hop_samples")
        if self.melody_hop_samples:
            FeatureConfig(self.sample_rate, self.melody_hop_samples)  # refuses what it refuses
        phase_hop = self.phase_hop_samples
        if phase_hop and (phase_hop < 0 or not self.melody_hop_samples or self.melody_hop_samples % phase_hop):
            raise ValueError(
                f"phase_hop_samples must be 0, or divide melody_hop_samples, which is {self.melody_hop_samples}, not "
                f"{phase_hop}"
            )
        if self.decoder.bands > 1 and not self.encoder.is_spectral:
            raise ValueError(
                "an encoder hears the codes of a waveform, or the log-mel of any codes; with decoder.bands, set "
                "encoder.window_samples"
            )
        if (self.phase_hop_samples or self.melody_hop_samples or self.encoder.hop_samples) % self.decoder.bands:
            raise ValueError(f"hops must be whole steps of {self.decoder.bands} bands: {self}")
        if self.sample_rate < 1000 or self.singer_channels < 1:
            raise ValueError(f"sample_rate must be at least 1000 Hz and singer_channels at least 1: {self}")

    @property
    def latent_hop_samples(self) -> int:
        """Samples a latent frame lasts."""
        return self.encoder.hop_samples

    @property
    def has_detail(self) -> bool:
        """All that is sung goes through the latent."""
        return False

    @property
    def depth(self) -> int:
        """Layers of encoder and decoder."""
        return self.encoder.blocks * self.encoder.layers + self.decoder.blocks * self.decoder.layers

    @property
    def receptive_field(self) -> int:
        """Past samples that a score depends on."""
        return self.decoder.receptive_field

    @property
    def longest_cycle(self) -> int:
        """Layers of the longer cycle of doubling dilations."""
        return max(self.encoder.layers, self.decoder.layers)


class Autoencoder(nn.Module):
    """WaveNet autoencoder: clips of any singer -> latent -> clips of a chosen singer.

    `encode` listens, `conditioning` says what to sing and by whom, `logits` scores a clip under that condition. The
    confusion network `classifier` travels with the model but takes no part in conversion.
    """

    def __init__(self, config: ModelConfig, singer_names: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder.build(config.encoder, config.sample_rate, config.decoder.bands)
        self.singers = SingerTable(singer_names, config.singer_channels)
        n_melody = conditions.MELODY_CHANNELS if config.melody_hop_samples else 0
        n_melody += conditions.PHASE_CHANNELS if config.phase_hop_samples else 0
        self.decoder = WaveNet(config.decoder, config.encoder.latent_channels + config.singer_channels + n_melody)
        self.classifier = SingerClassifier(config.classifier, config.encoder.latent_channels, len(singer_names))
        if config.melody_hop_samples:
            self.notes = NoteClassifier(config.notes, config.encoder.latent_channels)
        self.ear: Ear | None = None
        if config.ear.channels:
            self.ear = Ear(config.ear, config.sample_rate, config.melody_hop_samples)

    @property
    def is_melody_conditioned(self) -> bool:
        """Whether the condition needs pitch and loudness."""
        return self.config.melody_hop_samples > 0

    def encode(self, codes: Tensor) -> Tensor:
        """Codes `[B, T]` -> latent `[B, D, T / latent_hop_samples]`."""
        z: Tensor = self.encoder(codes)
        return z

    def conditioning(
        self, z: Tensor, singer_vectors: Tensor, melody: Tensor | None = None, cycles: Tensor | None = None
    ) -> conditions.Conditioning:
        """Latent, singer vectors and, where they are asked for, melody and phase -> the decoder's conditioning.

        Args:
            z: `[B, D, F]`.
            singer_vectors: `[B, E]`.
            melody: f0 in Hz (0 where unvoiced) and level in dBFS, `[B, 2, F * latent_hop / melody_hop]`.
            cycles: phase of that pitch, `[B, F * latent_hop / phase_hop]`; None for one that begins with this melody.

        Raises:
            ValueError: the melody is missing, or nobody asked for it.
        """
        if (melody is not None) != self.is_melody_conditioned:
            raise ValueError(
                f"this decoder {'must' if self.is_melody_conditioned else 'cannot'} be conditioned on the melody"
            )
        channels = None if melody is None else conditions.melody(melody[:, 0], melody[:, 1])
        joined = conditions.join(z, singer_vectors, self.config.latent_hop_samples, channels)
        if melody is None or not self.config.phase_hop_samples:
            return joined
        own = self.cycles(melody[:, 0]) if cycles is None else cycles
        assert own is not None
        return conditions.with_phase(joined, own, melody[:, 0])

    def cycles(self, f0_hz: Tensor, codes: Tensor | None = None) -> Tensor | None:
        """The phase of a pitch `[B, F]`, as `conditioning` wants it; None where it is no condition.

        Args:
            f0_hz: at the hop of the melody, 0 where unvoiced.
            codes: of the clip, whose phase it shall be, `[B, T]`; None for a phase that begins at 0.
        """
        config = self.config
        if not config.phase_hop_samples:
            return None
        sizes = (config.melody_hop_samples, config.sample_rate, config.phase_hop_samples)
        if codes is None:
            return phases.of_pitch(f0_hz, *sizes)
        return phases.of_sound(bands.decode(codes, config.decoder.bands), f0_hz, *sizes)

    def logits(
        self,
        codes: Tensor,
        z: Tensor,
        singer_vectors: Tensor,
        melody: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Scores `[B, 256, T]` of the codes `[B, T]`, each given the ones before it and the `conditioning`.

        Noise `[B, T]`, in codes, is added to the ones before.
        """
        cycles = None if melody is None else self.cycles(melody[:, 0], codes)
        scores: Tensor = self.decoder(codes, self.conditioning(z, singer_vectors, melody, cycles), noise)
        return scores
