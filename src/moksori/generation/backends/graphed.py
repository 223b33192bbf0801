"""CUDA-graph backend with nothing but torch: the step of `streaming`, recorded once and replayed.

A step is a few hundred kernels of torch. What is captured, and how it is replayed, stands in `cuda_graph`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from moksori.audio import mulaw
from moksori.generation.backends import streaming
from moksori.generation.backends.cuda_graph import CapturedBackend, State
from moksori.models.wavenet import WaveNet


class GraphBackend(CapturedBackend):
    """Generate by replaying one recorded step; for CUDA."""

    def __init__(self, decoder: WaveNet) -> None:
        super().__init__(streaming.pack(decoder))

    def _advance(self, state: State) -> None:
        self._score(state)
        picked = _pick(state)
        state.codes.index_copy_(0, state.position - state.began, picked.unsqueeze(0))
        state.recent.index_copy_(
            0, state.position % len(state.recent), mulaw.to_scalar(picked).to(state.recent).unsqueeze(0)
        )
        state.position += 1

    def _score(self, state: State) -> None:
        """One column of the forward pass, into `state.logits`."""
        weights, (kernel_size, n_streams) = self._weights, state.recent.shape
        width = weights.first.shape[1]
        frame = state.position // state.hop_samples
        x = torch.addmm(
            weights.first_bias, _slots(state.recent, state.position, range(kernel_size, 0, -1)).T, weights.first
        )
        summands = [x]
        for layer, ring, projected in zip(weights.layers, state.rings, state.frames, strict=False):
            ring.index_copy_(0, state.position % len(ring), x.unsqueeze(0))
            inputs = _slots(ring, state.position, range(len(ring) - 1, -1, -layer.dilation))
            inputs = inputs.transpose(0, 1).reshape(n_streams, -1)  # [K, B, R] -> [B, K * R]
            scores = torch.addmm(projected.index_select(0, frame).squeeze(0), inputs, layer.taps)
            gated = torch.sigmoid(scores[:, :width]) * torch.tanh(scores[:, width:])
            summands.append(gated)
            x = torch.addmm(x, gated, layer.residual) + layer.residual_bias
        skips = torch.addmm(weights.skips_bias, torch.cat(summands, dim=1), weights.skips).relu_()
        hidden = torch.addmm(state.frames[-1].index_select(0, frame).squeeze(0), skips, weights.hidden).relu_()
        torch.addmm(weights.logits_bias, hidden, weights.logits, out=state.logits)


def _slots(ring: Tensor, position: Tensor, steps_back: range) -> Tensor:
    """What lies so many steps back in a ring."""
    return ring.index_select(0, torch.cat([(position - back) % len(ring) for back in steps_back]))


def _pick(state: State) -> Tensor:
    """Codes `[B]` from the scores, as by `sampling.pick`, but with no question that only the CPU could answer."""
    scores = state.logits.double()
    state.is_finite &= scores.isfinite().all()
    best = scores.amax(dim=1, keepdim=True)
    lower = (scores - best) / torch.where(
        state.temperature > 0, state.temperature, 1.0
    )  # at 0 any temperature would do
    cumulative = torch.softmax(lower, dim=1).cumsum(dim=1)
    uniform = state.uniforms.index_select(0, state.position - state.began).squeeze(0).unsqueeze(1)
    picked = (cumulative <= uniform * cumulative[:, -1:]).sum(dim=1)
    return torch.where(state.temperature > 0, picked, scores.argmax(dim=1)).clamp(max=mulaw.N_CODES - 1)
