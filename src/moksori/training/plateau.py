"""Early stopping: a plateau, where something gets no better, is noticed."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Plateau:
    """Counts judgements in a row that were no better than the best before them.

    Better is lower, by `least_gain` of the best at least; what is not finite is never better.
    """

    def __init__(self, patience: int, least_gain: float = 0.0) -> None:
        """Take `patience` such judgements for a plateau."""
        self._patience = patience
        self._least_gain = least_gain
        self._best = math.inf
        self._n_in_vain = 0

    @property
    def is_reached(self) -> bool:
        """Whether enough judgements in a row were in vain."""
        return self._n_in_vain >= self._patience

    def add(self, value: float) -> None:
        """Take in a judgement; lower is better."""
        needed = self._best - self._least_gain * abs(self._best) if math.isfinite(self._best) else math.inf
        if math.isfinite(value) and value < needed:
            self._best, self._n_in_vain = value, 0
        else:
            self._n_in_vain += 1

    def tensors(self) -> dict[str, Tensor]:
        """What is remembered, for a training state, which holds finite numbers only: no best one is an empty tensor."""
        best = [self._best] if math.isfinite(self._best) else []
        return {"best": torch.tensor(best, dtype=torch.float64), "n_in_vain": torch.tensor(self._n_in_vain)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `tensors` gave; nothing is a beginning."""
        best = tensors["best"].tolist() if tensors else []
        self._best = best[0] if best else math.inf
        self._n_in_vain = int(tensors["n_in_vain"]) if tensors else 0
