"""The kernels go through Triton's compiler, for GPUs that need not be there: the interpreter accepts what it refuses.

It also says what a kernel takes of a processor's registers and shared memory. A process of its own compiles, since in
this one Triton may interpret.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux")

SHARED_BYTES = {
    80: 163 * 1024,
    90: 227 * 1024,
}  # that a program may have; CUDA's programming guide, compute capabilities
TYPES = {"codes": "*i64", "uniforms": "*fp64", "temperature": "*fp64", "is_finite": "*i1"} | dict.fromkeys(
    ("position", "now", "began"), "*i64"
)
NUMBERS = ("n_streams", "hop", "dilation", "slots", "next_slots")


def compiled(name: str, dtype: str, architecture: int, width: int, kernel_size: int) -> dict[str, int]:
    """Compile a kernel; shared bytes, registers of a thread, bytes that it spills, and products on tensor cores."""
    import torch
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from moksori.generation import fused, fused_kernels

    kernel = getattr(fused_kernels, name)
    short = {"float32": "fp32", "float16": "fp16"}[dtype]
    weights = {"residual", "skip", "hidden", "last"} | ({"taps"} if name == "layer" else set())
    sizes = {"WIDTH": width, "SKIP": width, "TAPS": kernel_size, "CODES": 256}
    sizes |= {"STREAMS": fused.STREAMS, "BLOCK": fused._BLOCK[getattr(torch, dtype)]}
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
    target = GPUTarget("cuda", architecture, 32)
    binary = triton.compile(source, target=target, options={"num_warps": fused._N_WARPS})
    code = Path(os.environ["TRITON_CACHE_DIR"]) / "kernel.cubin"
    code.write_bytes(binary.asm["cubin"])
    dump = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(code)]
    log = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(REG|STACK):(\d+)", log))
    return {
        "shared": binary.metadata.shared,
        "registers": int(found["REG"]),
        "stack": int(found["STACK"]),
        "tensor_core_products": binary.asm["ptx"].count("mma.sync"),
    }


def in_a_process(cache: Path, *jobs: tuple[str, str, int, int, int]) -> list[dict[str, int]]:
    """What `compiled` says of each."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(cache)}
    command = [sys.executable, __file__, json.dumps(jobs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(kind: str, architecture: int, found: dict[str, int]) -> None:
    assert found["shared"] <= SHARED_BYTES[architecture]
    assert found["stack"] <= 64  # bytes that find no register, of a thread: some are no harm, hundreds are
    assert (found["tensor_core_products"] > 0) == (kind == "float16")


def test_a_layer_of_the_paper_s_size_compiles_for_hopper_and_keeps_within_registers_and_shared_memory(
    tmp_path: Path,
) -> None:
    for kind, found in zip(
        ("float16", "float32"),
        in_a_process(tmp_path, ("layer", "float16", 90, 128, 2), ("layer", "float32", 90, 128, 2)),
        strict=True,
    ):
        check(kind, 90, found)


def test_the_first_and_the_last_kernel_compile(tmp_path: Path) -> None:
    for found in in_a_process(tmp_path, ("first", "float16", 90, 64, 2), ("head", "float16", 90, 64, 2)):
        check("float16", 90, found)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_every_kernel_compiles_for_every_size(kind: str, architecture: int, tmp_path: Path) -> None:
    jobs = [(name, kind, architecture, width, 3) for name in ("first", "layer", "head") for width in (64, 128)]
    for found in in_a_process(tmp_path, *jobs):
        check(kind, architecture, found)


if __name__ == "__main__":
    print(json.dumps([compiled(*job) for job in json.loads(sys.argv[1])]))
