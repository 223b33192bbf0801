"""Training with a detail path: what is drawn, what is heard again, and what conversions are held to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from running import trained

from moksori.audio import features, shapes
from moksori.data.batches import Batch, Batches
from moksori.data.corpus import Corpus
from moksori.models.source_filter import SourceFilterConfig
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training.media.features import FeatureMedium
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.adversarial import CriticisedReconstruction
from moksori.training.recipe import Recipe


@pytest.fixture
def recipe(tiny_detail_recipe: Recipe) -> Recipe:
    """The tiny recipe with a detail path, half of which is taken unless somebody says."""
    decoder = SourceFilterConfig(channels=8, layers=2, has_detail=True, detail_gain=0.5)
    return replace(tiny_detail_recipe, model=replace(tiny_detail_recipe.model, decoder=decoder))  # type: ignore[type-var]


@pytest.fixture
def batches(tiny_corpus: Corpus, model: SourceFilterModel) -> Batches:
    table = FeatureMedium(model, PerturbConfig()).table(tiny_corpus, "train", 1920, moved_copies=1)
    return Batches(table, 4, seed=0, is_augmented=False)


@pytest.fixture
def model(tiny_corpus: Corpus, recipe: Recipe) -> SourceFilterModel:
    """Untrained: it corrects nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        swift = SourceFilterModel(recipe.model, tiny_corpus.singers)  # type: ignore[arg-type]
    FeatureMedium(swift, PerturbConfig()).measure(tiny_corpus)
    assert swift.singers.measured is not None and swift.singers.measured.any()
    return swift


def _inputs(medium: FeatureMedium, batch: Batch) -> torch.Tensor:
    return medium.perturbed(batch.clips, torch.Generator().manual_seed(0))


def test_gains_are_drawn_with_both_ends_among_them(model: SourceFilterModel, batches: Batches) -> None:
    clips = batches.batch(0).clips[:1].repeat(1000, 1, 1)
    gains = features.gain(FeatureMedium(model, PerturbConfig()).perturbed(clips, torch.Generator().manual_seed(0)))
    assert (gains == 0).float().mean() == pytest.approx(0.2, abs=0.04)
    assert (gains == 1).float().mean() == pytest.approx(0.3, abs=0.05)
    between = gains[(gains > 0) & (gains < 1)]
    assert between.mean() == pytest.approx(0.5, abs=0.05)


def test_a_conversion_by_colour_alone_has_no_detail_distance(model: SourceFilterModel, batches: Batches) -> None:
    medium, batch = FeatureMedium(model, PerturbConfig()), batches.batch(0)
    vectors = medium.singers(1 - batch.singer)
    whole = features.with_gain(batch.clips, torch.ones(4))
    swapped = medium.controls(whole, medium.encode(whole), vectors)
    assert float(medium.detail_distance(swapped, batch.clips, whole, vectors)) < 1e-3
    # Of a voice that takes nothing along the distance is its detail; where the gain is 0 nothing is asked.
    none = features.with_gain(batch.clips, torch.zeros(4))
    anew = medium.controls(none, medium.encode(none), vectors)
    assert float(medium.detail_distance(anew, batch.clips, whole, vectors)) > 0.05
    assert float(medium.detail_distance(anew, batch.clips, none, vectors)) == 0.0


def test_what_is_sung_is_heard_again_as_that_singers_recording(model: SourceFilterModel, batches: Batches) -> None:
    medium, batch = FeatureMedium(model, PerturbConfig()), batches.batch(0)
    vectors = medium.singers(1 - batch.singer)
    controls = medium.controls(batch.clips, medium.encode(batch.clips), vectors)
    again = medium.with_sound(batch.clips, controls, vectors)
    # Half of the voice's own mean (the gain is 0.5), half of the clip's in the voice's colour.
    assert model.singers.measured is not None
    voice, own = model.singers.measured[1 - batch.singer][..., None], features.mean_shape(batch.clips)
    coloured = own + shapes.colour(own, voice).repeat(1, 2, 1)
    torch.testing.assert_close(features.mean_shape(again), (voice + coloured) / 2)
    torch.testing.assert_close(features.densities(again), model.densities(controls))
    assert torch.equal(again[:, : features.LEVEL + 1], batch.clips[:, : features.LEVEL + 1])
    made = medium.generate(batch.clips, medium.encode(batch.clips), vectors, 0)
    torch.testing.assert_close(made, again.detach())
    assert not made.requires_grad


def test_conversions_are_held_to_the_detail_in_phase_one(model: SourceFilterModel, batches: Batches) -> None:
    phase = CriticisedReconstruction(FeatureMedium(model, PerturbConfig()), batches, [110.0, 220.0])
    *_, update = phase.updates(batches.batch(0), 0, torch.Generator().manual_seed(0))
    assert set(update.losses) == {"reconstruction", "confusion", "adversarial", "cycle", "envelope", "detail"}
    for name in ("envelope", "detail"):
        moved = torch.autograd.grad(update.losses[name], model.decoder.last.weight, retain_graph=True)[0]
        assert moved.any()


def test_without_words_of_a_gain_the_configs_is_sung(model: SourceFilterModel, batches: Batches) -> None:
    clips = batches.batch(0).clips
    said, unsaid = (
        model.controls(model.encode(c), c, model.singers(torch.zeros(4, dtype=torch.int64)))
        for c in (features.with_gain(clips, torch.full((4,), 0.5)), clips)
    )
    torch.testing.assert_close(said.harmonics, unsaid.harmonics)


def test_a_run_with_a_detail_path_learns_and_resumes_bit_for_bit(tiny_corpus: Corpus, recipe: Recipe, tmp_path) -> None:  # type: ignore[no-untyped-def]
    straight, _ = trained(tmp_path / "straight", tiny_corpus, recipe, 30)
    stopped, _ = trained(tmp_path / "stopped", tiny_corpus, recipe, 13, 30)
    assert straight.keys() == stopped.keys()
    assert all(torch.equal(tensor, stopped[name]) for name, tensor in straight.items())
    _, figures = trained(tmp_path / "straight", tiny_corpus, recipe, 80)
    _, untrained = trained(tmp_path / "untrained", tiny_corpus, recipe, 1)
    assert figures["loss"] < untrained["loss"]
