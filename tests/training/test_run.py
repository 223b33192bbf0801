"""Building a run: devices, plans, and what a single singer means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from moksori import checkpoint
from moksori.data.corpus import Corpus
from moksori.errors import UserError
from moksori.generation import generator
from moksori.models.autoencoder import Autoencoder
from moksori.training import run
from moksori.training.folder import RunFolder
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe


def test_auto_takes_what_is_there_and_other_devices_are_explained() -> None:
    assert checkpoint.check_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert checkpoint.check_device("cpu") == "cpu"
    with pytest.raises(UserError, match=r"device 'toaster' cannot be used here .*use auto or cpu"):
        checkpoint.check_device("toaster")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this is a Mac")
def test_why_a_device_cannot_be_used_is_told_in_a_line() -> None:
    """Torch's own words were sixty lines."""
    with pytest.raises(UserError) as refused:
        checkpoint.check_device("mps")
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 250


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


def test_a_model_is_calibrated_when_it_is_written(tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """So that int8 works on every model there is; the peaks are those of the weights written, on training clips."""
    folder = RunFolder(tmp_path / "run")
    run.open_run(folder, tiny_corpus, tiny_recipe, run.RunOptions()).run(Budget(3))
    model, provenance = checkpoint.read_model(folder.model)
    assert isinstance(model, Autoencoder)
    assert len(provenance.layer_peaks) == 3 and min(provenance.layer_peaks) > 0
    backend = generator.backend_for(model.decoder, "int8", provenance.layer_peaks)
    conditioning = model.conditioning(torch.zeros(1, 4, 2), model.singers(torch.tensor([0])))
    assert generator.generate(backend, conditioning, torch.full((1, 80), 0.5)).shape == (1, 80)


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
