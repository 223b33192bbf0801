"""Every shipped recipe is loaded, built and stepped once; recipes are read strictly."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moksori.audio import features
from moksori.data.batches import Batch, Batches
from moksori.errors import UserError
from moksori.models import kinds
from moksori.models.autoencoder import Autoencoder
from moksori.models.solo import Solo
from moksori.training import losses
from moksori.training import recipe as recipes
from moksori.training.media import base as media
from moksori.training.media.features import FeatureMedium
from moksori.training.media.solo import SoloMedium
from moksori.training.phases.adversarial import CriticisedReconstruction
from moksori.training.phases.backtranslate import BackTranslation, Translated
from moksori.training.phases.predict import Prediction
from moksori.training.phases.reconstruct import Reconstruction
from moksori.training.phases.schedule import PhaseSchedule
from moksori.training.recipe import LoopConfig, Recipe, SegmentsConfig


def test_the_promised_recipes_are_there() -> None:
    assert {"paper", "small", "smoke"} <= set(recipes.shipped())


@pytest.mark.parametrize("name", recipes.shipped())
def test_every_shipped_recipe_is_built_and_stepped_once(name: str) -> None:
    recipe = recipes.load(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kinds.build(recipe.model, ["a", "b"])
    if isinstance(model, Solo):
        _step_alone(model, recipe)
        return
    medium, no_batches = media.medium_for(model, recipe.perturbation), cast(Batches, None)
    learners = medium.learners(recipe)
    batch = Batch(_clips(model), torch.tensor([0, 1]))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    translated = Translated(batch.clips, batch.singer, inputs=batch.clips.flip(0))
    is_criticised = isinstance(medium, FeatureMedium)
    phase_1 = (
        CriticisedReconstruction(medium, no_batches, [110.0, 220.0])
        if isinstance(medium, FeatureMedium)
        else Reconstruction(medium, no_batches)
    )
    phase_2 = BackTranslation(medium, no_batches, PhaseSchedule(recipe.back_translation))
    generator = torch.Generator().manual_seed(0)
    steps = 3 if is_criticised else 1  # its last layer begins at 0, and lets nothing through in the first step
    for step in range(steps):
        updates = itertools.chain(phase_1.updates(batch, step, generator), phase_2.updates(translated, step, generator))
        for update in updates:
            learner = learners[update.learner]
            learner.step(learner.gradients(losses.total(update.losses, recipe.losses)), step)
    idle = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    if isinstance(model, Autoencoder):
        # The last layer's residual output leads nowhere; all else moved.
        n_layers = model.config.decoder.blocks * model.config.decoder.layers
        assert idle == {f"decoder.layers.{n_layers - 1}.residual.{part}" for part in ("weight", "bias")}
    else:
        assert not idle


def _step_alone(model: Solo, recipe: Recipe) -> None:
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    codes = torch.randint(0, 256, (2, 2 * model.config.hop_samples), generator=torch.Generator().manual_seed(0))
    medium = SoloMedium(model)
    phase = Prediction(medium, cast(Batches, None))
    (update,) = phase.updates(Batch(codes, torch.tensor([0, 1])), 0, torch.Generator())
    (learner,) = medium.learners(recipe).values()
    learner.step(learner.gradients(losses.total(update.losses, recipe.losses)), 0)
    idle = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    last = recipe.model.decoder.blocks * recipe.model.decoder.layers - 1
    assert idle == {"singers.table.weight", *(f"decoder.layers.{last}.residual.{part}" for part in ("weight", "bias"))}


def _clips(model: kinds.Converter) -> torch.Tensor:
    """Two latent frames of one clip a singer: enough for every layer, and seconds even for the paper's net."""
    chance = torch.Generator().manual_seed(0)
    if isinstance(model, Autoencoder):
        codes = torch.randint(0, 256, (2, 2 * model.config.latent_hop_samples), generator=chance)
        if not model.is_melody_conditioned:
            return codes
        rows = torch.tensor([[220.0], [-23.0]]).expand(2, -1, codes.shape[1])
        return torch.cat([codes[:, None].float(), rows], dim=1)
    clips = torch.randn(2, features.N_VALUES, 2 * model.config.encoder.pool_frames, generator=chance) - 5.0
    clips[:, features.N_MELS], clips[:, features.LEVEL] = 220.0, -23.0  # pitch, level
    return torch.stack([features.excerpt(clip, torch.full((2 * features.N_BANDS,), -5.0)) for clip in clips])


def test_the_paper_recipe_has_the_papers_sizes() -> None:
    recipe = recipes.load("paper")
    assert recipe.model.decoder.receptive_field == 4094
    assert recipe.model.encoder.receptive_field == 6141
    assert recipe.segment_samples == 16000
    assert recipe.losses.confusion == 0.01
    assert (recipe.optimiser.learning_rate.initial, recipe.optimiser.learning_rate.decay) == (1e-3, 0.98)


