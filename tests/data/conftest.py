"""Invented singers, as songs and prepared, shared by the tests of this folder (read-only)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic

from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    generator = np.random.default_rng(0)
    synthetic.write_corpus(folder, generator, singers=synthetic.SINGERS[:3], n_songs=4, seconds=2.0, sample_rate=16000)
    return folder


@pytest.fixture(scope="session")
def corpus(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return prepare(songs, tmp_path_factory.mktemp("data"), PrepareConfig(sample_rate=16000, workers=2))
