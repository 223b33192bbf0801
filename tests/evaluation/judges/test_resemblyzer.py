"""The second opinion, with an encoder made for the test: it hears pitch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from moksori.audio import files, signals
from moksori.audio.clip import Clip, Samples
from moksori.data.corpus import Corpus
from moksori.errors import DataError
from moksori.evaluation.judges import resemblyzer
from moksori.evaluation.judges.resemblyzer import CentroidClassifier, Vector
from moksori.progress import ignored


def _crossings(samples: Samples) -> Vector:
    """A vector whose direction tells how often the sign changes: brightness, crudely."""
    assert len(samples) >= 1.6 * 16000
    share = np.mean(np.diff(np.signbit(samples)))
    return np.array([np.cos(8 * share), np.sin(8 * share)])


def test_the_nearest_centroid_is_named() -> None:
    judge = CentroidClassifier(_crossings, {"low": np.array([2.0, 0.0]), "high": np.array([0.5, 1.5])})
    low, high = signals.tone(100.0, 1.0, 16000), signals.tone(1500.0, 1.0, 24000)
    assert judge.classify([low, high]) == ["low", "high"]
    assert judge.similarities([low])[0, 0] == pytest.approx(np.cos(8 * 200 / 16000), abs=0.01)
    assert judge.classify([]) == []


@pytest.mark.parametrize("clip", [Clip(np.zeros(0, np.float32), 8000), signals.silence(0.5, 8000)])
def test_silence_gets_a_name_too(clip: Clip) -> None:
    judge = CentroidClassifier(_crossings, {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0])})
    assert judge.classify([clip])[0] in judge.singers


def test_centroids_are_those_of_training_recordings_and_kept(tiny_corpus: Corpus) -> None:
    judge = resemblyzer.load_or_fit(tiny_corpus, ignored, _crossings)
    singer = tiny_corpus.singers[1]
    vectors = [
        _crossings(resemblyzer.prepared(files.read(tiny_corpus.clip_path(recording))))
        for recording in tiny_corpus.of("train", singer)
    ]
    mean = np.mean(vectors, axis=0)
    np.testing.assert_allclose(judge._centroids[1], mean / np.linalg.norm(mean))
    calls: list[float] = []
    again = resemblyzer.load_or_fit(tiny_corpus, lambda now: calls.append(now.done), _crossings)
    assert not calls
    np.testing.assert_array_equal(judge._centroids, again._centroids)


def test_a_singer_without_training_recordings_is_named(tiny_corpus: Corpus) -> None:
    first = tiny_corpus.singers[0]
    kept = tuple(r for r in tiny_corpus.recordings if (r.singer, r.split) != (first, "train"))
    with pytest.raises(DataError, match=f"{first} has no training recording"):
        resemblyzer.load_or_fit(dataclasses.replace(tiny_corpus, recordings=kept), ignored, _crossings)


def test_resemblyzer_gives_vectors_of_length_one(tiny_corpus: Corpus, tmp_path: Path) -> None:
    if not resemblyzer.is_available():
        pytest.skip("the extra `judges` is not installed")
    judge = resemblyzer.load_or_fit(tiny_corpus, ignored)
    clip = files.read(tiny_corpus.clip_path(tiny_corpus.recordings[0]))
    similarities = judge.similarities([clip])[0]
    assert np.abs(similarities).max() <= 1.0 + 1e-6
    assert similarities.argmax() == tiny_corpus.singers.index(tiny_corpus.recordings[0].singer)
