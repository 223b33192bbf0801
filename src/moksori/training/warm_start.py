"""Warm start: a run that begins from a trained voice, and learns new singers with it.

The base's singers stay in the model while it learns, after the new ones: they are the others whom confusion, critic and
back-translation need, so one new singer is enough. Nothing of their recordings is needed. Its encoder has heard more
voices than any two users have, and is not moved; the new singers' vectors are fitted first, then all the rest learns.
What is handed out has the new singers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from moksori import checkpoint, run_files, settings
from moksori.audio.pitch import PitchRange
from moksori.errors import UserError
from moksori.models import kinds, roster
from moksori.models.kinds import Model
from moksori.training.media.features import UNKNOWN_HZ

_FROZEN = "encoder."
_OF_CONVERSIONS = ("detail_gain", "sharpening")  # settings of a decoder that its weights do not depend on


@dataclass(frozen=True)
class Base:
    """A trained voice that a run begins from."""

    model: Model
    ranges: dict[str, PitchRange]
    line: str  # of the lineage: which voice this is


def load(which: str) -> Base:
    """The shipped voice (`run_files.BASE`), or that of a model file or a run's folder.

    Raises:
        ModelFileError: no model there, or it is damaged.
    """
    if which == run_files.BASE:
        with resources.as_file(run_files.shipped_voice()) as path:
            model, origin = checkpoint.read_model(path)
    else:
        model, origin = checkpoint.read_model(run_files.model_file(Path(which)))
    what = "the shipped voice" if which == run_files.BASE else "a voice"
    line = (
        f"began from {what} of {len(model.singers.names)} singers: recipe {origin.recipe or 'without a name'}, "
        f"{origin.steps} steps, weights {checkpoint.fingerprint(model.state_dict())[:16]}"
    )
    return Base(model, origin.ranges, line)


def others(base: Base, singers: Sequence[str]) -> dict[str, float]:
    """The base's singers but those who are to be learned, with the middle of their range in Hz."""
    names = [name for name in base.model.singers.names if name not in singers]
    return {name: base.ranges[name].median_hz if name in base.ranges else UNKNOWN_HZ for name in names}


def begun(base: Base, config: kinds.Config, singers: Sequence[str]) -> Model:
    """The base's model for new singers, then its own ones; whom it knows already begins where it stands.

    Raises:
        UserError: the base's model has other settings than the recipe's.
    """
    if _as_trained(base.model.config) != _as_trained(config):
        raise UserError(
            "the voice to begin from has another model than the recipe; leave the recipe's model as it is, give a "
            "voice trained with this recipe, or begin from nothing with --from none"
        )
    known = base.model.singers.names
    names = [*singers, *others(base, singers)]
    sung = roster.with_singers(base.model, {name: name if name in known else None for name in names})
    model = kinds.build(config, names)
    model.load_state_dict(sung.state_dict())
    return model


def _as_trained(config: kinds.Config) -> dict[str, Any]:
    """The settings that the weights depend on."""
    plain: dict[str, Any] = settings.plain(config)
    decoder = plain.get("decoder", {})
    return plain | {"decoder": {name: value for name, value in decoder.items() if name not in _OF_CONVERSIONS}}


def freeze(model: Model) -> None:
    """Keep the encoder as it is: its parameters take no gradient, and no learner has them."""
    for name, parameter in model.named_parameters():
        if name.startswith(_FROZEN):
            parameter.requires_grad_(False)
