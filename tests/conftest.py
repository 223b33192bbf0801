"""What tests of several rooms share: a tiny corpus of invented singers, a tiny recipe, a tiny model."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from hypothesis import settings
from tiny_recipes import TINY_RECIPE, TINY_SWIFT

from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.models.autoencoder import Autoencoder
from moksori.models.source_filter_model import SourceFilterModel, SourceFilterModelConfig
from moksori.training import recipe as recipes
from moksori.training.recipe import Recipe

# What is remembered of the machine stays in the checkout.
os.environ.setdefault("MOKSORI_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "moksori"))

# Whoever runs the tests may read Korean; what is said is compared with English unless a test says otherwise.
for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
    os.environ.pop(name, None)

# Where there is no GPU, Triton plays its kernels in Python. It asks for this when it is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A loaded machine may take its time over an example.
settings.register_profile("moksori", deadline=None)
settings.load_profile("moksori")

# A shell that starts the suite in the background has it ignore Ctrl-C, and children would, too: some are sent one.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small nets are fastest, and sums have one order, on one thread; a verb called before may have set two."""
    torch.set_num_threads(1)


@pytest.fixture
def quick_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges taught for a moment only; those of extras are not there, as on a machine without them."""
    from moksori.evaluation import held_out
    from moksori.evaluation.judges import distill_mos, resemblyzer, singer, vowels, whisper

    def missing(*_: object) -> None:
        raise whisper.Unavailable("no extra is loaded here")

    for judge in (singer, vowels):
        monkeypatch.setattr(judge, "_N_STEPS", 20)
        monkeypatch.setattr(judge, "_N_CLIPS", 4)
    monkeypatch.setattr(held_out, "_PROBE_STEPS", 20)
    monkeypatch.setattr(resemblyzer, "is_available", lambda: False)
    for judge in (whisper, distill_mos):
        monkeypatch.setattr(judge, "load", missing)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two invented singers, prepared; read-only."""
    songs = tmp_path_factory.mktemp("tiny-songs")
    singers = synthetic.SINGERS[:2]
    synthetic.write_corpus(songs, np.random.default_rng(0), singers=singers, n_songs=3, seconds=1.0, sample_rate=8000)
    return prepare(songs, tmp_path_factory.mktemp("tiny-data"), PrepareConfig(sample_rate=8000, workers=2))


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """A recipe whose steps take milliseconds; saves every 10 steps, validates every 20."""
    return recipes.parse(TINY_RECIPE, "the tiny recipe")


@pytest.fixture(scope="session")
def tiny_recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe as a file, for the command line."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(TINY_RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def tiny_model(tiny_recipe: Recipe) -> Autoencoder:
    """A fresh model of the tiny recipe for two singers, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Autoencoder(tiny_recipe.model, ["bass", "tenor"])


@pytest.fixture(scope="session")
def tiny_swift_recipe() -> Recipe:
    """The tiny recipe of a model that knows the melody, with all that such recipes may have."""
    return recipes.parse("average_decay = 0.9\n" + TINY_SWIFT, "the tiny swift recipe")


@pytest.fixture
def tiny_swift(tiny_swift_recipe: Recipe) -> SourceFilterModel:
    """A fresh model of that recipe for two singers, always the same; its decoder is not silent."""
    assert isinstance(tiny_swift_recipe.model, SourceFilterModelConfig)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SourceFilterModel(tiny_swift_recipe.model, ["bass", "tenor"])
        torch.nn.init.normal_(model.decoder.last.weight, std=0.3)
        torch.nn.init.constant_(model.decoder.last.bias, -4.0)  # type: ignore[arg-type]
    return model
