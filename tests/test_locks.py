"""What our own installs take has hashes, and says the same as pyproject.toml and constraints.txt do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = {"base": [], "dev": ["dev"], "docs": ["docs"]}
every_lock = pytest.mark.parametrize("name", ["base", "dev", "docs", "tools"])


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked(name: str) -> dict[str, set[str]]:
    """Versions by name; several where Pythons or systems differ."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if pinned := re.match(r"([\w.-]+)==([\w.+]+)", line):
            found.setdefault(_plain(pinned[1]), set()).add(pinned[2])
    return found


def _constrained() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {_plain(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def _is_left_out(name: str) -> bool:
    """Torch, in a build that depends on the machine, and what it brings along; see .ci/lock.py."""
    return name in ("torch", "triton") or name.startswith(("nvidia-", "cuda-"))


@every_lock
def test_every_line_has_a_hash(name: str) -> None:
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"(?m)^(?=[^\s#])", text)[1:]
    assert len(blocks) > 3
    for block in blocks:
        assert re.match(r"[\w.-]+==\S+", block) and "--hash=sha256:" in block, block[:80]


@every_lock
def test_versions_are_those_of_the_constraints(name: str) -> None:
    constrained = _constrained()
    for package, versions in _locked(name).items():
        assert not _is_left_out(package)
        if package in constrained:
            assert versions == {constrained[package]}, f"{package}: run python .ci/lock.py"


@pytest.mark.parametrize("name", EXTRAS)
def test_whatever_is_asked_for_is_locked(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for extra in EXTRAS[name] for line in extras[extra])]
    for line in list(wanted):
        if own := re.match(r"moksori\[(.+)\]", line):
            wanted += [each for extra in own[1].split(",") for each in extras[extra]]
    names = {_plain(re.match(r"[\w.-]+", line)[0]) for line in wanted} - {"moksori"}  # type: ignore[index]
    missing = {each for each in names if not _is_left_out(each)} - _locked(name).keys()
    assert not missing, f"{', '.join(missing)}: run python .ci/lock.py"
    assert {"hatchling", "editables"} <= _locked(name).keys(), "an install in place builds with these"
