"""The best state by conversions: kept apart, kept through resume and rollback, and where training may stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from moksori import checkpoint, conversion
from moksori.checkpoint import Provenance
from moksori.data.corpus import Corpus
from moksori.models.kinds import Model
from moksori.training import run
from moksori.training.choose import Chosen, Score
from moksori.training.folder import RunFolder
from moksori.training.logging import journal
from moksori.training.logging.events import Event, Logged, RolledBack, Scored
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget, Trainer
from moksori.training.phases.base import SinglePhase, Update
from moksori.training.phases.schedule import BackTranslationConfig
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions


class Told:
    """A scorer that says what it is told to say, by step, and remembers whom it heard."""

    def __init__(self, merits: dict[int, float]) -> None:
        self._merits = merits
        self.heard: list[int] = []

    def score(self, model: Model, provenance: Provenance) -> Score:
        self.heard.append(provenance.steps)
        merit = self._merits.get(provenance.steps, 0.1)
        return Score(merit, merit, merit)


Open = Callable[..., Trainer]


@pytest.fixture
def open_run(tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path) -> Open:
    """Open a run that is scored every 5 steps and saved every 10, in a folder under `tmp_path`."""
    loop = replace(tiny_recipe.loop, score_every_steps=5, plateau_scores=3, validate_every_steps=1000)

    def opened(merits: dict[int, float], name: str = "run", **changes: object) -> Trainer:
        folder = RunFolder(tmp_path / name)
        never = BackTranslationConfig(start="never")  # else a plateau of phase 1 would not count
        recipe = replace(tiny_recipe, **({"loop": loop, "back_translation": never} | changes))  # type: ignore[arg-type]
        trainer = run.open_run(folder, tiny_corpus, recipe, RunOptions(software="moksori 0"))
        trainer.scorer = Told(merits)
        trainer.observers.append(Journal(folder.journal))
        return trainer

    return opened


def _best_steps(trainer: Trainer) -> int:
    return checkpoint.read_model(trainer.folder.best)[1].steps


def test_one_number_falls_with_each_of_the_three() -> None:
    good = Score(0.9, 0.8, 0.7)
    assert good.merit == pytest.approx((0.9 * 0.8 * 0.7) ** (1 / 3))
    for worse in (replace(good, identified=0.5), replace(good, melody=0.5), replace(good, content=0.5)):
        assert worse.merit < good.merit
    # A voice that nobody takes for its target, or that lost every word, is worth little whatever else it does.
    assert Score(0.0, 1.0, 1.0).merit == Score(1.0, 1.0, 0.0).merit < Score(0.4, 0.4, 0.4).merit
    assert Score(math.nan, 1.0, 1.0).merit == 0.0
    # What is next to nothing by chance ranks nobody.
    assert Score(0.3, 0.001, 0.02).merit == Score(0.3, 0.0, 0.0).merit


def test_of_states_alike_the_latest_is_taken_and_many_small_steps_down_do_not_add_up() -> None:
    chosen = Chosen(10, 0.5, 0.5)
    assert chosen.or_later(20, 0.495).step == 20
    assert chosen.or_later(20, 0.48) == chosen
    for step, merit in ((20, 0.494), (30, 0.488), (40, 0.482)):  # each a little worse than the one before
        chosen = chosen.or_later(step, merit)
    assert (chosen.step, chosen.best_merit) == (20, 0.5)
    assert chosen.or_later(50, 0.6) == Chosen(50, 0.6, 0.6)


def test_the_model_with_the_best_conversions_is_kept_and_is_what_a_run_folder_gives(open_run: Open) -> None:
    trainer = open_run({5: 0.3, 10: 0.8, 15: 0.5})
    trainer.run(Budget(17))
    assert trainer.chosen == Chosen(10, pytest.approx(0.8), pytest.approx(0.8))
    assert (_best_steps(trainer), checkpoint.read_model(trainer.folder.model)[1].steps) == (10, 17)
    voice = conversion.load(trainer.folder.root)
    assert voice.provenance.steps == 10
    assert voice.provenance.figures == pytest.approx({"identified": 0.8, "melody": 0.8, "content": 0.8})
    assert conversion.load(trainer.folder.model).provenance.steps == 17


def test_the_last_state_is_scored_too(open_run: Open) -> None:
    trainer = open_run({7: 0.9})
    trainer.run(Budget(7))
    assert trainer.scorer.heard == [5, 7]  # type: ignore[union-attr]
    assert _best_steps(trainer) == 7


def test_who_stops_by_hand_does_not_wait_for_judges(open_run: Open) -> None:
    trainer = open_run({})

    class Impatient:
        def tell(self, event: Event) -> None:
            if isinstance(event, Logged) and event.step == 6:
                trainer.stop.set()

    trainer.recipe = replace(trainer.recipe, loop=replace(trainer.recipe.loop, log_every_steps=1))
    trainer.observers.append(Impatient())
    assert trainer.run(Budget(100)).step == 6
    assert trainer.scorer.heard == [5]  # type: ignore[union-attr]


def test_a_run_that_goes_on_remembers_its_best(open_run: Open) -> None:
    merits = {5: 0.8, 10: 0.4, 15: 0.6, 20: 0.9}
    open_run(merits).run(Budget(12))
    again = open_run(merits)
    again.run(Budget(17))
    assert again.chosen == Chosen(5, pytest.approx(0.8), pytest.approx(0.8))
    last = open_run(merits)
    last.run(Budget(20))
    assert (last.chosen, _best_steps(last)) == (Chosen(20, pytest.approx(0.9), pytest.approx(0.9)), 20)
    lines = [line for line in journal.read(last.folder.journal) if line["event"] == "score"]
    assert [(line["step"], line["is_best"]) for line in lines if line["step"] % 5 == 0] == [
        (5, True),
        (10, False),
        (15, False),
        (20, True),
    ]


def test_scoring_changes_no_step_of_a_run(open_run: Open, tiny_corpus: Corpus, tmp_path: Path) -> None:
    scored = open_run({5: 0.5})
    scored.run(Budget(10))
    plain = open_run({}, "plain")
    plain.scorer = None
    plain.run(Budget(10))
    for name, parameter in scored.model.named_parameters():
        assert torch.equal(parameter, plain.model.get_parameter(name)), name
    assert not plain.folder.best.exists()


class Exploding:
    """Phase 1 whose weights become nonsense at a step, or whose loss does."""

    name = "reconstruction"

    def __init__(self, trainer: Trainer, at: int, *, is_loss: bool) -> None:
        self._inner, self._trainer, self._at, self._is_loss = trainer.plan.phase_at(0), trainer, at, is_loss

    def batch(self, step: int, attempt: int) -> object:
        return self._inner.batch(step, attempt)

    def updates(self, batch: object, step: int, generator: torch.Generator) -> Iterator[Update]:
        is_bad = step == self._at and self._trainer.counters.attempt == 0
        for update in self._inner.updates(batch, step, generator):
            if is_bad and update.learner == "autoencoder":
                if self._is_loss:
                    update = Update(update.learner, {name: loss * math.nan for name, loss in update.losses.items()})
                else:
                    self._trainer.model.singers.table.weight.data.fill_(math.nan)
            yield update

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        assert not tensors


@pytest.mark.parametrize("is_loss", [True, False])
def test_a_run_gone_astray_never_touches_the_best_model(open_run: Open, is_loss: bool) -> None:
    # Scored at 15, after the last save; then it goes astray, and is taken back to 10.
    trainer = open_run({15: 0.9, 20: 0.99 if not is_loss else 0.2})
    trainer.plan = SinglePhase(Exploding(trainer, 19, is_loss=is_loss))  # type: ignore[arg-type]
    seen: list[tuple[int, bool]] = []

    class Watching:
        def tell(self, event: Event) -> None:
            if isinstance(event, Scored):
                seen.append((event.step, all(torch.isfinite(p).all() for p in trainer.model.parameters())))

    trainer.observers.append(Watching())
    trainer.run(Budget(18 if is_loss else 22))
    if is_loss:
        trainer.run(Budget(20))
    assert trainer.counters.attempt == 1
    assert all(is_sane for _, is_sane in seen)
    model, _ = checkpoint.read_model(trainer.folder.best)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert trainer.chosen is not None
    assert trainer.chosen.merit >= 0.9 - 1e-9


def test_a_step_that_is_scored_again_after_a_rollback_does_not_replace_a_better_one(open_run: Open) -> None:
    """The choice was told by its step alone: 0.4 took the place of 0.9 in the file, which went on saying 0.9."""
    trainer = open_run({5: 0.2, 10: 0.5, 15: 0.9})
    trainer.plan = SinglePhase(Exploding(trainer, 17, is_loss=True))  # type: ignore[arg-type]
    seen: list[tuple[int, bool]] = []

    class Watching:
        def tell(self, event: Event) -> None:
            if isinstance(event, RolledBack):
                trainer.scorer = Told({15: 0.4})
            if isinstance(event, Scored):
                seen.append((event.step, event.is_best))
                if event.is_best:
                    best.append(trainer.folder.best.read_bytes())

    best: list[bytes] = []
    trainer.observers.append(Watching())
    trainer.run(Budget(18))
    assert trainer.counters.attempt == 1
    assert [each for each in seen if each[0] == 15] == [(15, True), (15, False)]
    assert trainer.folder.best.read_bytes() == best[2]
    assert trainer.chosen is not None and trainer.chosen.merit == pytest.approx(0.9)


def test_until_plateau_stops_when_conversions_get_no_better(open_run: Open) -> None:
    merits = {5: 0.3, 10: 0.5, 15: 0.5, 20: 0.4, 25: 0.5, 30: 0.9}
    trainer = open_run(merits)
    assert trainer.run(Budget(100, until_plateau=True)).step == 25
    assert trainer.has_reached_a_plateau
    assert trainer.run(Budget(100, until_plateau=True)).step == 25  # given again, it has nothing left
    assert open_run(merits, "without").run(Budget(30)).step == 30


@pytest.mark.parametrize("stop_at", [7, 12, 20, 23])
def test_a_plateau_is_where_it_is_however_often_the_run_is_stopped(open_run: Open, stop_at: int) -> None:
    merits = {5: 0.3, 10: 0.5, stop_at: 0.5}  # what is scored where it stops does not count
    open_run(merits).run(Budget(stop_at))
    assert open_run(merits).run(Budget(100, until_plateau=True)).step == 25


def test_a_plateau_of_phase_1_is_not_the_end(open_run: Open) -> None:
    turns = BackTranslationConfig(start_step=22, refresh_every_steps=4, pool_batches=1)
    trainer = open_run({5: 0.9}, back_translation=turns)
    assert trainer.run(Budget(100, until_plateau=True)).step == 40  # 25 is the first that counts, and then 3 in vain


def test_without_a_scorer_the_held_out_loss_tells_the_plateau(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    loop = replace(tiny_recipe.loop, validate_every_steps=2, plateau_scores=2)
    back = BackTranslationConfig(start="never")
    recipe = replace(tiny_recipe, loop=loop, back_translation=back)
    trainer = run.open_run(RunFolder(tmp_path / "run"), tiny_corpus, recipe, RunOptions())
    losses: Sequence[float] = [5.0, 4.0, 4.5, 4.2, 3.0]
    said = iter(losses)
    trainer.monitor.figures = lambda: {"loss": next(said)}
    assert trainer.run(Budget(100, until_plateau=True)).step == 8
