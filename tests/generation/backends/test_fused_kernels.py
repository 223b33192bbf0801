"""The kernels go through Triton's compiler, for GPUs that need not be there: the interpreter accepts what it refuses.

It also says what a kernel takes of a processor's registers and shared memory. A process of its own compiles, since in
this one Triton may interpret.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux")

COMPILER = Path(__file__).parents[3] / "benchmarks" / "gpu_kernels.py"
SHARED_BYTES = {80: 163 * 1024, 90: 227 * 1024}  # that a program may have, by compute capability
SPILLED_BYTES = 64  # of a thread, for what found no register: some do no harm, hundreds do


def compile_and_check(cache: Path, *jobs: tuple[str, str, int, int, int]) -> None:
    """Kernels, each (name, type of the weights, capability, width, taps)."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(cache)}
    command = [sys.executable, str(COMPILER), json.dumps(jobs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    for (_, dtype, capability, *_), found in zip(jobs, json.loads(done.stdout), strict=True):
        assert 0 < found["shared"] <= SHARED_BYTES[capability]
        assert found["stack"] <= SPILLED_BYTES
        assert (found["tensor_core_products"] > 0) == (dtype == "float16")


def test_a_layer_of_the_paper_s_size_compiles_for_hopper_within_its_registers_and_shared_memory(tmp_path: Path) -> None:
    compile_and_check(tmp_path, ("layer", "float16", 90, 128, 2), ("layer", "float32", 90, 128, 2))


def test_the_first_and_the_last_kernel_compile(tmp_path: Path) -> None:
    compile_and_check(tmp_path, ("first", "float16", 90, 64, 2), ("head", "float16", 90, 64, 2))


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_kernel_compiles_for_every_size(dtype: str, capability: int, tmp_path: Path) -> None:
    names = ("first", "layer", "head")
    compile_and_check(tmp_path, *[(name, dtype, capability, width, 3) for name in names for width in (64, 128)])
