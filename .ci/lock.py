"""Write locks/: every package that our own installs take, in one version each, with the hashes of its published files.

    pip install uv
    python .ci/lock.py                 after a change of pyproject.toml or constraints.txt
    python .ci/lock.py --check         whether each system and Python that we test on finds files that fit

    locks/base.txt   what `make demo` installs
    locks/dev.txt    what `make test` and CI install
    locks/docs.txt   what `make docs` installs
    locks/tools.txt  what builds, and looks for known vulnerabilities

One file serves all systems and Pythons, by markers. Left out are torch and what torch for CUDA brings along: which
build is wanted depends on the machine and its index, so constraints.txt pins their versions alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ["hatchling", "editables"]  # an install in place builds with these, which then need no fetching of their own
EXTRAS = {"base": [], "dev": ["--extra", "dev"], "docs": ["--extra", "docs"]}
TOOLS = ["build", "pip-audit", *BUILD]
LEFT_OUT = ("torch", "triton")
LEFT_OUT_PREFIXES = ("nvidia-", "cuda-")  # brought along by torch for CUDA, in versions that it names itself
HEAD = "# Made by `python .ci/lock.py`, which says what stands here and how to use it. Not to be edited.\n"
CHECKED = [
    *(("linux", python) for python in ("3.11", "3.12", "3.13", "3.14")),
    *((system, python) for system in ("macos", "windows", "aarch64-unknown-linux-gnu") for python in ("3.11", "3.14")),
]


def main() -> None:
    """See the module."""
    names = ["base", "dev", "docs", "tools"]
    for name in names:
        if "--check" not in sys.argv[1:]:
            (ROOT / "locks").mkdir(exist_ok=True)
            (ROOT / "locks" / f"{name}.txt").write_text(compiled(name), encoding="utf-8")
        else:
            for system, python in CHECKED:
                check(name, system, python)


def compiled(name: str) -> str:
    """The lock of a name, as text."""
    source = ["-"] if name == "tools" else ["pyproject.toml", "-", *EXTRAS[name]]
    more = "\n".join(TOOLS if name == "tools" else BUILD)
    command = ["uv", "pip", "compile", *source, "-c", "constraints.txt", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--no-header", "--quiet", "--default-index"]
    command += ["https://pypi.org/simple"]
    done = subprocess.run(command, cwd=ROOT, input=more, check=True, capture_output=True, encoding="utf-8")
    return HEAD + "".join(block for block in blocks(done.stdout) if not is_left_out(block))


def blocks(text: str) -> list[str]:
    r"""Requirements with their hashes, a text each.

    >>> blocks("a==1 \\\n    --hash=x\nb==2 \\\n    --hash=y\n")
    ['a==1 \\\n    --hash=x\n', 'b==2 \\\n    --hash=y\n']
    """
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(" "):
            found[-1] += line
        else:
            found.append(line)
    return found


def is_left_out(block: str) -> bool:
    """Whether a requirement is torch, or one of what it brings along."""
    name = block.partition("==")[0]
    return name in LEFT_OUT or name.startswith(LEFT_OUT_PREFIXES)


def check(name: str, system: str, python: str) -> None:
    """Look for the files that a system would take, and end where one is missing."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["uv", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--require-hashes", "--target", folder]
        command += ["--default-index", "https://pypi.org/simple", "-r", f"locks/{name}.txt"]
        command += ["--python-platform", system, "--python-version", python, "--only-binary", ":all:"]
        environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # before that there is no onnxruntime
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    print(f"{name}, {system}, Python {python}: {done.stderr.strip()[-500:] if done.returncode else 'found'}")
    if done.returncode:
        sys.exit(1)


if __name__ == "__main__":
    main()
