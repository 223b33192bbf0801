"""Voices to convert with."""

from __future__ import annotations

import pytest
from singing import RANGES, build

from moksori.checkpoint import Provenance
from moksori.conversion import Voice
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training.recipe import Recipe


@pytest.fixture(scope="module")
def voice(tiny_recipe: Recipe) -> Voice:
    return Voice(build(tiny_recipe), Provenance())


@pytest.fixture
def swift_voice(tiny_swift: SourceFilterModel) -> Voice:
    return Voice(tiny_swift, Provenance(ranges=RANGES))
