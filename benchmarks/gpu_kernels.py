"""What the kernels of a GPU take of its processors, by compiling them; no GPU is needed.

    python benchmarks/gpu_kernels.py

Prints a table for the paper's decoder on compute capability 8.0 (A100) and 9.0 (Hopper). Needs Triton (`moksori[gpu]`).
Jobs (kernel, type of the weights, capability, width, taps) may be given as JSON; then JSON comes out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "0"  # read when Triton is imported

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from moksori.generation.backends import fused, fused_kernels

Job = tuple[str, str, int, int, int]
KERNELS = ("first", "layer", "head")
TYPES = {"codes": "*i64", "uniforms": "*fp64", "temperature": "*fp64", "is_finite": "*i1"} | dict.fromkeys(
    ("position", "now", "began"), "*i64"
)
NUMBERS = ("n_streams", "hop", "dilation", "slots", "next_slots")


def compiled(name: str, dtype: str, capability: int, width: int, taps: int) -> dict[str, int]:
    """Compile a kernel; residual and skip channels are equally many.

    Returns:
        Bytes of shared memory of a program, registers of a thread, bytes of a thread that found no register, and the
        number of products on tensor cores that stand in the code.
    """
    kernel = getattr(fused_kernels, name)
    short = {"float32": "fp32", "float16": "fp16"}[dtype]
    weights = {"residual", "skip", "hidden", "last"} | ({"taps"} if name == "layer" else set())
    sizes = {"WIDTH": width, "SKIP": width, "TAPS": taps, "CODES": 256}
    sizes |= {"STREAMS": fused.STREAMS, "BLOCK": fused.BLOCK[getattr(torch, dtype)]}
    signature = {}
    for argument in kernel.arg_names:
        if argument in sizes:
            signature[argument] = "constexpr"
        elif argument in NUMBERS:
            signature[argument] = "i32"
        else:
            signature[argument] = f"*{short}" if argument in weights else TYPES.get(argument, "*fp32")
    aligned = {
        (index,): [["tt.divisibility", 16]] for index, kind in enumerate(signature.values()) if kind.startswith("*")
    }
    constants = {key: value for key, value in sizes.items() if key in signature}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    target = GPUTarget("cuda", capability, 32)
    binary = triton.compile(source, target=target, options={"num_warps": fused.N_WARPS})
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "kernel.cubin"
        code.write_bytes(binary.asm["cubin"])
        dump = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(code)]
        usage = dict(re.findall(r"(REG|STACK):(\d+)", subprocess.check_output(dump, text=True)))
    return {
        "shared": binary.metadata.shared,
        "registers": int(usage["REG"]),
        "stack": int(usage["STACK"]),
        "tensor_core_products": binary.asm["ptx"].count("mma.sync"),
    }


def table() -> str:
    """The paper's decoder, as Markdown."""
    lines = ["| kernel | weights | capability | shared memory, KB | registers a thread | spilled, bytes |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for dtype in ("float32", "float16"):
        for capability in (80, 90):
            for name in KERNELS:
                found = compiled(name, dtype, capability, 128, 2)
                lines.append(
                    f"| {name} | {dtype} | {capability / 10} | {found['shared'] / 1024:.0f} | {found['registers']} | "
                    f"{found['stack']} |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps([compiled(*job) for job in json.loads(sys.argv[1])]) if sys.argv[1:] else table())
