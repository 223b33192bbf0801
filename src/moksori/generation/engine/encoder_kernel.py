"""The encoder's hot loop: block after block of a clip runs through all layers while it is in the caches.

`_layer` reads like `models.layers.CentredResidual`. A layer hears its input on either side, so what it says of a block
lags behind its input, and the next layer's lags further; each layer keeps as much of its past as that takes:

    input of a layer        . . . . . [= = = =]            a block of samples that has come in,
    output of the layer         . [= = = =]                and what is known of by then: `reach` samples earlier

The positions of a block are the streams of `product._product`, the taps of a convolution products that go on. Nothing
is computed twice, and what the layers remember does not grow with the clip.

Arrays are flat, and positions are rows. What lies before a clip or after it is zero for every layer, as it is padded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from moksori.generation.engine.cpu import Tier
from moksori.generation.engine.product import Compiler, Floats, Packed, Wholes
from moksori.generation.engine.tile import ARITHMETICS, Arithmetic

BLOCK_SAMPLES = 64

# What `build` binds in each copy of the functions below; here nothing is bound.
LANES = 0  # rows of a vector
INPUT: Any = None  # type of what a layer's tiles read
PRODUCT: Any = None  # `product._product` in the arithmetic of the layers,
PLAIN_PRODUCT: Any = None  # and in float32
KEEP: Any = None  # what is kept of float32 values for a layer's tiles


class Sizes(NamedTuple):
    """What the encoder is: L layers, K taps. W and D are padded with zeros to whole blocks of rows."""

    n_layers: int  # L
    kernel_size: int  # K, odd
    channels: int  # W
    latent: int  # D
    hop_samples: int


class Weights(NamedTuple):
    """What the encoder learnt, laid out for the tiles (`packing.py`)."""

    dilations: Wholes  # [L]
    stem: Floats  # [K, W], earliest tap first
    stem_bias: Floats  # [W]
    taps: Packed  # [L, K, W * W], earliest tap first
    taps_bias: Floats  # [L, W]
    mix: Packed  # [L, W * W]
    mix_bias: Floats  # [L, W]
    head: Floats  # [D * W]
    head_bias: Floats  # [D]


class State(NamedTuple):
    """What is remembered of a clip between two blocks; rewritten in place. Zeros before the clip."""

    rings: Packed  # [((K - 1) * sum of dilations + L * block) * W], each layer's inputs after the ReLU, ring after ring
    inputs: Floats  # [(K // 2 * sum of dilations + L * block) * W], and as they came
    mean: Floats  # [W], of the last layer's output over the present hop


def _run(sizes, weights, state, sound, start, stop, z):
    """Let the samples `[start, stop)` of a clip in, block by block; those after its end push the rest of it out.

    Args:
        sizes: see `Sizes`.
        weights: see `Weights`.
        state: see `State`.
        sound: the whole clip, `[T]`, T a multiple of the hop.
        start: a multiple of the block; where the last call stopped.
        stop: likewise.
        z: `[F, D]`, frames of it are written as they are known.
    """
    width, n_samples = sizes.channels, len(sound)
    x = np.empty(BLOCK_SAMPLES * width, np.float32)
    rectified = np.empty(BLOCK_SAMPLES * width, np.float32)
    kept = np.empty(BLOCK_SAMPLES * width, INPUT)  # `rectified` as a tile reads it
    sums = np.empty(BLOCK_SAMPLES * width, np.float32)
    for first in range(start, stop, BLOCK_SAMPLES):
        at = first  # of the block's first row, in the clip
        _stem(sizes, weights, sound, at, x)
        ring_start, inputs_start = 0, 0  # where the rings of the layer begin
        for layer in range(sizes.n_layers):
            reach = sizes.kernel_size // 2 * weights.dilations[layer]
            ring = state.rings[ring_start : ring_start + (2 * reach + BLOCK_SAMPLES) * width]
            inputs = state.inputs[inputs_start : inputs_start + (reach + BLOCK_SAMPLES) * width]
            ring_start += len(ring)
            inputs_start += len(inputs)
            _layer(sizes, weights, layer, at, n_samples, ring, inputs, rectified, kept, sums, x)
            at -= reach
        _pool(sizes, weights, at, n_samples, x, state.mean, z)


def _stem(sizes, weights, sound, at, x):
    """The first convolution on one channel, for a block from `at` on."""
    width, half = sizes.channels, sizes.kernel_size // 2
    for row in range(BLOCK_SAMPLES):
        for i in range(width):
            x[row * width + i] = weights.stem_bias[i]
        for tap in range(sizes.kernel_size):
            time = at + row + tap - half
            if 0 <= time < len(sound):
                for i in range(width):
                    x[row * width + i] += weights.stem[tap, i] * sound[time]


def _layer(sizes, weights, layer, at, n_samples, ring, inputs, rectified, kept, sums, x):
    """ReLU, dilated convolution, ReLU, 1x1, plus the input.

    Args:
        sizes: see `Sizes`.
        weights: see `Weights`.
        layer: which.
        at: place of the block in the clip.
        n_samples: T.
        ring: the layer's inputs so far.
        inputs: likewise.
        rectified: `[block * W]`, room to work in.
        kept: likewise.
        sums: likewise.
        x: `[block * W]`, the block; then what the layer says of the block that lies its reach earlier. Rows outside of
            the clip hold anything.
    """
    width, taps, dilation = sizes.channels, sizes.kernel_size, weights.dilations[layer]
    reach = taps // 2 * dilation
    n_slots, n_inputs = 2 * reach + BLOCK_SAMPLES, reach + BLOCK_SAMPLES
    for row in range(BLOCK_SAMPLES):
        here, slot = row * width, (at + row) % n_inputs * width
        is_inside = 0 <= at + row < n_samples
        for i in range(width):
            rectified[here + i] = max(x[here + i], np.float32(0)) if is_inside else np.float32(0)
            inputs[slot + i] = x[here + i]
    slot = at % n_slots
    n_before = min(BLOCK_SAMPLES, n_slots - slot) * width  # as much as fits before the ring's end
    KEEP(rectified, n_before, np.float32(1), ring[slot * width :])
    KEEP(rectified[n_before:], BLOCK_SAMPLES * width - n_before, np.float32(1), ring)
    first, last = max(at - reach, 0), min(at - reach + BLOCK_SAMPLES, n_samples)
    n = last - first
    if n <= 0:
        return
    for tap in range(taps):
        slot = (first + (tap - taps // 2) * dilation) % n_slots
        n_before = min(n, n_slots - slot)  # rows before the ring's end; the others stand at its beginning
        own, goes_on = weights.taps[layer, tap], tap > 0
        rows, rest = ring[slot * width :], sums[n_before * width :]
        PRODUCT(own, width, width, rows, n_before, sums, width, 2 * LANES, LANES, goes_on)
        if n_before < n:
            PRODUCT(own, width, width, ring, n - n_before, rest, width, 2 * LANES, LANES, goes_on)
    bias = weights.taps_bias[layer]
    for row in range(n):
        for i in range(width):
            rectified[row * width + i] = max(sums[row * width + i] + bias[i], np.float32(0))
    KEEP(rectified, n * width, np.float32(1), kept)
    PRODUCT(weights.mix[layer], width, width, kept, n, sums, width, 2 * LANES, LANES, False)
    bias = weights.mix_bias[layer]
    skipped = first - (at - reach)  # rows before the clip
    for row in range(n):
        here, slot = (skipped + row) * width, (first + row) % n_inputs * width
        for i in range(width):
            x[here + i] = inputs[slot + i] + (sums[row * width + i] + bias[i])


def _pool(sizes, weights, at, n_samples, x, mean, z):
    """The average over each hop, and the 1x1 head, which may as well come after it."""
    width = sizes.channels
    for row in range(max(0, -at), min(BLOCK_SAMPLES, n_samples - at)):
        for i in range(width):
            mean[i] += x[row * width + i] / np.float32(sizes.hop_samples)
        if (at + row + 1) % sizes.hop_samples == 0:
            frame = z[(at + row) // sizes.hop_samples]
            frame[:] = weights.head_bias
            PLAIN_PRODUCT(weights.head, sizes.latent, width, mean, 1, frame, sizes.latent, 2 * LANES, LANES, True)
            mean[:] = 0


@dataclass(frozen=True)
class EncoderKernel:
    """A compiled copy of the hot loop, and what it expects."""

    run: Callable[..., None]  # see `_run`
    body: Arithmetic  # of the layers
    lanes: int


@functools.cache
def build(tier: Tier, body_name: str, is_checked: bool = False) -> EncoderKernel:
    """Bind and compile a copy of the hot loop; it is compiled at its first call.

    Args:
        tier: width of the vectors.
        body_name: arithmetic of the layers; not a quantised one.
        is_checked: check the bounds of every array, for tests.
    """
    body, compiler = ARITHMETICS[body_name], Compiler(tier, is_checked)
    product = compiler.product(body)
    run = compiler.bind(
        _run,
        body.name,
        INPUT=body.input_type,
        _stem=compiler.bind(_stem, body.name),
        _layer=compiler.bind(_layer, body.name, LANES=tier.lanes, KEEP=compiler.keeper(body), PRODUCT=product),
        _pool=compiler.bind(_pool, body.name, LANES=tier.lanes, PLAIN_PRODUCT=compiler.product(ARITHMETICS["float32"])),
    )
    return EncoderKernel(run, body, tier.lanes)
