"""CPU features: which vector instructions (AVX2, AVX-512, ...) there are, and what the engine makes of them.

A *tier* says how wide a register is and how many streams a tile serves; it follows from the features of the processor
that runs this, not of the one that built the package. Of a tier's precisions, a processor with the right instruction
computes faster; the results are the same up to rounding.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import llvmlite.binding as llvm

from moksori import surroundings

surroundings.before_numba()  # every module here that compiles is imported after this one

PRECISIONS = ("float32", "bfloat16", "int8")

TIER_VARIABLE = "MOKSORI_ENGINE_TIER"
"""Environment variable that names a tier in place of the one chosen; for tests and for hunting a fault."""


@dataclass(frozen=True)
class Tier:
    """A width of vectors."""

    name: str
    needs: frozenset[str]  # features of the processor, in LLVM's words
    lanes: int  # 32-bit numbers in a register
    tile_streams: int  # streams of the widest tile: two sums a stream, and some registers to spare
    worker_streams: int  # streams that a core serves best: more read each weight less often, until their rings crowd it
    example_cpu: str  # a processor of this tier, in LLVM's words, to compile for elsewhere


TIERS = (
    Tier("avx512", frozenset({"avx512f", "avx512bw", "avx512vl"}), 16, 8, 8, "znver4"),
    Tier("avx2", frozenset({"avx2", "fma"}), 8, 4, 16, "haswell"),
    Tier("portable", frozenset(), 4, 4, 8, "generic"),  # SSE, NEON
)

# Precision -> the feature that multiplies it by one instruction.
_DOT_PRODUCTS = {"bfloat16": "avx512bf16", "int8": "avx512vnni"}


def features() -> frozenset[str]:
    """Features of this processor, in LLVM's words."""
    return frozenset(name for name, has in llvm.get_host_cpu_features().items() if has)


def tier(found: frozenset[str], named: str = "") -> Tier:
    """The tier that the environment names, else the one named here, else the widest that such a processor runs.

    Raises:
        ValueError: an unknown tier is named, or one that this processor cannot run.
    """
    named = os.environ.get(TIER_VARIABLE) or named
    known = {candidate.name: candidate for candidate in TIERS}
    if named and (named not in known or not known[named].needs <= found):
        able = [name for name, candidate in known.items() if candidate.needs <= found]
        raise ValueError(f"tier {named}: this processor runs {', '.join(able)}")
    return known[named] if named else next(candidate for candidate in TIERS if candidate.needs <= found)


def arithmetic(precision: str, chosen: Tier, found: frozenset[str]) -> str:
    """Name of the arithmetic (`tile.ARITHMETICS`) that a precision is computed in.

    Raises:
        ValueError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known precisions are {', '.join(PRECISIONS)}")
    has_dot_product = chosen.name == "avx512" and _DOT_PRODUCTS.get(precision) in found
    return f"{precision}-dot" if has_dot_product else precision


def usual_precision(chosen: Tier, found: frozenset[str]) -> str:
    """The precision that the engine takes when nobody says: bfloat16 where a processor multiplies it, else float32."""
    return "bfloat16" if arithmetic("bfloat16", chosen, found) == "bfloat16-dot" else "float32"
