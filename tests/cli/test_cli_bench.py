"""`moksori bench` and `moksori doctor`, as they are called."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import tomllib
import types
from pathlib import Path

import pytest
import torch
from calling import Moksori

from moksori import checkup
from moksori.generation.engine import trial

ROOT = Path(__file__).parents[2]


def test_bench_prints_tables_and_writes_them(moksori: Moksori, tiny_recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "speed"
    done = moksori("bench", "-r", tiny_recipe_file, "--rounds", "1", "--seconds", "0.05", "-o", out)
    assert done.code == 0 and "| float32 | 1 | 1 |" in done.out and "Training:" in done.out
    assert (out / "speed.md").read_text(encoding="utf-8") == done.out.removesuffix("\n")
    assert json.loads((out / "speed.json").read_text(encoding="utf-8"))["sample_rate"] == 4000


def test_bench_of_a_voice_that_samples_nothing_says_what_to_do(moksori: Moksori) -> None:
    done = moksori("bench", "-r", "swift")
    assert done.code == 1 and "trains no voice that samples codes; choose paper, melody or small" in done.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_bench_of_a_gpu_that_is_not_there_is_refused(moksori: Moksori) -> None:
    done = moksori("bench", "--device", "cuda")
    assert done.code == 1 and "device 'cuda' cannot be used here" in done.err


def test_bench_of_a_device_without_backends_says_what_to_do(moksori: Moksori) -> None:
    done = moksori("bench", "--device", "meta")
    assert done.code == 1 and "--device meta: only cpu and cuda can be measured" in done.err


def test_doctor_names_every_extra_and_what_it_lacks(moksori: Moksori, monkeypatch: pytest.MonkeyPatch) -> None:
    # The public judge was said to be there where only a half of what it needs was.
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert checkup.EXTRAS.keys() == extras.keys() - {"dev", "docs"}
    monkeypatch.setattr(trial, "verdict", lambda: trial.Verdict(reason="not tried"))
    found_before = importlib.util.find_spec
    for module in ("resemblyzer", "webrtcvad", "librosa"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        sys.modules[module].__spec__ = importlib.machinery.ModuleSpec(module, None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pkg_resources" else found_before(name)
    )
    answer = json.loads(moksori("doctor", "--json").out)["extras"]["judges"]
    assert (answer["is_installed"], answer["missing_modules"]) == (False, ["pkg_resources"])
    assert answer["install"] == "pip install 'moksori[judges]'" and answer["megabytes"] > 100
    assert "missing pkg_resources (" in moksori("doctor").out


def test_doctor_tells_the_engine_and_what_is_missing(moksori: Moksori) -> None:
    done = moksori("doctor")
    assert done.code == 0 and "engine" in done.out and "vectors; float32" in done.out and "All is well." in done.out
    found = json.loads(moksori("doctor", "--json").out)
    assert found["moksori"] and found["n_cores"] >= 1 and found["extras"]["av"]["install"] and found["is_well"] is True
    assert found["gpus"] == [] and found["engine"]["is_used"] and "float32" in found["engine"]["arithmetics"]
    assert {"read", "track", "encode", "sing", "write"} <= {check["name"] for check in found["checks"]}


def test_doctor_fails_where_a_stage_does_and_says_what_to_do(moksori: Moksori, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "verdict", lambda: trial.Verdict(reason="not tried"))
    failed = checkup.Check("track", False, "no pitch is heard", "pip install swift-f0")
    monkeypatch.setattr(checkup, "run", lambda say: iter([failed]))
    done = moksori("doctor")
    assert done.code == 1 and "FAILED: no pitch is heard" in done.out and "-> pip install swift-f0" in done.out
    assert not json.loads(moksori("doctor", "--json").out)["is_well"]


def test_doctor_speaks_korean_and_its_json_does_not(moksori: Moksori, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_stages", lambda sung_by, say: iter([checkup.Check("sing", False, "x", "y", 0.1)]))
    monkeypatch.setattr(trial, "verdict", lambda: trial.Verdict(reason="not tried"))
    said = moksori("doctor", "--lang", "ko").out
    assert "프로세서" in said and "추가 기능 [av]" in said and "실패: x\n  -> y" in said and "개 실패" in said
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    answer = json.loads(moksori("doctor", "--json").out)
    assert "processor" in answer and "free in" in json.dumps(answer)
