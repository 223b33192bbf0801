"""From Python the way is as short as from the command line, and leads to the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import moksori
from moksori import sweep, workflow
from moksori.data.corpus import Corpus
from moksori.errors import UserError
from moksori.evaluation.conversions import Options
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import arms, data
from moksori.evaluation.report.data import Item, Report, Row
from moksori.sweep import Arm, Sweep
from moksori.training.logging.events import Event, Saved, Stepped
from moksori.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures("quick_judges")


class Seen:
    """An observer that keeps everything, and may ask for a stop."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


def test_names_and_help_show_what_there_is() -> None:
    assert {"train", "evaluate", "load", "Voice", "Clip"} <= set(dir(moksori))
    assert moksori.train is workflow.train and moksori.evaluate is workflow.evaluate


def test_from_folder_to_verdict(
    tiny_corpus: Corpus, tiny_swift_recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, threads = Seen(), torch.get_num_threads()
    voice = moksori.train(
        tiny_corpus.folder,
        tmp_path / "run",
        recipe=tiny_swift_recipe,
        changes={"loop.score_every_steps": 0, "loop.validation_segments": 1},
        max_steps=3,
        observers=[seen],
        is_quiet=True,
    )
    assert voice.provenance.steps == 3 and voice.singers == tiny_corpus.singers
    assert [event.step for event in seen.events if isinstance(event, Stepped)] == [1, 2, 3]
    assert any(isinstance(event, Saved) for event in seen.events)
    assert torch.get_num_threads() == threads and capsys.readouterr().out == ""
    on = moksori.train(
        tiny_corpus.folder,
        tmp_path / "run",
        recipe=tiny_swift_recipe,
        changes={"loop.score_every_steps": 0, "loop.validation_segments": 1},
        max_steps=5,
    )
    assert on.provenance.steps == 5  # the same call goes on
    assert "saved" in capsys.readouterr().out

    found = moksori.evaluate(
        tmp_path / "run", tiny_corpus.folder, tmp_path / "report", options=Options(1, cycles=0), lang="ko"
    )
    assert {path.name for path in (tmp_path / "report").iterdir()} >= {"report.html", "report.md", "report.json"}
    assert "다음에 할 일" in found.page.read_text(encoding="utf-8")
    assert found.report.command == f"moksori evaluate {tmp_path / 'run'} {tiny_corpus.folder} -o {tmp_path / 'report'}"
    assert found.figures()["identified"] == pytest.approx(found.report.rows[0].figures["identified"].mean)
    assert found.verdict[0] in repr(found) and "What to do next" in found._repr_html_()
    with pytest.raises(KeyError, match="no row 'nothing'; there are conversion"):
        found.figures("nothing")


def test_what_is_wrong_is_said_before_the_work(tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; expected a folder with one sub-folder a singer"):
        moksori.train(tmp_path / "nothing", tmp_path / "run", recipe=tiny_recipe)
    with pytest.raises(UserError, match=r"no\.such"):
        moksori.train(tiny_corpus.folder, tmp_path / "run", recipe=tiny_recipe, changes={"no.such": 1})
    with pytest.raises(UserError, match="makes no voice to convert to"):
        moksori.train(tiny_corpus.folder, tmp_path / "run", recipe="wavenet")
    assert not (tmp_path / "run").exists()


# --- arms x seeds ---


def report_of(values: dict[str, float]) -> Report:
    items = [Item(n, data.CONVERSION, n, "a", "b", 0.0, {"identified": value}, {}) for n, value in values.items()]
    row = Row(data.CONVERSION, len(items), {"identified": Figure(0.5, 0, 1, 2)})
    return Report("t", "c", "d", "s", [], [], [row], items, {}, [], [], {}, {})


def test_arms_stand_side_by_side_with_differences_of_the_same_seed_and_recording() -> None:
    """By hand: 0.5 and 0.7 against 0.4 and 0.6, a tenth less for every recording and seed."""
    whole = {seed: arms.scores_of(report_of({"x": 0.5, "y": 0.7}).items, data.CONVERSION) for seed in (0, 1)}
    less = {seed: arms.scores_of(report_of({"x": 0.4, "y": 0.6}).items, data.CONVERSION) for seed in (0, 1)}
    lines = arms.tables({"whole": whole, "less": less}, ["identified", "leak"], "whole").splitlines()
    assert lines[0] == "| arm | seeds | heard as the target, % |"
    assert lines[2].startswith("| whole | 2 | 60 (")
    assert lines[3].startswith("| less | 2 | 50 (")
    assert lines[-1] == "| less | 2 | **-10.0** (-10.0 to -10.0) |"


def test_a_sweep_trains_and_judges_every_arm_with_every_seed_and_goes_on(
    tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int, float]] = []
    original = workflow.train

    def train(source: Path, output: Path, **how: object) -> object:
        assert isinstance(how["recipe"], Recipe)
        trained.append((output.name, int(str(how["seed"])), how["recipe"].losses.confusion))
        return original(source, output, **how)  # type: ignore[arg-type]

    def evaluate(model: Path, corpus: Path, output: Path, **how: object) -> workflow.Evaluation:
        return workflow.Evaluation(report_of({"x": 0.5, "y": 0.6}), output)

    monkeypatch.setattr(workflow, "train", train)
    monkeypatch.setattr(workflow, "evaluate", evaluate)
    (tmp_path / "arms.toml").write_text('[whole]\n\n[open]\n"losses.confusion" = 0.0\n', encoding="utf-8")
    chosen = sweep.read_arms(tmp_path / "arms.toml")
    assert chosen == (Arm("whole", ()), Arm("open", ("losses.confusion=0.0",)))
    asked = Sweep(chosen, 2, str(tiny_recipe_file), max_steps=1)
    said: list[str] = []
    table = sweep.run(tiny_corpus.folder, tmp_path / "out", asked, said.append)
    assert [(name, seed) for name, seed, _ in trained] == [("whole-0", 0), ("open-0", 0), ("whole-1", 1), ("open-1", 1)]
    assert trained[1][2] == 0.0 != trained[0][2]
    assert (tmp_path / "out" / "sweep.md").read_text(encoding="utf-8") == table
    assert set(json.loads((tmp_path / "out" / "sweep.json").read_text(encoding="utf-8"))) == {"whole", "open"}
    assert "open, seed 1: 1 steps; judging" in said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), "arms are missing"),
        ((Arm("a", ()), Arm("a", ())), "each of its own name"),
        ((Arm("../a", ()),), "an arm is called '../a'"),
    ],
)
def test_arms_that_cannot_be_are_refused(given: tuple[Arm, ...], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Sweep(given)


def test_a_wrong_setting_of_an_arm_is_said_before_any_training(
    tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path
) -> None:
    asked = Sweep((Arm("whole", ()), Arm("wrong", ("no.such=1",))), 1, str(tiny_recipe_file))
    with pytest.raises(UserError, match=r"no\.such"):
        sweep.run(tiny_corpus.folder, tmp_path / "out", asked)
    assert not (tmp_path / "out").exists()
