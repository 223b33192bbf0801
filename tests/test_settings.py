"""Settings from mappings and back, strictly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from moksori import settings
from moksori.errors import UserError


@dataclass(frozen=True)
class Inner:
    size: int = 3
    share: float | None = None

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size must not be negative")


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    figures: dict[str, float] = field(default_factory=dict)
    peaks: tuple[float, ...] = ()
    is_on: bool = False


@pytest.mark.parametrize("outer", [Outer("a"), Outer("b", Inner(5, 0.5), {"x": 1.0}, (0.5, 2.0), True)])
def test_plain_and_back(outer: Outer) -> None:
    assert settings.build(Outer, settings.plain(outer), "here") == outer


@dataclass(frozen=True)
class Named(Inner):
    # Of who sings,
    # in words.
    name: str = ""  # UTF-8
    # Of nothing.

    colour: str = "#fff"
    length: tuple[int, ...] = (
        1,
        2,
    )  # frames


def test_comments_are_those_of_the_source() -> None:
    assert settings.comments(Named) == {"name": "Of who sings, in words. UTF-8", "length": "frames"}
    assert settings.comments(type("Made", (Inner,), {})) == {}  # there is no source to read


def test_an_integer_may_stand_for_a_fraction() -> None:
    built = settings.build(Inner, {"share": 1}, "here")
    assert built.share == 1.0
    assert type(built.share) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "colour": 1}, "here: unknown key colour; known keys are name, inner, figures, peaks, is_on"),
        ({}, "here: missing key name"),
        ({"name": 5}, "here, key name: expected str, not 5"),
        ({"name": "a", "is_on": 1}, "here, key is_on: expected bool, not 1"),
        ({"name": "a", "inner": {"size": True}}, "here, key inner, key size: expected int, not True"),
        ({"name": "a", "inner": {"size": 2.0}}, "here, key inner, key size: expected int, not 2.0"),
        ({"name": "a", "inner": {"size": -1}}, "here, key inner: size must not be negative"),
        ({"name": "a", "inner": {"share": "half"}}, "expected float, not 'half'"),
        ({"name": "a", "inner": {"share": float("nan")}}, "expected a finite number, not nan"),
        ({"name": "a", "inner": {"share": float("inf")}}, "expected a finite number, not inf"),
        ({"name": "a", "inner": {"share": 10**400}}, "expected float"),
        ({"name": "a", "inner": {"share": True}}, "expected float, not True"),
        ({"name": "a", "inner": 5}, "expected a table of settings, not 5"),
        ({"name": "a", "figures": {"x": "y"}}, "here, key figures, key x: expected float, not 'y'"),
        ({"name": "a", "figures": []}, "expected a table, not"),
        ({"name": "a", "peaks": 1.0}, "here, key peaks: expected a list, not 1.0"),
        ({"name": "a", "peaks": [1.0, "b"]}, "here, key peaks, number 2: expected float, not 'b'"),
        ({"name": None}, "expected str, not None"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        settings.build(Outer, values, "here")
    assert message in str(raised.value)


@dataclass(frozen=True)
class Renamed:
    is_conditioned: Annotated[bool, settings.FormerName("is_told")] = False


def test_a_field_is_read_by_its_former_name_but_not_by_both() -> None:
    assert settings.build(Renamed, {"is_told": True}, "here") == Renamed(is_conditioned=True)
    assert settings.plain(Renamed(True)) == {"is_conditioned": True}
    with pytest.raises(UserError, match="here: key is_told is the former name of is_conditioned; keep is_conditioned"):
        settings.build(Renamed, {"is_told": True, "is_conditioned": True}, "here")


def test_only_dataclasses_are_settings() -> None:
    with pytest.raises(TypeError):
        settings.build(int, {}, "here")
