"""Figures of a model on a split: what an untrained one must score, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from moksori.data.corpus import Corpus
from moksori.errors import DataError
from moksori.evaluation import held_out
from moksori.models.autoencoder import Autoencoder
from moksori.training.recipe import Recipe


@pytest.fixture
def model(tiny_corpus: Corpus, tiny_recipe: Recipe) -> Autoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Autoencoder(tiny_recipe.model, tiny_corpus.singers)


def test_an_untrained_model_knows_nothing_with_any_latent(model: Autoencoder, tiny_corpus: Corpus) -> None:
    figures = held_out.evaluate(model, tiny_corpus, per_singer=2)
    assert figures.n_segments == 4
    assert figures.loss == pytest.approx(math.log(256), abs=0.3)
    assert figures.shuffled_loss == pytest.approx(figures.loss, abs=0.05)
    assert figures.chance == 0.5
    assert 0 <= figures.probe_accuracy <= 1


def test_the_same_question_has_the_same_answer(model: Autoencoder, tiny_corpus: Corpus) -> None:
    assert held_out.evaluate(model, tiny_corpus, per_singer=1) == held_out.evaluate(model, tiny_corpus, per_singer=1)


def test_another_corpus_is_refused_by_its_singers(tiny_corpus: Corpus, tiny_recipe: Recipe) -> None:
    stranger = Autoencoder(tiny_recipe.model, ["somebody", "else"])
    with pytest.raises(DataError, match="somebody, else"):
        held_out.evaluate(stranger, tiny_corpus)


def test_a_split_without_recordings_is_refused(model: Autoencoder, tiny_corpus: Corpus) -> None:
    without = replace(tiny_corpus, recordings=tiny_corpus.of("train"))
    with pytest.raises(DataError, match="fewer than two segments"):
        held_out.evaluate(model, without)
