"""The medium: a model in training and the clips that it is trained on. All that differs between kinds stands in one.

    table        the clips that it learns from
    measure      what is measured of the singers, before the first step
    meet         what fits new singers into a trained voice, before the first step
    learners     which of its parameters are moved together
    plan         its phases, and which steps are whose
    figures      on held-out clips
    samples      held-out clips, converted or sung again
    layer_peaks  how large the inputs of its decoder's layers get, where there are any that int8 needs

So a run is built without a question which kind it is of. What the phases ask of a medium, each phase says itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, cast, overload

import torch
from torch import Tensor

from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchRange
from moksori.data import batches as data_batches
from moksori.data.batches import Batches
from moksori.data.corpus import Corpus
from moksori.data.segments import Segment
from moksori.models import kinds
from moksori.models.singers import SingerTable
from moksori.progress import OnProgress
from moksori.training.learner import Learner
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.backtranslate import BackTranslation, TwoPhases
from moksori.training.phases.base import Latent, Phase, Plan, SinglePhase
from moksori.training.phases.reconstruct import Reconstruction
from moksori.training.phases.schedule import PhaseSchedule
from moksori.training.recipe import Recipe
from moksori.training.shards import Team


class Table(data_batches.Table, Protocol):
    """Clips of one split of a corpus."""

    def fixed_items(self, per_singer: int, most_singers: int = 0) -> list[Segment]:
        """Clips laid evenly over the singing of every singer, or of so many at most: the same list at every call."""


@dataclass(frozen=True)
class Ingredients:
    """What phases are made of besides the model."""

    batches: Batches
    recipe: Recipe
    ranges: Mapping[str, PitchRange]  # of the singers whose pitch is known
    team: Team  # who works on a batch


class Medium(Protocol):
    """A model in training, in its own kind of clips; made of the model and the perturbation of its encoder's inputs."""

    unit: str  # of the loss
    is_augmentable: bool  # clips may be reversed and negated
    singers: SingerTable

    def table(
        self, corpus: Corpus, split: str, n_samples: int, *, moved_copies: int = 0, progress: OnProgress | None = None
    ) -> Table:
        """The table of a split, of clips of `n_samples` at the model's rate, a whole number of its latent frames.

        The first call for a corpus computes a cache, which takes a while; see `segments` and `excerpts` for the errors.
        """

    def measure(self, corpus: Corpus) -> None:
        """Give the model what is measured of the singers' recordings for training; here nothing, all is learned."""
        return

    def meet(self, batches: Batches, recipe: Recipe, seed: int) -> None:
        """Give new singers vectors that fit them, before the first step of a run that begins from a trained voice.

        A step moves a weight little, and new singers begin far from where they will be. Here nothing is done: they
        begin as the mean of all, and learn with the rest.
        """
        return

    def learners(self, recipe: Recipe) -> dict[str, Learner]:
        """Who moves which parameters, by the names that updates ask for."""

    def plan(self, given: Ingredients) -> Plan:
        """The phases of training."""

    def figures(self, segments: Sequence[Segment]) -> dict[str, float]:
        """Figures by name on held-out segments, at least 2, of one length; `loss` is among them.

        Raises:
            ValueError: fewer than 2 segments.
        """

    def samples(self, segments: Sequence[Segment], seed: int) -> Iterator[tuple[str, Clip]]:
        """Sing held-out segments, at least 1, of one length: a name that tells who sings, and the sound."""

    def layer_peaks(self, segments: Sequence[Segment]) -> tuple[float, ...]:
        """How large the inputs of the decoder's layers get on segments, see `calibration`; nothing without int8."""


class ConversionMedium(Medium, Latent, Protocol):
    """The medium of a model that converts."""


def class_of(config: kinds.Settings) -> type[Medium]:
    """The class of media for models of these settings."""
    return cast("type[Medium]", kinds.KINDS[config.kind].medium())


@overload
def medium_for(model: kinds.Converter, perturbation: PerturbConfig) -> ConversionMedium: ...
@overload
def medium_for(model: kinds.Model, perturbation: PerturbConfig) -> Medium: ...
def medium_for(model: kinds.Model, perturbation: PerturbConfig) -> Medium:
    """The medium of a model; the perturbation is for encoders of features."""
    medium: Medium = kinds.KINDS[model.config.kind].medium()(model, perturbation)
    return medium


def two_phases(medium: Latent, given: Ingredients, first: Phase) -> Plan:
    """A first phase, then back-translation; a single singer has nobody to be mixed with, and is reconstructed only."""
    if len(medium.singers.names) < 2:
        return SinglePhase(Reconstruction(medium, given.batches))
    schedule = PhaseSchedule(given.recipe.back_translation)
    return TwoPhases(first, BackTranslation(medium, given.batches, schedule, given.team), schedule)


def stacked(singers: SingerTable, segments: Sequence[Segment]) -> tuple[Tensor, Tensor]:
    """Clips `[N, ...]` and singers `[N]` of segments, on the model's device."""
    device = singers.table.weight.device
    clips = torch.stack([segment.clip for segment in segments]).to(device)
    return clips, torch.tensor([segment.singer for segment in segments], device=device)


def conversions(
    singers: SingerTable, segments: Sequence[Segment], rate: int, sing: Callable[[Tensor], Sequence[Samples]]
) -> Iterator[tuple[str, Clip]]:
    """Convert each segment to the next of the singers whose segments these are; a single one sings them again.

    Singers of a voice that this one began from are in the table, too, but nobody waits to hear them.

    Args:
        singers: of the model.
        segments: at least 1.
        rate: of the sound, Hz.
        sing: sings all of them with vectors `[B, E]`.

    Yields:
        A name that tells source and target, or who sings where they are one, and the sound.
    """
    names, own = singers.names, sorted({segment.singer for segment in segments})
    targets = [own[(own.index(segment.singer) + 1) % len(own)] for segment in segments]
    vectors = singers(torch.tensor(targets, device=singers.table.weight.device))
    for segment, target, samples in zip(segments, targets, sing(vectors), strict=True):
        who = names[target] if len(own) == 1 else f"{names[segment.singer]}-to-{names[target]}"
        yield f"{PurePosixPath(segment.source).stem}.{who}", Clip(samples, rate)
