"""Incremental generation: each layer remembers the inputs that its taps will ask for again.

A layer of dilation d and two taps reads its input now and d samples ago, so it keeps a ring of d inputs:

    ring of d = 4      slot    0    1    2    3        position t = 6 reads slot 6 % 4 = 2, which holds the input of
                       input   t=4  t=5  t=2  t=3      t - d = 2, and then writes its own input there

With K taps the ring holds (K - 1) d inputs. The condition does not change within a hop, so its 1x1 convolutions run
once a frame, for all layers and frames before the first sample. One step costs the multiplications of one column of
the forward pass, whatever the receptive field.

With several bands a column scores the codes of a whole step. They are asked for one after another all the same: the
first code of a step computes the column, the others read what it said of them.

Source: the fast generation of Paine et al. 2016, with the condition hoisted to the frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from moksori.audio import mulaw
from moksori.generation.backends.stepwise import Stepwise
from moksori.models.conditions import Conditioning
from moksori.models.layers import GatedResidual
from moksori.models.wavenet import WaveNet


@dataclass(frozen=True)
class Layer:
    """Weights of one gated layer, laid out for `row @ matrix`."""

    dilation: int
    taps: Tensor  # [K * R, 2R], oldest tap first
    condition: Tensor  # [C, 2R]
    bias: Tensor  # [2R], of the taps and of the condition
    residual: Tensor  # [R, R]
    residual_bias: Tensor  # [R]


@dataclass(frozen=True)
class Weights:
    """The decoder's weights, copied: later changes to the decoder do not reach the backend."""

    bands: int  # codes of a step
    kernel_size: int  # K, taps of a layer
    first: Tensor  # [K' * bands, R], K' taps of the first convolution, oldest first
    first_bias: Tensor  # [R]
    layers: list[Layer]
    skips: Tensor  # [(1 + L) * R, S]: the first convolution's 1x1 and every layer's, summed by one product
    skips_bias: Tensor  # [S]
    hidden: Tensor  # [S, S]
    hidden_condition: Tensor  # [C, S]
    hidden_bias: Tensor  # [S], of both
    logits: Tensor  # [S, bands * 256]
    logits_bias: Tensor  # [bands * 256]


@dataclass
class State:
    """What B streams remember between two samples. A step consumes the state it is given and returns the next."""

    position: int  # codes generated so far
    hop_samples: int
    scores: list[Tensor]  # what the condition and the bias add in each layer: [F, B, 2R]
    hidden: Tensor  # and in the head: [F, B, S]
    recent: Tensor  # the last K' steps' codes as scalars, oldest first: [B, K' * bands]
    rings: list[Tensor]  # each layer's past inputs, [(K - 1) * dilation, B, R]; zeros before the start
    summands: Tensor  # [B, (1 + L) * R], what the skip product reads; scratch, rewritten by every step
    logits: Tensor  # of the present step, [B, bands, 256]


class StreamingBackend(Stepwise):
    """Generate with ring buffers, B streams in lockstep."""

    def __init__(self, decoder: WaveNet) -> None:
        self._weights = pack(decoder)

    def start(self, conditioning: Conditioning) -> State:
        """State before the first sample; see `generator.Backend.start`."""
        weights, n_streams = self._weights, conditioning.frames.shape[0]
        n_recent, width = weights.first.shape
        frames = conditioning.frames.detach().permute(2, 0, 1)  # [B, C, F] -> [F, B, C]
        zeros = frames.new_zeros
        silence = mulaw.to_scalar(torch.tensor(mulaw.SILENCE)).item()
        return State(
            position=0,
            hop_samples=conditioning.hop_samples,
            scores=[frames @ layer.condition + layer.bias for layer in weights.layers],
            hidden=frames @ weights.hidden_condition + weights.hidden_bias,
            recent=zeros(n_streams, n_recent).fill_(silence),
            rings=[zeros((weights.kernel_size - 1) * layer.dilation, n_streams, width) for layer in weights.layers],
            summands=zeros(n_streams, (1 + len(weights.layers)) * width),
            logits=zeros(n_streams, weights.bands, mulaw.N_CODES),
        )

    @torch.inference_mode()
    def step(self, state: State, previous: Tensor | None) -> tuple[Tensor, State]:
        """Score the next code; see `generator.Backend.step`."""
        if previous is not None:
            newest = mulaw.to_scalar(previous).to(state.recent).unsqueeze(1)
            state.recent = torch.cat([state.recent[:, 1:], newest], dim=1)
        step, band = divmod(state.position, self._weights.bands)
        if band == 0:
            state.logits = torch.unflatten(self._column(state, step), 1, (self._weights.bands, -1))
        state.position += 1
        return state.logits[:, band], state

    def _column(self, state: State, step: int) -> Tensor:
        """Scores of all codes of a step, `[B, bands * 256]`."""
        weights = self._weights
        width = weights.first.shape[1]
        frame = state.position // state.hop_samples
        summands = state.summands
        x = torch.addmm(weights.first_bias, state.recent, weights.first)  # [B, R]
        summands[:, :width] = x
        for index, (layer, ring) in enumerate(zip(weights.layers, state.rings, strict=True), start=1):
            scores = torch.addmm(state.scores[index - 1][frame], _tap_inputs(ring, layer, step, x), layer.taps)
            ring[step % len(ring)] = x
            gated = torch.sigmoid(scores[:, :width]) * torch.tanh(scores[:, width:])
            summands[:, index * width : (index + 1) * width] = gated
            x = torch.addmm(x, gated, layer.residual).add_(layer.residual_bias)
        skips = torch.addmm(weights.skips_bias, summands, weights.skips).relu_()
        hidden = torch.addmm(state.hidden[frame], skips, weights.hidden).relu_()
        return torch.addmm(weights.logits_bias, hidden, weights.logits)


