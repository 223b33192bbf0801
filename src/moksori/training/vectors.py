"""Fitting the vectors of new singers while all else in the model is held fixed.

Source: a new speaker's embedding, Arik et al. 2018 (Neural voice cloning with a few samples), section 3.1.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from moksori.data.batches import Batches
from moksori.errors import UserError
from moksori.progress import OnProgress, Progress
from moksori.training.losses import LossWeights
from moksori.training.phases.adversarial import Criticised

_RATE, _LAST_RATE = 0.05, 0.005  # learning rates, first and last


def fitted(
    medium: Criticised,
    batches: Batches,
    first: int,
    weights: LossWeights,
    *,
    max_steps: int,
    max_seconds: float = math.inf,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> Tensor:
    """The learned rows of new singers `[N, E]`, after gradient steps on how well they rebuild their recordings.

    Args:
        medium: of the voice; nothing of it is changed.
        batches: recordings of the new singers.
        first: row of the first of them in the voice's table.
        weights: of the losses.
        max_steps: how many.
        max_seconds: how long; a function of the arguments alone where there is no limit.
        seed: of perturbations.
        progress: called for each step.

    Raises:
        UserError: the loss is not finite.
    """
    rows = medium.singers.table.weight[first : first + len(batches.shares)].detach().clone().requires_grad_()
    adam = torch.optim.Adam([rows], lr=_RATE)
    generator, began = torch.Generator().manual_seed(seed), time.monotonic()
    for step in range(max_steps):
        share = max(step / max_steps, (time.monotonic() - began) / max_seconds)
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
            progress(Progress(step + 1, max_steps))
    return rows.detach()
