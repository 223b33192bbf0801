"""Autoregressive sampling loop of the backends that compute a step at a time: code after code from their logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from moksori.generation.backends import sampling
from moksori.models.conditions import Conditioning


class Stepwise(ABC):
    """A backend made of `start` and `step`, computed by torch; see `generator.Backend`."""

    is_parallel = False  # torch has threads of its own
    worker_streams = 32

    @abstractmethod
    def start(self, conditioning: Conditioning) -> Any:
        """See `generator.Backend.start`."""

    @abstractmethod
    def step(self, state: Any, previous: Tensor | None) -> tuple[Tensor, Any]:
        """See `generator.Backend.step`."""

    def narrow(self, state: Any, n_streams: int) -> Any:
        """See `generator.Backend.narrow`."""
        return None

    def call_samples(self, n_streams: int) -> int:
        """See `generator.Backend.call_samples`."""
        return 10

    def sample(self, state: Any, previous: Tensor | None, uniforms: Tensor, temperature: float) -> tuple[Tensor, Any]:
        """See `generator.Backend.sample`."""
        codes = torch.empty(uniforms.shape, dtype=torch.int64, device=uniforms.device)
        for index in range(uniforms.shape[1]):
            logits, state = self.step(state, previous)
            previous = sampling.pick(logits, uniforms[:, index], temperature)
            codes[:, index] = previous
        return codes, state
