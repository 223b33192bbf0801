"""Which changed lines no test notices, of single files and their own quick tests: a mutant costs a fork and some tests.

    python benchmarks/quick_mutants.py --count 8 training/losses models/notes
    python benchmarks/quick_mutants.py --count 8 training/phases/schedule=training/phases/test_schedule

A file stands for `src/moksori/FILE.py`; its tests are those of its name, as `tests` mirrors the package, or what stands
behind "=". Everything heavy is loaded once; each mutant is another process, in which the file is imported changed, and
whose tests end at the first failure. What is changed, by the file's syntax tree: a comparison, a sign, a product, `and`
and `or`, a number, a condition. The sample depends on the source and on the seed alone. `benchmarks/mutants.py` is
for whole rooms.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.machinery
import io
import os
import random
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SEED = 2026
CPU_SECONDS = 60  # of a mutant's tests; one that takes longer has been noticed
_SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def changes(node: ast.AST) -> Iterator[Callable[[Any], None]]:
    """What may be changed of a node, in place."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        yield lambda node: node.ops.__setitem__(0, _SWAPS[type(node.ops[0])]())
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in _SWAPS:
        yield lambda node: setattr(node, "op", _SWAPS[type(node.op)]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield lambda node: setattr(node, "op", ast.UAdd())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield lambda node: setattr(node, "value", node.value + 1)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield lambda node: setattr(node, "value", not node.value)
    if isinstance(node, ast.If | ast.IfExp):
        yield lambda node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))


def mutants(source: str) -> list[tuple[int, str]]:
    """Every mutant of a source, with the line that it changes.

    >>> [text for _, text in mutants("def f(x):\\n    return x + 1")]
    ['def f(x):\\n    return x - 1', 'def f(x):\\n    return x + 2']
    """
    tree, found = ast.parse(source), []
    inside = [node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in function.body]
    places = {id(node) for statement in inside for node in ast.walk(statement)}
    nodes = list(ast.walk(tree))
    for index, node in enumerate(nodes):
        if id(node) in places:
            for number, _ in enumerate(changes(node)):
                changed = copy.deepcopy(tree)
                target = list(ast.walk(changed))[index]
                list(changes(target))[number](target)
                found.append((node.lineno, ast.unparse(ast.fix_missing_locations(changed))))  # type: ignore[attr-defined]
    return found


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from another source than its file's."""

    def __init__(self, name: str, source: str) -> None:
        self._name, self._source = name, source

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The module, if it is the one."""
        return importlib.machinery.ModuleSpec(name, self) if name == self._name else None

    def exec_module(self, module: Any) -> None:
        """Run the source."""
        exec(compile(self._source, f"<changed {self._name}>", "exec"), module.__dict__)


def survives(name: str, source: str, tests: Path) -> bool:
    """Whether all tests pass with a module changed; in a process of its own."""
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        sys.meta_path.insert(0, _Changed(name, source))
        import pytest

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu", str(tests)])
        os._exit(int(code))
    return os.waitpid(child, 0)[1] == 0


def main() -> None:
    """Print what lives, and a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--count", type=int, default=8, help="mutants of each file")
    arguments = parser.parse_args()
    import hypothesis  # noqa: F401  what is heavy is loaded before the first fork
    import torch

    torch.set_num_threads(1)
    n_run = n_living = 0
    for spec in arguments.files:
        file, _, chosen = spec.partition("=")
        room, _, stem = file.rpartition("/")
        tests = ROOT / "tests" / f"{chosen or f'{room}/test_{stem}'}.py"
        source, name = (
            (ROOT / "src/moksori" / f"{file}.py").read_text(encoding="utf-8"),
            f"moksori.{file}".replace("/", "."),
        )
        if not survives(name, ast.unparse(ast.parse(source)), tests):
            print(f"{file}: {tests} fails, or is not there", flush=True)
            continue
        every = mutants(source)
        for line, text in random.Random(SEED).sample(every, min(arguments.count, len(every))):
            n_run += 1
            if survives(name, text, tests):
                n_living += 1
                print(f"{file}:{line} lives: {_difference(source, text)}", flush=True)
        print(f"{file}: done, {len(every)} mutants in all; so far {n_living} of {n_run} live", flush=True)


def _difference(source: str, changed: str) -> str:
    before, after = ast.unparse(ast.parse(source)).splitlines(), changed.splitlines()
    return next(f"{old.strip()} -> {new.strip()}" for old, new in zip(before, after, strict=False) if old != new)


if __name__ == "__main__":
    main()
