"""A run's folder: whose it is, and that the last good state is found whatever happened."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from moksori import checkpoint
from moksori.errors import UserError
from moksori.training import recipe as recipes
from moksori.training.folder import Identity, RunFolder
from moksori.training.recipe import Recipe

IDENTITY = Identity(0, ["bass", "tenor"], "f00d")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def claimed(folder: RunFolder) -> RunFolder:
    folder.claim(IDENTITY, Recipe())
    return folder


def _save(folder: RunFolder, *steps: int, keep: int = 3) -> None:
    for step in steps:
        folder.save_state(step, {"x": torch.tensor([float(step)])}, {"step": step}, keep)


def _names(folder: RunFolder) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in (folder.root / "states").iterdir())


def _damage(folder: RunFolder, step: int) -> None:
    path = folder.root / "states" / f"step-{step:09d}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_new_folder_tells_whose_it_is(claimed: RunFolder) -> None:
    assert json.loads((claimed.root / "run.json").read_text(encoding="utf-8")) == {
        "seed": 0,
        "singers": ["bass", "tenor"],
        "data_fingerprint": "f00d",
        "began_from": "",
        "other_singers": {},
        "threads": torch.get_num_threads(),
    }
    assert recipes.load(str(claimed.root / "recipe.toml")) == Recipe()
    assert sorted(path.name for path in claimed.root.iterdir()) == ["recipe.toml", "run.json"]


def test_the_same_run_may_go_on(claimed: RunFolder) -> None:
    claimed.claim(IDENTITY, Recipe())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(IDENTITY, seed=1), "another seed;"),
        (replace(IDENTITY, singers=["bass"]), "another singers;"),
        (replace(IDENTITY, data_fingerprint="beef"), "another data fingerprint;"),
    ],
)
def test_another_run_is_refused(claimed: RunFolder, other: Identity, message: str) -> None:
    with pytest.raises(UserError, match=f"{message}.*choose another folder with -o"):
        claimed.claim(other, Recipe())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[losses]\nconfusion = 0.02", "losses"),
        ("[segments]\nbatch_size = 4", "segments"),
        ("[optimiser]\nclip_value = 1.0", "optimiser"),
        ("[model]\nsinger_channels = 3", "model"),
        ("precision = 'bfloat16'", "precision"),
    ],
)
def test_another_recipe_is_refused(claimed: RunFolder, text: str, part: str) -> None:
    with pytest.raises(UserError, match=rf"another recipe \(differs in {part}\).*--recipe .*recipe\.toml"):
        claimed.claim(IDENTITY, recipes.parse(text, "mine"))


def test_how_long_and_how_often_may_change_and_is_written_down(claimed: RunFolder) -> None:
    longer = recipes.parse("[loop]\nmax_steps = 7", "mine")
    claimed.claim(IDENTITY, longer)
    assert recipes.load(str(claimed.root / "recipe.toml")) == longer


def test_states_without_an_owner_are_refused(claimed: RunFolder) -> None:
    _save(claimed, 1)
    (claimed.root / "run.json").unlink()
    with pytest.raises(UserError, match=r"no run\.json"):
        claimed.claim(IDENTITY, Recipe())


@pytest.mark.parametrize("content", ["", "{", "[]", "5"])
def test_an_unreadable_owner_is_refused(claimed: RunFolder, content: str) -> None:
    (claimed.root / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="run"):
        claimed.claim(IDENTITY, Recipe())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be used as a run's folder"):
        RunFolder(tmp_path / "run").claim(IDENTITY, Recipe())


def test_a_run_without_states_has_none(claimed: RunFolder) -> None:
    assert claimed.load_state() is None


def test_the_newest_state_is_found(claimed: RunFolder) -> None:
    _save(claimed, 9, 10, 100)
    found = claimed.load_state()
    assert found is not None
    tensors, header, warnings = found
    assert (tensors["x"].item(), header, warnings) == (100.0, {"step": 100}, [])


def test_only_the_newest_states_are_kept(claimed: RunFolder) -> None:
    _save(claimed, 0, 10, 20, 30, 40, keep=2)
    assert _names(claimed) == [30, 40]


def test_a_damaged_newest_state_is_passed_over_with_a_warning(claimed: RunFolder) -> None:
    _save(claimed, 10, 20, 30)
    _damage(claimed, 30)
    found = claimed.load_state()
    assert found is not None
    assert found[1] == {"step": 20}
    (warning,) = found[2]
    assert "step-000000030.safetensors: damaged" in warning
    assert "taking the state before it" in warning


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_cut_state_is_passed_over(claimed: RunFolder, content: bytes) -> None:
    _save(claimed, 10, 20)
    (claimed.root / "states" / "step-000000020.safetensors").write_bytes(content)
    found = claimed.load_state()
    assert found is not None
    assert found[1] == {"step": 10}


def test_damaged_states_alone_are_an_error_and_no_fresh_start(claimed: RunFolder) -> None:
    _save(claimed, 10, 20)
    _damage(claimed, 10)
    _damage(claimed, 20)
    with pytest.raises(UserError, match="no training state can be read") as raised:
        claimed.load_state()
    assert "step-000000010" in str(raised.value)
    assert "step-000000020" in str(raised.value)


def test_a_damaged_later_state_does_not_push_out_a_new_one(claimed: RunFolder) -> None:
    # With one state kept, the damaged later one used to be kept and the new one deleted.
    _save(claimed, 10, 20, keep=2)
    _damage(claimed, 20)
    _save(claimed, 15, keep=1)
    assert _names(claimed) == [15]


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from moksori.training.folder import RunFolder

torch.set_num_threads(1)  # a child does not inherit the threads of OpenMP, and would wait for them
folder, chance = RunFolder(Path(sys.argv[1])), random.Random(0)
tensors = {str(i): torch.full((100_000,), float(i)) for i in range(4)}
n_parts = 0
for kill in range(30):
    found = folder.load_state()
    first = found[1]["step"] + 1 if found else 0
    began = time.monotonic()
    folder.save_state(first, {**tensors, "step": torch.tensor([first])}, {"step": first}, 2)
    seconds = time.monotonic() - began
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"!")
        for step in range(first + 1, first + 10_000):
            folder.save_state(step, {**tensors, "step": torch.tensor([step])}, {"step": step}, 2)
        os._exit(0)
    os.read(reading, 1)
    time.sleep(chance.uniform(0.0, 4.0) * seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    tensors_found, header, warnings = folder.load_state()
    assert warnings == [], warnings
    assert tensors_found["step"].item() == header["step"] >= first
    n_parts += bool(list((folder.root / "states").glob("*.part")))
print(header["step"], n_parts)
"""


