from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from moksori import surroundings
from moksori.errors import UserError
from moksori.generation.engine import trial
from moksori.generation.engine.encoder import EngineEncoder

PYTHON = sys.executable  # the real one


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No verdict known yet, and an empty folder to remember one in."""
    monkeypatch.setenv(surroundings.CACHE_VARIABLE, str(tmp_path / "cache"))
    for remembered in (trial.verdict, surroundings.compiled_folder):
        remembered.cache_clear()
    yield tmp_path / "cache" / "engine"
    for remembered in (trial.verdict, surroundings.compiled_folder):
        remembered.cache_clear()


def interpreter(folder: Path, script: str) -> str:
    """A program that stands in for Python, and for a trial that goes as the script says."""
    path = folder / "python"
    path.write_text(f"#!{PYTHON}\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def line(precision: str, error: float) -> str:
    answer = {"precision": precision, "error": error, "tier": "avx2", "arithmetic": precision, "usual": "float32"}
    return f"print({json.dumps(answer)!r}, flush=True)"


GOOD = "\n".join([line("float32", 1e-6), line("bfloat16", 1e-3), line("int8", 1e-2)])


def test_the_engine_works_on_the_machine_of_this_test() -> None:
    found = trial.verdict()
    assert found.precisions == ("float32", "bfloat16", "int8") and found.reason == ""


@pytest.mark.slow
def test_narrow_vectors_work_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a processor without wide vectors would run, down to its instructions on x86, compared with torch."""
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    monkeypatch.setenv("MOKSORI_ENGINE_TIER", "portable")
    found = trial.try_out()
    assert (found.tier, found.precisions, found.reason) == ("portable", ("float32", "bfloat16", "int8"), "")


def test_a_verdict_is_remembered(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, GOOD))
    found = trial.verdict()
    assert found.precisions == ("float32", "bfloat16", "int8") and len(list(fresh.iterdir())) == 1
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, "raise SystemExit('not again')"))
    trial.verdict.cache_clear()
    assert trial.verdict() == found


def test_what_hindered_for_a_moment_is_tried_again(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "executable", interpreter(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    )
    found = trial.verdict()
    assert found.precisions == () and "code -9; it will be tried again" in found.reason
    assert not list(fresh.iterdir())
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, GOOD))
    trial.verdict.cache_clear()
    assert trial.verdict().precisions == ("float32", "bfloat16", "int8")


def test_a_setting_of_numba_asks_for_another_trial(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, GOOD))
    trial.verdict()
    monkeypatch.setenv("NUMBA_OPT", "0")
    trial.verdict.cache_clear()
    trial.verdict()
    assert len(list(fresh.iterdir())) == 2


def test_a_damaged_memory_is_tried_again(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, GOOD))
    trial.verdict()
    (file,) = fresh.iterdir()
    for content in ("{", "[]", '{"colour": "red"}'):
        file.write_text(content, encoding="utf-8")
        trial.verdict.cache_clear()
        assert trial.verdict().precisions == ("float32", "bfloat16", "int8")


def test_a_trial_that_dies_costs_what_it_had_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, f"{line('float32', 0.0)}\nimport os; os.abort()"))
    found = trial.try_out()
    assert found.precisions == ("float32",)
    assert "the trial ended with code -6" in found.reason


def test_a_wrong_result_is_not_used_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = GOOD.replace("0.01", "0.5")
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, script))
    found = trial.try_out()
    assert found.precisions == ("float32", "bfloat16")
    assert found.reason == "int8 is off by 0.5"


def test_a_latent_that_is_no_number_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once it was lost beside the scores, which were right."""

    def silent(self: EngineEncoder, codes: Tensor) -> Tensor:
        return torch.full((1, 5, 6), torch.nan)

    monkeypatch.setattr(EngineEncoder, "__call__", silent)
    trial.main()
    errors = [json.loads(line)["error"] for line in capsys.readouterr().out.splitlines()]
    assert errors == [1e9] * 3


def test_after_wide_vectors_fail_narrower_ones_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOKSORI_ENGINE_TIER", raising=False)
    script = f"import os\nif os.environ.get('MOKSORI_ENGINE_TIER') != 'avx2': os.abort()\n{GOOD}"
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, script))
    assert trial.try_out().precisions == ("float32", "bfloat16", "int8")


def test_without_numba_the_verdict_says_so(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = trial.importlib.metadata.version

    def version(name: str) -> str:
        if name == "numba":
            raise trial.importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(trial.importlib.metadata, "version", version)
    assert trial.verdict().precisions == ()
    with pytest.raises(UserError, match="'int8' does not work here: the package numba is not installed"):
        trial.require("int8")


def test_a_folder_that_cannot_be_written_is_no_hindrance(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path, GOOD))
    fresh.parent.mkdir()
    fresh.write_text("a file where the folder should be", encoding="utf-8")
    assert trial.verdict().precisions == ("float32", "bfloat16", "int8")


def test_the_memory_is_kept_where_the_system_keeps_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(surroundings.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.join(os.sep, "somewhere"))
    if sys.platform != "win32":
        assert surroundings.cache_folder() == Path("/somewhere/moksori")
