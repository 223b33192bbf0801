"""No function of the evaluation goes back to a file that it has left more than a few times."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import moksori.evaluation

ROOT = Path(moksori.evaluation.__file__).parent
A_FEW = 5

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _name(path: Path) -> str:
    return ".".join(("moksori", "evaluation", *path.relative_to(ROOT).with_suffix("").parts))


TREES = {_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}


def _imported(tree: ast.Module) -> dict[str, str]:
    """Name in a file -> the file of the evaluation that it stands for, or comes from."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                home = whole if whole in TREES else node.module
                if home in TREES:
                    found[alias.asname or alias.name] = home
    return found


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """Calls in the order in which they are made: arguments before what they are handed to."""
    for child in ast.iter_child_nodes(node):
        yield from _calls(child)
    if isinstance(node, ast.Call):
        yield node


def _visits(function: Function, own: dict[str, Function], imported: dict[str, str], on_way: set[str]) -> Iterator[str]:
    """Files that a function calls into, one after the other; helpers of its own file are walked through."""
    for call in _calls(function):
        name = call.func.value if isinstance(call.func, ast.Attribute) else call.func
        if not isinstance(name, ast.Name):
            continue
        if name.id in imported:
            yield imported[name.id]
        elif name.id in own and name.id not in on_way and name is call.func:
            yield from _visits(own[name.id], own, imported, on_way | {name.id})


def returns(tree: ast.Module) -> dict[str, int]:
    """How often each function of a file goes back to another file that it has left."""
    own = {node.name: node for node in tree.body if isinstance(node, Function)}
    imported, found = _imported(tree), {}
    for node in ast.walk(tree):
        if isinstance(node, Function):
            visits = [file for file, _ in itertools.groupby(_visits(node, own, imported, {node.name}))]
            found[node.name] = len(visits) - len(set(visits))
    return found


def test_it_is_counted_as_by_hand() -> None:
    tree = ast.parse(
        "from moksori.evaluation import pairs, scoring\n"
        "from moksori.evaluation.analyses import Analyses\n"
        "def outer():\n"
        "    found = scoring.moved(Analyses(pairs.listed()))\n"  # pairs, analyses, scoring
        "    return inner(pairs.strangers(found))\n"  # pairs again, then scoring again
        "def inner(x):\n"
        "    return scoring.frames(x)\n"
    )
    assert returns(tree) == {"outer": 2, "inner": 0}


def test_the_evaluation_reads_straight_down() -> None:
    """Of a run it once went up eighteen times: made, heard, scored and described in turns."""
    counts = {f"{file}.{name}": count for file, tree in TREES.items() for name, count in returns(tree).items()}
    assert len(counts) > 200
    assert {name: count for name, count in counts.items() if count > A_FEW} == {}