def test_a_kill_at_any_moment_of_saving_leaves_a_whole_state(claimed: RunFolder) -> None:
    (claimed.root / "states").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(claimed.root)], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    n_saved, n_torn = map(int, done.stdout.split())
    # How far a child gets before it is killed is the machine's affair; it did save, or was killed while it did.
    assert n_saved + n_torn > 29


def test_leftovers_of_a_killed_save_are_removed(claimed: RunFolder) -> None:
    _save(claimed, 1)
    leftover = claimed.root / "states" / ".0123456789abcdef.part"
    leftover.write_bytes(b"half a state")
    _save(claimed, 2)
    assert not leftover.exists()


def test_a_save_that_fails_keeps_the_states_before(claimed: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(claimed, 1, 2, keep=2)

    def refuse(path: Path, content: bytes, **_: object) -> None:
        raise checkpoint.ModelFileError(f"{path}: cannot be written (No space left on device); is the disk full?")

    monkeypatch.setattr(checkpoint, "_replace", refuse)
    with pytest.raises(UserError, match="disk full"):
        _save(claimed, 3, keep=2)
    assert _names(claimed) == [1, 2]


def test_paths_stay_inside(folder: RunFolder) -> None:
    paths: list[Any] = [folder.model, folder.journal, folder.samples, folder.tensorboard]
    assert all(path.parent == folder.root for path in paths)
