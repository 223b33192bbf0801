"""The toy translation; its recorded run says how well it goes, here it only has to learn."""

from __future__ import annotations

import pytest

from moksori_studies import translation
from moksori_studies.seq2seq import Translator
from moksori_studies.translation import Study, draw_attention, report


@pytest.fixture(scope="module")
def learnt() -> tuple[Study, Translator]:
    study = Study(n_train=350, n_test=50, longest=3)
    return study, study.learn(True, 200, seed=0, width=32)


def test_it_learns_words_that_it_was_not_trained_on(learnt: tuple[Study, Translator]) -> None:
    study, model = learnt
    assert study.exact(model) >= 0.3  # of 8 ** 3 strings, nothing is right by chance
    assert study.exact(model, beam_width=1) == study.exact(model)


def test_a_study_that_learnt_nothing_translates_nothing() -> None:
    study = Study(n_train=350, n_test=50, longest=3)
    assert study.exact(study.learn(True, 1, seed=0, width=32)) < 0.2


def test_attention_is_told_for_each_piece_said(learnt: tuple[Study, Translator], tmp_path) -> None:
    study, model = learnt
    heard, said, weights = study.attention(model, "ab")
    assert heard == ["▁", "a", "b", "<end>"]
    assert weights.shape == (len(said), len(heard))
    assert study.target.decode(study.target.encode(study.say(model, "ab"))) == "".join(said).replace("▁", "")
    draw_attention(study, model, "ab", tmp_path / "a.svg")
    assert "heard" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_the_command_puts_its_table_into_a_page(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "Study", lambda: Study(30, 5, 3))
    page = tmp_path / "translation.md"
    page.write_text("before\n<!-- results -->\n<!-- /results -->\nafter\n", encoding="utf-8")
    translation.main(["--updates", "2", "--seeds", "1", "--page", str(page)])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- results -->\n| attention | without") and text.endswith("after\n")
    assert {path.name for path in tmp_path.iterdir()} == {"translation.md", "translation.json", "attention.svg"}


def test_the_table_has_a_row_for_each_kind() -> None:
    found = [
        {"attention": has, "seed": seed, "greedy": 0.5, "beam of 4": 0.75} for has in (False, True) for seed in (0, 1)
    ]
    assert report(found).splitlines()[2:] == [
        "| without | 50.0, 50.0 | 75.0, 75.0 |",
        "| with | 50.0, 50.0 | 75.0, 75.0 |",
    ]
