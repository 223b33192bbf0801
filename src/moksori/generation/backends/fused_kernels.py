"""The three kernels of `fused`, in the language of Triton: the first convolution, a layer, the head with the pick.

A program takes 16 streams, the fewest rows of a product on a tensor core, through the whole of a kernel; the last one
has fewer. Widths are powers of two, filled up with zeros. Everything is computed in float32; what is multiplied by the
weights is first brought to their type. A position is less than 2^31 (at 16 kHz, 37 hours), a place in a tensor may be
more.

A kernel never reads what it writes: the threads of a program run side by side, and nothing holds those that write until
the others have read. So the input of now goes into a slot of the next layer's ring that no tap of this step asks for,
the sum of the skips goes from one buffer to another, and the position has two places: `first` copies `position` to
`now`, which all others read, and `head` writes the next one to `position`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def first(
    position,  # [1] int64
    now,  # [1] int64, written
    recent,  # [TAPS, B]
    taps,  # [TAPS, WIDTH]
    bias,  # [WIDTH]
    skip,  # [WIDTH, SKIP], what the skips take of this convolution
    skip_bias,  # [SKIP], of all skips
    ring,  # [slots, B, WIDTH] of the first layer, a slot is written
    skips,  # [B, SKIP], written
    n_streams,
    slots,
    WIDTH: tl.constexpr,
    SKIP: tl.constexpr,
    TAPS: tl.constexpr,
    STREAMS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Convolve the last codes."""
    t = tl.load(position).to(tl.int32)
    tl.store(now, t)
    streams = tl.program_id(0) * STREAMS + tl.arange(0, STREAMS)
    exists = streams < n_streams
    inputs = ring + ((t % slots).to(tl.int64) * n_streams + streams)[:, None] * WIDTH
    skip_columns = tl.arange(0, SKIP)
    skip_sum = tl.full([STREAMS, SKIP], 0.0, tl.float32) + tl.load(skip_bias + skip_columns)[None, :]
    for start in range(0, WIDTH, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.full([STREAMS, BLOCK], 0.0, tl.float32) + tl.load(bias + columns)[None, :]
        for tap in tl.static_range(TAPS):
            code = tl.load(recent + (t + tap) % TAPS * n_streams + streams, mask=exists, other=0.0)
            x += code[:, None] * tl.load(taps + tap * WIDTH + columns)[None, :]
        tl.store(inputs + columns[None, :], x, mask=exists[:, None])
        skip_weights = tl.load(skip + columns[:, None] * SKIP + skip_columns[None, :])
        skip_sum = tl.dot(x.to(skip_weights.dtype), skip_weights, skip_sum, input_precision="ieee")
    tl.store(skips + streams[:, None] * SKIP + skip_columns[None, :], skip_sum, mask=exists[:, None])


@triton.jit(do_not_specialize=["dilation", "slots", "next_slots"])
def layer(
    now,  # [1] int64
    ring,  # [slots, B, WIDTH], inputs of this layer; the present one is there
    next_ring,  # [next_slots, B, WIDTH] of the next layer, a slot is written
    projected,  # [F, B, 2 * WIDTH], what the condition and the bias add
    taps,  # [TAPS * WIDTH, 2 * WIDTH], oldest tap first; sigmoid, then tanh
    residual,  # [WIDTH, WIDTH]
    residual_bias,  # [WIDTH]
    skip,  # [WIDTH, SKIP]
    skips,  # [B, SKIP], the sum so far
    next_skips,  # [B, SKIP], written
    n_streams,
    hop,
    dilation,
    slots,
    next_slots,
    WIDTH: tl.constexpr,
    SKIP: tl.constexpr,
    TAPS: tl.constexpr,
    STREAMS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Convolve, gate, add to the residual and to the sum of the skips."""
    t = tl.load(now).to(tl.int32)
    streams = tl.program_id(0) * STREAMS + tl.arange(0, STREAMS)
    exists = (streams < n_streams)[:, None]
    residual_columns, skip_columns = tl.arange(0, WIDTH)[None, :], tl.arange(0, SKIP)[None, :]
    present = ring + ((t % slots).to(tl.int64) * n_streams + streams)[:, None] * WIDTH
    x = tl.load(present + residual_columns, mask=exists, other=0.0) + tl.load(residual_bias + residual_columns)
    skip_sum = tl.load(skips + streams[:, None] * SKIP + skip_columns, mask=exists, other=0.0)
    frame = projected + ((t // hop).to(tl.int64) * n_streams + streams)[:, None] * (2 * WIDTH)
    for start in range(0, WIDTH, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        to_sigmoid = tl.load(frame + columns[None, :], mask=exists, other=0.0)
        to_tanh = tl.load(frame + WIDTH + columns[None, :], mask=exists, other=0.0)
        for tap in tl.static_range(TAPS):
            # Not `t - back`: the remainder of a negative number is negative here.
            slot = (t + slots - (TAPS - 1 - tap) * dilation) % slots
            past = ring + (slot.to(tl.int64) * n_streams + streams)[:, None] * WIDTH
            for channel in range(0, WIDTH, BLOCK):
                channels = channel + tl.arange(0, BLOCK)
                inputs = tl.load(past + channels[None, :], mask=exists, other=0.0).to(taps.dtype.element_ty)
                weights = taps + (tap * WIDTH + channels)[:, None] * (2 * WIDTH) + columns[None, :]
                to_sigmoid = tl.dot(inputs, tl.load(weights), to_sigmoid, input_precision="ieee")
                to_tanh = tl.dot(inputs, tl.load(weights + WIDTH), to_tanh, input_precision="ieee")
        gated = 2.0 / (1.0 + tl.exp(-2.0 * to_tanh)) - 1.0  # tanh
        gated = (gated / (1.0 + tl.exp(-to_sigmoid))).to(taps.dtype.element_ty)
        residual_weights = tl.load(residual + columns[:, None] * WIDTH + residual_columns)
        x = tl.dot(gated, residual_weights, x, input_precision="ieee")
        skip_weights = tl.load(skip + columns[:, None] * SKIP + skip_columns)
        skip_sum = tl.dot(gated, skip_weights, skip_sum, input_precision="ieee")
    following = next_ring + ((t % next_slots).to(tl.int64) * n_streams + streams)[:, None] * WIDTH
    tl.store(following + residual_columns, x, mask=exists)
    tl.store(next_skips + streams[:, None] * SKIP + skip_columns, skip_sum, mask=exists)


@triton.jit
def head(
    now,  # [1] int64
    position,  # [1] int64, written
    began,  # [1] int64
    skips,  # [B, SKIP]
    projected,  # [F, B, SKIP], what the condition and the bias add
    hidden,  # [SKIP, SKIP]
    last,  # [SKIP, CODES]
    last_bias,  # [CODES]
    uniforms,  # [calls, B] float64
    temperature,  # [1] float64
    logits,  # [B, CODES], written
    codes,  # [calls, B] int64, a row is written
    recent,  # [TAPS, B], a row is written
    is_finite,  # [1] bool, cleared if a score is not
    n_streams,
    hop,
    SKIP: tl.constexpr,
    TAPS: tl.constexpr,
    CODES: tl.constexpr,
    STREAMS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Score the codes, pick one as `sampling.pick` does, and move on."""
    t = tl.load(now).to(tl.int32)
    tl.store(position, t + 1)
    streams = tl.program_id(0) * STREAMS + tl.arange(0, STREAMS)
    exists = streams < n_streams
    every_code = tl.arange(0, CODES)[None, :]
    frame = projected + ((t // hop).to(tl.int64) * n_streams + streams)[:, None] * SKIP
    scores = tl.full([STREAMS, CODES], 0.0, tl.float32) + tl.load(last_bias + every_code)
    for start in range(0, SKIP, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        sums = tl.load(frame + columns[None, :], mask=exists[:, None], other=0.0)
        for channel in range(0, SKIP, BLOCK):
            channels = channel + tl.arange(0, BLOCK)
            inputs = tl.load(skips + streams[:, None] * SKIP + channels[None, :], mask=exists[:, None], other=0.0)
            inputs = tl.where(inputs < 0, 0.0, inputs).to(hidden.dtype.element_ty)  # NaN stays
            weights = tl.load(hidden + channels[:, None] * SKIP + columns[None, :])
            sums = tl.dot(inputs, weights, sums, input_precision="ieee")
        sums = tl.where(sums < 0, 0.0, sums).to(last.dtype.element_ty)
        last_weights = tl.load(last + columns[:, None] * CODES + every_code)
        scores = tl.dot(sums, last_weights, scores, input_precision="ieee")
    tl.store(logits + streams[:, None] * CODES + every_code, scores, mask=exists[:, None])
    is_wrong = tl.where(tl.abs(scores) < float("inf"), 0, 1)  # nor is NaN below infinity
    tl.store(is_finite, False, mask=tl.max(is_wrong) > 0)

    warmth = tl.load(temperature)
    exact = scores.to(tl.float64)
    lower = (exact - tl.max(exact, axis=1)[:, None]) / tl.where(warmth > 0, warmth, 1.0)  # at 0 any one would do
    cumulative = tl.cumsum(tl.exp(lower), axis=1)
    here = (t - tl.load(began)) * n_streams + streams
    edge = tl.load(uniforms + here, mask=exists, other=0.0) * tl.max(cumulative, axis=1)
    picked = tl.sum(tl.where(cumulative <= edge[:, None], 1, 0), axis=1)
    picked = tl.minimum(tl.where(warmth > 0, picked, tl.argmax(scores, axis=1)), CODES - 1)
    tl.store(codes + here, picked, mask=exists)
    tl.store(recent + t % TAPS * n_streams + streams, picked.to(tl.float32) / (CODES - 1) - 0.5, mask=exists)
