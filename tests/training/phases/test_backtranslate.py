"""Phase 2: what is sung, what is learnt from it, when, and that it resumes."""

from __future__ import annotations

import math
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from noting import NotingLatent

from moksori.data.batches import Batches
from moksori.data.corpus import Corpus
from moksori.data.excerpts import ExcerptTable
from moksori.data.segments import SegmentTable
from moksori.generation import generator
from moksori.generation.backends import sampling
from moksori.models.autoencoder import Autoencoder
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training import losses, run
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.training.logging.events import Event, Logged
from moksori.training.loop import Budget
from moksori.training.media.codes import CodeMedium
from moksori.training.media.features import FeatureMedium
from moksori.training.phases.backtranslate import BackTranslation, Translated, TwoPhases
from moksori.training.phases.base import Phase
from moksori.training.phases.mixup import MixupConfig
from moksori.training.phases.schedule import BackTranslationConfig, PhaseSchedule
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions
from moksori.training.shards import Team

CONFIG = BackTranslationConfig(start_step=10, refresh_every_steps=8, pool_batches=2, uses=2)
NO_BATCHES = cast(Batches, None)  # where clips are given


@pytest.fixture
def batches(tiny_corpus: Corpus, tiny_recipe: Recipe) -> Batches:
    return Batches(SegmentTable(tiny_corpus, "train", 4000, tiny_recipe.segment_samples), 4, seed=0)


def _phase(model: Autoencoder, batches: Batches, config: BackTranslationConfig = CONFIG) -> BackTranslation:
    return BackTranslation(CodeMedium(model), batches, PhaseSchedule(config))


def test_the_plan_follows_the_config(tiny_model: Autoencoder, batches: Batches) -> None:
    phase_1, phase_2 = object(), _phase(tiny_model, batches)
    plan = TwoPhases(phase_1, phase_2, PhaseSchedule(CONFIG))  # type: ignore[arg-type]
    assert [plan.phase_at(step) is phase_2 for step in (9, 10, 13, 14, 17, 18)] == [
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert plan.phases() == [phase_1, phase_2]


def test_the_last_phase_has_begun_after_its_first_step() -> None:
    def plan(config: BackTranslationConfig) -> TwoPhases:
        return TwoPhases(cast(Phase, None), cast(BackTranslation, None), PhaseSchedule(config))

    by_step = plan(CONFIG)
    assert [by_step.has_begun_the_last_phase(step) for step in (0, 10, 11)] == [False, False, True]
    by_clock = plan(replace(CONFIG, start="share"))
    assert not by_clock.has_begun_the_last_phase(1000)  # nobody has spent anything
    assert by_clock.spend(7, 0.5) and by_clock.has_begun_the_last_phase(8) and not by_clock.has_begun_the_last_phase(7)
    assert plan(replace(CONFIG, start="never")).has_begun_the_last_phase(0)


def test_a_plan_looks_at_the_held_out_loss_and_goes_on_with_what_it_chose() -> None:
    def plan() -> TwoPhases:
        config = replace(CONFIG, start="plateau", plateau_validations=1)
        return TwoPhases(cast(Phase, "first"), cast(BackTranslation, "second"), PhaseSchedule(config))

    found = plan()
    # The other figure gets worse, then better: it would have chosen another step.
    figures = [{"loss": 3.0, "other": 1.0}, {"loss": 2.0, "other": 1.0}, {"loss": 2.0, "other": 0.5}]
    assert [found.validate(step, told) for step, told in enumerate(figures)] == [False, False, True]
    again = plan()
    again.restore(found.tensors())
    assert [again.phase_at(step) for step in (1, 2)] == ["first", "second"]


def test_each_batch_of_the_pool_is_used_so_often_and_then_a_new_pool_is_sung(
    tiny_model: Autoencoder, batches: Batches
) -> None:
    phase = _phase(tiny_model, batches)
    seen = [phase.batch(step, 0) for step in (10, 11, 12, 13, 18)]
    assert torch.equal(seen[0].inputs, seen[2].inputs)
    assert torch.equal(seen[1].inputs, seen[3].inputs)
    assert not torch.equal(seen[0].inputs, seen[1].inputs)
    assert not torch.equal(seen[0].inputs, seen[4].inputs)


@pytest.mark.parametrize("attempt", [0, 1])
def test_targets_are_the_true_codes_with_their_true_singers(
    tiny_model: Autoencoder, batches: Batches, attempt: int
) -> None:
    phase = _phase(tiny_model, batches)
    for step in (10, 11):
        source, translated = batches.batch(step, attempt), phase.batch(step, attempt)
        assert torch.equal(translated.clips, source.clips)
        assert torch.equal(translated.singer, source.singer)
        assert translated.inputs.shape == source.clips.shape
        assert not torch.equal(translated.inputs, source.clips)


def test_the_loss_is_that_of_the_true_clip_given_the_translated_one(tiny_model: Autoencoder, batches: Batches) -> None:
    phase = _phase(tiny_model, batches)
    translated = phase.batch(10, 0)
    (update,) = phase.updates(translated, 10, torch.Generator())
    assert (update.learner, list(update.losses)) == ("autoencoder", ["back_translation"])
    z = tiny_model.encode(translated.inputs)
    logits = tiny_model.logits(translated.clips, z, tiny_model.singers(translated.singer))
    assert torch.equal(update.losses["back_translation"], losses.reconstruction(logits, translated.clips))


def test_the_translated_clip_is_perturbed_and_the_true_one_is_not() -> None:
    medium = NotingLatent()
    translated = Translated(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 1]), torch.tensor([[8.0], [9.0]]))
    phase = BackTranslation(medium, NO_BATCHES, PhaseSchedule(CONFIG))
    (update,) = phase.updates(translated, 10, torch.Generator())
    assert update.losses["back_translation"].item() == 2.0
    assert medium.of_loss == {
        "clips": [[1.0], [2.0]],
        "inputs": [[8.5], [9.5]],
        "z": [[85.0], [95.0]],
        "singer_vectors": [[3.0], [5.0]],
    }


