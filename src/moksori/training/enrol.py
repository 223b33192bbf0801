"""Adding a singer to a trained voice: nothing but the new singer's vector is learned.

    takes --> mean shape      the measured part of the vector, at once
          --> excerpts --E--> z --D(v)--> rebuilt      a few dozen steps move the learned part v, and no weight

So whoever was there before sings as before, bit for bit.

How they are learned stands in `training.vectors`.
"""

from __future__ import annotations

import dataclasses

from moksori.checkpoint import Provenance
from moksori.data.batches import Batches
from moksori.data.corpus import Corpus, sung_range
from moksori.errors import UserError
from moksori.models import kinds, roster
from moksori.models.kinds import Model
from moksori.models.source_filter_model import SourceFilterModel
from moksori.progress import OnProgress
from moksori.training import vectors
from moksori.training.media.features import FeatureMedium
from moksori.training.recipe import Recipe

RECIPE = "swift"  # what voices that take singers up are trained by
_BATCH_SIZE = 8


@dataclasses.dataclass(frozen=True)
class EnrolConfig:
    """How long a vector is fitted."""

    max_steps: int = 150
    max_seconds: float = 30.0
    moved_copies: int = 1  # of each take, at other pitches
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_steps < 0 or not self.max_seconds > 0 or self.moved_copies < 0 or self.seed < 0:
            raise ValueError(f"steps, copies and seed must not be negative, and seconds more than 0: {self}")


def enrol(
    model: Model,
    provenance: Provenance,
    takes: Corpus,
    recipe: Recipe,
    config: EnrolConfig,
    licence_note: str = "",
    progress: OnProgress | None = None,
) -> tuple[SourceFilterModel, Provenance]:
    """A copy of a voice in which the singers of some takes sing, too.

    Args:
        model: the voice; it is not changed.
        provenance: of the voice.
        takes: of new singers, prepared.
        recipe: what the voice is trained by: its losses, perturbations and lengths of excerpts are used.
        config: how long.
        licence_note: terms of the takes.
        progress: called for each step.

    Raises:
        UserError: the voice is of another kind, or has a singer of that name.
    """
    if not kinds.is_source_filter(model):
        raise UserError(
            "only a voice of recipe swift takes up new singers: others have no part that is measured, and need training"
        )
    for name in takes.singers:
        if name in model.singers.names:
            raise UserError(f"the voice has a singer named {name!r} already; choose another name with --name")
    recipe = dataclasses.replace(recipe, model=model.config)
    names = {**{name: name for name in model.singers.names}, **dict.fromkeys(takes.singers)}
    grown = roster.with_singers(model, names).requires_grad_(requires_grad=False)
    first = len(model.singers.names)
    medium = FeatureMedium(grown, recipe.perturbation)
    table = medium.table(takes, "train", recipe.segment_samples, moved_copies=config.moved_copies, progress=progress)
    if grown.singers.measured is not None:
        grown.singers.measured[first:] = table.mean_shapes()
    batches = Batches(table, _BATCH_SIZE, config.seed, is_augmented=False)
    fitted = vectors.fitted(
        medium,
        batches,
        first,
        recipe.losses,
        max_steps=config.max_steps,
        max_seconds=config.max_seconds,
        seed=config.seed,
        progress=progress,
    )
    grown.singers.table.weight[first : first + len(fitted)] = fitted
    found = {name: sung_range(takes.of("train", name)) for name in takes.singers}
    ranges = provenance.ranges | {name: sung.rounded() for name, sung in found.items() if sung}
    terms = licence_note or "Of whoever was enrolled, no terms were stated. Ask them."
    note = f"{provenance.licence_note} {terms}".strip()
    line = f"{', '.join(takes.singers)}: enrolled, the vector alone; data {takes.fingerprint[:16]}"
    lineage = (*provenance.lineage, line)
    return grown.eval(), dataclasses.replace(provenance, ranges=ranges, licence_note=note, lineage=lineage)
