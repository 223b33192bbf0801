"""What a model of a processor says of the engine's tiles: a model, not a measurement.

    apt-get install llvm-19           # for llvm-mca, which plays a loop through LLVM's model of a processor
    python benchmarks/ports.py [--shapes] [--mca PROGRAM]

Nothing is run. Each tile is compiled for each processor, its inner loop is cut out, and llvm-mca counts the cycles of
a turn as if every load were served by the innermost cache. `bare` is what the same model says of multiply-adds on
registers alone; a tile's cell is the share of that rate which it reaches, and its products a cycle. `--shapes` tries
other tiles than the engine's, blocks of rows x streams.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys

import llvmlite.binding as llvm
from llvmlite import ir

from moksori.generation.engine import cpu, tile
from moksori.generation.engine.tile import ARITHMETICS, Arithmetic

TURNS = 400  # of a loop; the first ones fill the pipeline
TRIPLE = "x86_64-unknown-linux-gnu"
PROCESSORS = {  # of each tier, in LLVM's words, and the arithmetics that the engine takes there
    "avx512": {
        "skylake-avx512": ("float32", "bfloat16", "int8"),
        "icelake-server": ("float32", "bfloat16", "int8-dot"),
        "sapphirerapids": ("float32", "bfloat16-dot", "int8-dot"),
        "znver4": ("float32", "bfloat16-dot", "int8-dot"),
    },
    "avx2": {
        "haswell": ("float32", "bfloat16", "int8"),
        "znver1": ("float32", "bfloat16", "int8"),
        "znver3": ("float32", "bfloat16", "int8"),
    },
}
MULTIPLY = {  # what multiplies, in LLVM's choice of the order of operands
    "float32": r"vfmadd\d+ps",
    "bfloat16": r"vfmadd\d+ps",
    "bfloat16-dot": "vdpbf16ps",
    "int8": "vpmaddwd",
    "int8-dot": "vpdpbusd",
}
OTHER_SHAPES = {
    "avx512": ((1, 6), (1, 8), (1, 10), (1, 12), (2, 4), (2, 6), (3, 1), (4, 1), (6, 1), (8, 1)),
    "avx2": ((1, 3), (1, 4), (1, 5), (1, 6), (2, 2), (2, 1), (4, 1), (6, 1)),
}


def assembly(arithmetic: Arithmetic, lanes: int, shape: tuple[int, int], processor: str) -> list[str]:
    """A tile's instructions for a processor that need not be here."""
    byte, long = ir.IntType(8).as_pointer(), ir.IntType(64)
    module = ir.Module()
    kinds = [byte if place in (0, 3, 6) else long for place in range(12)] + [ir.IntType(1)]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    tile.emit(builder, arithmetic, lanes, *shape, list(function.args))
    builder.ret_void()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=processor, opt=3)
    parsed = llvm.parse_assembly(str(module))
    parsed.triple, parsed.data_layout = TRIPLE, str(machine.target_data)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    return str(machine.emit_assembly(parsed)).splitlines()


def count(lines: list[str], instruction: str) -> int:
    """How often an instruction stands there."""
    return sum(re.match(rf"\t{instruction}\t", line) is not None for line in lines)


def inner_loop(code: list[str], instruction: str) -> list[str]:
    """The loop that multiplies: from a label to the jump back to it."""
    loops: list[list[str]] = []
    for start, line in enumerate(code):
        if label := re.match(r"(\.LBB\w+):", line):
            ends = [n for n, text in enumerate(code) if n > start and re.search(rf"\tj\w+\t{label[1]}$", text)]
            loops.extend(code[start + 1 : end + 1] for end in ends[:1])
    # Of a loop that LLVM unrolled and its rest the one that multiplies more; of one inside another the inner, shorter.
    chosen = max(loops, key=lambda loop: (count(loop, instruction), -len(loop)))
    return [line for line in chosen if line.startswith("\t") and "#" not in line]


def bare(name: str, lanes: int) -> list[str]:
    """As many multiply-adds on registers as there are registers for sums."""
    register, n = ("zmm", 24) if lanes == 16 else ("ymm", 12)
    lines = []
    for total in (f"%{register}{index}" for index in range(3, 3 + n)):
        product = MULTIPLY[name].replace(r"\d+", "231")
        if name == "int8":  # of two instructions
            lines.append(f"\t{product}\t%{register}0, %{register}1, %{register}2")
            lines.append(f"\tvpaddd\t%{register}2, {total}, {total}")
        else:
            lines.append(f"\t{product}\t%{register}0, %{register}1, {total}")
    return lines


def rate(mca: str, processor: str, lines: list[str], name: str, lanes: int) -> float:
    """Products a cycle of a loop, by the model."""
    command = [mca, f"-mtriple={TRIPLE}", f"-mcpu={processor}", f"-iterations={TURNS}", "-json"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
    if done.returncode or "not a recognized processor" in done.stderr:
        sys.exit(f"{mca}: {done.stderr.strip()}")
    cycles = json.loads(done.stdout)["CodeRegions"][0]["SummaryView"]["TotalCycles"] / TURNS
    in_a_lane = 1 if name == "bfloat16" else ARITHMETICS[name].group  # a pair in two goes
    return count(lines, MULTIPLY[name]) * lanes * in_a_lane / float(cycles)


def cells(mca: str, processor: str, tier: cpu.Tier, name: str, shapes: tuple[tuple[int, int], ...]) -> list[str]:
    """A row of the table."""
    best = rate(mca, processor, bare(name, tier.lanes), name, tier.lanes)
    row = [processor, name, f"{best:.0f}"]
    for shape in shapes:
        loop = inner_loop(assembly(ARITHMETICS[name], tier.lanes, shape, processor), MULTIPLY[name])
        found = rate(mca, processor, loop, name, tier.lanes)
        row.append(f"{found / best:.0%}, {found:.0f}")
    return row


def main() -> None:
    """Print the table, one for each width of vectors."""
    parser = argparse.ArgumentParser(description="What a model of a processor says of the engine's tiles.")
    parser.add_argument("--shapes", action="store_true", help="other tiles than the engine's, too")
    parser.add_argument("--mca", help="the program, if not the newest llvm-mca on the path")
    options = parser.parse_args()
    names = [options.mca] if options.mca else [*(f"llvm-mca-{version}" for version in range(25, 16, -1)), "llvm-mca"]
    mca = next(filter(None, map(shutil.which, names)), None)
    if mca is None:
        sys.exit(f"{names[-1]} is not there; it comes with LLVM (Debian: apt-get install llvm-19), or name it by --mca")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    version = subprocess.run([mca, "--version"], capture_output=True, text=True, check=True).stdout
    print("Model of", " ".join(re.findall(r"LLVM version \S+", version)))
    tiers = {tier.name: tier for tier in cpu.TIERS}
    for tier_name, processors in PROCESSORS.items():
        tier = tiers[tier_name]
        shapes = OTHER_SHAPES[tier_name] if options.shapes else ((1, tier.tile_streams), (4, 1))
        titles = ["processor", "arithmetic", "bare", *(f"{blocks} x {streams}" for blocks, streams in shapes)]
        print(f"\n| {' | '.join(titles)} |\n|{' --- |' * len(titles)}")
        for processor, arithmetics in processors.items():
            for arithmetic in arithmetics:
                print(f"| {' | '.join(cells(mca, processor, tier, arithmetic, shapes))} |", flush=True)


if __name__ == "__main__":
    main()
