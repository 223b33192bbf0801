"""The contract of a medium: every kind has one, and it has all that is asked."""

from __future__ import annotations

import inspect

import pytest

from moksori.models.kinds import KINDS
from moksori.training.media.base import ConversionMedium, Medium


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_medium_that_answers_all_that_is_asked(name: str) -> None:
    medium = KINDS[name].medium()
    asked = ConversionMedium if KINDS[name].converts else Medium
    assert asked in medium.__mro__
    for attribute, asked_for in inspect.getmembers(asked, inspect.isfunction):
        if attribute.startswith("_") or attribute in ("measure", "meet"):  # which may be nothing
            continue
        own = getattr(medium, attribute)
        assert own is not asked_for, f"{name} does not say what `{attribute}` is"
        assert list(inspect.signature(own).parameters) == list(inspect.signature(asked_for).parameters)
    assert medium.unit in ("nats a sample", "nepers") and medium.is_augmentable in (True, False)
