"""The self-test notices what is broken, each stage by itself, and says what to do."""

from __future__ import annotations

import collections
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import moksori
from moksori import checkup, surroundings
from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTracker
from moksori.checkup import Check
from moksori.conversion import Voice
from moksori.errors import ModelFileError


@pytest.fixture(scope="module")
def voice() -> Voice:
    return moksori.load()


def checks(voice: Voice) -> dict[str, Check]:
    return {check.name: check for check in checkup.run(lambda: voice)}


def test_an_installation_that_works_is_well_in_all_stages_and_leaves_nothing(
    voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = checks(voice)
    assert {"read", "track", "encode", "sing", "write", "cache", "disk here"} <= found.keys()
    assert all(check.is_well for check in found.values()), found
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", ["read", "track", "encode", "sing", "write"])
def test_a_stage_that_is_broken_is_named_and_the_others_go_on(
    voice: Voice, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def softer(self: Voice, samples: np.ndarray, *args: object, **named: object) -> np.ndarray:
        return 0.01 * samples

    broken = {
        "read": (files, "read", lambda path: Clip(np.zeros(48_000, np.float32), 24_000)),
        "write": (files, "write", lambda path, clip: path.write_bytes(b"fLaC")),
        "track": (PitchTracker, "track", lambda self, clip: type("Track", (), {"voiced_hz": np.array([300.0])})),
        "encode": (type(voice.model), "encode", lambda self, excerpts: torch.full((1, 4, 4), float("nan"))),
        "sing": (Voice, "convert", softer),
    }
    monkeypatch.setattr(*broken[stage])
    found = {check.name: check for check in checkup._stages(lambda: voice)}
    expected = {"read": {"read", "write"}, "track": {"track", "encode"}, "encode": {"encode", "sing"}}
    unwell = {name for name, check in found.items() if not check.is_well}
    assert stage in unwell and unwell <= expected.get(stage, {stage})
    assert found[stage].advice and found[stage].found


def test_a_voice_that_cannot_be_loaded_fails_where_it_is_needed() -> None:
    def lost() -> Voice:
        raise ModelFileError("first.safetensors: no such file")

    found = {check.name: check for check in checkup._stages(lost)}
    assert [name for name, check in found.items() if not check.is_well] == ["encode", "sing"]
    assert "no such file" in found["sing"].found and "install it again" in found["sing"].advice


def test_a_full_disk_and_a_missing_package_are_told(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda place: usage(10**12, 10**12 - 10**8, 10**8))
    found = [*checkup._disk(), checkup._installed("no-such-package-of-ours")]
    assert not any(check.is_well for check in found)
    assert "make room" in found[0].advice and "pip install no-such-package-of-ours" in found[-1].advice


def test_a_cache_that_others_may_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "getuid"):
        pytest.skip("no modes")
    (tmp_path / "engine").mkdir(mode=0o777)
    (tmp_path / "engine").chmod(0o777)
    monkeypatch.setenv(surroundings.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(surroundings, "compiled_folder", surroundings.compiled_folder.__wrapped__)
    check = checkup._compiled()
    assert not check.is_well and "chmod 700" in check.advice
