"""Exponential moving average (EMA) of the weights: what is handed out is smoother than what is learnt.

    average <- d average + (1 - d) weights,    d = min(decay, (1 + n) / (10 + n)) after n steps

Source: averages of weights help as in Polyak and Juditsky 1992, whose mean is a plain one; the warm-up of the decay is
that of TensorFlow's `ExponentialMovingAverage`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Average:
    """The averaged weights of a model; none where the decay is 0: then the weights themselves are handed out."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; expected 0 (no average) up to, but not, 1")
        self._decay = decay
        self._named = dict(model.named_parameters()) if decay else {}
        self._means = {name: parameter.detach().clone() for name, parameter in self._named.items()}

    @torch.no_grad()
    def add(self, n_steps: int) -> None:
        """Take in the weights after `n_steps` steps."""
        if self._means:
            share = 1 - min(self._decay, (1 + n_steps) / (10 + n_steps))
            torch._foreach_lerp_(list(self._means.values()), list(self._named.values()), share)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the averaged weights for a while, to look at it or to write it."""
        with torch.no_grad():
            own = {name: parameter.detach().clone() for name, parameter in self._named.items()}
            for name, parameter in self._named.items():
                parameter.copy_(self._means[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._named.items():
                    parameter.copy_(own[name])

    def tensors(self) -> dict[str, Tensor]:
        """The averages by parameter name, for a training state."""
        return dict(self._means)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the averages where `tensors` left them.

        Raises:
            ValueError: they are not those of this model.
        """
        if {name: mean.shape for name, mean in self._means.items()} != {n: t.shape for n, t in tensors.items()}:
            raise ValueError("the averaged weights do not fit the model")
        for name, mean in self._means.items():
            mean.copy_(tensors[name])
