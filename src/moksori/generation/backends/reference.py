"""The definition of generation: one whole forward pass a sample. Slow on purpose, kept forever.

Every faster backend is compared with this one, step by step and code by code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from moksori.generation.backends.stepwise import Stepwise
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet


@dataclass(frozen=True)
class State:
    """All that the reference remembers: everything."""

    conditioning: Conditioning  # [B, C, F]
    codes: Tensor  # [B, t], the codes before position t


class ReferenceBackend(Stepwise):
    """Score each code by a forward pass over the whole clip."""

    def __init__(self, decoder: WaveNet) -> None:
        self._decoder = decoder

    def start(self, conditioning: Conditioning) -> State:
        """State before the first sample; see `generator.Backend.start`."""
        n_streams = conditioning.frames.shape[0]
        return State(conditioning, conditioning.frames.new_zeros((n_streams, 0), dtype=torch.int64))

    @torch.no_grad()
    def step(self, state: State, previous: Tensor | None) -> tuple[Tensor, State]:
        """Score the next code; see `generator.Backend.step`."""
        codes = state.codes if previous is None else torch.cat([state.codes, previous.unsqueeze(1)], dim=1)
        position = codes.shape[1]
        # Codes from `position` on are unknown; causality lets any number stand for them.
        clip = functional.pad(codes, (0, state.conditioning.n_samples - position))
        conditioning = state.conditioning if self._decoder.condition_channels else None
        logits = self._decoder(clip, conditioning)[:, :, position]
        return logits, State(state.conditioning, codes)