@pytest.mark.parametrize("name", recipes.shipped())
def test_a_recipe_survives_dump_and_parse(name: str) -> None:
    recipe = recipes.load(name)
    assert recipes.parse(recipes.dump(recipe), "dump") == recipe


def test_a_dump_spells_out_every_setting() -> None:
    text = recipes.dump(Recipe())
    for key in ("precision", "kernel_size", "dropout_probability", "clip_value", "decay_every_steps", "keep_states"):
        assert f"\n{key} = " in text


@pytest.mark.parametrize("name", recipes.shipped())
def test_a_dump_explains_its_settings_as_their_configs_do(name: str) -> None:
    """It once had none of the comments of the recipe that it was made of."""
    lines = recipes.dump(recipes.load(name)).splitlines()
    assert "keep_states = 3                     # training states kept on disk" in lines
    assert any(
        line.startswith("[critic_optimiser]  ") and line.endswith("# where the model has a critic") for line in lines
    )
    assert all(len(line) <= 120 for line in lines if not line.startswith("description"))


@given(
    description=st.text(st.characters(exclude_categories=["Cs"])),
    weight=st.floats(0, allow_infinity=False),
    max_steps=st.integers(1, 2**62),
    is_balanced=st.booleans(),
)
def test_any_recipe_survives_dump_and_parse(description: str, weight: float, max_steps: int, is_balanced: bool) -> None:
    recipe = Recipe(
        description=description,
        segments=SegmentsConfig(is_balanced=is_balanced),
        losses=losses.LossWeights(confusion=weight),
        loop=replace(LoopConfig(), max_steps=max_steps),
    )
    assert recipes.parse(recipes.dump(recipe), "dump") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", "unknown key colour; known keys are name, description, base, precision, model"),
        ("[model.encoder]\nblock = 3", r"key model, key encoder: unknown key block; known keys are blocks, layers"),
        ("[loop]\nmax_steps = '5'", "key loop, key max_steps: expected int, not '5'"),
        ("[loop]\nmax_steps = 0", "must be positive: max_steps"),
        ("[loop]\nmax_steps = 5.0", "expected int, not 5.0"),
        ("model = 5", "key model: expected a table of settings, not 5"),
        ("[segments]\nseconds = 0.12345", "not a whole number of latent frames of 800"),
        ("[segments]\nseconds = 0", "not a whole number of latent frames"),
        ("[segments]\nseconds = -1.0", "not a whole number of latent frames"),
        ("[segments]\nbatch_size = 6\nshards = 4", "batch_size must be a multiple of shards"),
        ("[segments]\nbatch_size = 0", "batch_size"),
        ("precision = 'float16'", "unknown precision 'float16'; known are float32, bfloat16"),
        ("[optimiser.learning_rate]\ninitial = nan", "expected a finite number"),
        ("[losses]\nconfusion = inf", "expected a finite number"),
        ("[losses]\nconfusion = -0.01", "must not be negative: confusion"),
        ("[losses]\nstyle = 1.0", "unknown key style; known keys are reconstruction, confusion, classifier"),
        ("[model.classifier]\nform = 'deep'", "unknown classifier form 'deep'; known forms are"),
        ("[model", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        recipes.parse(text, "recipe mine.toml")
    assert str(raised.value).startswith("recipe mine.toml")
    assert message in str(raised.value)


def test_a_recipe_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('description = "소리"\n', encoding="utf-8")
    assert recipes.load(str(path)) == Recipe(description="소리")


def test_an_unknown_name_lists_the_shipped_recipes() -> None:
    with pytest.raises(UserError, match=r"no recipe named 'huge'.*paper, phase, small, smoke"):
        recipes.load("huge")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"mine\.toml: cannot be read as text"):
        recipes.load(str(path))


def test_settings_are_changed_one_by_one_as_if_the_file_said_so() -> None:
    swift = recipes.load("swift")
    changes = ["back_translation.start=never", 'back_translation.mixup.law = "fixed"', "loop.max_steps=7"]
    found = recipes.changed(swift, changes)
    assert (found.back_translation.start, found.back_translation.mixup.law, found.loop.max_steps) == (
        "never",
        "fixed",
        7,
    )
    assert replace(found, back_translation=swift.back_translation, loop=swift.loop) == swift
    assert recipes.changed(swift, []) == swift


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("loop.max_step=7", "known are .*max_steps"),
        ("bells.max_steps=7", "known are .*back_translation"),
        ("loop.max_steps", "expected a setting and its value"),
        ("loop.max_steps=many", "expected int"),
        ("precision.max=1", "not a table"),
        ("back_translation.start=soon", "unknown start of phase 2 'soon'"),
    ],
)
def test_a_change_that_cannot_be_is_refused(change: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        recipes.changed(Recipe(), [change])
