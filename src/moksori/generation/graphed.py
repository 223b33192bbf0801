"""Generation on a GPU: the step of `streaming`, recorded once and replayed.

A step is a few hundred small kernels, each over sooner than the next can be asked for. CUDA plays a recorded chain of
them at one request, if nothing about it changes from step to step: no tensor is made anew, no number comes from the
CPU. So the position is a tensor here, too; rings are read and written at places computed from it, codes are picked and
uniforms are looked up on the device. A replay is a sample of every stream; the more streams, the less each one costs.

On a CPU the same steps run one by one without a recording, which is how they are tested where there is no GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from moksori.audio import mulaw
from moksori.generation import streaming
from moksori.generation.streaming import Weights
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet

_CALL_SAMPLES = 64  # replays between two looks of whoever waits
_recording = Lock()  # a process records one graph at a time


@dataclass
class State:
    """What B streams remember, all of it on the device and rewritten in place."""

    position: Tensor  # [1] int64, samples generated so far
    frames: list[Tensor]  # what the condition and the bias add, by layer and last in the head: [F, B, width]
    hop_samples: int
    heard: Tensor  # [B, K]
    rings: list[Tensor]  # [(K - 1) * dilation, B, R]
    previous: Tensor  # [B] int64, the last code
    uniforms: Tensor  # [calls, B] float64, of the present call
    temperature: Tensor  # [1] float64; 0 for the most probable code
    logits: Tensor  # [B, 256]
    codes: Tensor  # [calls, B] int64, of the present call
    turn: Tensor  # [1] int64, samples of the present call so far
    is_finite: Tensor  # [1] bool, whether all scores have been
    graph: Any = field(default=None)  # torch.cuda.CUDAGraph, recorded at the first call


class GraphBackend:
    """Generate by replaying one recorded step; for CUDA."""

    is_parallel = False
    worker_streams = 128

    def __init__(self, decoder: WaveNet) -> None:
        self._weights: Weights = streaming.pack(decoder)

    def call_samples(self, n_streams: int) -> int:
        """See `generator.Backend.call_samples`."""
        return _CALL_SAMPLES

    def start(self, conditioning: Conditioning) -> State:
        """State before the first sample; see `generator.Backend.start`."""
        weights, n_streams = self._weights, conditioning.frames.shape[0]
        kernel_size, width = weights.first.shape
        frames = conditioning.frames.detach().permute(2, 0, 1)  # [B, C, F] -> [F, B, C]
        told = [frames @ layer.condition + layer.bias for layer in weights.layers]
        zeros, device = frames.new_zeros, frames.device
        silence = mulaw.to_scalar(torch.tensor(mulaw.SILENCE)).item()
        return State(
            position=torch.zeros(1, dtype=torch.int64, device=device),
            frames=[*told, frames @ weights.hidden_condition + weights.hidden_bias],
            hop_samples=conditioning.hop_samples,
            heard=zeros(n_streams, kernel_size).fill_(silence),
            rings=[zeros((kernel_size - 1) * layer.dilation, n_streams, width) for layer in weights.layers],
            previous=torch.full((n_streams,), -1, dtype=torch.int64, device=device),
            uniforms=torch.zeros(_CALL_SAMPLES, n_streams, dtype=torch.float64, device=device),
            temperature=torch.ones(1, dtype=torch.float64, device=device),
            logits=zeros(n_streams, mulaw.N_CODES),
            codes=torch.zeros(_CALL_SAMPLES, n_streams, dtype=torch.int64, device=device),
            turn=torch.zeros(1, dtype=torch.int64, device=device),
            is_finite=torch.ones(1, dtype=torch.bool, device=device),
        )

    @torch.inference_mode()
    def step(self, state: State, previous: Tensor | None) -> tuple[Tensor, State]:
        """Score the next code; see `generator.Backend.step`."""
        self._take(state, previous)
        self._score(state)
        return state.logits.clone(), state

    @torch.inference_mode()
    def sample(
        self, state: State, previous: Tensor | None, uniforms: Tensor, temperature: float
    ) -> tuple[Tensor, State]:
        """Pick the next codes, at most `call_samples` of them; see `generator.Backend.sample`."""
        n_samples = uniforms.shape[1]
        self._take(state, previous)
        state.uniforms[:n_samples] = uniforms.T
        state.temperature.fill_(temperature)
        state.turn.zero_()
        for _ in range(n_samples):
            if state.graph is not None:
                state.graph.replay()
            elif state.position.is_cuda:
                self._record(state)
            else:
                self._turn(state)
        if not state.is_finite.item():
            raise ValueError("the scores of the next code are not finite; the model is damaged, or diverged")
        return state.codes[:n_samples].T.clone(), state

    def _take(self, state: State, previous: Tensor | None) -> None:
        if previous is not None:
            state.previous.copy_(previous)

    def _record(self, state: State) -> None:
        """Take one turn, and record it. Capturing runs nothing, so the turn that was recorded is then played."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        before = [tensor.clone() for tensor in self._changing(state)]
        stream.wait_stream(torch.cuda.current_stream())  # what was cloned is not overwritten before it is
        with torch.cuda.stream(stream):
            self._turn(state)  # libraries set themselves up at their first call, which may not be recorded
        torch.cuda.current_stream().wait_stream(stream)
        for tensor, was in zip(self._changing(state), before, strict=True):
            tensor.copy_(was)
        graph = torch.cuda.CUDAGraph()
        with _recording, torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._turn(state)
        state.graph = graph
        graph.replay()

    @staticmethod
    def _changing(state: State) -> list[Tensor]:
        scalars = [state.position, state.turn, state.is_finite]
        return [*scalars, state.heard, *state.rings, state.previous, state.logits, state.codes]

    def _turn(self, state: State) -> None:
        """Score, pick, and remember what was picked."""
        self._score(state)
        scores = state.logits.double()
        state.is_finite &= scores.isfinite().all()
        best = scores.amax(dim=1, keepdim=True)
        # As in `sampling.pick`, but with no question that only the CPU could answer; at 0 any temperature would do.
        lower = (scores - best) / torch.where(state.temperature > 0, state.temperature, 1.0)
        cumulative = torch.softmax(lower, dim=1).cumsum(dim=1)
        uniform = state.uniforms.index_select(0, state.turn).squeeze(0).unsqueeze(1)
        picked = (cumulative <= uniform * cumulative[:, -1:]).sum(dim=1)
        state.previous.copy_(torch.where(state.temperature > 0, picked, scores.argmax(dim=1)).clamp(max=255))
        state.codes.index_copy_(0, state.turn, state.previous.unsqueeze(0))
        state.turn += 1

    def _score(self, state: State) -> None:
        """One column of the forward pass, into `state.logits`."""
        weights, (n_streams, _) = self._weights, state.heard.shape
        width = weights.first.shape[1]
        newest = mulaw.to_scalar(state.previous).to(state.heard).unsqueeze(1)
        shifted = torch.cat([state.heard[:, 1:], newest], dim=1)
        state.heard.copy_(torch.where(state.previous.unsqueeze(1) < 0, state.heard, shifted))
        frame = state.position // state.hop_samples
        x = torch.addmm(weights.first_bias, state.heard, weights.first)
        summands = [x]
        for layer, ring, told in zip(weights.layers, state.rings, state.frames, strict=False):
            now = state.position % len(ring)
            steps_back = range(len(ring), 0, -layer.dilation)
            places = torch.cat([(state.position - back) % len(ring) for back in steps_back])
            past = ring.index_select(0, places).transpose(0, 1).reshape(n_streams, -1)  # [K - 1, B, R] -> [B, (K-1) R]
            ring.index_copy_(0, now, x.unsqueeze(0))
            scores = torch.addmm(told.index_select(0, frame).squeeze(0), torch.cat([past, x], dim=1), layer.taps)
            gated = torch.sigmoid(scores[:, :width]) * torch.tanh(scores[:, width:])
            summands.append(gated)
            x = torch.addmm(x, gated, layer.residual) + layer.residual_bias
        skips = torch.addmm(weights.skips_bias, torch.cat(summands, dim=1), weights.skips).relu_()
        hidden = torch.addmm(state.frames[-1].index_select(0, frame).squeeze(0), skips, weights.hidden).relu_()
        torch.addmm(weights.logits_bias, hidden, weights.logits, out=state.logits)
        state.position += 1
