"""The small judge of singers: right about real recordings, a distribution over singers, kept beside the data."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from moksori.audio import files
from moksori.data.corpus import Corpus
from moksori.errors import DataError
from moksori.evaluation.judges import discriminant, fitting
from moksori.progress import ignored


def test_it_knows_real_recordings_that_it_never_heard(sung: tuple[Corpus, dict[str, str]]) -> None:
    corpus, _ = sung
    ear = discriminant.load_or_fit(corpus, 0, ignored)
    held_out = [r for r in corpus.recordings if r.split != "train"]
    found = [ear.probabilities(files.read(corpus.clip_path(recording))) for recording in held_out]
    for recording, probabilities in zip(held_out, found, strict=True):
        assert float(probabilities.sum()) == pytest.approx(1.0)
        assert ear.singers[int(probabilities.argmax())] == recording.singer


def test_it_is_taught_once(sung: tuple[Corpus, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    first = discriminant.load_or_fit(sung[0], 0, ignored)
    monkeypatch.setattr(fitting, "training_features", lambda *given: pytest.fail("taught again"))
    second = discriminant.load_or_fit(sung[0], 0, ignored)
    assert torch.equal(first.weights, second.weights)


def test_a_singer_without_a_training_recording_is_named(sung: tuple[Corpus, dict[str, str]]) -> None:
    corpus = sung[0]
    others = [r for r in corpus.recordings if not (r.singer == corpus.singers[1] and r.split == "train")]
    with pytest.raises(DataError, match=f"{corpus.singers[1]} has no training recording"):
        discriminant.load_or_fit(dataclasses.replace(corpus, recordings=tuple(others)), 0, ignored)


def test_a_discriminant_finds_the_line_between_two_clouds() -> None:
    generator = torch.Generator().manual_seed(0)
    singer = torch.arange(400) % 2
    # The first axis is wide and tells nothing; the second is narrow and tells all.
    heard = torch.randn(400, 2, generator=generator, dtype=torch.float64) * torch.tensor([5.0, 0.5])
    heard[:, 1] += 2.0 * singer
    weights, offsets = discriminant.fit_discriminant(heard, singer, 2)
    guessed = (heard @ weights + offsets).argmax(dim=1)
    assert float((guessed == singer).double().mean()) > 0.95
    # On the line half-way between the clouds nobody is preferred.
    middle = heard[singer == 0].mean(dim=0) + heard[singer == 1].mean(dim=0)
    scores = (middle / 2) @ weights + offsets
    assert float(scores[0] - scores[1]) == pytest.approx(0.0, abs=1e-9)