@pytest.mark.parametrize("n_parts", [0, 1, 2, 3])
def test_a_clip_is_sung_by_the_chance_of_its_place_in_whichever_part_it_is(n_parts: int) -> None:
    """The second part began with the chance of the first one, once."""
    medium = NotingLatent()
    plain = replace(CONFIG, mixup=MixupConfig(law="fixed", fixed_share=0.0))  # all of the other singer
    team = Team(n_parts) if n_parts else None
    phase = BackTranslation(medium, NO_BATCHES, PhaseSchedule(plain), team)
    clips, singer = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([1, 0, 1, 0, 0, 1])
    sung = phase.translate(clips, singer, np.random.default_rng(0), place=2)
    # 1000 a place from 2 on, 100 times the other singer's vector, 10 times the clip.
    assert sung.tolist() == [[2310.0], [3520.0], [4530.0], [5340.0]]
    threads, sizes, keep_gradients = zip(*medium.sung_in, strict=True)
    assert sum(sizes) == 4 and not any(keep_gradients)
    if n_parts < 2:
        assert (threads, sizes) == ((threading.get_ident(),), (4,))


def test_no_gradient_flows_through_the_singing(tiny_model: Autoencoder, batches: Batches) -> None:
    phase = _phase(tiny_model, batches)
    translated = phase.batch(10, 0)
    assert not translated.inputs.requires_grad
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
    own = generator.generate(generator.backend_for(tiny_model.decoder), conditioning, uniforms)
    assert torch.equal(heard, own)


def test_what_is_sung_is_a_function_of_seed_step_and_attempt(tiny_model: Autoencoder, batches: Batches) -> None:
    again, other = _phase(tiny_model, batches), _phase(tiny_model, batches)
    first = _phase(tiny_model, batches).batch(10, 0)
    assert torch.equal(first.inputs, again.batch(10, 0).inputs)
    assert not torch.equal(first.inputs, other.batch(10, 1).inputs)


