"""Adding a singer to a trained voice: nothing but the new singer's vector is learned.

    takes --> mean shape      the measured part of the vector, at once
          --> excerpts --E--> z --D(v)--> rebuilt      a few dozen steps move the learned part v, and no weight

So whoever was there before sings as before, bit for bit.

Source: a new speaker's embedding fitted with all else held fixed, Arik et al. 2018 (Neural voice cloning with a few
samples), section 3.1.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from moksori.checkpoint import Provenance
from moksori.data.batches import Batches
from moksori.data.corpus import Corpus, sung_range
from moksori.errors import UserError
from moksori.models import kinds, roster
from moksori.models.kinds import Model
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training.media.features import FeatureMedium
from moksori.training.recipe import Recipe

_BATCH_SIZE = 8
_RATE, _LAST_RATE = 0.05, 0.005  # learning rates of the vector, first and last


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
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[SourceFilterModel, Provenance]:
    """A copy of a voice in which the singers of some takes sing, too.

    Args:
        model: the voice; it is not changed.
        provenance: of the voice.
        takes: of new singers, prepared.
        recipe: what the voice is trained by: its losses, perturbations and lengths of excerpts are used.
        config: how long.
        licence_note: terms of the takes.
        progress: told of each step.

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
    first, n_new = len(model.singers.names), len(takes.singers)
    medium = FeatureMedium(grown, recipe.perturbation)
    table = medium.table(takes, "train", recipe.segment_samples, moved_copies=config.moved_copies, progress=progress)
    if grown.singers.measured is not None:
        grown.singers.measured[first:] = table.mean_shapes()
    batches = Batches(table, _BATCH_SIZE, config.seed, is_augmented=False)
    fitted = fitted_vectors(medium, batches, first, recipe, config, progress)
    grown.singers.table.weight[first : first + n_new] = fitted
    found = {name: sung_range(takes.of("train", name)) for name in takes.singers}
    ranges = provenance.ranges | {name: sung.rounded() for name, sung in found.items() if sung}
    told = licence_note or f"Enrolled from recordings of {', '.join(takes.singers)}; no terms were stated. Ask them."
    note = f"{provenance.licence_note} {told}".strip()
    line = f"{', '.join(takes.singers)}: enrolled, the vector alone; data {takes.fingerprint[:16]}"
    lineage = (*provenance.lineage, line)
    return grown.eval(), dataclasses.replace(provenance, ranges=ranges, licence_note=note, lineage=lineage)


def fitted_vectors(
    medium: FeatureMedium,
    batches: Batches,
    first: int,
    recipe: Recipe,
    config: EnrolConfig,
    progress: Callable[[int, int, str], None] | None = None,
) -> Tensor:
    """The learned rows of new singers `[N, E]`, after gradient steps on how well they rebuild their recordings.

    Args:
        medium: of the voice; nothing of it is changed.
        batches: recordings of the new singers.
        first: row of the first of them in the voice's table.
        recipe: whose losses count.
        config: how long.
        progress: told of each step.

    Raises:
        UserError: the loss is not finite.
    """
    n_new = len(batches.shares)
    rows = medium.singers.table.weight[first : first + n_new].detach().clone().requires_grad_()
    adam = torch.optim.Adam([rows], lr=_RATE)
    generator = torch.Generator().manual_seed(config.seed)
    weights, began = recipe.losses, time.monotonic()
    for step in range(config.max_steps):
        share = max(step / config.max_steps, (time.monotonic() - began) / config.max_seconds)
        if share >= 1:
            break
        for group in adam.param_groups:
            group["lr"] = _RATE * math.pow(_LAST_RATE / _RATE, share)
        batch = batches.batch(step)
        inputs = medium.perturbed(batch.clips, generator)
        with torch.no_grad():
            z, vectors = medium.encode(inputs), medium.singers(first + batch.singer)
        vectors = torch.cat([rows[batch.singer], vectors[:, rows.shape[1] :]], dim=1)
        controls = medium.controls(inputs, z, vectors)
        loss = weights.reconstruction * medium.distance(controls, batch.clips)
        if medium.has_detail:
            loss = loss + weights.envelope * medium.envelope_distance(controls, batch.clips)
        if not torch.isfinite(loss):
            raise UserError("the takes cannot be learned from: the loss is not finite; listen to them")
        (rows.grad,) = torch.autograd.grad(loss, [rows])
        adam.step()
        if progress:
            progress(step + 1, config.max_steps, "")
    return rows.detach()
