"""Peak FLOPS of this processor, measured: how fast it multiplies when nothing else is in the way.

    bare    multiply-adds on numbers that stay in registers; no memory is read
    tile    the widest register tile over weights that stay in the innermost cache

What the tile loses to the bare rate, loads cost it; what a whole net loses to the tile, all that is no product and the
way of the weights from the outer caches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from moksori.generation.engine import tile
from moksori.generation.engine.cpu import Tier
from moksori.generation.engine.tile import Arithmetic

_SUMS = 12  # kept apart, so that each finds its last addition done: five cycles at most, on two units
_TILE_K, _TILE_BLOCKS = 128, 2  # 16 KB of float32 weights at 16 lanes


def has_bare(arithmetic: Arithmetic) -> bool:
    """Whether the arithmetic is one instruction; of two, a compiler would move the first out of the loop."""
    return arithmetic.name != "int8"


def bare(arithmetic: Arithmetic, tier: Tier) -> tuple[Callable[[int], None], int]:
    """A loop of bare multiply-adds: `run(n)`, and its products a round.

    Raises:
        ValueError: the arithmetic has none; see `has_bare`.
    """
    if not has_bare(arithmetic):
        raise ValueError(f"{arithmetic.name} is multiplied and added by two instructions; there is no bare rate")
    run, operands = _bare(arithmetic, tier.lanes), np.zeros(128, np.uint8)
    return functools.partial(run, operands), _SUMS * tier.lanes * arithmetic.group


def whole_tile(arithmetic: Arithmetic, tier: Tier) -> tuple[Callable[[int], None], int]:
    """The widest tile over weights in the innermost cache: `run(n)`, and its products a round."""
    width, n_streams = 2 * tier.lanes, tier.tile_streams
    run = _whole_tile(arithmetic, tier.lanes, n_streams)
    weights = np.zeros(_TILE_BLOCKS * width * _TILE_K, arithmetic.weight_type)
    inputs = np.zeros(n_streams * _TILE_K, arithmetic.input_type)
    sums = np.zeros(n_streams * _TILE_BLOCKS * width, arithmetic.sum_type)
    return functools.partial(run, weights, inputs, sums), weights.size * n_streams


@functools.cache
def _whole_tile(arithmetic: Arithmetic, lanes: int, n_streams: int) -> Any:
    made, width, k = tile.make(arithmetic, lanes, 1, n_streams), 2 * lanes, _TILE_K

    @njit(nogil=True)
    def run(weights, inputs, sums, n):
        for _ in range(n):
            for m in range(_TILE_BLOCKS):
                at = m * width
                made(weights, at * k, 0, inputs, 0, k, sums, at, _TILE_BLOCKS * width, 0, lanes, k, False)

    return run


@functools.cache
def _bare(arithmetic: Arithmetic, lanes: int) -> Any:
    @intrinsic
    def rounds(typing, operands, n):
        signature = types.void(operands, types.int64)

        def generate(context, builder, signature, arguments):
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            _emit(builder, arithmetic, lanes, builder.bitcast(array.data, ir.IntType(8).as_pointer()), arguments[1])
            return context.get_dummy_value()

        return signature, generate

    @njit(nogil=True)
    def run(operands, n):
        rounds(operands, n)

    return run


def _emit(builder: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, base: ir.Value, n: ir.Value) -> None:
    """Load two operands, multiply and add n times, and write what came out, so that nothing is left out as useless."""
    vector = ir.VectorType(ir.IntType(32) if arithmetic.is_integer else ir.FloatType(), lanes)
    w = tile.load_weights(builder, arithmetic, lanes, functools.partial(_at, builder, base, 0))
    x = tile.broadcast(builder, arithmetic, lanes, functools.partial(_at, builder, base, 64))
    totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0] * lanes)) for _ in range(_SUMS)]
    for total in totals:
        builder.store(ir.Constant(vector, [0] * lanes), total)
    with cgutils.for_range(builder, n, intp=ir.IntType(64)):
        for total in totals:
            for each_w, each_x in zip(w, x, strict=True):
                builder.store(tile.accumulate(builder, arithmetic, lanes, builder.load(total), each_w, each_x), total)
    add = builder.add if arithmetic.is_integer else builder.fadd
    everything = functools.reduce(add, [builder.load(total) for total in totals])
    builder.store(everything, _at(builder, base, 0, vector), align=1)


def _at(builder: ir.IRBuilder, base: ir.Value, offset: int, kind: ir.Type, further: int = 0) -> ir.Value:
    place = builder.gep(base, [ir.Constant(ir.IntType(64), offset + further)])
    return builder.bitcast(place, kind.as_pointer())
