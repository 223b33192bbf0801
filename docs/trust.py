"""The table of threats and kinds of faults, each with its tests and their last results: docs/trust.md.

python docs/trust.py                 run the quick tests, and write the table
python docs/trust.py --slow          the slow ones, and the table
python docs/trust.py --guards        take each guard out of a copy of the source, once, and see its test fail
python docs/trust.py --only WORDS    only threats whose name has these words; several with | between them
python docs/trust.py --page          only write the table anew, from the results that are remembered

What is to be shown stands in docs/trust.toml; results are remembered in docs/trust.json. Exit code 1: something failed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WISHES, RESULTS, PAGE = (ROOT / "docs" / f"trust.{suffix}" for suffix in ("toml", "json", "md"))
COUNTED = {"inputs": "bad_inputs", "faults": "faults_survived"}  # what a threat counts -> what a test tells of itself


class Recorder:
    """A plugin of pytest that notes what became of each test."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._marks: dict[str, dict[str, Any]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note the kinds that tests are marked with."""
        for item in items:
            kinds = [mark.args[0] for mark in item.iter_markers("kind")]
            self._marks[item.nodeid] = {"kinds": kinds, "is_slow": item.get_closest_marker("slow") is not None}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note an outcome; setup and teardown count where they fail or skip."""
        if report.when == "call" or report.outcome != "passed":
            outcome = "expected to fail" if getattr(report, "wasxfail", None) is not None else str(report.outcome)
            self.found[report.nodeid] = {
                "outcome": outcome,
                "seconds": round(report.duration, 2),
                "on": datetime.date.today().isoformat(),
                **self._marks.get(report.nodeid, {}),
                **{name: value for name, value in report.user_properties if name in COUNTED.values()},
            }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--slow", "--guards", "--page"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    wishes = tomllib.loads(WISHES.read_text(encoding="utf-8"))
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"tests": {}, "guards": {}}
    threats = [t for t in wishes["threat"] if any(words in t["name"] for words in asked.only.split("|"))]
    is_well = True
    if asked.guards:
        is_well = take_out_guards(threats, results)
    elif not asked.page:
        recorder = Recorder()
        tests = list(dict.fromkeys(test for threat in threats for test in threat["tests"]))
        tests += [] if asked.only else sorted(kind_files())
        marked = "slow and not gpu" if asked.slow else "not slow and not gpu"
        is_well = pytest.main(["-q", "-p", "no:cacheprovider", "-m", marked, *tests], plugins=[recorder]) == 0
        forget(results["tests"], recorder.found, tests, is_slow=asked.slow)
        results["tests"] |= recorder.found
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    PAGE.write_text(page(wishes, results), encoding="utf-8")
    sys.exit(0 if is_well else 1)


def kind_files() -> set[str]:
    """Test files with tests that are marked with a kind."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if "mark.kind(" in path.read_text(encoding="utf-8")
    }


def forget(known: dict[str, Any], found: dict[str, Any], asked: Sequence[str], *, is_slow: bool) -> None:
    """Forget results of tests that are not there any more: slow or quick ones that were asked for, and not found."""
    for test in [test for test in chosen(known, asked) if test not in found]:
        if known[test].get("is_slow", False) == is_slow:
            del known[test]


def take_out_guards(threats: Sequence[dict[str, Any]], results: dict[str, Any]) -> bool:
    """Run the test of each guard on a copy of the source without it; whether each of them failed."""
    is_well = True
    for threat in threats:
        for guard in threat.get("guards", []):
            name = f"{guard['file']}: {guard['old'].strip().splitlines()[0][:80]}"
            try:
                failed = fails_without(guard)
            except CannotBeTried as error:
                print(f"CANNOT BE TRIED  {error}", flush=True)
                is_well = False
                continue
            print(f"{'fails, as it should' if failed else 'STAYS GREEN'}  {name}", flush=True)
            results["guards"][name] = {
                "threat": threat["name"],
                "test": guard["test"],
                "fails": failed,
                "on": datetime.date.today().isoformat(),
            }
            is_well = is_well and failed
    return is_well


class CannotBeTried(Exception):
    """A guard that is not in the source as it is named, or whose test says nothing of it."""


