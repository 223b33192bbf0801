"""Exponential moving average (EMA) of the weights: what is handed out is smoother than what is learnt.

    average <- d average + (1 - d) weights,    d = min(decay, (1 + n) / (10 + n)) after n steps

Kept by torch's `AveragedModel`. Source: averages of weights help as in Polyak and Juditsky 1992, whose mean is a plain
one; the warm-up of the decay is that of TensorFlow's `ExponentialMovingAverage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Net = TypeVar("Net", bound=nn.Module)


class Average(Generic[Net]):
    """A model of its own with the averaged weights of another; that other itself where the decay is 0."""

    def __init__(self, model: Net, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; expected 0 (no average) up to, but not, 1")
        self._source, self._decay, self._n_steps = model, decay, 0
        self._averaged = AveragedModel(model, multi_avg_fn=self._move) if decay else None
        if self._averaged is not None:
            self._averaged.n_averaged += 1  # the first weights count: they are not replaced by the next

    @property
    def model(self) -> Net:
        """The model that is looked at and handed out."""
        averaged: Any = self._source if self._averaged is None else self._averaged.module
        found: Net = averaged
        return found

    def add(self, n_steps: int) -> None:
        """Take in the weights after `n_steps` steps."""
        self._n_steps = n_steps
        if self._averaged is not None:
            self._averaged.update_parameters(self._source)

    def _move(self, means: Sequence[Tensor], weights: Sequence[Tensor], n_averaged: Tensor | int) -> None:
        decay = min(self._decay, (1 + self._n_steps) / (10 + self._n_steps))
        move: Callable[..., None] = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move(list(means), list(weights), n_averaged)

    def tensors(self) -> dict[str, Tensor]:
        """The averages by parameter name, for a training state; none where there is no average."""
        named = {} if self._averaged is None else self.model.named_parameters()
        return {name: mean.detach() for name, mean in dict(named).items()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the averages where `tensors` left them; what is not averaged is that of the source.

        Raises:
            ValueError: they are not those of this model.
        """
        means = self.tensors()
        if {name: mean.shape for name, mean in means.items()} != {n: t.shape for n, t in tensors.items()}:
            raise ValueError("the averaged weights do not fit the model")
        for name, mean in means.items():
            mean.copy_(tensors[name])
        for own, other in zip(self.model.buffers(), self._source.buffers(), strict=True):
            own.copy_(other)
