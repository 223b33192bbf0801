"""Excerpts of features: cached once, drawn by (singer, generator), of singing and not of rests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from moksori.audio import features, files, resample
from moksori.audio.features import FeatureConfig
from moksori.audio.pitch import PitchTracker
from moksori.data import feature_cache
from moksori.data.corpus import Corpus
from moksori.data.excerpts import ExcerptTable
from moksori.data.feature_cache import Stretches
from moksori.data.flat_cache import FlatCache, Joined
from moksori.errors import DataError

CONFIG = FeatureConfig(8000, 80)


def _table(corpus: Corpus, split: str = "train", n_frames: int = 20, n_copies: int = 0) -> ExcerptTable:
    return ExcerptTable(corpus, split, CONFIG, n_frames, n_copies)


def test_an_excerpt_is_a_piece_of_the_features_of_a_clip(tiny_corpus: Corpus) -> None:
    table = _table(tiny_corpus)
    segment = table.fixed_items(1)[0]
    (recording,) = [r for r in tiny_corpus.recordings if r.source == segment.source]
    clip = resample.resample_clip(files.read(tiny_corpus.clip_path(recording)), CONFIG.sample_rate)
    whole = features.of(clip.samples, PitchTracker().track(clip), CONFIG)
    own = whole[:, segment.start : segment.start + 20]
    torch.testing.assert_close(segment.clip[: features.N_VALUES, : own.shape[1]], own, rtol=1e-3, atol=1e-2)


def test_draws_depend_on_singer_and_generator_alone(tiny_corpus: Corpus) -> None:
    table, again = _table(tiny_corpus, n_copies=1), _table(tiny_corpus, n_copies=1)
    first = table.item(0, np.random.default_rng(3))
    assert first.shape == (features.N_VALUES + 2 * features.N_BANDS + 1, 20) and first.dtype == torch.float32
    assert torch.equal(first, again.item(0, np.random.default_rng(3)))
    assert not torch.equal(first, table.item(0, np.random.default_rng(4)))


def test_every_excerpt_holds_singing(tiny_corpus: Corpus) -> None:
    table, chance = _table(tiny_corpus), np.random.default_rng(0)
    for singer in range(len(table.singers)):
        for _ in range(20):
            levels = features.levels_dbfs(table.item(singer, chance))
            assert levels.max() > tiny_corpus.level_dbfs - 40.5


def test_copies_are_more_to_draw_from_and_only_for_training(tiny_corpus: Corpus) -> None:
    own, more = _table(tiny_corpus), _table(tiny_corpus, n_copies=2)
    assert 2.2 * own.sung_length(0) < more.sung_length(0) < 4.5 * own.sung_length(0)
    assert [s.start for s in own.fixed_items(2)] == [s.start for s in more.fixed_items(2)]
    validation = _table(tiny_corpus, "validation", n_copies=2)
    assert validation.sung_length(0) == _table(tiny_corpus, "validation").sung_length(0)


def test_after_a_short_clip_follows_silence(tiny_corpus: Corpus) -> None:
    segment = _table(tiny_corpus, n_frames=100_000).fixed_items(1)[0]
    assert features.levels_dbfs(segment.clip)[-1] == features.FLOOR_DBFS
    assert segment.clip[0, -1] == pytest.approx(np.log(features.FLOOR), rel=1e-4)


def test_the_cache_is_read_again_and_built_anew_when_it_is_not_whole(tiny_corpus: Corpus) -> None:
    _table(tiny_corpus)
    (path,) = (tiny_corpus.folder / "cache").glob("features-8000-80-0-*.f16")
    before = path.read_bytes()
    assert len(before) % (2 * features.N_VALUES) == 0
    stamp = path.stat().st_mtime_ns
    _table(tiny_corpus)
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(before[:-2])
    _table(tiny_corpus)
    assert path.read_bytes() == before
    header = path.with_suffix(".json")
    header.write_text(json.dumps({**json.loads(header.read_text("utf-8")), "version": 0}), encoding="utf-8")
    _table(tiny_corpus)
    assert json.loads(header.read_text("utf-8"))["version"] == feature_cache.VERSION


def test_caches_of_an_earlier_state_are_removed(tiny_corpus: Corpus) -> None:
    folder: Path = tiny_corpus.folder / "cache"
    folder.mkdir(exist_ok=True)
    old, others = folder / "features-8000-80-0-000000000000.f16", folder / "features-8000-80-1-000000000000.f16"
    for path in (old, others, *folder.glob("features-8000-80-0-*")):
        path.unlink(missing_ok=True)
    old.write_bytes(b""), others.write_bytes(b"")
    _table(tiny_corpus)
    assert not old.exists() and others.exists()
    others.unlink()


def test_a_cache_that_cannot_be_written_is_explained(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_cache, "_build", full)
    monkeypatch.setattr(FlatCache, "_current", lambda *_: None)
    with pytest.raises(DataError, match="is the disk full"):
        _table(tiny_corpus)


def test_what_makes_no_sense_is_refused(tiny_corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        _table(tiny_corpus, n_frames=0)
    with pytest.raises(ValueError, match="split"):
        _table(tiny_corpus, "somewhere")
    with pytest.raises(ValueError, match="at least 1"):
        _table(tiny_corpus).fixed_items(0)


def _half_silent(corpus: Corpus) -> Stretches:
    """A recording of every singer that is sung in its first tenth and silent after it."""
    numbers = [
        next(i for i, r in enumerate(corpus.recordings) if (r.singer, r.split) == (name, "train"))
        for name in corpus.singers
    ]
    n = len(numbers)
    values = np.zeros((1000 * n, features.N_VALUES), np.float16)
    values[:, features.LEVEL] = np.where(np.arange(1000 * n) % 1000 < 100, -20.0, -79.0)
    return Stretches(
        np.array(numbers),
        Joined([values]),
        Joined([values[:, features.LEVEL]]),
        np.tile(np.array([1000, 0]), (n, 1)),
        Joined([np.zeros((n, 2 * features.N_BANDS))]),
        lambda above_dbfs: np.full(n, 100),
    )


def test_rests_are_not_drawn(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "open_features", lambda *_, **__: _half_silent(tiny_corpus))
    table, chance = _table(tiny_corpus), np.random.default_rng(0)
    assert table.sung_length(0) == 100
    levels = torch.stack([features.levels_dbfs(table.item(0, chance)) for _ in range(100)])
    assert levels.amax(dim=1).min() == -20.0
    assert (levels > -40).float().mean() > 0.85  # an excerpt may begin or end in a rest
    assert [segment.start < 100 for segment in table.fixed_items(5)] == [True] * 10


def _column(path: Path, value: int) -> npt.NDArray[np.float16]:
    return np.fromfile(path, np.float16).reshape(-1, features.N_VALUES)[:, value]


def test_the_voices_are_the_mean_shapes_of_their_recordings(tiny_corpus: Corpus) -> None:
    means = _table(tiny_corpus, n_copies=1).mean_shapes()
    assert means.shape == (2, 2 * features.N_BANDS) and means.isfinite().all()
    assert (means[0] - means[1]).abs().max() > 0.5  # two singers
    clip = tiny_corpus.of("train", tiny_corpus.singers[0])[0]
    segment = next(s for s in _table(tiny_corpus).fixed_items(3) if s.source == clip.source)
    own = features.mean_shape(segment.clip)[:, 0]
    assert (own - means[0]).abs().mean() < (own - means[1]).abs().mean()


def test_what_is_sung_is_told_by_a_file_of_its_own(tiny_corpus: Corpus) -> None:
    """To look for it in the frames themselves was to read every page of the cache."""
    length = _table(tiny_corpus).sung_length(0)
    (path,) = (tiny_corpus.folder / "cache").glob("features-8000-80-0-*.levels")
    kept = path.read_bytes()
    assert np.array_equal(np.frombuffer(kept, np.float16), _column(path.with_suffix(".f16"), features.LEVEL))
    try:
        path.write_bytes(np.full(len(kept) // 2, -79.0, np.float16).tobytes())
        assert _table(tiny_corpus).sung_length(0) == 0
        path.write_bytes(kept[:-2])  # not whole: it is written anew
        assert _table(tiny_corpus).sung_length(0) == length
        assert path.read_bytes() == kept
        path.unlink()  # caches of before have none
        assert _table(tiny_corpus).sung_length(0) == length
    finally:
        path.write_bytes(kept)
