"""Options that make no sense are refused when they are made."""

from __future__ import annotations

import pytest

from moksori.conversion import ConvertOptions
from moksori.errors import UserError


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(UserError, match="temperature is"):
        ConvertOptions(temperature=temperature)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"transpose": "up"}, "transpose is up"),
        ({"transpose": 40}, "transpose is 40; .* from -36 to 36"),
        ({"loudness": "x"}, "loudness"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float | str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConvertOptions(**wrong)  # type: ignore[arg-type]


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UserError, match="known backends are"):
        ConvertOptions(backend="magic")


@pytest.mark.parametrize("detail", [0, 0.5, 1])
def test_any_share_of_the_songs_own_sound_may_go_along(detail: float) -> None:
    assert ConvertOptions(detail=detail).detail == detail


@pytest.mark.parametrize("detail", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(detail: float) -> None:
    with pytest.raises(UserError, match="expected a number from 0"):
        ConvertOptions(detail=detail)


@pytest.mark.parametrize("semitones", [-36, 36, -0.5])
def test_a_song_may_be_moved_by_up_to_three_octaves(semitones: float) -> None:
    assert ConvertOptions(transpose=semitones).transpose == semitones
