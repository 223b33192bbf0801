"""What a phase of training is: a way from a batch to named losses, one learner after another; and what phases ask.

The loop knows no phase. It asks a phase for its updates and answers each by one step of the learner that the update
names, before it asks for the next; so a later update of the same batch already sees the earlier one's effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from moksori.data.batches import Batch, Batches
from moksori.models.classifier import SingerClassifier
from moksori.models.singers import SingerTable


@dataclass(frozen=True)
class Update:
    """One step to be taken."""

    learner: str  # a key of `learner.learners_for`
    losses: dict[str, Tensor]  # by name, unweighted scalars; see losses.LossWeights


@dataclass(frozen=True)
class Adversary:
    """A net that learns to read something from the latent, while the encoder learns to hide it."""

    learner: str  # who moves it, and the name of its own loss
    confusion: str  # name of the encoder's loss, which is the negative of it
    loss: Callable[[Tensor, torch.Generator], Tensor]  # latent `[B, D, F]` -> how badly it is read, a scalar


class Latent(Protocol):
    """A model that converts, asked in its own kind of clips: codes or features. Both phases of the method ask no more.

    perturbed   the encoder's inputs while training
    encode      inputs to latent
    loss        how far what the model makes of latent and singer is from the true clips
    generate    clips with a singer's vector: new inputs, of the same kind, to be encoded again
    """

    unit: str  # of the loss
    is_divisible: bool  # generates clips part by part as well as all at once, with the same result
    singers: SingerTable
    classifier: SingerClassifier  # the confusion network

    def perturbed(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        """The encoder's inputs of clips `[B, ...]` while training: they may be perturbed, what is rebuilt is not."""

    def encode(self, inputs: Tensor) -> Tensor:
        """Encoder inputs `[B, ...]` -> latent `[B, D, F]`."""

    def adversaries(self, clips: Tensor, singer: Tensor, z: Tensor) -> list[Adversary]:
        """Who reads from the latent `[B, D, F]` of clips `[B, ...]` of singers `[B]`; the confusion network first."""

    def companions(self, clips: Tensor) -> list[Update]:
        """Updates of nets that learn from true clips `[B, ...]` beside all others, which learn nothing of them."""

    def loss(self, clips: Tensor, inputs: Tensor, z: Tensor, singer_vectors: Tensor) -> Tensor:
        """How badly clips are rebuilt from their encoder inputs: a scalar, the mean over clips."""

    def generate(self, inputs: Tensor, z: Tensor, singer_vectors: Tensor, seed: int, first: int = 0) -> Tensor:
        """Clips that the singers sing, with no gradient: like `inputs`, but the sound is new.

        A clip's chance is that of its place; `first` is the place of the first one, so that some can be sung apart.
        """


class Phase(Protocol):
    """A phase may keep things between steps (a pool of generated clips); they are saved and restored as tensors."""

    name: str

    def batch(self, step: int, attempt: int) -> Batch:
        """What a step learns from; a function of its arguments, of the seed and of what the phase keeps.

        Args:
            step: training step from 0.
            attempt: times the run was taken back, so that a step that is taken again sees other clips.
        """

    def updates(self, batch: Any, step: int, generator: torch.Generator) -> Iterator[Update]:
        """The updates of one step, for its batch or a part of it; several parts may be worked on side by side.

        Args:
            batch: such as `batch` gives, or a part of it, on the model's device.
            step: training step from 0.
            generator: the only source of chance; seeded anew for every step.
        """

    def tensors(self) -> dict[str, Tensor]:
        """What the phase keeps between steps."""

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `tensors` gave."""


class DrawnPhase:
    """What phases have in common that learn from batches as they are drawn: nothing is kept between steps."""

    name: str

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def batch(self, step: int, attempt: int) -> Batch:
        """See `Phase.batch`."""
        return self._batches.batch(step, attempt)

    def tensors(self) -> dict[str, Tensor]:
        """See `Phase.tensors`; there are none."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """See `Phase.restore`.

        Raises:
            ValueError: there is something to take up, so it was another phase that kept it.
        """
        if tensors:
            raise ValueError(f"{self.name} keeps nothing between steps, but was given {sorted(tensors)}")


class Plan(Protocol):
    """Which phase a step belongs to. What it decides on the way is part of the run, and saved."""

    def phase_at(self, step: int) -> Phase:
        """The phase of a step, counted from 0."""

    def phases(self) -> list[Phase]:
        """Every phase of the plan, for saving."""

    def spend(self, step: int, share: float) -> bool:
        """Take note of the share of the budget, 0..1, that is spent before a step.

        Returns:
            Whether the plan decided something. It must be saved then: it could not decide the same again.
        """

    def validate(self, step: int, figures: Mapping[str, float]) -> bool:
        """Take note of the held-out figures after `step` steps; whether the plan decided something."""

    def has_begun_the_last_phase(self, step: int) -> bool:
        """Whether, after `step` steps, the last of the phases has had its first step."""

    def tensors(self) -> dict[str, Tensor]:
        """What was decided, and what decisions depend on."""

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `tensors` gave; nothing is a beginning."""


class SinglePhase:
    """A plan of one phase from beginning to end."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase

    def phase_at(self, step: int) -> Phase:
        """See `Plan.phase_at`."""
        return self._phase

    def phases(self) -> list[Phase]:
        """See `Plan.phases`."""
        return [self._phase]

    def spend(self, step: int, share: float) -> bool:
        """Nothing is decided."""
        return False

    def validate(self, step: int, figures: Mapping[str, float]) -> bool:
        """Nothing is decided."""
        return False

    def has_begun_the_last_phase(self, step: int) -> bool:
        """There is one."""
        return True

    def tensors(self) -> dict[str, Tensor]:
        """Nothing was decided."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Nothing was decided."""
