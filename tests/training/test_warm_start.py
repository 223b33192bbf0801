"""Runs that begin from a trained voice: one singer is enough, and what is handed out has nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from moksori import checkpoint, run_files
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.data.batches import Batches
from moksori.data.corpus import Corpus
from moksori.errors import UserError
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training import warm_start
from moksori.training.folder import RunFolder
from moksori.training.loop import Budget, Trainer
from moksori.training.media.features import FeatureMedium
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.adversarial import CriticisedReconstruction
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions, open_run

KNOWN = PitchRange(100.0, 150.0, 200.0)


@pytest.fixture
def recipe(tiny_detail_recipe: Recipe, tmp_path: Path) -> Recipe:
    """Begins from a voice that is written beside the test."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SourceFilterModel(tiny_detail_recipe.model, ["bass", "tenor"])  # type: ignore[arg-type]
    path = tmp_path / "base.safetensors"
    checkpoint.write_model(path, model, Provenance(recipe="tiny", steps=7, ranges={"bass": KNOWN}))
    return replace(tiny_detail_recipe, base=str(path))


def _run(folder: Path, corpus: Corpus, recipe: Recipe, *stops: int) -> Trainer:
    for stop in stops:
        trainer = open_run(RunFolder(folder), corpus, recipe, RunOptions(seed=1))
        trainer.run(Budget(stop))
    return trainer


def test_one_singer_learns_among_the_bases_and_is_handed_out_alone(
    takes: Corpus, recipe: Recipe, tmp_path: Path
) -> None:
    trainer = _run(tmp_path / "run", takes, recipe, 30)
    assert trainer.model.singers.names == ("mina", "bass", "tenor")
    base, _ = checkpoint.read_model(Path(recipe.base))
    learned = dict(trainer.model.named_parameters())
    for name, tensor in base.named_parameters():
        if name.startswith("encoder."):
            assert torch.equal(learned[name], tensor)
    assert not torch.equal(learned["decoder.last.weight"], dict(base.named_parameters())["decoder.last.weight"])
    model, provenance = checkpoint.read_model(tmp_path / "run" / "model.safetensors")
    assert model.singers.names == ("mina",) and set(provenance.ranges) == {"mina"}
    assert provenance.lineage[0].startswith("began from a voice of 2 singers: recipe tiny, 7 steps")
    phases = {phase.name for phase in trainer.plan.phases()}
    assert phases == {"reconstruction", "back-translation"}


def test_a_run_goes_on_bit_for_bit_without_the_voice_that_it_began_from(
    takes: Corpus, recipe: Recipe, tmp_path: Path
) -> None:
    straight = _run(tmp_path / "straight", takes, recipe, 25)
    _run(tmp_path / "stopped", takes, recipe, 12)
    Path(recipe.base).unlink()
    stopped = _run(tmp_path / "stopped", takes, recipe, 25)
    tensors = stopped._tensors()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in straight._tensors().items())


def test_whom_the_base_knows_begins_there(recipe: Recipe) -> None:
    base = warm_start.load(recipe.base)
    model = warm_start.begun(base, recipe.model, ["tenor", "mina"])
    assert model.singers.names == ("tenor", "mina", "bass")
    assert torch.equal(model.singers.table.weight[[0, 2]], base.model.singers.table.weight[[1, 0]])
    assert warm_start.others(base, ["tenor", "mina"]) == {"bass": 150.0}
    assert warm_start.others(base, ["bass"]) == {"tenor": 220.0}


def test_another_model_is_refused(takes: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    smaller = replace(recipe.model, singer_channels=5)  # type: ignore[type-var]
    with pytest.raises(UserError, match=r"another model than the recipe.*--from none"):
        open_run(RunFolder(tmp_path / "run"), takes, replace(recipe, model=smaller), RunOptions())


def test_a_recipe_may_sing_otherwise_than_the_voice_it_begins_from(recipe: Recipe) -> None:
    base = warm_start.load(recipe.base)
    decoder = replace(recipe.model.decoder, sharpening=0.4)  # type: ignore[type-var]
    model = warm_start.begun(base, replace(recipe.model, decoder=decoder), ["mina"])  # type: ignore[type-var]
    assert model.config.decoder.sharpening == 0.4  # type: ignore[union-attr]
    assert torch.equal(model.decoder.last.weight, base.model.decoder.last.weight)


def test_the_shipped_voice_is_one_to_begin_from() -> None:
    base = warm_start.load(run_files.BASE)
    assert base.line.startswith("began from the shipped voice of ")
    assert "kumi" in base.model.singers.names


def test_others_are_as_many_as_their_recordings_and_never_the_singer(tiny_corpus: Corpus, recipe: Recipe) -> None:
    base = warm_start.load(recipe.base)
    model = warm_start.begun(base, recipe.model, [*tiny_corpus.singers, "third"])
    medium = FeatureMedium(model, PerturbConfig())  # type: ignore[arg-type]
    table = medium.table(tiny_corpus, "train", recipe.segment_samples)
    phase = CriticisedReconstruction(medium, Batches(table, 4, 0, is_augmented=False), [220.0] * 3, [0.5, 0.5])
    generator = torch.Generator().manual_seed(0)
    others = phase._others(torch.tensor([0, 1] * 200), generator)
    assert torch.equal(others, torch.tensor([1, 0] * 200))  # the third has no recordings to compare with


def test_a_single_singer_is_sung_by_the_bases_and_judged_when_converted_back(takes: Corpus, recipe: Recipe) -> None:
    base = warm_start.load(recipe.base)
    model = warm_start.begun(base, recipe.model, takes.singers)
    medium = FeatureMedium(model, PerturbConfig())  # type: ignore[arg-type]
    table = medium.table(takes, "train", recipe.segment_samples)
    batches = Batches(table, 4, 0, is_augmented=False)
    phase = CriticisedReconstruction(medium, batches, [220.0] * 3, [1.0])
    others = phase._others(torch.zeros(400, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert (others == 1).float().mean() == pytest.approx(0.5, abs=0.1) and (others > 0).all()
    _, critic, _ = phase.updates(batches.batch(0), 0, torch.Generator().manual_seed(0))
    rows = torch.autograd.grad(critic.losses["critic"], model.critic.of_wholes[-1].bias)[0]  # type: ignore[union-attr]
    assert rows.abs().gt(1e-6).tolist().count(True) == 6  # a softmax moves all, but of two labels only more is asked
    assert (rows < 0).tolist() == [True, False, False, True, False, False]  # mina recorded, and mina made
