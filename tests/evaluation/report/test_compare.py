"""Differences of pairs, by hand."""

from __future__ import annotations

import dataclasses

import pytest

from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import compare
from moksori.evaluation.report import data as report
from moksori.evaluation.report.data import Item, Judge, Report, SingerData

JUDGE = Judge("own", "", Figure(1.0, 1.0, 1.0, 9), [])


def _report(*scores: dict[str, float], row: str = report.CONVERSION, start: int = 0) -> Report:
    items = [
        Item(str(number), row, f"r{number}", "a", "b", 0.0, score, {}) for number, score in enumerate(scores, start)
    ]
    singers = [SingerData("a", 1.0, 1, None, None), SingerData("b", 1.0, 1, None, None)]
    return Report("t", "c", "d", "s", singers, [JUDGE], [], items, {}, [], [], {}, {})


def _by_metric(found: compare.Comparison) -> dict[str, compare.Difference]:
    return {difference.metric: difference for difference in found.differences}


def test_a_report_is_as_good_as_itself() -> None:
    own = _report({"identified": 1.0, "leak": 0.0}, {"identified": 0.0, "leak": 0.5})
    found = compare.compare(own, own)
    assert {difference.word for difference in found.differences} == {compare.UNCLEAR}
    assert {difference.difference for difference in found.differences} == {Figure(0.0, 0.0, 0.0, 2)}
    assert (found.n_pairs, found.n_alone, found.cautions) == ({report.CONVERSION: 2}, {report.CONVERSION: (0, 0)}, [])


def test_higher_is_better_or_worse_as_the_metric_says() -> None:
    first = _report(
        {"identified": 0.2, "leak": 0.2, "truth_floor_db": 1.0}, {"identified": 0.4, "leak": 0.4, "truth_floor_db": 1.0}
    )
    second = _report(
        {"identified": 0.7, "leak": 0.7, "truth_floor_db": 2.0}, {"identified": 0.9, "leak": 0.9, "truth_floor_db": 2.0}
    )
    found = _by_metric(compare.compare(first, second))
    assert found["identified"].difference.mean == pytest.approx(0.5)
    assert (found["identified"].first, found["identified"].second) == pytest.approx((0.3, 0.8))
    assert found["identified"].word == compare.BETTER
    assert found["leak"].word == compare.WORSE
    assert found["truth_floor_db"].word == compare.DIFFERENT
    back = _by_metric(compare.compare(second, first))
    assert (back["identified"].word, back["leak"].word) == (compare.WORSE, compare.BETTER)


def test_only_common_clips_count_and_the_others_are_told() -> None:
    first = _report({"identified": 0.0}, {"identified": 0.0})
    second = _report({"identified": 1.0}, {"identified": 1.0}, start=1)  # recordings r1 and r2
    found = compare.compare(first, second)
    assert found.differences[0].difference.n == 1
    assert found.n_pairs == {report.CONVERSION: 1}
    assert found.n_alone == {report.CONVERSION: (1, 1)}


def test_differences_that_go_both_ways_are_not_clear() -> None:
    first = _report(*[{"identified": 0.5}] * 4)
    second = _report(*[{"identified": score} for score in (0.0, 1.0, 0.2, 0.9)])
    assert compare.compare(first, second).differences[0].word == compare.UNCLEAR


def test_controls_are_not_compared() -> None:
    controls = _report({"identified": 1.0}, row=report.TRUTH)
    assert compare.compare(controls, controls).differences == []


def test_other_judges_and_data_are_cautioned_against() -> None:
    own = _report({"identified": 1.0})
    worse = dataclasses.replace(JUDGE, real_accuracy=Figure(0.9, 0.8, 1.0, 9))
    assert "not equally good" in compare.compare(own, dataclasses.replace(own, judges=[worse])).cautions[0]
    assert "not the same" in compare.compare(own, dataclasses.replace(own, judges=[])).cautions[0]
    other = dataclasses.replace(own, singers=own.singers[:1])
    assert "other singers" in compare.compare(own, other).cautions[0]
    more = [dataclasses.replace(singer, train_minutes=9.0) for singer in own.singers]
    assert "other data" in compare.compare(own, dataclasses.replace(own, singers=more)).cautions[0]


def test_the_table_is_for_people() -> None:
    first, second = _report({"identified": 0.2}, {"identified": 0.4}), _report({"identified": 0.7}, {"identified": 0.9})
    text = compare.markdown(compare.compare(first, second), "old", "new")
    assert "2 clips of both." in text
    assert "| heard as the target, % | 30.0 | 80.0 | +50.0 | +50.0 to +50.0 | better |" in text
