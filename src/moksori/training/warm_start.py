"""Warm start: a run that begins from a trained voice, and learns new singers with it.

The base's singers stay in the model while it learns, after the new ones: they are the others whom confusion, critic and
back-translation need, so one new singer is enough. Nothing of their recordings is needed. Its encoder has heard more
voices than any two users have, and is not moved; the new singers' vectors are fitted first, then all the rest learns.
What is handed out has the new singers alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from moksori import checkpoint, run_files
from moksori.audio.pitch import PitchRange
from moksori.data.batches import Batches
from moksori.errors import UserError
from moksori.models import kinds, roster
from moksori.models.kinds import Model
from moksori.training import enrol
from moksori.training.enrol import EnrolConfig
from moksori.training.media.base import Medium
from moksori.training.media.features import FeatureMedium
from moksori.training.recipe import Recipe

SHIPPED = "base"  # what a recipe calls the voice that comes with the package
_SHIPPED_FILE = "first.safetensors"
_FROZEN = "encoder."
_MEETING_STEPS = 80  # that fit the vectors of new singers before training
_UNKNOWN_HZ = 220.0  # the middle of a singer whose pitch was never heard


@dataclass(frozen=True)
class Base:
    """A trained voice that a run begins from."""

    model: Model
    ranges: dict[str, PitchRange]
    line: str  # of the lineage: which voice this is


def load(which: str) -> Base:
    """The shipped voice (`SHIPPED`), or that of a model file or a run's folder.

    Raises:
        ModelFileError: no model there, or it is damaged.
    """
    if which == SHIPPED:
        with resources.as_file(resources.files("moksori") / "voices" / _SHIPPED_FILE) as path:
            model, origin = checkpoint.read_model(path)
    else:
        model, origin = checkpoint.read_model(run_files.model_file(Path(which)))
    what = "the shipped voice" if which == SHIPPED else "a voice"
    line = (
        f"began from {what} of {len(model.singers.names)} singers: recipe {origin.recipe or 'without a name'}, "
        f"{origin.steps} steps, weights {checkpoint.fingerprint(model.state_dict())[:16]}"
    )
    return Base(model, origin.ranges, line)


def others(base: Base, singers: Sequence[str]) -> dict[str, float]:
    """The base's singers but those who are to be learned, with the middle of their range in Hz."""
    names = [name for name in base.model.singers.names if name not in singers]
    return {name: base.ranges[name].median_hz if name in base.ranges else _UNKNOWN_HZ for name in names}


def begun(base: Base, config: kinds.Config, singers: Sequence[str]) -> Model:
    """The base's model for new singers, then its own ones; whom it knows already begins where it stands.

    Raises:
        UserError: the base's model has other settings than the recipe's.
    """
    if base.model.config != config:
        raise UserError(
            "the voice to begin from has another model than the recipe; leave the recipe's model as it is, give a "
            "voice trained with this recipe, or begin from nothing with --from none"
        )
    known = base.model.singers.names
    names = [*singers, *others(base, singers)]
    return roster.with_singers(base.model, {name: name if name in known else None for name in names})


def freeze(model: Model) -> None:
    """Keep the encoder as it is: its parameters take no gradient, and no learner has them."""
    for name, parameter in model.named_parameters():
        if name.startswith(_FROZEN):
            parameter.requires_grad_(False)


def meet(
    medium: Medium,
    batches: Batches,
    recipe: Recipe,
    seed: int,
) -> None:
    """Give the new singers vectors that fit them before the first step: see `enrol`.

    A step moves a weight little, and new singers begin far from where they will be.
    """
    if isinstance(medium, FeatureMedium):
        config = EnrolConfig(max_steps=_MEETING_STEPS, max_seconds=math.inf, seed=seed)
        fitted = enrol.fitted_vectors(medium, batches, 0, recipe, config)
        with torch.no_grad():
            medium.singers.table.weight[: len(fitted)] = fitted
