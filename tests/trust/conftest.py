"""The command in a process of its own, in a home and a folder that are watched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests_of_trust import Limited, Run

import moksori
from moksori.conversion import Voice


@pytest.fixture(scope="package")
def voice() -> Voice:
    """The shipped voice."""
    return moksori.load()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    """Call `moksori` in a process of its own: `run("info", cwd=..., MPLBACKEND="agg")`."""

    def call(*arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
        environment |= {"HOME": str(home), "OMP_NUM_THREADS": "1", **variables}
        # Not `-m`, which would put the working folder on the path; a console script does not, either.
        code = "from moksori.cli.app import main; main()"
        return subprocess.run(
            [sys.executable, "-P", "-c", code, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=300,
        )

    return call


_LIMIT = """
import resource

def limit(megabytes):
    \"\"\"From now on, no more memory than so much beyond what is in use.\"\"\"
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20,) * 2)

"""


@pytest.fixture
def limited() -> Limited:
    """Run a program in a child, where `limit(megabytes)` bounds the memory from then on."""
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("memory is limited on Linux only")

    def call(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", _LIMIT + program, *map(str, arguments)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=300,
        )

    return call
