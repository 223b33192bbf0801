"""Our own judge of who is singing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from moksori.audio import files, level, resample, signals
from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.errors import DataError
from moksori.evaluation.judges import singer as singer_judge
from moksori.evaluation.judges.singer import NetClassifier
from moksori.progress import ignored

REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def corpus(sung: tuple[Corpus, dict[str, str]]) -> Corpus:
    return sung[0]


@pytest.fixture
def judge(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> NetClassifier:
    monkeypatch.setattr(singer_judge, "_N_STEPS", 150)
    monkeypatch.setattr(singer_judge, "_N_CLIPS", 12)
    return singer_judge.load_or_fit(corpus, 0, ignored)


def _held_out(corpus: Corpus) -> list[tuple[str, Clip]]:
    held_out = [recording for recording in corpus.recordings if recording.split != "train"]
    return [(recording.singer, files.read(corpus.clip_path(recording))) for recording in held_out]


def test_held_out_recordings_are_named_rightly_whatever_their_gain_and_rate(
    judge: NetClassifier, corpus: Corpus
) -> None:
    for singer, clip in _held_out(corpus):
        quiet = Clip(level.apply_gain(clip.samples, -20.0), clip.sample_rate)
        assert judge.classify([clip, quiet, resample.resample_clip(clip, 24000)]) == [singer] * 3


def test_probabilities_sum_to_one_and_no_clip_is_no_row(judge: NetClassifier, corpus: Corpus) -> None:
    clips = [clip for _, clip in _held_out(corpus)]
    np.testing.assert_allclose(judge.probabilities(clips).sum(axis=1), 1.0)
    assert judge.probabilities([]).shape == (0, 2)
    assert judge.classify([]) == []


@pytest.mark.parametrize("clip", [Clip(np.zeros(0, np.float32), 8000), signals.silence(0.01, 8000)])
def test_silence_gets_a_name_too(judge: NetClassifier, clip: Clip) -> None:
    assert judge.classify([clip])[0] in judge.singers


def test_the_same_seed_teaches_the_same_judge(
    judge: NetClassifier, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [clip for _, clip in _held_out(corpus)]
    monkeypatch.setattr(singer_judge.fitting, "FOLDER", "judges-again")
    again = singer_judge.load_or_fit(corpus, 0, ignored)
    np.testing.assert_array_equal(judge.probabilities(clips), again.probabilities(clips))


def test_a_singer_without_training_recordings_is_named(corpus: Corpus) -> None:
    first = corpus.singers[0]
    kept = tuple(r for r in corpus.recordings if (r.singer, r.split) != (first, "train"))
    with pytest.raises(DataError, match=f"{first} has no training recording"):
        singer_judge.load_or_fit(dataclasses.replace(corpus, recordings=kept), 0, ignored)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "train").is_dir(), reason="no recordings of real singers beside the project")
def test_real_held_out_singers_are_named_rightly(tmp_path: Path) -> None:
    corpus = prepare(REAL / "train", tmp_path, PrepareConfig())
    judge = singer_judge.load_or_fit(corpus, 0, ignored)
    recordings = corpus.of("test")
    heard = judge.classify([files.read(corpus.clip_path(recording)) for recording in recordings])
    assert np.mean([name == recording.singer for name, recording in zip(heard, recordings, strict=True)]) >= 0.97
