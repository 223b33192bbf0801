"""Products of a matrix with the vectors of several streams, tile by tile; and how the engine's functions are compiled.

One text serves every precision and every processor. A `Compiler` binds the names in capitals, which stand for what
differs, and compiles a copy; numba keeps compiled copies on disk.

Arrays are flat, and streams are rows: element i of stream b stands at `b * width + i`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from moksori.generation.engine import tile
from moksori.generation.engine.cpu import Tier
from moksori.generation.engine.exponential import nearest
from moksori.generation.engine.tile import Arithmetic

Floats = npt.NDArray[np.float32]
Wholes = npt.NDArray[np.int64]
Packed = npt.NDArray[Any]  # of an arithmetic's weight or input type

# What a `Compiler` binds in each copy of the functions below; here nothing is bound.
LANES = 0  # rows of a vector
TILE_STREAMS = 0  # streams of the widest tile
CHECKED = False  # bounds are checked
INPUT_OFFSET = 0  # added to quantised inputs
WIDE_TILE: Any = None  # a block of rows and `TILE_STREAMS` streams
PAIR_TILE: Any = None  # and two streams
SINGLE_TILE: Any = None  # and one
LONE_TILE: Any = None  # four blocks and one stream

# Sums may be taken in any order that a compiler likes, but in `tile.py`; infinities and NaN stay what they are.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


@dataclass(frozen=True)
class Compiler:
    """Makes compiled copies of functions for one width of vectors; they are compiled at their first call."""

    tier: Tier
    is_checked: bool = False  # check the bounds of every array, for tests

    def bind(self, template: Any, label: str, **bound: Any) -> Any:
        """A copy of a function.

        Args:
            template: the function.
            label: tells copies with other values from this one.
            bound: values of its names in capitals, and other copies that it calls.
        """
        # A copy with names of its own: numba takes globals for constants, and files what it compiled under the name.
        checked = "_checked" * self.is_checked
        name = f"{template.__name__}_{label}_{self.tier.name}{checked}_{_source_digest()}".replace("-", "_")
        copy = FunctionType(template.__code__, {**template.__globals__, **bound}, name)
        copy.__qualname__, copy.__module__ = name, template.__module__
        return njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH, boundscheck=self.is_checked)(copy)

    def product(self, arithmetic: Arithmetic) -> Any:
        """`_product` in an arithmetic."""
        tier = self.tier
        sizes = {"WIDE_TILE": (1, tier.tile_streams), "PAIR_TILE": (1, 2), "SINGLE_TILE": (1, 1), "LONE_TILE": (4, 1)}
        tiles = {name: tile.make(arithmetic, tier.lanes, *shape) for name, shape in sizes.items()}
        constants = {"LANES": tier.lanes, "TILE_STREAMS": tier.tile_streams, "CHECKED": self.is_checked}
        return self.bind(_product, arithmetic.name, **tiles, **constants)

    def keeper(self, arithmetic: Arithmetic) -> Any:
        """What is kept of float32 values for an arithmetic's tiles: `_keep_float32` or one of its like."""
        return self.bind(_KEEPERS[arithmetic.input_type], arithmetic.name, INPUT_OFFSET=input_offset(arithmetic))


def input_offset(arithmetic: Arithmetic) -> int:
    """What is added to quantised inputs, to make them unsigned where the instruction wants that."""
    return 128 if arithmetic.input_type is np.uint8 else 0


def _product(weights, n_rows, k, inputs, n_streams, sums, width, block_stride, half_stride, goes_on):
    """Rows times inputs, for every stream: `[n_rows, k] x [B, k] -> [B, width]`, tile by tile.

    Args:
        weights: packed, blocks of `2 * LANES` rows.
        n_rows: a multiple of that.
        k: length of a stream's inputs, a multiple of the arithmetic's group.
        inputs: `[B * k]`.
        n_streams: B.
        sums: `[B * width]`, written.
        width: from one stream's sums to the next's.
        block_stride: from one block's rows to the next's.
        half_stride: from a block's first half to its second.
        goes_on: add to what stands in the sums.
    """
    n_blocks, block = n_rows // (2 * LANES), 2 * LANES * k
    if CHECKED:
        last = (n_streams - 1) * width + (n_blocks - 1) * block_stride + half_stride + LANES
        if n_blocks * block > len(weights) or n_streams * k > len(inputs) or last > len(sums) or n_rows % (2 * LANES):
            raise IndexError("a product reaches beyond its arrays")
    if n_streams == 1:  # several blocks at once: one stream alone would wait for each addition
        m = 0
        while m + 4 <= n_blocks:
            s = m * block_stride
            LONE_TILE(weights, m * block, block, inputs, 0, k, sums, s, width, block_stride, half_stride, k, goes_on)
            m += 4
        while m < n_blocks:
            s = m * block_stride
            SINGLE_TILE(weights, m * block, block, inputs, 0, k, sums, s, width, block_stride, half_stride, k, goes_on)
            m += 1
        return
    for m in range(n_blocks):
        w, s = m * block, m * block_stride
        b = 0
        while b + TILE_STREAMS <= n_streams:
            WIDE_TILE(
                weights, w, block, inputs, b * k, k, sums, b * width + s, width, block_stride, half_stride, k, goes_on
            )
            b += TILE_STREAMS
        while b + 2 <= n_streams:
            PAIR_TILE(
                weights, w, block, inputs, b * k, k, sums, b * width + s, width, block_stride, half_stride, k, goes_on
            )
            b += 2
        if b < n_streams:
            SINGLE_TILE(
                weights, w, block, inputs, b * k, k, sums, b * width + s, width, block_stride, half_stride, k, goes_on
            )


def _keep_float32(values, n, gain, kept):
    """What a tile reads of `n` float32 values: themselves."""
    for i in range(n):
        kept[i] = values[i]


def _keep_bfloat16(values, n, gain, kept):
    """The upper half of each, rounded to the nearest, ties to even."""
    bits = values.view(np.uint32)
    for i in range(n):
        rounded = bits[i] + np.uint32(0x7FFF) + ((bits[i] >> np.uint32(16)) & np.uint32(1))
        kept[i] = np.uint16(rounded >> np.uint32(16))


def _keep_int8(values, n, gain, kept):
    """Times the gain, to the nearest whole number in [-127, 127]; offset where the instruction wants unsigned."""
    for i in range(n):
        whole = nearest(min(max(values[i] * gain, np.float32(-127)), np.float32(127)))
        kept[i] = np.int32(whole + np.float32(INPUT_OFFSET))


_KEEPERS: dict[Any, Callable[..., Any]] = {
    np.float32: _keep_float32,
    np.uint16: _keep_bfloat16,
    np.int16: _keep_int8,
    np.uint8: _keep_int8,
}


@functools.cache
def _source_digest() -> str:
    """Changes with any file of this folder: numba looks at the file of a function, not at those that it uses."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
