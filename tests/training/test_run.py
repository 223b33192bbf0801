"""Building a run: devices, plans, and what a single singer means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from moksori.data.corpus import Corpus
from moksori.errors import UserError
from moksori.training import run
from moksori.training.folder import RunFolder
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe


def test_auto_takes_what_is_there_and_other_devices_are_explained() -> None:
    assert run.check_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert run.check_device("cpu") == "cpu"
    with pytest.raises(UserError, match=r"device 'toaster' cannot be used here .*--device auto"):
        run.check_device("toaster")


def test_both_phases_are_planned_for_two_singers_and_one_phase_for_one(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe, back_translation=replace(tiny_recipe.back_translation, start_step=0))
    both = run.open_run(RunFolder(tmp_path / "both"), tiny_corpus, recipe, run.RunOptions())
    assert [phase.name for phase in both.plan.phases()] == ["reconstruction", "back-translation"]
    assert both.plan.phase_at(0).name == "back-translation"
    name = tiny_corpus.singers[0]
    recordings = tuple(r for r in tiny_corpus.recordings if r.singer == name)
    alone = replace(tiny_corpus, singers=(name,), recordings=recordings)
    one = run.open_run(RunFolder(tmp_path / "one"), alone, recipe, run.RunOptions())
    assert [phase.name for phase in one.plan.phases()] == ["reconstruction"]
    assert one.run(Budget(2)).step == 2


def test_two_runs_do_not_write_into_one_folder(tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    trainer = run.open_run(folder, tiny_corpus, tiny_recipe, run.RunOptions())
    with folder.lock(), pytest.raises(UserError, match="another training is writing here"):
        trainer.run(Budget(1))
    assert trainer.run(Budget(1)).step == 1  # the lock is gone with its holder


def test_half_precision_is_for_hardware_that_is_fast_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert run._is_half("bfloat16", cpu) and not run._is_half("float32", cpu)
    for answer in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda answer=answer: answer, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
        assert run._is_half("auto", cpu) is answer
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not run._is_half("auto", cpu)
