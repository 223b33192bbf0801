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
    [({"transpose": "up"}, "transpose is up"), ({"transpose": 40}, "transpose is 40"), ({"loudness": "x"}, "loudness")],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float | str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConvertOptions(**wrong)  # type: ignore[arg-type]


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UserError, match="known backends are"):
        ConvertOptions(backend="magic")
