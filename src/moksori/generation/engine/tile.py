"""The one unusual file: the register tile that nearly all the time is spent in, written as LLVM IR.

A product of a packed matrix with the vectors of several streams is cut into tiles. A tile keeps its sums in vector
registers from the first weight to the last, so that a weight is loaded once and used by every stream of the tile:

                            x of stream 0   x of stream 1  ...  x of stream N-1
                             (a scalar, broadcast to all lanes)
    weights, vector 0   ->     sum[0][0]      sum[0][1]    ...    sum[0][N-1]       each sum is a register of `lanes`
    weights, vector 1   ->     sum[1][0]      sum[1][1]    ...    sum[1][N-1]       rows, kept over the whole loop on k

numba would keep the sums in memory, or vectorise the wrong loop; that is why this is not ordinary numba. With M blocks
of rows and one stream the same tile serves a single stream, where more rows at once hide the latency of the additions.

A *block* is two vectors of rows, `2 * lanes`. Packed weights are `[block][k / group][2][lanes][group]`, see `packing`.
The arithmetics, by what is multiplied:

    float32        float32 weights, float32 inputs
    bfloat16       pairs of bfloat16 weights, widened to float32 as they are loaded, and float32 inputs
    bfloat16-dot   pairs of bfloat16 weights and inputs, by the AVX-512 BF16 instruction
    int8           pairs of int8 weights with int16 inputs in [-127, 127], int32 sums
    int8-dot       fours of int8 weights with uint8 inputs, offset by 128, int32 sums, by the AVX-512 VNNI instruction

Every sum adds its products in the order of k, whatever M and N are, so the result does not depend on the tile. A tile
may go on from the sums of another, so it does not matter either into how many tiles k is cut.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# The two dot products are one line of assembly each; without this LLVM ends the process at the sight of it.
llvm.initialize_native_asmparser()

_FLOAT, _BYTE, _SHORT, _INT, _LONG = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FUSED = ("contract",)  # a * b + c may become one instruction; nothing may be reordered


@dataclass(frozen=True)
class Arithmetic:
    """What is multiplied with what, and how it lies in memory."""

    name: str
    weight_type: type[np.generic]  # of packed weights; bfloat16 as the upper half of a float32
    input_type: type[np.generic]
    sum_type: type[np.generic]
    group: int  # consecutive k that lie in one lane; k is padded to a multiple

    @property
    def is_integer(self) -> bool:
        """Whether inputs are quantised, and sums must be scaled."""
        return self.sum_type is np.int32


ARITHMETICS = {
    arithmetic.name: arithmetic
    for arithmetic in (
        Arithmetic("float32", np.float32, np.float32, np.float32, 1),
        Arithmetic("bfloat16", np.uint16, np.float32, np.float32, 2),
        Arithmetic("bfloat16-dot", np.uint16, np.uint16, np.float32, 2),
        Arithmetic("int8", np.int8, np.int16, np.int32, 2),
        Arithmetic("int8-dot", np.int8, np.uint8, np.int32, 4),
    )
}


def make(arithmetic: Arithmetic, lanes: int, n_blocks: int, n_streams: int) -> Callable[..., Any]:
    """Make a tile of M blocks of rows and N streams, to be called from numba.

    The function made is `tile(weights, weight_start, weight_stride, inputs, input_start, input_stride, sums, sum_start,
    sum_stride, block_stride, half_stride, k, goes_on)`: flat contiguous arrays, starts and strides in elements. For
    stream n, block m, half h of it and lane r it writes, at

        sum_start + n sum_stride + m block_stride + h half_stride + r

    the sum over k of weights[m, k, h, r] inputs[n, k], on top of what stood there if it goes on, and neither reads nor
    writes anything else. Nothing is checked here; `product._product` is the only caller.
    """

    # numba asks for the signature when it meets a call, and for the code when it compiles it.
    @intrinsic
    def tile(typing, weights, w0, w_stride, inputs, x0, x_stride, sums, s0, s_stride, block, half, k, goes_on):
        whole = types.int64
        signature = types.void(weights, whole, whole, inputs, whole, whole, sums, *[whole] * 5, types.boolean)

        def generate(context, builder, signature, arguments):
            values = list(arguments)
            for place in (0, 3, 6):  # arrays -> addresses of their first bytes
                array = context.make_array(signature.args[place])(context, builder, values[place])
                values[place] = builder.bitcast(array.data, _BYTE.as_pointer())
            emit(builder, arithmetic, lanes, n_blocks, n_streams, values)
            return context.get_dummy_value()

        return signature, generate

    return tile


def emit(
    builder: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, n_blocks: int, n_streams: int, arguments: list[ir.Value]
) -> None:
    """Write the tile's instructions; `arguments` as of `make`, arrays as pointers to bytes."""
    weights, w0, w_stride, inputs, x0, x_stride, sums, s0, s_stride, block_stride, half_stride, k, goes_on = arguments
    vector = ir.VectorType(_INT if arithmetic.is_integer else _FLOAT, lanes)
    weight_bytes, input_bytes = (np.dtype(kind).itemsize for kind in (arithmetic.weight_type, arithmetic.input_type))
    vector_bytes = lanes * arithmetic.group * weight_bytes

    def times(value: ir.Value, factor: int) -> ir.Value:
        return builder.mul(value, ir.Constant(_LONG, factor))

    def at(base: ir.Value, offset: ir.Value, kind: ir.Type, further: int = 0) -> ir.Value:
        place = builder.add(offset, ir.Constant(_LONG, further))
        return builder.bitcast(builder.gep(base, [place]), kind.as_pointer())

    rows = [(block, half) for block in range(n_blocks) for half in range(2)]
    places = {}
    for n in range(n_streams):
        for block, half in rows:
            inside = builder.add(times(block_stride, block), times(half_stride, half))
            place = times(builder.add(builder.add(s0, times(s_stride, n)), inside), 4)
            places[(block, half), n] = at(sums, place, vector)
    # Stack slots that LLVM turns into registers, one vector each.
    total = {key: cgutils.alloca_once(builder, vector) for key in places}
    for slot in total.values():
        builder.store(ir.Constant(vector, [0] * lanes), slot)
    with builder.if_then(goes_on):
        for key, place in places.items():
            builder.store(builder.load(place, align=4), total[key])
    w_start, w_step, x_start, x_step = (
        times(value, size)
        for value, size in (
            (w0, weight_bytes),
            (w_stride, weight_bytes),
            (x0, input_bytes),
            (x_stride, input_bytes),
        )
    )
    n_groups = builder.sdiv(k, ir.Constant(_LONG, arithmetic.group))
    with cgutils.for_range(builder, n_groups, intp=_LONG) as loop:
        w_here = builder.add(w_start, times(loop.index, 2 * vector_bytes))
        x_here = builder.add(x_start, times(loop.index, arithmetic.group * input_bytes))
        loaded = {}
        for block, half in rows:
            place = builder.add(w_here, builder.add(times(w_step, block), ir.Constant(_LONG, half * vector_bytes)))
            loaded[block, half] = load_weights(builder, arithmetic, lanes, functools.partial(at, weights, place))
        for n in range(n_streams):
            place = builder.add(x_here, times(x_step, n))
            for part, x in enumerate(broadcast(builder, arithmetic, lanes, functools.partial(at, inputs, place))):
                for row in rows:
                    slot, w = total[row, n], loaded[row][part]
                    builder.store(accumulate(builder, arithmetic, lanes, builder.load(slot), w, x), slot)
    for key, place in places.items():
        builder.store(builder.load(total[key]), place, align=4)


