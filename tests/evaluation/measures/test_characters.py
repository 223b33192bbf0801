"""Character error rates by hand."""

from __future__ import annotations

import pytest

from moksori.evaluation.measures import characters


@pytest.mark.parametrize(
    ("heard", "expected", "rate"),
    [
        ("the rain", "The  rain!", 0.0),
        ("abcd", "abxd", 1 / 4),  # replaced
        ("abcd", "abd", 1 / 3),  # too many
        ("ad", "abcd", 2 / 4),  # missing
        ("", "abcd", 1.0),
        ("la" * 50, "la", 1.0),  # lost in a loop: all wrong, not fifty times
        ("아라리요", "아리랑", 2 / 3),  # 라 too many, 요 for 랑
        ("ﾄﾞｺｻ", "ドコサ", 0.0),  # half width is the same letters
        ("[music] go", "go (singing) ♪", 0.0),
    ],
)
def test_error_rate_by_hand(heard: str, expected: str, rate: float) -> None:
    assert characters.error_rate(heard, expected) == pytest.approx(rate)


def test_nothing_expected_has_no_rate() -> None:
    assert characters.error_rate("la", "...") is None


def test_edit_distance_is_symmetric_and_bounded_by_the_longer_text() -> None:
    for first, second, distance in [("", "abc", 3), ("abc", "abc", 0), ("flaw", "lawn", 2), ("abc", "xyzw", 4)]:
        assert characters.edit_distance(first, second) == distance == characters.edit_distance(second, first)
