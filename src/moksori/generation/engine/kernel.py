"""The hot loop: one column of the WaveNet's forward pass after another, for a handful of streams in lockstep.

`_run` below reads like the equations of `models.wavenet`, `_layer` like `models.layers.GatedResidual`. Three structs go
in: `Sizes` (what the net is), `Weights` (what it learnt) and `State` (what it remembers). The matrix products are
register tiles (`tile.py`); all else is ordinary numba, in loops that LLVM turns into vectors.

One text serves every precision and every processor; `build` binds what differs, see `product.Compiler`. Arrays are
flat, and streams are rows: element i of stream b stands at `b * width + i`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from moksori.generation.engine.cpu import Tier
from moksori.generation.engine.exponential import exp
from moksori.generation.engine.product import Compiler, Floats, Packed, Wholes, input_offset
from moksori.generation.engine.tile import ARITHMETICS, Arithmetic

N_CODES = 256

# What `build` binds in each copy of the functions below; here nothing is bound.
LANES = 0  # rows of a vector
GATED_GAIN = 127.0  # of a quantised layer's gated signal, which is within 1; 1 unless quantised
INPUT: Any = None  # type of what a layer's tiles read,
SUM: Any = None  # and of what they write
HEAD_INPUT: Any = None  # the same for the head
PRODUCT: Any = None  # `product._product` in the arithmetic of the layers,
HEAD_PRODUCT: Any = None  # of the head,
PLAIN_PRODUCT: Any = None  # and in float32
KEEP: Any = None  # what is kept of float32 values for a layer's tiles,
HEAD_KEEP: Any = None  # and for those of the head


class Sizes(NamedTuple):
    """What the net is: L layers, K taps. R and S are padded with zeros to whole blocks of rows."""

    bands: int  # codes of a step, all scored by one column
    n_layers: int  # L
    kernel_size: int  # K
    first_taps: int  # K', of the first convolution
    residual: int  # R
    skip: int  # S
    condition: int  # C
    hop_samples: int


class Weights(NamedTuple):
    """What the net learnt, laid out for the tiles (`packing.py`)."""

    dilations: Wholes  # [L]
    first: Floats  # [K' * bands, R], the first convolution, oldest tap first
    first_bias: Floats  # [R]
    first_skip: Floats  # [K' * bands, S], the first convolution and its 1x1 to the skips in one
    skip_bias: Floats  # [S], of all skips together
    taps: Packed  # [L, K, 2R * R], oldest tap first
    taps_scale: Floats  # [L, 2R], from a tile's sums to scores; 1 unless quantised
    inputs_gain: Floats  # [L], from a layer's inputs to what is kept of them; 1 unless quantised
    outputs: Packed  # [L, (R + S) * R], rows of the residual, then of the skip
    outputs_scale: Floats  # [L, R + S]
    residual_bias: Floats  # [L, R]
    condition: Floats  # [(L * 2R + S) * C], of every layer and of the head
    condition_bias: Floats  # [L * 2R + S], of the condition and of what it is added to
    hidden: Packed  # [S * S]
    logits: Packed  # [bands * 256 * S]
    logits_bias: Floats  # [bands * 256]


class State(NamedTuple):
    """What B streams remember between two codes; rewritten in place."""

    recent: Floats  # [B * K' * bands], the codes of the last K' steps as scalars, oldest first
    projected: Floats  # [B * (L * 2R + S)], what the present frame adds to the scores and to the head
    rings: Packed  # [(K - 1) * sum of dilations, B * R], each layer's past inputs, one ring after another
    ahead: Packed  # [L, n, B * 2R], sums for the scores of the present and coming steps; n is a power of two
    logits: Floats  # [B * bands * 256], what the present step's column said


def _run(sizes, weights, state, frames, position, previous, uniforms, temperature, codes, logits):
    """Go on for n codes, from `position` on.

    A step is a column of the net, and scores the codes of all its bands; of a waveform it has one.

    Args:
        sizes: see `Sizes`.
        weights: see `Weights`.
        state: see `State`.
        frames: the condition, `[F, B * C]`.
        position: of the first code, from the beginning of the streams.
        previous: `[B]`, the codes before it; negative at the very beginning.
        uniforms: `[n, B]`; see `sampling.pick`.
        temperature: likewise.
        codes: `[n, B]` int64, written; negative ones are to be chosen, others are given.
        logits: `[n, B * 256]`, written; of length 0 if nobody asks.

    Returns:
        n; fewer if the scores of a code were not finite, which the streams do not go on from.
    """
    n_codes, n_streams = uniforms.shape
    residual, skip, bands = sizes.residual, sizes.skip, sizes.bands
    n_recent, width = sizes.first_taps * bands, bands * N_CODES
    x = np.empty(n_streams * residual, np.float32)
    sums = np.empty(n_streams * (residual + skip), SUM)
    gated = np.empty(n_streams * residual, np.float32)
    kept = np.empty(n_streams * residual, INPUT)  # `gated` as a tile reads it
    skips = np.empty(n_streams * skip, np.float32)
    head_inputs = np.empty(n_streams * skip, HEAD_INPUT)
    hidden = np.empty(n_streams * skip, np.float32)
    powers = np.empty(N_CODES, np.float32)
    for t in range(n_codes):
        before = previous if t == 0 else codes[t - 1]
        for b in range(n_streams):
            if before[b] >= 0:
                for i in range(n_recent - 1):
                    state.recent[b * n_recent + i] = state.recent[b * n_recent + i + 1]
                state.recent[b * n_recent + n_recent - 1] = np.float32(before[b]) / np.float32(255) - np.float32(0.5)
        if (position + t) % sizes.hop_samples == 0:
            _project(sizes, weights, frames[(position + t) // sizes.hop_samples], n_streams, state.projected)
        step, band = (position + t) // bands, (position + t) % bands
        if band == 0:
            _column(sizes, weights, state, step, n_streams, x, sums, gated, kept, skips, head_inputs, hidden)
        for b in range(n_streams):
            scores = state.logits[b * width + band * N_CODES : b * width + (band + 1) * N_CODES]
            if len(logits):
                for i in range(N_CODES):
                    logits[t, b * N_CODES + i] = scores[i]
            if codes[t, b] < 0:
                chosen = _pick(scores, uniforms[t, b], temperature, powers)
                if chosen < 0:
                    return t
                codes[t, b] = chosen
    return n_codes


def _column(sizes, weights, state, step, n_streams, x, sums, gated, kept, skips, head_inputs, hidden):
    """Score the codes of a step: one column of the forward pass, into `state.logits`. The rest is scratch."""
    taps, residual, skip, width = sizes.kernel_size, sizes.residual, sizes.skip, sizes.bands * N_CODES
    projected_width = sizes.n_layers * 2 * residual + skip
    _first(sizes, weights, state.recent, n_streams, x, skips)
    slot = 0  # where the ring of the layer begins
    for layer in range(sizes.n_layers):
        dilation = weights.dilations[layer]
        slots = (taps - 1) * dilation
        ring = state.rings[slot : slot + slots]
        slot += slots
        n_ahead = min(state.ahead.shape[1], dilation)
        if step % n_ahead == 0:
            _recall(sizes, weights, layer, n_streams, step, ring, state.ahead[layer, :n_ahead].reshape(-1))
        newest = ring[step % slots]
        KEEP(x, n_streams * residual, weights.inputs_gain[layer], newest)
        past = state.ahead[layer, step % n_ahead]
        _layer(sizes, weights, layer, n_streams, newest, state.projected, past, sums, gated, kept, x, skips)
    # The head: ReLU, 1x1 plus the condition, ReLU, 1x1.
    for i in range(n_streams * skip):
        skips[i] = max(skips[i], np.float32(0))
    HEAD_KEEP(skips, n_streams * skip, np.float32(1), head_inputs)
    for b in range(n_streams):
        projected = b * projected_width + sizes.n_layers * 2 * residual
        for i in range(skip):
            hidden[b * skip + i] = state.projected[projected + i]
    HEAD_PRODUCT(weights.hidden, skip, skip, head_inputs, n_streams, hidden, skip, 2 * LANES, LANES, True)
    for i in range(n_streams * skip):
        skips[i] = max(hidden[i], np.float32(0))
    HEAD_KEEP(skips, n_streams * skip, np.float32(1), head_inputs)
    for b in range(n_streams):
        for i in range(width):
            state.logits[b * width + i] = weights.logits_bias[i]
    HEAD_PRODUCT(weights.logits, width, skip, head_inputs, n_streams, state.logits, width, 2 * LANES, LANES, True)


def _project(sizes, weights, frame, n_streams, projected):
    """What a frame of the condition, `[B * C]`, adds to every layer's scores and to the head."""
    width = sizes.n_layers * 2 * sizes.residual + sizes.skip
    for b in range(n_streams):
        for i in range(width):
            projected[b * width + i] = weights.condition_bias[i]
    if sizes.condition:
        PLAIN_PRODUCT(
            weights.condition, width, sizes.condition, frame, n_streams, projected, width, 2 * LANES, LANES, True
        )


