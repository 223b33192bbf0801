"""Divergence detection: a spike of the loss is noticed before a step is taken."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from moksori.training.learner import Diverged

_WINDOW = 200  # losses remembered
_ENOUGH = 50  # losses needed before a spike differs from a beginning
_SPREADS = 10.0  # a spike lies this many robust standard deviations above the median
_SHARE = 0.5  # and this share of the median


class SpikeGuard:
    """Remembers recent losses and objects to one that stands far above them."""

    def __init__(self) -> None:
        self._recent: list[float] = []

    def check(self, loss: float) -> None:
        """Accept a loss into the memory, or object.

        Raises:
            Diverged: the loss is a spike, or not finite; it is not remembered.
        """
        if not math.isfinite(loss):
            raise Diverged(f"the loss is {loss}")
        if len(self._recent) >= _ENOUGH:
            recent = torch.tensor(self._recent, dtype=torch.float64)
            median = recent.median()
            # 1.4826 makes the median deviation of a normal law its standard deviation.
            spread = 1.4826 * (recent - median).abs().median()
            limit = (median + torch.maximum(_SPREADS * spread, _SHARE * median.abs())).item()
            if loss > limit:
                raise Diverged(f"the loss jumped to {loss:.3f}; it was {median.item():.3f} lately")
        self._recent = [*self._recent, loss][-_WINDOW:]

    def tensors(self) -> dict[str, Tensor]:
        """The memory, for a training state."""
        return {"recent": torch.tensor(self._recent, dtype=torch.float64)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the memory where `tensors` left it."""
        self._recent = tensors["recent"].tolist()
