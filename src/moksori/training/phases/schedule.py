"""The phase schedule: which step is phase 1's, which phase 2's; and when phase 2 comes in.

    "step"      at `start_step`
    "share"     when `start_share` of the steps or of the time is spent, whichever is spent faster
    "first"     whichever of these two comes first: a short budget has a phase 2 as well
    "plateau"   when the held-out loss got no better over `plateau_validations` validations
    "never"     phase 1 alone

From then on a pool of clips is sung every `refresh_every_steps`; the steps after it learn from the pool, and the rest
are phase 1's:

    1 1 1 1 1 1 | 2 2 2 1 1 1 1 1 | 2 2 2 1 1 1 1 1 | ...      pool_batches * uses = 3, refresh_every_steps = 8
                ^ first step      ^ refresh

A clock runs otherwise each time, so a start that it decided is part of the run: it is saved with the training
state at once, and a run that resumes does not choose again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from moksori.training.phases.mixup import MixupConfig
from moksori.training.plateau import Plateau

STARTS = ("step", "share", "first", "plateau", "never")


@dataclass(frozen=True)
class BackTranslationConfig:
    """When phase 2 comes in, and how much is sung for it."""

    start: str = "step"  # what decides the first step of phase 2; see the module's description
    start_step: int = 200_000  # for "step" and "first"; counted from 0
    start_share: float = 0.5  # for "share" and "first"
    plateau_validations: int = 5  # for "plateau": so many in a row are in vain
    plateau_gain: float = 0.002  # a loss that is lower by less than this share of it is no better
    refresh_every_steps: int = 2000  # a new pool is sung this often; phase-1 steps fill the time between
    pool_batches: int = 12  # batches sung at once, in lockstep: 96 clips of a batch of 8
    uses: int = 1  # times each batch of the pool is learnt from
    mixup: MixupConfig = field(default_factory=MixupConfig)

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise ValueError(f"unknown start of phase 2 {self.start!r}; known are {', '.join(STARTS)}")
        counts = (self.refresh_every_steps, self.pool_batches, self.uses, self.plateau_validations)
        if min(counts) < 1 or self.start_step < 0:
            raise ValueError(f"back-translation counts must be at least 1, start_step at least 0: {self}")
        if not 0 <= self.start_share <= 1 or not 0 <= self.plateau_gain < 1:
            raise ValueError(f"start_share must be in [0, 1], plateau_gain in [0, 1): {self}")
        if self.steps_per_pool > self.refresh_every_steps:
            raise ValueError(
                f"a pool of {self.pool_batches} batches used {self.uses} times lasts {self.steps_per_pool} steps, "
                f"longer than refresh_every_steps = {self.refresh_every_steps}"
            )

    @property
    def steps_per_pool(self) -> int:
        """Steps of back-translation after each refresh."""
        return self.pool_batches * self.uses


class PhaseSchedule:
    """Knows the first step of phase 2, or finds out when it comes; and which phase each step belongs to."""

    def __init__(self, config: BackTranslationConfig) -> None:
        self.config = config
        self._plateau = Plateau(config.plateau_validations, config.plateau_gain)
        self._first_step = self._given

    @property
    def _given(self) -> int | None:
        return self.config.start_step if self.config.start == "step" else None

    def expected_first_step(self, last_step: int) -> int | None:
        """The first step of phase 2, as far as can be said, if the budget is spent after `last_step` steps."""
        if self._first_step is not None:
            return self._first_step
        by_share = math.ceil(self.config.start_share * last_step)
        return {"share": by_share, "first": min(by_share, self.config.start_step)}.get(self.config.start)

    @property
    def first_step(self) -> int | None:
        """The first step of phase 2, counted from 0; None if it is not known, or will never come."""
        return self._first_step

    def place(self, step: int) -> int | None:
        """How many steps before this one the pool in use was sung; 0 where one is due, None in steps of phase 1.

        Args:
            step: counted from 0.
        """
        if self._first_step is None or step < self._first_step:
            return None
        since = (step - self._first_step) % self.config.refresh_every_steps
        return since if since < self.config.steps_per_pool else None

    def is_back_translation(self, step: int) -> bool:
        """Whether a step, counted from 0, learns from the pool."""
        return self.place(step) is not None

    def spend(self, step: int, share: float) -> bool:
        """Take note of the share of the budget that is spent before a step; whether that makes it phase 2's first."""
        is_due = {
            "share": share >= self.config.start_share,
            "first": share >= self.config.start_share or step >= self.config.start_step,
        }
        return is_due.get(self.config.start, False) and self._begin(step)

    def validate(self, step: int, loss: float) -> bool:
        """Take in the held-out loss after `step` steps; whether that makes the next one phase 2's first."""
        if self.config.start != "plateau" or self._first_step is not None:
            return False
        self._plateau.add(loss)
        return self._plateau.is_reached and self._begin(step)

    def tensors(self) -> dict[str, Tensor]:
        """What was chosen and what a choice depends on, for a training state; nothing where the recipe tells all."""
        if self.config.start in ("step", "never"):
            return {}
        chosen = torch.tensor(-1 if self._first_step is None else self._first_step)
        return {"first_step": chosen, **self._plateau.tensors()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `tensors` gave; nothing is a beginning."""
        chosen = int(tensors["first_step"]) if "first_step" in tensors else -1
        self._first_step = chosen if chosen >= 0 else self._given
        self._plateau.restore({name: value for name, value in tensors.items() if name != "first_step"})

    def _begin(self, step: int) -> bool:
        if self._first_step is not None:
            return False
        self._first_step = step
        return True