def _first(sizes, weights, recent, n_streams, x, skips):
    """The first convolution on the scalars of K' steps a stream, and its share of the skips."""
    residual, skip, n_recent = sizes.residual, sizes.skip, sizes.first_taps * sizes.bands
    for b in range(n_streams):
        for i in range(residual):
            x[b * residual + i] = weights.first_bias[i]
        for i in range(skip):
            skips[b * skip + i] = weights.skip_bias[i]
        for place in range(n_recent):
            scalar = recent[b * n_recent + place]
            for i in range(residual):
                x[b * residual + i] += weights.first[place, i] * scalar
            for i in range(skip):
                skips[b * skip + i] += weights.first_skip[place, i] * scalar


def _recall(sizes, weights, layer, n_streams, step, ring, ahead):
    """What a layer's past adds to its scores, for n steps from `step` on: all taps but the newest.

    Written to `ahead`, `[n * B * 2R]`. The ring holds the last (K - 1) d inputs, the oldest where the next goes. Taps
    reach back a multiple of d, so the coming d steps read what is there already. The products of n <= d of them are
    done at once, as if they were so many more streams: these weights are read once in n steps. Step, d and n are
    multiples of n, so what a tap reads for them lies side by side.
    """
    residual, taps = sizes.residual, sizes.kernel_size
    width, dilation = 2 * residual, len(ring) // (taps - 1)
    n = len(ahead) // (n_streams * width)
    for tap in range(taps - 1):
        start = (step + tap * dilation) % len(ring)
        past, goes_on = ring[start : start + n].reshape(-1), tap > 0
        # Halves of a block are rows of the sigmoid and of the tanh, R apart.
        PRODUCT(weights.taps[layer, tap], width, residual, past, n * n_streams, ahead, width, LANES, residual, goes_on)


