"""Choosing the state that is handed out: the one whose conversions are best, which need not be the last.

The held-out loss is that of singers who sing their own clips again. It goes on falling while conversions, which nobody
has a recording to compare with, may already get worse. So now and then the model in training converts a few validation
recordings, and somebody says how good that is:

    identified   up: who listens names the target
    melody       not down: the pitch is that of the source
    content      not down: what is sung moves as it does in the source

The three become one number, their geometric mean: what is gained in one cannot pay for the collapse of another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from moksori.checkpoint import Provenance
from moksori.models.family import Model


@dataclass(frozen=True)
class Score:
    """How good conversions are; each 0..1, more is better."""

    identified: float
    melody: float
    content: float

    @property
    def merit(self) -> float:
        """The geometric mean of the three, 0..1; 0 where one of them is no number.

        >>> round(Score(0.9, 0.9, 0.9).merit, 3), Score(1.0, 1.0, 0.0).merit
        (0.9, 0.0)
        """
        product = self.identified * self.melody * self.content
        return max(product, 0.0) ** (1 / 3) if math.isfinite(product) else 0.0


class Scorer(Protocol):
    """Somebody who judges conversions; handed in from above, since training knows no judges."""

    def score(self, model: Model, provenance: Provenance) -> Score:
        """Judge a model in training, which must stay as it is."""


@dataclass(frozen=True)
class Chosen:
    """The best state so far."""

    step: int
    merit: float
