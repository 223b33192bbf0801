"""What backends of a GPU have in common: one sample of all streams as a CUDA graph, captured once and replayed.

A step scores, picks and remembers one sample of every stream. It consists of small kernels, each over sooner than the
next can be asked for. CUDA replays a captured graph of them at one request, if nothing about it changes from step to
step: no tensor is made anew, no number comes from the CPU. So the position is a tensor here, too; rings are read and
written at places computed from it, codes are picked and uniforms are looked up on the device. The more streams, the
less each one costs.

A ring has a slot for each of the last (K - 1) d inputs, as in `streaming`, and one more for the input of now, so
that writing it overwrites nothing that the same step reads.

On a CPU the same steps run one by one without a graph, which is how they are tested where there is no GPU.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from moksori.audio import mulaw
from moksori.errors import NonFiniteError, UserError
from moksori.generation.backends.streaming import Weights
from moksori.models.conditions import Conditioning

_CALL_SAMPLES = 64  # replays between two looks of whoever waits
_capturing = Lock()  # a process captures one graph at a time


@dataclass
class State:
    """What B streams remember, all of it on the device and rewritten in place."""

    position: Tensor  # [1] int64, samples generated so far
    began: Tensor  # [1] int64, what it was when the present call began
    frames: list[Tensor]  # what the condition and the bias add, by layer and last in the head: [F, B, width]
    hop_samples: int
    recent: Tensor  # [K, B], the last codes as scalars; code t lies in slot t % K
    rings: list[Tensor]  # [(K - 1) * dilation + 1, B, R], a layer's inputs; input t lies in slot t % length
    uniforms: Tensor  # [calls, B] float64, of the present call
    temperature: Tensor  # [1] float64; 0 for the most probable code
    logits: Tensor  # [B, 256]
    codes: Tensor  # [calls, B] int64, of the present call
    is_finite: Tensor  # [1] bool, whether all scores have been
    scratch: list[Tensor]  # what else a backend computes with; nothing of it outlives a step
    graph: Any = field(default=None)  # torch.cuda.CUDAGraph, captured after the first step


class CapturedBackend(ABC):
    """Generate by replaying one captured step; see `generator.Backend`."""

    is_parallel = False
    worker_streams = 128

    def __init__(self, weights: Weights) -> None:
        if len(weights.first) != weights.kernel_size:
            raise UserError(
                f"this model hears {len(weights.first)} codes at once, and what is recorded for a GPU as many as a "
                f"layer has taps, {weights.kernel_size}; choose the backend streaming"
            )
        self._weights = weights

    @abstractmethod
    def _advance(self, state: State) -> None:
        """Score the next code of every stream into `logits`, pick it, remember it, and move on by a sample."""

    def _scratch(self, frames: Tensor) -> list[Tensor]:
        """Tensors for `State.scratch`, of the kind of these frames `[F, B, C]`."""
        return []

    def narrow(self, state: State, n_streams: int) -> None:
        """See `generator.Backend.narrow`: what was captured is of all streams."""
        return None

    def call_samples(self, n_streams: int) -> int:
        """See `generator.Backend.call_samples`."""
        return _CALL_SAMPLES

    def start(self, conditioning: Conditioning) -> State:
        """State before the first sample; see `generator.Backend.start`."""
        weights, n_streams = self._weights, conditioning.frames.shape[0]
        kernel_size, width = weights.first.shape
        frames = conditioning.frames.detach().to(weights.first.dtype).permute(2, 0, 1)  # [B, C, F] -> [F, B, C]
        projected = [frames @ layer.condition + layer.bias for layer in weights.layers]
        zeros, device = frames.new_zeros, frames.device
        silence = mulaw.to_scalar(torch.tensor(mulaw.SILENCE)).item()
        return State(
            position=torch.zeros(1, dtype=torch.int64, device=device),
            began=torch.zeros(1, dtype=torch.int64, device=device),
            frames=[*projected, frames @ weights.hidden_condition + weights.hidden_bias],
            hop_samples=conditioning.hop_samples,
            recent=zeros(kernel_size, n_streams).fill_(silence),
            rings=[zeros((kernel_size - 1) * layer.dilation + 1, n_streams, width) for layer in weights.layers],
            uniforms=torch.zeros(_CALL_SAMPLES, n_streams, dtype=torch.float64, device=device),
            temperature=torch.ones(1, dtype=torch.float64, device=device),
            logits=zeros(n_streams, mulaw.N_CODES),
            codes=torch.zeros(_CALL_SAMPLES, n_streams, dtype=torch.int64, device=device),
            is_finite=torch.ones(1, dtype=torch.bool, device=device),
            scratch=self._scratch(frames),
        )

    @torch.inference_mode()
    def step(self, state: State, previous: Tensor | None) -> tuple[Tensor, State]:
        """Score the next code; see `generator.Backend.step`. One is picked, too, until the next call knows better."""
        with torch.cuda.device_of(state.position):  # type: ignore[no-untyped-call]
            self._begin(state, previous)
            self._advance(state)
        return state.logits.clone(), state

    @torch.inference_mode()
    def sample(
        self, state: State, previous: Tensor | None, uniforms: Tensor, temperature: float
    ) -> tuple[Tensor, State]:
        """Pick the next codes, at most `call_samples` of them; see `generator.Backend.sample`."""
        n_samples = uniforms.shape[1]
        state.uniforms[:n_samples] = uniforms.T
        state.temperature.fill_(temperature)
        with torch.cuda.device_of(state.position):  # type: ignore[no-untyped-call]
            self._begin(state, previous)
            for _ in range(n_samples):
                if state.graph is not None:
                    state.graph.replay()
                elif state.position.is_cuda:
                    state.graph = self._capture(state)
                else:
                    self._advance(state)
        if not state.is_finite.item():
            raise NonFiniteError("the scores of the next code are")
        return state.codes[:n_samples].T.clone(), state

    @staticmethod
    def _begin(state: State, previous: Tensor | None) -> None:
        state.began.copy_(state.position)
        if previous is not None:
            slot = (state.position - 1) % len(state.recent)
            state.recent.index_copy_(0, slot, mulaw.to_scalar(previous).to(state.recent).unsqueeze(0))

    def _capture(self, state: State) -> Any:
        """Take a step, then capture the next one; capturing runs nothing."""
        # Libraries set themselves up, and kernels are compiled, at their first call, which may not be captured.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._advance(state)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with _capturing, torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._advance(state)
        return graph