def _layer(sizes, weights, layer, n_streams, newest, projected, scores, sums, gated, kept, x, skips):
    """The newest tap of the dilated convolution, the condition, gate, residual and skip.

    `scores`, `[B * 2R]`, hold the sums of the other taps, see `_recall`.
    """
    residual, skip = sizes.residual, sizes.skip
    width, out_width = 2 * residual, residual + skip
    projected_width = sizes.n_layers * width + skip
    tap = sizes.kernel_size - 1
    PRODUCT(weights.taps[layer, tap], width, residual, newest, n_streams, scores, width, LANES, residual, True)
    scale = weights.taps_scale[layer]
    for b in range(n_streams):
        at, here = b * width, b * projected_width + layer * width
        for i in range(residual):
            switch = np.float32(scores[at + i]) * scale[i] + projected[here + i]
            signal = np.float32(scores[at + residual + i]) * scale[residual + i] + projected[here + residual + i]
            gated[b * residual + i] = _gate(switch, signal)
    KEEP(gated, n_streams * residual, np.float32(GATED_GAIN), kept)
    # The residual of the last layer is read by nobody.
    is_last = layer == sizes.n_layers - 1
    first_row = residual if is_last else 0
    PRODUCT(
        weights.outputs[layer, first_row * residual :],
        out_width - first_row,
        residual,
        kept,
        n_streams,
        sums[first_row:],
        out_width,
        2 * LANES,
        LANES,
        False,
    )
    scale = weights.outputs_scale[layer]
    bias = weights.residual_bias[layer]
    for b in range(n_streams):
        at = b * out_width
        if not is_last:
            for i in range(residual):
                x[b * residual + i] += np.float32(sums[at + i]) * scale[i] + bias[i]
        for i in range(skip):
            skips[b * skip + i] += np.float32(sums[at + residual + i]) * scale[residual + i]


