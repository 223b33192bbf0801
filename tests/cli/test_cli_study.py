"""`moksori study` starts a study and hands on what follows its name."""

from __future__ import annotations

from calling import Moksori


def test_a_study_runs_and_gets_what_follows_its_name(moksori: Moksori) -> None:
    done = moksori("study", "bayes", "--seed", "3")
    assert done.code == 0 and "softmax of the log-products" in done.out
    other = moksori("study", "bayes", "--seed", "4")
    assert other.out != done.out


def test_help_of_a_study_is_its_own(moksori: Moksori) -> None:
    done = moksori("study", "back-translation", "--help")
    assert done.code == 0 and "usage: back_translation" in done.out


def test_without_a_name_the_studies_are_listed(moksori: Moksori) -> None:
    for arguments in ((), ("--help",)):
        done = moksori("study", *arguments)
        assert done.code == 0 and "memory, translation, back-translation, bayes" in done.out


def test_an_unknown_study_is_refused(moksori: Moksori) -> None:
    done = moksori("study", "cats")
    assert done.code == 1
    assert "there is no study 'cats'; there are memory, translation, back-translation, bayes" in done.err


def test_text_that_is_missing_is_a_message(moksori: Moksori, tmp_path) -> None:
    done = moksori("study", "back-translation", "multi30k", tmp_path, "-o", tmp_path / "out")
    assert done.code == 4 and "train.de.gz is not there" in done.err
