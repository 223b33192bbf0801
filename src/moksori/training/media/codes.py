"""Mu-law codes and a WaveNet autoencoder in training: the published system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from moksori import settings
from moksori.audio import bands
from moksori.audio.clip import Clip, Samples
from moksori.data.corpus import Corpus
from moksori.data.segments import Segment, SegmentTable
from moksori.generation import generator as generation
from moksori.generation.backends import calibration, sampling
from moksori.models import notes as note_names
from moksori.models.autoencoder import Autoencoder
from moksori.progress import OnProgress
from moksori.training import learner, losses, perturb
from moksori.training.learner import Learner
from moksori.training.logging import validation
from moksori.training.media import base
from moksori.training.media.base import ConversionMedium, Ingredients
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.base import Adversary, Plan, Update
from moksori.training.phases.reconstruct import Reconstruction
from moksori.training.recipe import Recipe

_EAR = "ear"  # a part of the model, who moves it, and the name of its loss


class CodeMedium(ConversionMedium):
    """Codes `[B, T]`; of a model conditioned on the melody, codes, pitch and level `[B, 3, T]`, see `data.segments`.

    Perturbed clips have more rows below theirs: the codes that the encoder hears, where these are others, then the
    noise on the past, where it is taught with some: `[B, R + 1, T]` or `[B, R + 2, T]`.
    """

    unit = "nats a sample"
    is_augmentable = True
    is_divisible = False  # streams in lockstep share the weights that are read, and are spread over the cores anyway

    def __init__(self, model: Autoencoder, perturbation: PerturbConfig | None = None) -> None:
        """Of the perturbation all that concerns codes is taken; without it they are encoded as they are."""
        self._model = model
        self._perturbation = perturbation or PerturbConfig()
        self.is_augmentable = model.config.decoder.bands == 1  # a step of bands cannot be reversed
        self.singers, self.classifier = model.singers, model.classifier
        self.notes = model.notes if model.is_melody_conditioned else None  # the pitch adversary

    def table(
        self, corpus: Corpus, split: str, n_samples: int, *, moved_copies: int = 0, progress: OnProgress | None = None
    ) -> SegmentTable:
        """See `Medium.table`; there are no copies."""
        config = self._model.config
        return SegmentTable(
            corpus,
            split,
            config.sample_rate,
            n_samples,
            melody_hop_samples=config.melody_hop_samples,
            n_bands=config.decoder.bands,
            progress=progress,
        )

    def learners(self, recipe: Recipe) -> dict[str, Learner]:
        """See `Medium.learners`: the adversaries, and all else, called the autoencoder."""
        names = ["classifier", *(["notes"] if self.notes else []), *([_EAR] if self._model.ear else [])]
        return learner.learners_for(self._model, recipe.optimiser, dict.fromkeys(names, recipe.optimiser))

    def plan(self, given: Ingredients) -> Plan:
        """See `Medium.plan`: reconstruction, then back-translation."""
        return base.two_phases(self, given, Reconstruction(self, given.batches))

    def figures(self, segments: Sequence[Segment]) -> dict[str, float]:
        """See `Medium.figures`."""
        return settings.plain(validation.held_out(self, *base.stacked(self.singers, segments)))

    @torch.no_grad()
    def samples(self, segments: Sequence[Segment], seed: int) -> Iterator[tuple[str, Clip]]:
        """See `Medium.samples`, `base.conversions`."""
        clips, _ = base.stacked(self.singers, segments)

        def sing(vectors: Tensor) -> list[Samples]:
            sung = self.generate(clips, self.encode(clips), vectors, seed)
            return [row.numpy() for row in bands.decode(self.codes(sung), self._model.config.decoder.bands).cpu()]

        yield from base.conversions(self.singers, segments, self._model.config.sample_rate, sing)

    @torch.no_grad()
    def layer_peaks(self, segments: Sequence[Segment]) -> tuple[float, ...]:
        """See `Medium.layer_peaks`."""
        if not segments:
            return ()
        clips, singer = base.stacked(self.singers, segments)
        codes, melody = self.codes(clips), self.melody(clips)
        cycles = None if melody is None else self._model.cycles(melody[:, 0], codes)
        conditioning = self._model.conditioning(self.encode(clips), self.singers(singer), melody, cycles)
        return tuple(calibration.layer_peaks(self._model.decoder, codes, conditioning))

    def codes(self, clips: Tensor) -> Tensor:
        """The codes `[B, T]` of clips."""
        return clips[:, 0].long() if clips.dim() == 3 else clips

    def melody(self, clips: Tensor) -> Tensor | None:
        """Pitch and level `[B, 2, F]` of clips that have them."""
        hop = self._model.config.melody_hop_samples
        return clips[:, 1:3, ::hop] if hop else None

    def notes_of(self, clips: Tensor, z: Tensor) -> Tensor:
        """The note of each latent frame, `[B, F]`; see `models.notes.of`."""
        melody = self.melody(clips)
        assert melody is not None
        return note_names.of(melody[:, 0], z.shape[2])

    def adversaries(self, clips: Tensor, singer: Tensor, z: Tensor) -> list[Adversary]:
        """See `Latent.adversaries`: who sings, and the note where the decoder is conditioned on it."""
        found = [Adversary("classifier", "confusion", lambda z, g: losses.classifier(self.classifier(z, g), singer))]
        if (notes := self.notes) is not None:
            note = self.notes_of(clips, z)
            found.append(Adversary("notes", "pitch_confusion", lambda z, g: losses.notes(notes(z), note)))
        return found

    def companions(self, clips: Tensor) -> list[Update]:
        """See `Latent.companions`: the ear, where the model has one."""
        ear, melody = self._model.ear, self.melody(clips)
        if ear is None or melody is None:
            return []
        sound = bands.decode(self.codes(clips), self._model.config.decoder.bands)
        return [Update(_EAR, {_EAR: ear.loss(sound, melody[:, 0])})]

    def perturbed(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        """See `Latent.perturbed`: the codes that the encoder hears, and the noise that the decoder's past gets."""
        config, codes = self._perturbation, self.codes(clips)
        rows = [clips if clips.dim() == 3 else codes[:, None].float()]
        if config.is_of_sound:
            n_bands = self._model.config.decoder.bands
            moved = perturb.perturbed_sound(bands.decode(codes, n_bands), config, generator)
            rows.append(bands.encode(moved, n_bands)[:, None].to(rows[0]))
        if config.past_noise:
            rows.append(perturb.past_noise(codes, config, generator)[:, None])
        return torch.cat(rows, dim=1) if len(rows) > 1 else clips

    def encode(self, inputs: Tensor) -> Tensor:
        """See `Latent.encode`; of clips that are not perturbed, too."""
        is_perturbed = inputs.dim() == 3 and inputs.shape[1] > self._n_rows
        is_other = is_perturbed and self._perturbation.is_of_sound
        return self._model.encode(inputs[:, self._n_rows].long() if is_other else self.codes(inputs))

    @property
    def _n_rows(self) -> int:
        """Rows of a clip that is not perturbed: codes, and of a model conditioned on the melody pitch and level."""
        return 3 if self._model.is_melody_conditioned else 1

    def loss(self, clips: Tensor, inputs: Tensor, z: Tensor, singer_vectors: Tensor) -> Tensor:
        """Cross-entropy, teacher-forced with the true codes, or with those and the noise that the inputs have for them.

        Of a clip that is long enough only the middle is taught, see `EncoderConfig.untaught_frames`.
        """
        has_noise = inputs.dim() == 3 and inputs.shape[1] > self._n_rows + self._perturbation.is_of_sound
        noise = inputs[:, -1] if has_noise else None
        encoder = self._model.config.encoder
        if (skipped := encoder.untaught_frames) and z.shape[2] > 2 * skipped:
            taught = slice(skipped * encoder.hop_samples, -skipped * encoder.hop_samples)
            clips, z = clips[..., taught], z[:, :, skipped:-skipped]
            noise = None if noise is None else noise[:, taught]
        codes = self.codes(clips)
        return losses.reconstruction(self._model.logits(codes, z, singer_vectors, self.melody(clips), noise), codes)

    @torch.no_grad()
    def generate(self, inputs: Tensor, z: Tensor, singer_vectors: Tensor, seed: int, first: int = 0) -> Tensor:
        """Clips with new codes, sampled in lockstep. They stay codes: through sound and back nothing would change."""
        clips, melody = inputs, self.melody(inputs)
        places = range(first, first + len(clips))
        uniforms = torch.stack([sampling.uniforms(seed, i, 0, clips.shape[-1]) for i in places])
        with torch.autocast(z.device.type, enabled=False):  # a backend has a precision of its own
            conditioning = self._model.conditioning(z.float(), singer_vectors, melody)
            codes = generation.generate(generation.backend_for(self._model.decoder), conditioning, uniforms)
        return codes if clips.dim() == 2 else torch.cat([codes[:, None].to(clips), clips[:, 1:]], dim=1)
