"""The exponential of a float32 in steps that a compiler turns into vectors; a library's is called number by number.

    e^x = 2^n e^r,    n = round(x / ln 2),  r = x - n ln 2 in [-0.347, 0.347]

2^n is put together from its bits: the exponent of a float32 stands above 23 bits of fraction, offset by 127. e^r is its
Taylor series to r^6; the first term left out, 0.347^7 / 5040, is 1.2e-7, the spacing of float32 near 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_INT = ir.IntType(32)

LARGEST = 80.0
"""Arguments are expected within this on either side; e^80 is 5e34, well within float32."""

# ln 2 in two parts: n times the first has no rounding error for n up to 2^10, as its last 10 bits are zero. Where a
# compiler may reorder sums it adds the two first, and the error doubles; the bound below is for that.
_LN2_HIGH = np.float32(0.693115234375)
_LN2_LOW = np.float32(3.194618494528623e-05)
_PER_LN2 = np.float32(1.4426950408889634)


# numba makes 64-bit integers of all that it converts, and those do not fit beside 32-bit floats in a vector.
@intrinsic
def _round(typing: Any, x: Any) -> Any:
    """The whole number nearest to a float32, as float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        rounding = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), "llvm.rint.f32")
        return builder.call(rounding, arguments)

    return types.float32(types.float32), generate


@intrinsic
def _power_of_two(typing: Any, n: Any) -> Any:
    """2^n for a whole float32 n in [-126, 127]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = builder.fptosi(arguments[0], _INT)
        exponent = builder.shl(builder.add(whole, ir.Constant(_INT, 127)), ir.Constant(_INT, 23))
        return builder.bitcast(exponent, ir.FloatType())

    return types.float32(types.float32), generate


@njit(inline="always")
def nearest(x):
    """The whole number nearest to a float32, as float32; ties to even."""
    return _round(x)


@njit(inline="always")
def exp(x):
    """e^x of a float32 within `LARGEST` of 0, to a relative 5e-7."""
    n = _round(x * _PER_LN2)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = r * np.float32(1 / 720) + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(1 / 2)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    return p * _power_of_two(n)
