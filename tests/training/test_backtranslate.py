"""Phase 2: what is sung, what is learnt from it, when, and that it resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.data.batches import Batches
from moksori.data.corpus import Corpus
from moksori.data.segments import SegmentTable
from moksori.generation import generator, sampling
from moksori.models.autoencoder import Autoencoder
from moksori.training import losses, run
from moksori.training.backtranslate import BackTranslation, BackTranslationConfig, TwoPhases
from moksori.training.folder import RunFolder
from moksori.training.loop import Budget
from moksori.training.media import CodeMedium
from moksori.training.mixup import MixupConfig
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions

CONFIG = BackTranslationConfig(start_step=10, refresh_every_steps=8, pool_batches=2, uses=2)


@pytest.fixture
def batches(tiny_corpus: Corpus, tiny_recipe: Recipe) -> Batches:
    return Batches(SegmentTable(tiny_corpus, "train", 4000, tiny_recipe.segment_samples), 4, seed=0)


def _phase(model: Autoencoder, batches: Batches, config: BackTranslationConfig = CONFIG) -> BackTranslation:
    return BackTranslation(CodeMedium(model), batches, config)


def test_steps_after_a_refresh_learn_from_the_pool_and_the_rest_is_phase_1() -> None:
    assert [step for step in range(30) if CONFIG.is_back_translation(step)] == [
        10,
        11,
        12,
        13,
        18,
        19,
        20,
        21,
        26,
        *range(27, 30),
    ]
    assert [step for step in range(30) if CONFIG.is_refresh(step)] == [10, 18, 26]


def test_the_plan_follows_the_config(tiny_model: Autoencoder, batches: Batches) -> None:
    phase_1, phase_2 = object(), _phase(tiny_model, batches)
    plan = TwoPhases(phase_1, phase_2, CONFIG)  # type: ignore[arg-type]
    assert [plan.phase_at(step) is phase_2 for step in (9, 10, 13, 14, 17, 18)] == [
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert plan.phases() == [phase_1, phase_2]


def test_the_paper_sings_96_clips_every_2000_steps_from_step_200000() -> None:
    config = BackTranslationConfig()
    assert (config.start_step, config.refresh_every_steps, 8 * config.pool_batches) == (200_000, 2000, 96)
    assert sum(config.is_back_translation(step) for step in range(200_000, 202_000)) == 12
    assert config.mixup == MixupConfig(law="beta", beta_parameter=0.2)


@pytest.mark.parametrize("wrong", [{"uses": 0}, {"start_step": -1}, {"refresh_every_steps": 11}])
def test_impossible_schedules_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least|longer than refresh_every_steps"):
        BackTranslationConfig(**wrong)  # type: ignore[arg-type]


def test_each_batch_of_the_pool_is_used_so_often_and_then_a_new_pool_is_sung(
    tiny_model: Autoencoder, batches: Batches
) -> None:
    phase = _phase(tiny_model, batches)
    seen = [phase.batch(step, 0) for step in (10, 11, 12, 13, 18)]
    assert torch.equal(seen[0].heard, seen[2].heard)
    assert torch.equal(seen[1].heard, seen[3].heard)
    assert not torch.equal(seen[0].heard, seen[1].heard)
    assert not torch.equal(seen[0].heard, seen[4].heard)


def test_targets_are_the_true_codes_with_their_true_singers(tiny_model: Autoencoder, batches: Batches) -> None:
    phase = _phase(tiny_model, batches)
    for step, source in ((10, batches.batch(10)), (11, batches.batch(11))):
        translated = phase.batch(step, 0)
        assert torch.equal(translated.clips, source.clips)
        assert torch.equal(translated.singer, source.singer)
        assert translated.heard.shape == source.clips.shape
        assert not torch.equal(translated.heard, source.clips)


def test_the_loss_is_that_of_the_true_clip_given_the_heard_one(tiny_model: Autoencoder, batches: Batches) -> None:
    phase = _phase(tiny_model, batches)
    translated = phase.batch(10, 0)
    (update,) = phase.updates(translated, 10, torch.Generator())
    assert (update.learner, list(update.losses)) == ("autoencoder", ["back_translation"])
    z = tiny_model.encode(translated.heard)
    logits = tiny_model.logits(translated.clips, z, tiny_model.singers(translated.singer))
    assert torch.equal(update.losses["back_translation"], losses.reconstruction(logits, translated.clips))


def test_no_gradient_flows_through_the_singing(tiny_model: Autoencoder, batches: Batches) -> None:
    phase = _phase(tiny_model, batches)
    translated = phase.batch(10, 0)
    assert not translated.heard.requires_grad
    assert all(parameter.grad is None for parameter in tiny_model.parameters())
    (update,) = phase.updates(translated, 10, torch.Generator())
    update.losses["back_translation"].backward()
    # Encoder, decoder and the table learn from it; the classifier has no part in it.
    for name, parameter in tiny_model.named_parameters():
        is_idle = name.startswith(("classifier.", "decoder.layers.2.residual."))  # the last residual leads nowhere
        assert (parameter.grad is None) == is_idle, name


def test_a_share_of_one_sings_with_the_true_singer(tiny_model: Autoencoder, batches: Batches) -> None:
    config = replace(CONFIG, mixup=MixupConfig(law="fixed", fixed_share=1.0))
    source = batches.batch(0)
    heard = _phase(tiny_model, batches, config).translate(source.clips, source.singer, np.random.default_rng(5))
    chance = np.random.default_rng(5)
    chance.integers(1, 2, len(source.singer))  # partners, drawn first
    seed = int(chance.integers(2**63))
    conditioning = tiny_model.conditioning(tiny_model.encode(source.clips), tiny_model.singers(source.singer))
    uniforms = torch.stack([sampling.uniforms(seed, i, 0, source.clips.shape[1]) for i in range(4)])
    own = generator.generate(generator.backend_for(tiny_model.decoder, "reference"), conditioning, uniforms)
    assert torch.equal(heard, own)


def test_what_is_sung_is_a_function_of_seed_step_and_attempt(tiny_model: Autoencoder, batches: Batches) -> None:
    again, other = _phase(tiny_model, batches), _phase(tiny_model, batches)
    first = _phase(tiny_model, batches).batch(10, 0)
    assert torch.equal(first.heard, again.batch(10, 0).heard)
    assert not torch.equal(first.heard, other.batch(10, 1).heard)


def test_a_step_without_a_pool_is_refused(tiny_model: Autoencoder, batches: Batches) -> None:
    with pytest.raises(ValueError, match="no pool"):
        _phase(tiny_model, batches).batch(11, 0)  # not a refresh, and none before


def test_a_run_resumes_bit_for_bit_in_the_middle_of_phase_2(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(
        tiny_recipe,
        back_translation=BackTranslationConfig(start_step=8, refresh_every_steps=8, pool_batches=5),
        loop=replace(tiny_recipe.loop, save_every_steps=10),
    )

    def state_after(name: str, *budgets: int) -> dict[str, torch.Tensor]:
        folder = RunFolder(tmp_path / name)
        for budget in budgets:
            run.open_run(folder, tiny_corpus, recipe, RunOptions()).run(Budget(budget))
        found = folder.load_state()
        assert found is not None
        return found[0]

    straight, resumed = state_after("straight", 20), state_after("resumed", 10, 20)  # 10 is two steps into a pool
    assert straight.keys() == resumed.keys()
    assert "phase back-translation|heard" in straight
    for name, tensor in straight.items():
        assert torch.equal(tensor, resumed[name]), name
