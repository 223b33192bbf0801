"""What a model is trained on: codes or features. All that the two phases ask of a model stands here.

    disturbed   clips as they are heard while training
    encode      listen to clips
    loss        how far what the model makes of latent and singer is from the true clips
    generate    sing clips with a singer's vector: new clips, of the same kind, to be listened to again

So a phase is written once, and works with a decoder that samples codes and with one that says controls.
"""

from __future__ import annotations

from typing import Protocol, overload

import torch
from torch import Tensor

from moksori.audio import features, shapes
from moksori.generation import generator as generation
from moksori.generation.backends import calibration, sampling
from moksori.models import kinds
from moksori.models import notes as note_names
from moksori.models.autoencoder import Autoencoder
from moksori.models.classifier import SingerClassifier
from moksori.models.notes import NoteClassifier
from moksori.models.singers import SingerTable
from moksori.models.solo import Solo
from moksori.models.swift import Swift, SwiftConfig
from moksori.models.synthesiser import Controls
from moksori.training import losses, perturb
from moksori.training.perturb import PerturbConfig

_NO_DETAIL, _ALL_DETAIL = 0.2, 0.3  # probabilities of the gains 0 and 1 while training; all others are as likely


class Medium(Protocol):
    """A model, asked in its own kind of clips."""

    unit: str  # of the loss
    is_divisible: bool  # generates clips part by part as well as all at once, with the same result

    @property
    def singers(self) -> SingerTable:
        """The model's singers."""

    @property
    def classifier(self) -> SingerClassifier:
        """The model's confusion network."""

    def disturbed(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        """Clips `[B, ...]` as they are heard while training: what is heard may be changed, what is rebuilt is not."""

    def encode(self, heard: Tensor) -> Tensor:
        """Clips as they are heard, `[B, ...]` -> latent `[B, D, F]`."""

    def loss(self, clips: Tensor, heard: Tensor, z: Tensor, singer_vectors: Tensor) -> Tensor:
        """How badly clips are rebuilt from what was heard of them: a scalar, the mean over clips."""

    def generate(self, heard: Tensor, z: Tensor, singer_vectors: Tensor, seed: int) -> Tensor:
        """Clips that the singers sing, with no gradient: like `heard`, but what is heard is new."""


class CodeMedium:
    """Mu-law codes `[B, T]` and a WaveNet: the published system."""

    unit = "nats a sample"
    is_divisible = False  # streams in lockstep share the weights that are read, and are spread over the cores anyway

    def __init__(self, model: Autoencoder) -> None:
        self._model = model
        self.singers, self.classifier = model.singers, model.classifier

    @property
    def notes(self) -> NoteClassifier | None:
        """The pitch adversary, where the decoder is told the melody."""
        return self._model.notes if self._model.is_told_the_melody else None

    def codes(self, clips: Tensor) -> Tensor:
        """The codes `[B, T]` of clips; with melody they are the first of three rows, see `data.segments`."""
        return clips[:, 0].long() if self._model.is_told_the_melody else clips

    def told(self, clips: Tensor) -> Tensor | None:
        """Pitch and level `[B, 2, F]` of clips that have them."""
        hop = self._model.config.melody_hop_samples
        return clips[:, 1:, ::hop] if hop else None

    def notes_of(self, clips: Tensor, z: Tensor) -> Tensor:
        """The note of each latent frame, `[B, F]`; see `models.notes.of`."""
        told = self.told(clips)
        assert told is not None
        return note_names.of(told[:, 0], z.shape[2])

    def disturbed(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        """See `Medium.disturbed`; codes are heard as they are."""
        return clips

    def encode(self, heard: Tensor) -> Tensor:
        """See `Medium.encode`."""
        return self._model.encode(self.codes(heard))

    def loss(self, clips: Tensor, heard: Tensor, z: Tensor, singer_vectors: Tensor) -> Tensor:
        """Cross-entropy, teacher-forced with the true codes."""
        codes = self.codes(clips)
        return losses.reconstruction(self._model.logits(codes, z, singer_vectors, self.told(clips)), codes)

    @torch.no_grad()
    def layer_peaks(self, clips: Tensor, singer: Tensor) -> tuple[float, ...]:
        """How large the inputs of the decoder's layers get on some clips of singers `[B]`; see `calibration`."""
        device = self.singers.table.weight.device
        clips = clips.to(device)
        z = self.encode(clips)
        conditioning = self._model.conditioning(z, self.singers(singer.to(device)), self.told(clips))
        return tuple(calibration.layer_peaks(self._model.decoder, self.codes(clips), conditioning))

    @torch.no_grad()
    def generate(self, heard: Tensor, z: Tensor, singer_vectors: Tensor, seed: int) -> Tensor:
        """Clips with new codes, sampled in lockstep. They stay codes: through sound and back nothing would change."""
        clips, told = heard, self.told(heard)
        uniforms = torch.stack([sampling.uniforms(seed, i, 0, clips.shape[-1]) for i in range(len(clips))])
        with torch.autocast(z.device.type, enabled=False):  # a backend has a precision of its own
            conditioning = self._model.conditioning(z.float(), singer_vectors, told)
            codes = generation.generate(generation.backend_for(self._model.decoder), conditioning, uniforms)
        return codes if told is None else torch.cat([codes[:, None].to(clips), clips[:, 1:]], dim=1)


class FeatureMedium:
    """Excerpts of features `[B, N, F]` and a decoder that says controls; chance is in the perturbation alone.

    With a detail path the clips carry it: the mean shape of the recording, and the gain (`features.excerpt`).
    """

    unit = "nepers"
    is_divisible = True  # one forward pass

    def __init__(self, model: Swift, perturbation: PerturbConfig) -> None:
        self._model = model
        self._perturbation = perturbation
        self.singers, self.classifier, self.critic = model.singers, model.classifier, model.critic
        self.has_detail = model.config.decoder.has_detail

    def disturbed(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        """See `Medium.disturbed`: formants and tone are moved; with a detail path a gain is drawn, too."""
        if not self.has_detail:
            mel = perturb.perturbed(features.mels(clips)[features.HEARD], self._perturbation, generator)
            return features.with_heard(clips, mel)
        heard = perturb.perturbed_densities(clips, self._perturbation, self._model.config.features, generator)
        chance = torch.rand(len(clips), generator=generator, device=clips.device)
        return features.with_gain(heard, ((chance - _NO_DETAIL) / (1 - _NO_DETAIL - _ALL_DETAIL)).clamp(0, 1))

    def encode(self, heard: Tensor) -> Tensor:
        """See `Medium.encode`."""
        return self._model.encode(heard)

    def loss(self, clips: Tensor, heard: Tensor, z: Tensor, singer_vectors: Tensor) -> Tensor:
        """Mean distance of the log-mels in all windows, in nepers (1 neper is 8.7 dB)."""
        return self.distance(self.controls(heard, z, singer_vectors), clips)

    def generate(self, heard: Tensor, z: Tensor, singer_vectors: Tensor, seed: int) -> Tensor:
        """The clips with another sound for the encoder: the seed plays no part."""
        with torch.no_grad():
            return self.as_heard(heard, self.controls(heard, z, singer_vectors), singer_vectors)

    def as_heard(self, heard: Tensor, controls: Controls, singer_vectors: Tensor) -> Tensor:
        """Clips in which the sound of controls is heard, as sung by singers of these vectors."""
        if not self.has_detail:
            return features.with_heard(heard, self.sung(controls))
        mean = singer_vectors[:, -2 * features.N_BANDS :]
        return features.with_mean_shape(features.with_densities(heard, self._model.densities(controls)), mean)

    def controls(self, heard: Tensor, z: Tensor, singer_vectors: Tensor) -> Controls:
        """What to sing, at the pitch and level of the clips."""
        return self._model.controls(z, heard, singer_vectors)

    def sung(self, controls: Controls) -> Tensor:
        """Log-mel `[B, M, F]` of what the controls sound like."""
        return self._model.sung(controls)

    def distance(self, controls: Controls, clips: Tensor) -> Tensor:
        """How far what the controls sound like is from the clips, in nepers."""
        return losses.spectral_distance(self._model.expectation.of(controls), features.mels(clips))

    def envelope_distance(self, controls: Controls, clips: Tensor) -> Tensor:
        """How far the controls are from what was measured of the clips, where somebody sings; in nepers."""
        return losses.envelope_distance(
            self._model.densities(controls),
            features.densities(clips),
            features.f0_hz(clips) > 0,
            features.levels_dbfs(clips),
        )

    def detail_distance(self, controls: Controls, clips: Tensor, heard: Tensor, singer_vectors: Tensor) -> Tensor:
        """How far a conversion is from the clip's own detail on the voice's mean, counted by the gain; in nepers.

        The net shall correct what gives the source away, and no more: words are in the detail. What is wanted is that
        of the clip as it was recorded, whatever was done to it before it was heard.
        """
        config, f0_hz = self._model.config.features, features.f0_hz(clips)
        shape, level = features.shape_of(clips, config)
        voice = singer_vectors[:, -2 * features.N_BANDS :, None]
        wanted = shape - shapes.by_frame(features.mean_shape(clips), f0_hz) + shapes.by_frame(voice, f0_hz)
        wanted = wanted + (level - shapes.level_nepers(wanted, f0_hz, config.envelope))[:, None]
        made = self._model.densities(controls)
        gain = features.gain(heard)[:, None, None]
        return losses.envelope_distance(gain * made, gain * wanted, f0_hz > 0, features.levels_dbfs(clips))


class SoloMedium:
    """Mu-law codes and a WaveNet by itself: nothing is encoded, nobody is converted, so this is no `Medium`."""

    unit = "nats a sample"

    def __init__(self, model: Solo) -> None:
        self._model = model
        self.singers = model.singers

    def told(self, clips: Tensor) -> Tensor:
        """What is told of clips, `[B, R, F]`: the rows below the codes, see `data.segments`; R = 0 without any."""
        hop = self._model.config.hop_samples
        return clips[:, 1:, ::hop] if clips.dim() == 3 else clips.new_zeros(len(clips), 0, clips.shape[1] // hop)

    def loss(self, clips: Tensor, told: Tensor, singer_vectors: Tensor) -> Tensor:
        """Cross-entropy of the clips' codes, each given the ones before it, what is told, and who sings."""
        codes = self._codes(clips)
        return losses.reconstruction(self._model.logits(codes, told, singer_vectors), codes)

    def _codes(self, clips: Tensor) -> Tensor:
        return clips[:, 0].long() if clips.dim() == 3 else clips

    @torch.no_grad()
    def layer_peaks(self, clips: Tensor, singer: Tensor) -> tuple[float, ...]:
        """How large the inputs of the layers get on some clips of singers `[B]`; see `calibration`."""
        device = self.singers.table.weight.device
        clips = clips.to(device)
        conditioning = self._model.conditioning(self.told(clips), self.singers(singer.to(device)))
        return tuple(calibration.layer_peaks(self._model.decoder, self._codes(clips), conditioning))

    @torch.no_grad()
    def generate(self, told: Tensor, singer_vectors: Tensor, seed: int) -> Tensor:
        """New codes `[B, F * hop]`, sampled in lockstep."""
        conditioning = self._model.conditioning(told, singer_vectors)
        uniforms = torch.stack([sampling.uniforms(seed, i, 0, conditioning.n_samples) for i in range(len(told))])
        return generation.generate(generation.backend_for(self._model.decoder), conditioning, uniforms)


AnyMedium = CodeMedium | FeatureMedium | SoloMedium


def unit_of(config: kinds.Config) -> str:
    """The unit of a model's loss."""
    return FeatureMedium.unit if isinstance(config, SwiftConfig) else CodeMedium.unit


@overload
def medium_for(model: kinds.Converter, perturbation: PerturbConfig) -> CodeMedium | FeatureMedium: ...
@overload
def medium_for(model: Solo, perturbation: PerturbConfig) -> SoloMedium: ...
def medium_for(model: kinds.Model, perturbation: PerturbConfig) -> AnyMedium:
    """The medium of a model; the perturbation is for models that hear features."""
    if isinstance(model, Solo):
        return SoloMedium(model)
    return FeatureMedium(model, perturbation) if isinstance(model, Swift) else CodeMedium(model)