def _tap_inputs(ring: Tensor, layer: Layer, step: int, x: Tensor) -> Tensor:
    """Inputs that the taps read now, oldest first: `[B, K * R]`."""
    # The ring's length is (K - 1) d: its oldest input sits in the slot that is about to be overwritten.
    steps_back = range(len(ring), 0, -layer.dilation)
    return torch.cat([ring[(step - back) % len(ring)] for back in steps_back] + [x], dim=1)


def pack(decoder: WaveNet) -> Weights:
    """Lay out a decoder's weights for `row @ matrix`; they are copied."""
    layers = list(decoder.gated_layers())
    skip_sources = [decoder.first_skip, *(layer.skip for layer in layers)]
    hidden_condition, hidden_bias = _condition(decoder.hidden_condition, decoder.hidden)
    return Weights(
        bands=decoder.config.bands,
        kernel_size=decoder.config.kernel_size,
        first=_copy(decoder.first.weight.permute(2, 1, 0)).flatten(0, 1),  # [R, bands, K'] -> [K' * bands, R]
        first_bias=_copy(decoder.first.bias),
        layers=[_pack_layer(layer, dilation) for layer, dilation in zip(layers, decoder.config.dilations, strict=True)],
        skips=torch.cat([_pointwise(source) for source in skip_sources]),
        skips_bias=torch.stack([_copy(source.bias) for source in skip_sources]).sum(dim=0),
        hidden=_pointwise(decoder.hidden),
        hidden_condition=hidden_condition,
        hidden_bias=hidden_bias,
        logits=_pointwise(decoder.logits),
        logits_bias=_copy(decoder.logits.bias),
    )


def _pack_layer(layer: GatedResidual, dilation: int) -> Layer:
    condition, bias = _condition(layer.condition, layer.dilated)
    return Layer(
        dilation=dilation,
        taps=_copy(layer.dilated.weight.permute(2, 1, 0)).flatten(0, 1),  # [2R, R, K] -> [K * R, 2R]
        condition=condition,
        bias=bias,
        residual=_pointwise(layer.residual),
        residual_bias=_copy(layer.residual.bias),
    )


def _condition(condition: nn.Conv1d | None, added_to: nn.Conv1d) -> tuple[Tensor, Tensor]:
    """The condition's 1x1 as `[C, C']` (C = 0 if there is none), and the bias of all that is summed there, `[C']`."""
    bias = _copy(added_to.bias)
    if condition is None:
        return bias.new_zeros(0, len(bias)), bias
    return _pointwise(condition), bias + _copy(condition.bias)


def _pointwise(convolution: nn.Conv1d) -> Tensor:
    return _copy(convolution.weight[:, :, 0].T)  # [out, in, 1] -> [in, out]


def _copy(tensor: Tensor | None) -> Tensor:
    assert tensor is not None  # every convolution of the decoder has a bias
    return tensor.detach().clone(memory_format=torch.contiguous_format)
