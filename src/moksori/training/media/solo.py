"""Mu-law codes again: a WaveNet by itself in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import torch
from torch import Tensor

from moksori.audio import bands
from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus
from moksori.data.segments import Segment, SegmentTable
from moksori.generation import generator as generation
from moksori.generation.backends import calibration, sampling
from moksori.models.solo import Solo
from moksori.progress import OnProgress
from moksori.training import learner, losses, perturb
from moksori.training.learner import Learner
from moksori.training.logging import validation
from moksori.training.media import base
from moksori.training.media.base import Ingredients, Medium
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.base import Plan, SinglePhase
from moksori.training.phases.predict import Prediction
from moksori.training.recipe import Recipe


class SoloMedium(Medium):
    """Codes `[B, T]`, or `[B, 1 + R, T]` with local features: nothing is encoded, nobody is converted."""

    unit = "nats a sample"
    is_augmentable = True

    def __init__(self, model: Solo, perturbation: PerturbConfig | None = None) -> None:
        """Of the perturbation the noise on the past is taken; nothing is encoded."""
        self._model = model
        self._perturbation = perturbation or PerturbConfig()
        self.singers = model.singers
        self.is_augmentable = model.config.decoder.bands == 1  # a step of bands cannot be reversed

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
            melody_hop_samples=config.hop_samples if config.has_local_conditioning else 0,
            mel_window_samples=config.mel_window_samples,
            n_bands=config.decoder.bands,
            progress=progress,
        )

    def learners(self, recipe: Recipe) -> dict[str, Learner]:
        """See `Medium.learners`: there is one."""
        return learner.learners_for(self._model, recipe.optimiser, {})

    def plan(self, given: Ingredients) -> Plan:
        """See `Medium.plan`: there is one phase."""
        return SinglePhase(Prediction(self, given.batches))

    @torch.no_grad()
    def figures(self, segments: Sequence[Segment]) -> dict[str, float]:
        """See `Medium.figures`.

        Returns:
            `loss`, in nats a sample; for a net with conditioning also `shuffled_loss`, with that of another segment and
            its singer. The difference is what the conditioning is worth.
        """
        clips, singer = base.stacked(self.singers, segments)
        validation.check_there_are_two(clips)
        local_features, vectors = self.local_features(clips), self.singers(singer)

        def loss(local_features: Tensor, vectors: Tensor) -> float:
            return validation.mean_loss(self.loss, clips, local_features, vectors)

        figures = {"loss": loss(local_features, vectors)}
        if local_features.shape[1] or vectors.shape[1]:
            half = len(segments) // 2  # segments are sorted by singer: half of them away another one sings
            figures["shuffled_loss"] = loss(local_features.roll(half, dims=0), vectors.roll(half, dims=0))
        return figures

    @torch.no_grad()
    def samples(self, segments: Sequence[Segment], seed: int) -> Iterator[tuple[str, Clip]]:
        """See `Medium.samples`: the local features of each segment, sung by its own singer."""
        clips, singer = base.stacked(self.singers, segments)
        codes = self.generate(self.local_features(clips), self.singers(singer), seed)
        sung = bands.decode(codes, self._model.config.decoder.bands).cpu()
        for segment, row in zip(segments, sung, strict=True):
            name = f"{PurePosixPath(segment.source).stem}.{self.singers.names[segment.singer]}"
            yield name, Clip(row.numpy(), self._model.config.sample_rate)

    @torch.no_grad()
    def layer_peaks(self, segments: Sequence[Segment]) -> tuple[float, ...]:
        """See `Medium.layer_peaks`."""
        if not segments:
            return ()
        clips, singer = base.stacked(self.singers, segments)
        codes = self.codes(clips)
        conditioning = self._model.conditioning(self.local_features(clips), self.singers(singer), codes)
        return tuple(calibration.layer_peaks(self._model.decoder, codes, conditioning))

    def local_features(self, clips: Tensor) -> Tensor:
        """Local features of clips, `[B, R, F]`: the rows below the codes, see `data.segments`; R = 0 without any."""
        hop = self._model.config.hop_samples
        return clips[:, 1:, ::hop] if clips.dim() == 3 else clips.new_zeros(len(clips), 0, clips.shape[1] // hop)

    def loss(
        self,
        clips: Tensor,
        local_features: Tensor,
        singer_vectors: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Cross-entropy of the clips' codes, each given the ones before it and the conditioning.

        With a generator the ones before have the noise of the settings.
        """
        codes, noise = self.codes(clips), None
        if generator is not None and self._perturbation.past_noise:
            noise = perturb.past_noise(codes, self._perturbation, generator)
        return losses.reconstruction(self._model.logits(codes, local_features, singer_vectors, noise), codes)

    def codes(self, clips: Tensor) -> Tensor:
        """The codes `[B, T]` of clips."""
        return clips[:, 0].long() if clips.dim() == 3 else clips

    @torch.no_grad()
    def generate(self, local_features: Tensor, singer_vectors: Tensor, seed: int) -> Tensor:
        """New codes `[B, F * hop]`, sampled in lockstep."""
        conditioning = self._model.conditioning(local_features, singer_vectors)
        uniforms = torch.stack(
            [sampling.uniforms(seed, i, 0, conditioning.n_samples) for i in range(len(local_features))]
        )
        return generation.generate(generation.backend_for(self._model.decoder), conditioning, uniforms)
