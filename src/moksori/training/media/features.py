"""Features of sound and a source-filter model in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from moksori import settings
from moksori.audio import features, shapes
from moksori.audio.clip import Clip, Samples
from moksori.data.batches import Batches
from moksori.data.corpus import Corpus
from moksori.data.excerpts import ExcerptTable
from moksori.data.segments import Segment
from moksori.generation.songs import features as feature_song
from moksori.models.source_filter_model import SourceFilterModel
from moksori.models.synthesiser import Controls
from moksori.progress import OnProgress
from moksori.training import learner, losses, perturb, vectors
from moksori.training.learner import Learner
from moksori.training.logging import validation
from moksori.training.media import base
from moksori.training.media.base import ConversionMedium, Ingredients
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.adversarial import CriticisedReconstruction
from moksori.training.phases.base import Adversary, Phase, Plan, Update
from moksori.training.phases.reconstruct import Reconstruction
from moksori.training.recipe import Recipe
from moksori.training.teacher import WordsTeacher

_NO_DETAIL, _ALL_DETAIL = 0.2, 0.3  # probabilities of the gains 0 and 1 while training; all others are as likely
_TRUST = 0.7  # the more detail passes, the less it is perturbed: at gain 1 so much less
_MEETING_STEPS = 80  # that fit the vectors of new singers before training
UNKNOWN_HZ = 220.0  # the middle of a singer whose pitch is not known


class FeatureMedium(ConversionMedium):
    """Excerpts of features `[B, N, F]` and a decoder that says controls; chance is in the perturbation alone.

    With a detail path the clips carry it: the mean shape of the recording, and the gain (`features.excerpt`).
    """

    unit = "nepers"
    is_augmentable = False  # reversed sound has no words, and negated sound the same features
    is_divisible = True  # one forward pass

    def __init__(self, model: SourceFilterModel, perturbation: PerturbConfig) -> None:
        self._model = model
        self._perturbation = perturbation
        self.singers, self.classifier, self.critic = model.singers, model.classifier, model.critic
        self.has_detail = model.config.decoder.has_detail
        self._teacher: WordsTeacher | None = None  # whom a recipe may ask for, see `plan`

    @property
    def has_teacher(self) -> bool:
        """Whether a recogniser of speech tells if the words are kept."""
        return self._teacher is not None

    def table(
        self, corpus: Corpus, split: str, n_samples: int, *, moved_copies: int = 0, progress: OnProgress | None = None
    ) -> ExcerptTable:
        """See `Medium.table`."""
        config = self._model.config
        n_frames = n_samples // config.hop_samples
        return ExcerptTable(corpus, split, config.features, n_frames, moved_copies, progress=progress)

    def measure(self, corpus: Corpus) -> None:
        """See `Medium.measure`: with a detail path, the mean shape of every singer's recordings."""
        if self.singers.measured is not None:
            one_frame = self.table(corpus, "train", self._model.config.hop_samples)  # its length plays no part
            self.singers.measured[: len(corpus.singers)] = one_frame.mean_shapes()

    def meet(self, batches: Batches, recipe: Recipe, seed: int) -> None:
        """See `Medium.meet`."""
        rows = vectors.fitted(self, batches, 0, recipe.losses, max_steps=_MEETING_STEPS, seed=seed)
        with torch.no_grad():
            self.singers.table.weight[: len(rows)] = rows

    def learners(self, recipe: Recipe) -> dict[str, Learner]:
        """See `Medium.learners`: the confusion network, the critic, and all else, called the autoencoder."""
        adversaries = {"classifier": recipe.optimiser, "critic": recipe.critic_optimiser}
        return learner.learners_for(self._model, recipe.optimiser, adversaries)

    def plan(self, given: Ingredients) -> Plan:
        """See `Medium.plan`; phase 1 has a critic where the recipe weighs what it says, and so has it a teacher.

        Raises:
            Unavailable: the recipe wants a teacher of words, and none is installed.
        """
        weights = given.recipe.losses
        first: Phase = Reconstruction(self, given.batches)
        if weights.content:
            self._teacher = WordsTeacher.published(self._model.config.synthesiser, self.singers.table.weight.device)
        if weights.adversarial or weights.cycle or weights.content:
            medians_hz = [
                given.ranges[name].median_hz if name in given.ranges else UNKNOWN_HZ for name in self.singers.names
            ]
            first = CriticisedReconstruction(self, given.batches, medians_hz, given.batches.shares.tolist())
        return base.two_phases(self, given, first)

    def figures(self, segments: Sequence[Segment]) -> dict[str, float]:
        """See `Medium.figures`."""
        return settings.plain(validation.held_out(self, *base.stacked(self.singers, segments)))

    @torch.no_grad()
    def samples(self, segments: Sequence[Segment], seed: int) -> Iterator[tuple[str, Clip]]:
        """See `Medium.samples`, `base.conversions`."""

        def sing(vectors: Tensor) -> list[Samples]:
            return [
                feature_song.sing(self._model, segment.clip, vector, seed).clip(-1, 1)
                for segment, vector in zip(segments, vectors, strict=True)
            ]

        yield from base.conversions(self.singers, segments, self._model.config.sample_rate, sing)

    def layer_peaks(self, segments: Sequence[Segment]) -> tuple[float, ...]:
        """See `Medium.layer_peaks`: nothing, as no codes are sampled."""
        return ()

    def adversaries(self, clips: Tensor, singer: Tensor, z: Tensor) -> list[Adversary]:
        """See `Latent.adversaries`: who sings."""
        return [Adversary("classifier", "confusion", lambda z, g: losses.classifier(self.classifier(z, g), singer))]

    def companions(self, clips: Tensor) -> list[Update]:
        """See `Latent.companions`; there are none."""
        return []

    def perturbed(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        """See `Latent.perturbed`: formants and tone are moved; with a detail path a gain is drawn, too."""
        if not self.has_detail:
            mel = perturb.perturbed(features.mels(clips)[features.ENCODER_WINDOW], self._perturbation, generator)
            return features.with_encoder_mel(clips, mel)
        chance = torch.rand(len(clips), generator=generator, device=clips.device)
        gain = ((chance - _NO_DETAIL) / (1 - _NO_DETAIL - _ALL_DETAIL)).clamp(0, 1)
        config, strength = self._model.config.features, 1 - _TRUST * gain
        inputs = perturb.perturbed_densities(clips, self._perturbation, config, generator, strength)
        return features.with_gain(inputs, gain)

    def encode(self, inputs: Tensor) -> Tensor:
        """See `Latent.encode`."""
        return self._model.encode(inputs)

    def loss(self, clips: Tensor, inputs: Tensor, z: Tensor, singer_vectors: Tensor) -> Tensor:
        """Mean distance of the log-mels in all windows, in nepers (1 neper is 8.7 dB)."""
        return self.distance(self.controls(inputs, z, singer_vectors), clips)

    def generate(self, inputs: Tensor, z: Tensor, singer_vectors: Tensor, seed: int, first: int = 0) -> Tensor:
        """The clips with another sound for the encoder: chance plays no part."""
        with torch.no_grad():
            return self.with_sound(inputs, self.controls(inputs, z, singer_vectors), singer_vectors)

    def with_sound(self, inputs: Tensor, controls: Controls, singer_vectors: Tensor) -> Tensor:
        """Encoder inputs with the sound of controls, as sung by singers of these vectors."""
        if not self.has_detail:
            return features.with_encoder_mel(inputs, self.sung(controls))
        mean = self._model.sung_mean_shape(inputs, singer_vectors)
        return features.with_mean_shape(features.with_densities(inputs, self._model.densities(controls)), mean)

    def controls(self, inputs: Tensor, z: Tensor, singer_vectors: Tensor) -> Controls:
        """What to sing, at the pitch and level of the clips."""
        return self._model.controls(z, inputs, singer_vectors)

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

    def detail_distance(self, controls: Controls, clips: Tensor, inputs: Tensor, singer_vectors: Tensor) -> Tensor:
        """How far a conversion is from the clip in the voice's colour, counted by the gain; in nepers.

        The net shall correct what gives the source away, and no more: words are in the detail. What is wanted is that
        of the clip as it was recorded, whatever was done to it before it was encoded.
        """
        config, f0_hz = self._model.config.features, features.f0_hz(clips)
        shape, level = features.shape_of(clips, config)
        voice = singer_vectors[:, -2 * features.N_BANDS :, None]
        wanted = shapes.coloured(shape, f0_hz, shapes.colour(features.mean_shape(clips), voice))
        wanted = wanted + (level - shapes.level_nepers(wanted, f0_hz, config.envelope))[:, None]
        made = self._model.densities(controls)
        gain = features.gain(inputs)[:, None, None]
        return losses.envelope_distance(gain * made, gain * wanted, f0_hz > 0, features.levels_dbfs(clips))

    def content_distance(self, controls: Controls, clips: Tensor) -> Tensor:
        """How far a conversion is from the clips it is of, as the teacher hears them: 0 for alike."""
        if self._teacher is None:
            raise ValueError("the recipe asks for no teacher")
        config = self._model.config.features
        shape, level = features.shape_of(clips, config)
        envelopes = shapes.log_envelopes(shape, level, controls.f0_hz, config.envelope)
        return self._teacher.distance(controls, Controls(controls.f0_hz, *envelopes.chunk(2, dim=1)))