def test_every_pool_has_chances_of_its_own(
    tiny_model: Autoencoder, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase, drawn = _phase(tiny_model, batches), []

    def noted(clips: torch.Tensor, singer: torch.Tensor, chance: np.random.Generator, place: int) -> torch.Tensor:
        drawn.append(int(chance.integers(2**63)))
        return clips

    monkeypatch.setattr(phase, "translate", noted)
    for step, attempt in ((10, 0), (18, 0), (10, 1), (10, 0)):
        phase.batch(step, attempt)
    assert len(set(drawn)) == 3 and drawn[0] == drawn[3]


def test_a_step_without_a_pool_is_refused(tiny_model: Autoencoder, batches: Batches) -> None:
    with pytest.raises(ValueError, match="no pool"):
        _phase(tiny_model, batches).batch(11, 0)  # not a refresh, and none before


def test_a_pool_of_an_earlier_version_is_learnt_from(tiny_model: Autoencoder, batches: Batches) -> None:
    phase = _phase(tiny_model, batches)
    pool = {"clips": torch.full((2, 4, 3), 1), "singer": torch.zeros(2, 4).long(), "heard": torch.full((2, 4, 3), 2)}
    phase.restore(pool)
    found = phase.batch(11, 0)
    assert found.clips.unique().tolist() == [1] and found.inputs.unique().tolist() == [2]


def test_a_rank_learns_from_its_own_rows_of_the_pool(tiny_model: Autoencoder, batches: Batches) -> None:
    second = Batches(batches.table, 4, seed=0, rows=range(2, 4))
    phase = _phase(tiny_model, second)
    numbers = torch.arange(8).reshape(2, 4, 1)  # a clip a number
    phase.restore({"clips": numbers, "singer": numbers[:, :, 0], "inputs": -numbers})
    found = phase.batch(11, 0)
    assert (found.clips.tolist(), found.singer.tolist(), found.inputs.tolist()) == ([[6], [7]], [6, 7], [[-6], [-7]])


def test_a_pool_is_as_large_as_the_recipe_says_and_sung_once_for_each_refresh(
    tiny_model: Autoencoder, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase, sung = _phase(tiny_model, batches), []
    translate = phase.translate

    def counted(clips: torch.Tensor, singer: torch.Tensor, chance: np.random.Generator, place: int) -> torch.Tensor:
        sung.append(len(clips))
        return translate(clips, singer, chance, place)

    monkeypatch.setattr(phase, "translate", counted)
    for step in (10, 11, 12, 13, 18, 19, 20, 21, 26):
        phase.batch(step, 0)
    assert sung == [8, 8, 8]  # 2 batches of 4 clips, in one lockstep batch, before steps 10, 18 and 26
    assert phase.tensors()["inputs"].shape[:2] == (2, 4)


def test_every_virtual_singer_has_another_singer_in_it(
    tiny_model: Autoencoder, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []
    between = tiny_model.singers.between

    def noted(first: torch.Tensor, second: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        asked.append((first, second))
        return between(first, second, share)

    monkeypatch.setattr(tiny_model.singers, "between", noted)
    phase = _phase(tiny_model, batches)
    for step in (10, 18, 26):
        phase.batch(step, 0)
    first, second = (torch.cat(rows) for rows in zip(*asked, strict=True))
    assert len(first) == 24
    assert not (first == second).any()


def test_features_are_sung_in_parts_side_by_side_in_the_teams_precision(
    tiny_swift: SourceFilterModel, tiny_corpus: Corpus, tiny_swift_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were sung by one thread in full precision, while the other cores had nothing to do."""
    config = tiny_swift.config
    table = ExcerptTable(tiny_corpus, "train", config.features, 24, 0)
    batches = Batches(table, 4, seed=0, is_augmented=False)
    medium = FeatureMedium(tiny_swift, tiny_swift_recipe.perturbation)
    alone, both = (BackTranslation(medium, batches, PhaseSchedule(CONFIG), team) for team in (None, Team(2)))
    whole = alone.batch(10, 0).inputs
    sizes, precisions = [], []
    encode, barrier = tiny_swift.encode, threading.Barrier(2, timeout=10)

    def noted(mel: torch.Tensor) -> torch.Tensor:
        barrier.wait()  # one after the other would wait here for ever
        sizes.append(len(mel))
        precisions.append(torch.is_autocast_enabled("cpu"))
        return encode(mel)

    monkeypatch.setattr(tiny_swift, "encode", noted)
    torch.testing.assert_close(both.batch(10, 0).inputs, whole, atol=1e-5, rtol=1e-5)
    assert sizes == [4, 4] and precisions == [False, False]  # a pool of 2 batches of 4
    half = BackTranslation(medium, batches, PhaseSchedule(CONFIG), Team(2, is_half=True)).batch(10, 0).inputs
    assert precisions[2:] == [True, True]
    assert half.dtype == torch.float32 and (half - whole).abs().max() < 0.5  # nepers


def test_translated_clips_stay_codes_and_never_go_through_sound(tiny_model: Autoencoder, batches: Batches) -> None:
    translated = _phase(tiny_model, batches).batch(10, 0)
    assert translated.inputs.dtype == translated.clips.dtype == torch.int64
    assert 0 <= int(translated.inputs.min()) <= int(translated.inputs.max()) <= 255


# Runs


def _with(recipe: Recipe, back_translation: BackTranslationConfig) -> Recipe:
    return replace(recipe, back_translation=back_translation, loop=replace(recipe.loop, validate_every_steps=2))


def _state_after(folder: RunFolder, corpus: Corpus, recipe: Recipe, *budgets: Budget) -> dict[str, torch.Tensor]:
    """The last state after sittings with these budgets, each by a trainer of its own."""
    for budget in budgets:
        run.open_run(folder, corpus, recipe, RunOptions()).run(budget)
    found = folder.load_state()
    assert found is not None
    return found[0]


def _assert_same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


def test_a_run_resumes_bit_for_bit_in_the_middle_of_phase_2(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _with(tiny_recipe, BackTranslationConfig(start_step=8, refresh_every_steps=8, pool_batches=5))

    def state_after(name: str, *steps: int) -> dict[str, torch.Tensor]:
        return _state_after(RunFolder(tmp_path / name), tiny_corpus, recipe, *map(Budget, steps))

    straight, resumed = state_after("straight", 20), state_after("resumed", 10, 20)  # 10 is two steps into a pool
    assert "phase back-translation|inputs" in straight
    _assert_same(straight, resumed)


@pytest.mark.parametrize("stop_at", [3, 9, 13])  # before the switch, in the pool after it, and later
def test_a_run_resumes_bit_for_bit_across_a_switch_at_a_plateau(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path, stop_at: int
) -> None:
    # A loss must halve to count as better: two validations after the first one, at step 6, the plateau is there.
    turns = BackTranslationConfig(
        start="plateau", plateau_validations=2, plateau_gain=0.5, refresh_every_steps=8, pool_batches=5
    )
    recipe = _with(tiny_recipe, turns)
    straight = _state_after(RunFolder(tmp_path / "straight"), tiny_corpus, recipe, Budget(20))
    resumed = _state_after(RunFolder(tmp_path / "resumed"), tiny_corpus, recipe, Budget(stop_at), Budget(20))
    assert straight["plan|first_step"].item() == 6
    _assert_same(straight, resumed)


def test_a_switch_by_the_clock_is_kept_when_the_run_goes_on_with_another_clock(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """A run that is killed soon after the switch would choose another step, were the switch not saved at once."""
    recipe = _with(tiny_recipe, BackTranslationConfig(start="share", refresh_every_steps=8, pool_batches=5))
    recipe = replace(recipe, loop=replace(recipe.loop, save_every_steps=1000))
    folder, again = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "again")
    trainer = run.open_run(folder, tiny_corpus, recipe, RunOptions())
    seconds = iter(range(10**6))
    trainer.clock = lambda: float(next(seconds))  # a second each time that it is read, so steps take a few
    taken = []

    class Killed(Exception):
        """Stands for a kill: nothing is saved any more."""

    step = trainer._step

    def dying() -> dict[str, float]:
        taken.append(trainer.plan.phase_at(trainer.counters.step).name)
        if taken.count("back-translation") == 3:
            raise Killed
        return step()

    trainer._step = dying  # type: ignore[method-assign]
    with pytest.raises(Killed):
        trainer.run(Budget(10**6, seconds=30.0))
    first_step = taken.index("back-translation")
    assert 0 < first_step < 20  # at half of the time; nothing but the switch has been saved since step 0
    shutil.copytree(folder.root, again.root)
    resumed = _state_after(folder, tiny_corpus, recipe, Budget(25))
    assert resumed["plan|first_step"].item() == first_step
    _assert_same(resumed, _state_after(again, tiny_corpus, recipe, Budget(first_step + 2), Budget(25)))


def test_a_run_that_never_begins_phase_2_is_phase_1_alone(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    never = _with(tiny_recipe, BackTranslationConfig(start="never"))
    later = _with(tiny_recipe, BackTranslationConfig(start_step=1000))
    folders = [RunFolder(tmp_path / name) for name in ("never", "later")]
    states = [
        _state_after(folder, tiny_corpus, recipe, Budget(12))
        for folder, recipe in zip(folders, (never, later), strict=True)
    ]
    # A run that waits for phase 2 does not count yet what would stop it.
    _assert_same(*({name: tensor for name, tensor in state.items() if "progress|" not in name} for state in states))
    assert not any(name.startswith("phase back-translation|") for name in states[0])


def test_a_run_that_shares_its_phase_1_with_another_is_the_run_it_would_be_alone(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """What `benchmarks/ablation.py` rests on."""
    turns = BackTranslationConfig(start_step=10, refresh_every_steps=4, pool_batches=2)
    full = _with(tiny_recipe, turns)
    plain = replace(full, back_translation=replace(turns, mixup=MixupConfig("fixed", fixed_share=0.0)))
    trunk, branch = RunFolder(tmp_path / "trunk"), RunFolder(tmp_path / "branch")
    _state_after(trunk, tiny_corpus, full, Budget(10))
    shutil.copytree(trunk.root / "states", branch.root / "states")
    shutil.copy(trunk.root / "run.json", branch.root)
    branch.recipe.write_text(recipes.dump(plain), encoding="utf-8")
    branched = _state_after(branch, tiny_corpus, plain, Budget(16))
    _assert_same(branched, _state_after(RunFolder(tmp_path / "alone"), tiny_corpus, plain, Budget(16)))
    whole = _state_after(trunk, tiny_corpus, full, Budget(16))
    assert not torch.equal(whole["phase back-translation|inputs"], branched["phase back-translation|inputs"])


@pytest.mark.slow
def test_the_published_system_goes_through_both_phases_at_its_own_size(tiny_corpus: Corpus, tmp_path: Path) -> None:
    """Every layer as in recipe paper; segments of two latent frames, and phase 2 from the third step on."""
    paper = recipes.load("paper")
    recipe = replace(
        paper,
        segments=replace(paper.segments, seconds=0.1, batch_size=2),
        back_translation=replace(paper.back_translation, start_step=2, refresh_every_steps=4, pool_batches=2),
        loop=replace(
            paper.loop,
            log_every_steps=1,
            validate_every_steps=5,
            save_every_steps=5,
            sample_every_steps=1000,
            validation_segments=1,
            sample_seconds=0.1,
        ),
    )
    folder = RunFolder(tmp_path / "run")
    trainer = run.open_run(folder, tiny_corpus, recipe, RunOptions())
    assert sum(parameter.numel() for parameter in trainer.model.parameters()) > 5_000_000
    seen: list[Logged] = []

    class Ears:
        def tell(self, event: Event) -> None:
            if isinstance(event, Logged):
                seen.append(event)

    trainer.observers.append(Ears())
    trainer.run(Budget(5))
    assert [event.phase for event in seen] == [*["reconstruction"] * 2, *["back-translation"] * 2, "reconstruction"]
    assert all(math.isfinite(loss) for event in seen for loss in event.losses.values())
    assert seen[0].losses["reconstruction"] == pytest.approx(math.log(256), abs=0.3)
    found = folder.load_state()
    assert found is not None
    assert found[0]["phase back-translation|inputs"].shape == (2, 2, 1600)