def load_weights(
    builder: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, at: Callable[[ir.Type], ir.Value]
) -> list[ir.Value]:
    """One vector of rows for one group of k, in as many parts as `accumulate` takes one by one."""
    if arithmetic.name == "float32":
        return [builder.load(at(ir.VectorType(_FLOAT, lanes)), align=4)]
    if arithmetic.name == "int8":
        pairs = builder.load(at(ir.VectorType(_BYTE, 2 * lanes)), align=1)
        return [builder.sext(pairs, ir.VectorType(_SHORT, 2 * lanes))]
    words = builder.load(at(ir.VectorType(_INT, lanes)), align=4)  # a group in each lane, as it lies
    if arithmetic.name == "bfloat16":  # a word is the second weight as it lies, see `packing.to_bfloat16_pairs`
        first = builder.shl(words, ir.Constant(words.type, [16] * lanes))
        return [builder.bitcast(each, ir.VectorType(_FLOAT, lanes)) for each in (first, words)]
    return [words]


def broadcast(builder: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, at: Callable[..., ir.Value]) -> list[ir.Value]:
    """The inputs of one group of k, the same in every lane, in the parts that `load_weights` makes."""
    if arithmetic.input_type is np.float32:
        each = [builder.load(at(_FLOAT, 4 * part), align=4) for part in range(arithmetic.group)]
        return [_everywhere(builder, lanes, x) for x in each]
    group = _everywhere(builder, lanes, builder.load(at(_INT), align=1))
    return [builder.bitcast(group, ir.VectorType(_SHORT, 2 * lanes)) if arithmetic.name == "int8" else group]


def _everywhere(builder: ir.IRBuilder, lanes: int, value: ir.Value) -> ir.Value:
    """A number in every lane."""
    nothing = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INT, lanes), [0] * lanes))


def accumulate(
    builder: ir.IRBuilder, arithmetic: Arithmetic, lanes: int, total: ir.Value, w: ir.Value, x: ir.Value
) -> ir.Value:
    """`total + w * x` in every lane, over one part of a group of k."""
    if arithmetic.name in ("float32", "bfloat16"):
        return builder.fadd(total, builder.fmul(w, x, flags=_FUSED), flags=_FUSED)
    if arithmetic.name == "int8":  # LLVM knows this shape as one instruction (x86: pmaddwd)
        wide = ir.VectorType(_INT, 2 * lanes)
        products = builder.mul(builder.sext(w, wide), builder.sext(x, wide))
        even, odd = (
            builder.shuffle_vector(
                products,
                ir.Constant(wide, ir.Undefined),
                ir.Constant(ir.VectorType(_INT, lanes), list(range(first, 2 * lanes, 2))),
            )
            for first in (0, 1)
        )
        return builder.add(total, builder.add(even, odd))
    # Intel's order of operands, reversed: the signed weights come first, the unsigned inputs second.
    instruction = {"bfloat16-dot": "vdpbf16ps $2, $3, $0", "int8-dot": "vpdpbusd $2, $3, $0"}[arithmetic.name]
    dot = ir.InlineAsm(ir.FunctionType(total.type, [total.type, w.type, x.type]), instruction, "=v,0,v,v")
    return builder.call(dot, [total, w, x])
