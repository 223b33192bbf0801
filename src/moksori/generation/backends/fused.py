"""GPU backend of fused Triton kernels: a layer is one of them.

A step is the first convolution, each layer, and the head, which also picks: 42 kernels for the paper's decoder. What
they do stands in `fused_kernels`; how a step is captured and replayed, in `cuda_graph`. Triton compiles them for the
GPU at hand when the first sample is asked for.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from moksori.audio import mulaw
from moksori.errors import UserError
from moksori.generation.backends import streaming
from moksori.generation.backends.cuda_graph import CapturedBackend, State
from moksori.generation.backends.streaming import Layer, Weights
from moksori.models.wavenet import WaveNet

STREAMS = 16
"""That a program of a kernel takes: the fewest rows of a product on a tensor core."""

# Rows and columns of weights that a program multiplies by at once, and its warps: as much as keeps a layer of the
# paper's size within the registers (see the tests of the kernels).
BLOCK = {torch.float32: 32, torch.float16: 64}
N_WARPS = 8


class FusedBackend(CapturedBackend):
    """Generate by replaying one kernel a layer; for CUDA, and for Triton's interpreter."""

    def __init__(self, decoder: WaveNet, dtype: torch.dtype = torch.float32) -> None:
        """Lay out a decoder's weights.

        Args:
            decoder: on a GPU, or anywhere if Triton interprets (TRITON_INTERPRET=1); copied.
            dtype: of what is multiplied, weights and inputs: float32, as exact as torch, or float16. Sums are float32.

        Raises:
            UserError: Triton is missing, or the decoder is not on a GPU.
        """
        self._kernels = _kernels(decoder.first.weight.device)
        self._block = BLOCK[dtype]
        super().__init__(_in_type(_padded(streaming.pack(decoder), self._block), dtype))
        width, n_skips = self._weights.first.shape[1], len(self._weights.skips_bias)
        self._skips = self._weights.skips.reshape(-1, width, n_skips)  # of the first convolution, and of every layer

    def _scratch(self, frames: Tensor) -> list[Tensor]:
        """The position of the step under way; two sums of skips; where the last layer puts what nobody reads."""
        n_streams, (_, width), n_skips = frames.shape[1], self._weights.first.shape, len(self._weights.skips_bias)
        now = torch.zeros(1, dtype=torch.int64, device=frames.device)
        sums = [frames.new_zeros(n_streams, n_skips) for _ in range(2)]
        return [now, *sums, frames.new_zeros(1, n_streams, width)]

    def _advance(self, state: State) -> None:
        weights, kernels = self._weights, self._kernels
        kernel_size, n_streams = state.recent.shape
        programs = (-(-n_streams // STREAMS),)
        now, sums, other_sums, unread = state.scratch
        sizes = {"SKIP": len(weights.skips_bias), "TAPS": kernel_size, "STREAMS": STREAMS, "BLOCK": self._block}
        sizes |= {"num_warps": N_WARPS}
        width = weights.first.shape[1]
        rings = [*state.rings, unread]
        kernels.first[programs](
            state.position, now, state.recent, weights.first, weights.first_bias, self._skips[0], weights.skips_bias,
            rings[0], sums, n_streams, len(rings[0]), WIDTH=width, **sizes,
        )  # fmt: skip
        for index, layer in enumerate(weights.layers):
            ring, next_ring = rings[index : index + 2]
            kernels.layer[programs](
                now, ring, next_ring, state.frames[index], layer.taps, layer.residual, layer.residual_bias,
                self._skips[index + 1], sums, other_sums, n_streams, state.hop_samples, layer.dilation, len(ring),
                len(next_ring), WIDTH=width, **sizes,
            )  # fmt: skip
            sums, other_sums = other_sums, sums
        kernels.head[programs](
            now, state.position, state.began, sums, state.frames[-1], weights.hidden, weights.logits,
            weights.logits_bias, state.uniforms, state.temperature, state.logits, state.codes, state.recent,
            state.is_finite, n_streams, state.hop_samples, CODES=mulaw.N_CODES, **sizes,
        )  # fmt: skip


def _kernels(device: torch.device) -> Any:
    """The module of the kernels, which needs Triton; refused where it is missing, or could not run them."""
    if importlib.util.find_spec("triton") is None:
        raise UserError(
            "the fused backend needs Triton, which is not installed: pip install 'moksori[gpu]' (it exists for Linux), "
            "or choose another backend"
        )
    import triton

    if device.type != "cuda" and not triton.knobs.runtime.interpret:
        raise UserError(
            f"the fused backend needs a GPU, and the model is on {device.type}: choose --device cuda where there is "
            "one, or another backend"
        )
    from moksori.generation.backends import fused_kernels

    return fused_kernels


def _padded(weights: Weights, block: int) -> Weights:
    """The same net with widths that are powers of two and at least a block; what is added is 0 and stays 0."""
    (kernel_size, narrow), n_skips = weights.first.shape, len(weights.hidden)
    width, skip = (max(block, 1 << (size - 1).bit_length()) for size in (narrow, n_skips))
    n_condition = len(weights.hidden_condition)

    def pad_layer(layer: Layer) -> Layer:
        # What goes to the sigmoid and what goes to the tanh is padded apart.
        taps = layer.taps.reshape(kernel_size, narrow, 2, narrow)
        condition = layer.condition.reshape(n_condition, 2, narrow)
        return replace(
            layer,
            taps=_widened(taps, kernel_size, width, 2, width).reshape(kernel_size * width, 2 * width),
            condition=_widened(condition, n_condition, 2, width).reshape(n_condition, 2 * width),
            bias=_widened(layer.bias.reshape(2, narrow), 2, width).flatten(),
            residual=_widened(layer.residual, width, width),
            residual_bias=_widened(layer.residual_bias, width),
        )

    sources = weights.skips.reshape(1 + len(weights.layers), narrow, n_skips)
    return Weights(
        bands=weights.bands,
        kernel_size=weights.kernel_size,
        first=_widened(weights.first, kernel_size, width),
        first_bias=_widened(weights.first_bias, width),
        layers=[pad_layer(layer) for layer in weights.layers],
        skips=_widened(sources, len(sources), width, skip).flatten(0, 1),
        skips_bias=_widened(weights.skips_bias, skip),
        hidden=_widened(weights.hidden, skip, skip),
        hidden_condition=_widened(weights.hidden_condition, n_condition, skip),
        hidden_bias=_widened(weights.hidden_bias, skip),
        logits=_widened(weights.logits, skip, mulaw.N_CODES),
        logits_bias=weights.logits_bias.float(),
    )


def _widened(tensor: Tensor, *shape: int) -> Tensor:
    """Zeros in float32 with the tensor in their first corner."""
    wide = torch.zeros(shape, dtype=torch.float32, device=tensor.device)
    wide[tuple(slice(size) for size in tensor.shape)] = tensor
    return wide


def _in_type(weights: Weights, dtype: torch.dtype) -> Weights:
    """The same weights, the matrices in another type but for the first convolution's and the condition's."""
    layers = [replace(each, taps=each.taps.to(dtype), residual=each.residual.to(dtype)) for each in weights.layers]
    return replace(
        weights,
        layers=layers,
        skips=weights.skips.to(dtype),
        hidden=weights.hidden.to(dtype),
        logits=weights.logits.to(dtype),
    )
