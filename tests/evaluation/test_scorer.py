"""The scorer of a model in training: its scores are known for voices whose conversions are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from moksori.audio.clip import Clip
from moksori.checkpoint import Provenance
from moksori.conversion import Voice
from moksori.data.corpus import Corpus
from moksori.evaluation import scorer
from moksori.evaluation.scorer import ConversionScorer
from moksori.models import kinds
from moksori.models.kinds import Model
from moksori.models.source_filter_model import SourceFilterModelConfig
from moksori.progress import ignored


@pytest.fixture(scope="module")
def held(sung: tuple[Corpus, dict[str, str]]) -> ConversionScorer:
    found = scorer.gather(sung[0], 0, ignored)
    assert found is not None
    return found


@pytest.fixture
def model() -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kinds.build(SourceFilterModelConfig(sample_rate=16000, hop_samples=160), ["a", "b"])


def _singing(monkeypatch: pytest.MonkeyPatch, sing: Any) -> None:
    def convert_clips(voice: Voice, clips: Sequence[Clip], singers: Sequence[str], **how: Any) -> list[Clip]:
        return [sing(clip, singer) for clip, singer in zip(clips, singers, strict=True)]

    monkeypatch.setattr(Voice, "convert_clips", convert_clips)
    monkeypatch.setattr(Voice, "transposition", lambda *given: 0.0)


def test_the_source_itself_keeps_melody_and_content_but_is_nobody_else(
    held: ConversionScorer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    _singing(monkeypatch, lambda clip, singer: clip)
    score = held.score(model, Provenance())
    assert (score.melody, score.content) == pytest.approx((1.0, 1.0))
    assert score.identified < 0.3


def test_a_real_recording_of_the_target_is_identified_but_keeps_no_content(
    held: ConversionScorer, sung: tuple[Corpus, dict[str, str]], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moksori.audio import files

    corpus, _ = sung
    other = {name: files.read(corpus.clip_path(corpus.of("test", name)[0])) for name in corpus.singers}
    _singing(monkeypatch, lambda clip, singer: other[singer])
    score = held.score(model, Provenance())
    assert score.identified > 0.7
    assert score.content < 0.6
    _singing(monkeypatch, lambda clip, singer: Clip(np.zeros_like(clip.samples), clip.sample_rate))
    assert held.score(model, Provenance()).merit < 0.15


def test_a_model_is_scored_twice_alike_and_left_as_it_was(held: ConversionScorer, model: Model) -> None:
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    assert held.score(model, Provenance()) == held.score(model, Provenance())
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_without_a_validation_recording_nobody_can_judge(sung: tuple[Corpus, dict[str, str]]) -> None:
    others = [recording for recording in sung[0].recordings if recording.split != "validation"]
    assert scorer.gather(replace(sung[0], recordings=tuple(others)), 0, ignored) is None


def test_of_many_singers_some_are_heard(sung: tuple[Corpus, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand singers were all analysed before the first step."""
    corpus = sung[0]
    unheard = tuple(replace(r, singer="aa", path=f"clips/aa/{i}.flac") for i, r in enumerate(corpus.of("train", "a")))
    of_singers = [r for name in "ab" for r in corpus.recordings if r.singer == name]
    many = replace(
        corpus, singers=("a", "aa", "b"), recordings=(*of_singers, *unheard)
    )  # none of the files of aa is there
    monkeypatch.setattr(scorer, "_MOST_SINGERS", 2)
    found = scorer.gather(many, 0, ignored)
    assert found is not None and found._classifier.singers == ("a", "b")
    assert {piece.target for piece in found._pieces} == {0, 1}
