"""Arms of an experiment side by side, by hand."""

from __future__ import annotations

from moksori.evaluation.report import arms, data
from moksori.evaluation.report.data import Item


def _scores(**of_metric: float) -> arms.Scores:
    items = [Item(str(n), data.CONVERSION, f"r{n}", "a", "b", 0.0, dict(of_metric), {}) for n in range(2)]
    return arms.scores_of(items, data.CONVERSION)


def test_differences_to_the_reference_are_bold_where_they_are_clear() -> None:
    found = {"full": {0: _scores(identified=0.5)}, "none": {0: _scores(identified=0.25)}, "same": {0: _scores()}}
    lines = arms.tables(found, ["identified", "leak"], "full").splitlines()
    assert lines[0] == "| arm | seeds | heard as the target, % |"
    assert lines[2:5] == ["| full | 1 | 50 (50 to 50) |", "| none | 1 | 25 (25 to 25) |", "| same | 1 | – |"]
    assert lines[-2:] == ["| none | 1 | **-25.0** (-25.0 to -25.0) |", "| same | 1 | – |"]


def test_a_metric_without_a_unit_has_none_in_its_head() -> None:
    """Once there stood "melody curve correlation, "."""
    head = arms.tables({"full": {0: _scores(pitch_correlation=1.0)}}, ["pitch_correlation"], "full").splitlines()[0]
    assert head == "| arm | seeds | melody curve correlation |"