def fails_without(guard: dict[str, str]) -> bool:
    """Whether the test of a guard, which passes on a copy of the source, fails on it without the guard.

    Raises:
        CannotBeTried: the guard is not there once, or its test does not pass with it.
    """
    with tempfile.TemporaryDirectory(prefix="moksori-") as folder:
        copy = Path(folder)
        for part in ("src", "tests", "docs", "demo"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "README.md", "SECURITY.md"):
            shutil.copy(ROOT / file, copy)
        source = copy / guard["file"]
        text = source.read_text(encoding="utf-8")
        if text.count(guard["old"]) != 1:
            raise CannotBeTried(
                f"{guard['file']}: the guard {guard['old']!r} is there {text.count(guard['old'])} times"
            )
        if (code := tried(copy, guard["test"])) != 0:
            raise CannotBeTried(f"{guard['test']}: does not pass with its guard, either (pytest ended with {code})")
        source.write_text(text.replace(guard["old"], guard["new"]), encoding="utf-8")
        code = tried(copy, guard["test"])
        if code not in (0, 1):  # it broke, instead of failing
            raise CannotBeTried(f"{guard['test']}: cannot be run without its guard (pytest ended with {code})")
        return code == 1


def tried(copy: Path, test: str) -> int:
    """Run a test on a copy of the source; pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", test]
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    environment.setdefault("MOKSORI_CACHE", str(ROOT / ".pytest_cache" / "moksori"))
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, check=False).returncode


def page(wishes: dict[str, Any], results: dict[str, Any]) -> str:
    """The table as Markdown."""
    tests: dict[str, dict[str, Any]] = results["tests"]
    sums = {"inputs": 0, "faults": 0}
    rows = []
    for threat in wishes["threat"]:
        own = chosen(tests, threat["tests"])
        counted = threat.get("counts")
        n = sum(entry.get(COUNTED[counted], 1) for entry in own.values() if passed(entry)) if counted else 0
        if counted:
            sums[counted] += n
        guards = [found for found in results["guards"].values() if found["threat"] == threat["name"]]
        n_shown = sum(found["fails"] for found in guards)
        rows.append(
            f"| {threat['name']} | {threat['promise']} | {', '.join(f'`{short(test)}`' for test in threat['tests'])} | "
            f"{summary(own)} | {n or ''} | {f'{n_shown} of {len(guards)}' if guards else ''} |"
        )
    kinds = []
    for letter, name in wishes["kinds"].items():
        own = {test: entry for test, entry in tests.items() if letter in entry.get("kinds", ())}
        files = ", ".join(f"`{file}`" for file in sorted({test.partition("::")[0] for test in own}))
        kinds.append(f"| {letter} | {name} | {files or 'not marked yet'} | {summary(own)} |")
    n_failed = sum(not passed(entry) and entry["outcome"] == "failed" for entry in tests.values())
    return TEMPLATE.format(
        inputs=f"{sums['inputs']:,}",
        faults=f"{sums['faults']:,}",
        n_tests=len(tests),
        n_failed=n_failed or "none",
        rows="\n".join(rows),
        kinds="\n".join(kinds),
    )


def chosen(tests: dict[str, dict[str, Any]], wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Results of the tests that are meant by files, classes or names."""
    return {
        test: entry
        for test, entry in tests.items()
        if any(test == one or test.startswith((f"{one}::", f"{one}[")) for one in wanted)
    }


def passed(entry: dict[str, Any]) -> bool:
    """Whether a test passed."""
    return bool(entry["outcome"] == "passed")


def short(test: str) -> str:
    """A test without its folder and arguments."""
    file, _, name = test.partition("::")
    return f"{Path(file).name}::{name}" if name else file.removeprefix("tests/")


def summary(own: dict[str, dict[str, Any]]) -> str:
    """Outcomes of tests in words, and when they were last run."""
    if not own:
        return "not run"
    outcomes = [entry["outcome"] for entry in own.values()]
    told = [f"{outcomes.count(kind)} {kind}" for kind in sorted(set(outcomes))]
    slow = sum(bool(entry.get("is_slow")) for entry in own.values())
    last = max(entry["on"] for entry in own.values())
    return f"{', '.join(told)}{f' ({slow} slow)' if slow else ''}, {last}"


TEMPLATE = """\
# What is threatened, what is promised, and what holds it

Made by `python docs/trust.py` (quick tests), `--slow` and `--guards`; what is not in the table is not promised.

**{inputs} bad inputs were tried, and {faults} faults were survived. {n_tests} tests stand behind it; {n_failed} failed
when last run.**

*Counted* are the bad inputs, or the faults, of the row. *Without its guard*: lines of the source were taken out, once
each, and in so many cases a test failed, as it should. Slow tests are run by hand; the date tells when.

## Threats

| threat | promise | tests | last result | counted | fails without its guard |
| --- | --- | --- | --- | ---: | ---: |
{rows}

A row that was not run has not been run by this command yet; its tests are part of the suite.

## Kinds of faults with files and habits that people have

What happened, and what is right now, stands in [trust-kinds.md](trust-kinds.md).

| kind | what | tests | last result |
| --- | --- | --- | --- |
{kinds}
"""


if __name__ == "__main__":
    main()
