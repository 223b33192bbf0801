"""The register tile beside a product of numpy, and its machine code for processors that are not here."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
import pytest
from llvmlite import ir
from numba import njit

from moksori.generation.engine import cpu, packing, tile
from moksori.generation.engine.tile import ARITHMETICS, Arithmetic

# What any processor can compute, and what this one has an instruction for.
HERE = [name for name in ARITHMETICS if "-" not in name] + [
    name
    for precision in cpu.PRECISIONS
    if "-" in (name := cpu.arithmetic(precision, cpu.tier(cpu.features()), cpu.features()))
]
SHAPES = [(1, 1), (1, 2), (1, 4), (4, 1), (1, 8)]  # blocks of rows, streams


def drawn(arithmetic: Arithmetic, shape: tuple[int, ...], seed: int) -> npt.NDArray[Any]:
    """Numbers that the arithmetic's weights hold exactly, as float64."""
    chance = np.random.default_rng(seed)
    if arithmetic.is_integer:
        return chance.integers(-127, 128, shape).astype(np.float64)
    values = chance.standard_normal(shape).astype(np.float32)
    return (packing.to_bfloat16(values).astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def inputs_of(arithmetic: Arithmetic, n_streams: int, k: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Vectors of several streams, as float64 `[B, k]` and as a tile reads them."""
    vectors = drawn(arithmetic, (n_streams, k), 2)
    if arithmetic.input_type is np.uint16:
        return vectors, packing.to_bfloat16(vectors).ravel()
    if arithmetic.input_type is np.uint8:
        vectors += 128  # 1 to 255
    return vectors, vectors.astype(arithmetic.input_type).ravel()


def held(arithmetic: Arithmetic, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What a matrix is once it is packed: itself, but for the pairs of bfloat16."""
    if arithmetic.name != "bfloat16":
        return rows
    words = packing.to_bfloat16_pairs(rows.reshape(len(rows), -1, 2)).view(np.uint32)
    return np.concatenate([words << 16, words], axis=2).view(np.float32).reshape(rows.shape).astype(np.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("name", HERE)
def test_a_tile_is_the_product_of_a_matrix_and_some_vectors(name: str, lanes: int, shape: tuple[int, int]) -> None:
    arithmetic, (n_blocks, n_streams), k = ARITHMETICS[name], shape, 24
    made = tile.make(arithmetic, lanes, n_blocks, n_streams)

    @njit
    def run(weights, inputs, sums, k, block, half):  # type: ignore[no-untyped-def]
        made(weights, 0, k * 2 * lanes, inputs, 0, k, sums, 3, len(sums) // n_streams, block, half, k, False)

    rows = drawn(arithmetic, (n_blocks * 2 * lanes, k), 1)
    vectors, inputs = inputs_of(arithmetic, n_streams, k)
    width = n_blocks * 2 * lanes + 5
    sums = np.full(n_streams * width, 77, arithmetic.sum_type)
    packed = packing.packed(rows, arithmetic, lanes)
    run(packed, inputs, sums, k, 2 * lanes, lanes)
    by_stream = sums.reshape(n_streams, width)
    expected = vectors @ held(arithmetic, rows).T
    found = by_stream[:, 3 : 3 + n_blocks * 2 * lanes]
    if arithmetic.is_integer:
        assert np.array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    assert (by_stream[:, :3] == 77).all() and (by_stream[:, -2:] == 77).all()  # and nothing else was written


def whole_product(made: Any, lanes: int, n_blocks: int, n_streams: int) -> Any:
    """Four blocks of rows times eight vectors, by tiles of some shape."""

    @njit
    def run(weights, inputs, sums, k, goes_on):  # type: ignore[no-untyped-def]
        block, width = k * 2 * lanes, 8 * lanes
        for b in range(0, 8, n_streams):
            for m in range(0, 4, n_blocks):
                at = b * width + m * 2 * lanes
                made(weights, m * block, block, inputs, b * k, k, sums, at, width, 2 * lanes, lanes, k, goes_on != 0)

    return run


@pytest.mark.parametrize("name", HERE)
def test_a_row_s_sum_does_not_depend_on_the_tile(name: str) -> None:
    """To the bit: every tile adds the products in the order of k."""
    arithmetic, lanes, k, results = ARITHMETICS[name], 8, 40, []
    rows, (_, inputs) = drawn(arithmetic, (4 * 2 * lanes, k), 1), inputs_of(arithmetic, 8, k)
    weights = packing.packed(rows, arithmetic, lanes)
    for n_blocks, n_streams in SHAPES:
        sums = np.zeros(8 * 8 * lanes, arithmetic.sum_type)
        made = tile.make(arithmetic, lanes, n_blocks, n_streams)
        whole_product(made, lanes, n_blocks, n_streams)(weights, inputs, sums, k, 0)
        results.append(sums)
    assert np.abs(results[0]).max() > 0
    for other in results[1:]:
        assert np.array_equal(results[0], other)


@pytest.mark.parametrize("name", HERE)
def test_a_sum_taken_in_two_goes_is_the_sum_to_the_bit(name: str) -> None:
    arithmetic, lanes, k, first = ARITHMETICS[name], 8, 40, 16
    rows, (_, inputs) = drawn(arithmetic, (4 * 2 * lanes, k), 1), inputs_of(arithmetic, 8, k)
    for n_blocks, n_streams in SHAPES:
        run = whole_product(tile.make(arithmetic, lanes, n_blocks, n_streams), lanes, n_blocks, n_streams)
        sums = np.zeros((2, 8 * 8 * lanes), arithmetic.sum_type)
        for at, start, stop, goes_on in ((0, 0, k, 0), (1, 0, first, 0), (1, first, k, 1)):
            weights = packing.packed(rows[:, start:stop], arithmetic, lanes)
            run(weights, inputs.reshape(8, k)[:, start:stop].ravel(), sums[at], stop - start, goes_on)
        assert np.abs(sums[0]).max() > 0 and np.array_equal(sums[0], sums[1])


def machine_code(arithmetic: Arithmetic, tier: cpu.Tier, processor: str) -> str:
    """Assembly of the widest tile, for a processor that need not be here."""
    long, byte = ir.IntType(64), ir.IntType(8).as_pointer()
    module = ir.Module()
    kinds = [byte if place in (0, 3, 6) else long for place in range(12)] + [ir.IntType(1)]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    tile.emit(builder, arithmetic, tier.lanes, 1, tier.tile_streams, list(function.args))
    builder.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "x86_64-unknown-linux-gnu" if processor != "apple-m1" else "aarch64-unknown-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, opt=3)
    parsed = llvm.parse_assembly(str(module))
    parsed.triple, parsed.data_layout = triple, str(machine.target_data)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    return str(machine.emit_assembly(parsed))


@pytest.mark.parametrize(
    ("name", "tier", "processor", "instruction", "n"),
    [
        ("float32", "avx512", "znver4", "vfmadd231ps", 16),
        ("bfloat16-dot", "avx512", "znver4", "vdpbf16ps", 16),
        ("int8-dot", "avx512", "znver4", "vpdpbusd", 16),
        ("bfloat16", "avx512", "skylake-avx512", "vfmadd231ps", 16),
        ("int8", "avx512", "skylake-avx512", "vpmaddwd", 16),
        ("float32", "avx2", "haswell", "vfmadd231ps", 8),
        ("int8", "avx2", "haswell", "vpmaddwd", 8),
        ("float32", "portable", "apple-m1", "fmla", 8),
        ("int8", "portable", "apple-m1", "smull", 8),
    ],
)
def test_a_tile_becomes_the_instructions_it_was_made_for(
    name: str, tier: str, processor: str, instruction: str, n: int
) -> None:
    """One a sum, or a whole number of them where LLVM unrolls the loop, and the sums stay in registers."""
    code = machine_code(ARITHMETICS[name], next(each for each in cpu.TIERS if each.name == tier), processor)
    found = [line.split() for line in code.splitlines() if line.split()[:1] and instruction in line.split()[0]]
    assert len(found) >= n and len(found) % n == 0, code
    register = {"avx512": "%zmm", "avx2": "%ymm", "portable": "v"}[tier]
    assert all(register in " ".join(line) for line in found)
    assert "(%rsp)" not in " ".join(" ".join(line) for line in found)  # nothing spilled into the product itself