@njit(inline="always")
def _gate(switch, signal):
    """sigmoid(switch) * tanh(signal), with one division.

    1 / (1 + e^-a)  *  (1 - e^-2b) / (1 + e^-2b). Beyond 20 both are as good as at their limits.
    """
    a = exp(-min(max(switch, np.float32(-20)), np.float32(20)))
    b = exp(np.float32(-2) * min(max(signal, np.float32(-20)), np.float32(20)))
    return (np.float32(1) - b) / ((np.float32(1) + a) * (np.float32(1) + b))


def _pick(scores, uniform, temperature, powers):
    """The twin of `sampling.pick` for one stream; -1 if a score is not finite."""
    best, largest, checked = 0, scores[0], np.float32(0)
    for i in range(N_CODES):
        checked += scores[i] * np.float32(0)  # NaN from then on, if a score is not finite
        if scores[i] > largest:
            best, largest = i, scores[i]
    if checked != np.float32(0):
        return -1
    if temperature == 0:
        return best
    warmth = np.float32(max(temperature, 1e-30))  # one over less is no float32
    for i in range(N_CODES):
        lower = (scores[i] - largest) / warmth
        powers[i] = exp(max(lower, np.float32(-80)))
    total = 0.0
    for i in range(N_CODES):
        total += powers[i]
    threshold = uniform * total
    cumulative = 0.0
    for i in range(N_CODES - 1):
        cumulative += powers[i]
        if cumulative > threshold:
            return i
    return N_CODES - 1


@dataclass(frozen=True)
class Kernel:
    """A compiled copy of the hot loop, and what it expects."""

    run: Callable[..., int]  # see `_run`
    body: Arithmetic  # of the layers
    head: Arithmetic  # of the last two 1x1s
    lanes: int
    input_offset: int  # added to quantised inputs

    @property
    def is_quantised(self) -> bool:
        """Whether the layers need to know how loud their inputs get."""
        return self.body.is_integer


@functools.cache
def build(tier: Tier, body_name: str, head_name: str, is_checked: bool = False) -> Kernel:
    """Bind and compile a copy of the hot loop; it is compiled at its first call.

    Args:
        tier: width of the vectors.
        body_name: arithmetic of the layers.
        head_name: arithmetic of the last two 1x1s; not a quantised one.
        is_checked: check the bounds of every array, for tests.
    """
    body, head = ARITHMETICS[body_name], ARITHMETICS[head_name]
    compiler = Compiler(tier, is_checked)
    label = f"{body.name}_{head.name}"
    keep, product = compiler.keeper(body), compiler.product(body)
    gain = GATED_GAIN if body.is_integer else 1.0
    column = compiler.bind(
        _column,
        label,
        LANES=tier.lanes,
        KEEP=keep,
        HEAD_KEEP=compiler.keeper(head),
        HEAD_PRODUCT=compiler.product(head),
        _first=compiler.bind(_first, label),
        _recall=compiler.bind(_recall, label, LANES=tier.lanes, PRODUCT=product),
        _layer=compiler.bind(_layer, label, LANES=tier.lanes, KEEP=keep, PRODUCT=product, GATED_GAIN=gain),
    )
    run = compiler.bind(
        _run,
        label,
        INPUT=body.input_type,
        SUM=body.sum_type,
        HEAD_INPUT=head.input_type,
        _project=compiler.bind(
            _project, label, LANES=tier.lanes, PLAIN_PRODUCT=compiler.product(ARITHMETICS["float32"])
        ),
        _column=column,
        _pick=compiler.bind(_pick, label),
    )
    return Kernel(run, body, head, tier.lanes, input_offset(body))
