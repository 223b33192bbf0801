"""Model selection: the state that is handed out is the one whose conversions are best, which need not be the last.

The held-out loss is that of singers who sing their own clips again. It goes on falling while conversions, which nobody
has a recording to compare with, may already get worse. So now and then the model in training converts a few validation
recordings, and somebody says how good that is:

    identified   up: who listens names the target
    melody       not down: the pitch is that of the source
    content      not down: what is sung moves as it does in the source

The three become one number, their geometric mean: what is gained in one can hardly pay for the collapse of another. Of
states that are as good within the noise of so few conversions the latest is taken: it has learnt more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from moksori.checkpoint import Provenance
from moksori.models.kinds import Model

_LEAST = 0.05  # a share below is as good as none: chance shall not rank models that cannot sing yet
_NOISE = 0.01  # of the mean


@dataclass(frozen=True)
class Score:
    """How good conversions are; each 0..1, more is better."""

    identified: float
    melody: float
    content: float

    @property
    def merit(self) -> float:
        """The geometric mean of the three, each at least 0.05; 0 where one of them is no number.

        >>> round(Score(0.9, 0.9, 0.9).merit, 3), round(Score(1.0, 1.0, 0.0).merit, 3)
        (0.9, 0.368)
        """
        shares = (self.identified, self.melody, self.content)
        if not all(math.isfinite(share) for share in shares):
            return 0.0
        return math.prod(max(share, _LEAST) for share in shares) ** (1 / 3)


class Scorer(Protocol):
    """Somebody who judges conversions; handed in from above, since training knows no judges."""

    def score(self, model: Model, provenance: Provenance) -> Score:
        """Judge a model in training, which must stay as it is."""


@dataclass(frozen=True)
class Chosen:
    """The state that is handed out."""

    step: int
    merit: float
    best_merit: float  # of all states so far; that of the chosen one is no worse, but for noise

    def gives_way_to(self, merit: float) -> bool:
        """Whether a state that is scored later, be it at the same step after a rollback, is chosen in its place."""
        return merit >= max(self.best_merit, merit) - _NOISE

    def or_later(self, step: int, merit: float) -> Chosen:
        """The choice between this state and one that is scored later."""
        best = max(self.best_merit, merit)
        if self.gives_way_to(merit):
            return Chosen(step, merit, best)
        return Chosen(self.step, self.merit, best)
