"""Which changed lines no test notices: a sample of mutants by mutmut, over the rooms that have quick tests.

    pip install mutmut
    mutmut run "nothing"                          makes the mutants and notes which tests reach which function; then it
                                                  finds no mutant of that name, and ends
    mutmut run --max-children 1 $(python benchmarks/mutants.py sample 160)
    python benchmarks/mutants.py survivors 160    those of the sample that live, and those that no test reaches

What is mutated, and by which tests it is judged, stands in pyproject.toml under `tool.mutmut`; a mutant runs the tests
that reach its function, and no others. The sample depends on the sources and on the seed alone.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

FOUND = Path("mutants")  # where mutmut works
SEED = 2026
_SURVIVED, _NOT_REACHED = 0, 33  # exit codes by which mutmut remembers


def outcomes() -> dict[str, int | None]:
    """Exit code of the tests by mutant; None where they have not been run."""
    found: dict[str, int | None] = {}
    for path in FOUND.rglob("*.meta"):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def sample(names: list[str], count: int) -> list[str]:
    """Some of the mutants, the same at every call.

    >>> sample(["b", "a", "c"], 2) == sample(["c", "b", "a"], 2)
    True
    """
    return random.Random(SEED).sample(sorted(names), count)


def main() -> None:
    """Print the sample's names, or what became of them."""
    what, count = sys.argv[1], int(sys.argv[2])
    known = outcomes()
    chosen = sample(list(known), count)
    if what == "sample":
        print(" ".join(chosen))
        return
    codes = [known[name] for name in chosen]
    n_run = sum(code is not None for code in codes)
    print(f"{n_run} of {count} run: {codes.count(_SURVIVED)} live, {codes.count(_NOT_REACHED)} are not reached")
    print("\n".join(name for name in sorted(chosen) if known[name] in (_SURVIVED, _NOT_REACHED)))


if __name__ == "__main__":
    main()
