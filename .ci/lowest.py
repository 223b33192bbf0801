"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

    python .ci/lowest.py > lowest.txt
    pip install -c lowest.txt -e '.[dev]'

A requirement without a lower bound is left to pip.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(requirements: list[str]) -> Iterator[str]:
    """`name==version` for every `name>=version`, with its marker.

    >>> list(lowest(["numpy>=1.26", "setuptools<81", "numba>=0.61; python_version < '3.15'", "moksori[av]"]))
    ['numpy==1.26', "numba==0.61; python_version < '3.15'"]
    """
    for requirement in requirements:
        found = re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)(;.*)?", requirement.strip())
        if found:
            name, version, marker = found.groups(default="")
            yield f"{name}=={version}{marker}"


def main() -> None:
    """Read pyproject.toml and print."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    print("\n".join(lowest([*project["dependencies"], *(each for name in extras for each in extras[name])])))


if __name__ == "__main__":
    main()
