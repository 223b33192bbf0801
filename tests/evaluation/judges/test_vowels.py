"""The recogniser of vowels, taught on an invented singer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from moksori.audio import files
from moksori.data.corpus import Corpus
from moksori.errors import DataError
from moksori.evaluation.judges import vowels as recogniser
from moksori.progress import ignored


@pytest.mark.parametrize(
    ("heard", "expected", "accuracy"),
    [
        ("aiueo", "aiueo", 1.0),
        ("aueo", "aiueo", 0.8),  # one lost
        ("aaiueo", "aiueo", 0.8),  # one too many
        ("aiuea", "aiueo", 0.8),  # one wrong
        ("", "aiueo", 0.0),
        ("aiueoaiueoaiueo", "ai", 0.0),  # more edits than vowels
    ],
)
def test_accuracy_by_hand(heard: str, expected: str, accuracy: float) -> None:
    assert recogniser.accuracy(tuple(heard), tuple(expected)) == pytest.approx(accuracy)


def test_without_expected_vowels_there_is_no_accuracy() -> None:
    with pytest.raises(ValueError, match="no share"):
        recogniser.accuracy("a", "")


def test_vowels_of_held_out_recordings_are_heard(
    sung: tuple[Corpus, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, texts = sung
    monkeypatch.setattr(recogniser, "_N_STEPS", 250)
    monkeypatch.setattr(recogniser, "_N_CLIPS", 8)
    ear = recogniser.load_or_fit(corpus, texts, 0, ignored)
    scores = [
        recogniser.accuracy(ear.recognise(files.read(corpus.clip_path(r))), texts[r.source].split("-"))
        for r in corpus.recordings
        if r.split != "train"
    ]
    assert (
        np.mean(scores) > 0.6
    )  # 0.76 to 0.95, by how a processor rounds; guessing three vowels of five scores about a third


def test_too_few_texts_are_refused(sung: tuple[Corpus, dict[str, str]]) -> None:
    corpus, texts = sung
    few = dict(list(texts.items())[:3])
    with pytest.raises(DataError, match="needs 10"):
        recogniser.load_or_fit(corpus, few, 0, ignored)
    with pytest.raises(DataError, match="0 training recordings"):
        recogniser.load_or_fit(dataclasses.replace(corpus), {source: "take 1" for source in texts}, 0, ignored)
