"""What tests of voices with a detail path share: their tiny recipe, and a singer whom they have not met."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic

from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.models.source_filter import SourceFilterConfig
from moksori.training.recipe import Recipe


@pytest.fixture(scope="session")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A third invented singer, mina, whose recordings lie right in the folder; read-only."""
    songs = tmp_path_factory.mktemp("takes")
    third = synthetic.SINGERS[2:3]
    synthetic.write_corpus(songs, np.random.default_rng(1), singers=third, n_songs=3, seconds=1.0, sample_rate=8000)
    config = PrepareConfig(sample_rate=8000, workers=2, singer="mina")
    return prepare(songs / third[0].name, tmp_path_factory.mktemp("takes-data"), config)


@pytest.fixture
def tiny_detail_recipe(tiny_swift_recipe: Recipe) -> Recipe:
    """The tiny recipe of a source-filter model with a detail path, and its two losses."""
    decoder = SourceFilterConfig(channels=8, layers=2, has_detail=True)
    losses = replace(tiny_swift_recipe.losses, envelope=0.3, detail=0.5)
    return replace(tiny_swift_recipe, model=replace(tiny_swift_recipe.model, decoder=decoder), losses=losses)  # type: ignore[type-var]
