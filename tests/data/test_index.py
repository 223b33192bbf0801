"""Large manifests: an index says what the manifest says, and nothing is read of one that is not current."""

from __future__ import annotations

import dataclasses
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moksori.audio import features
from moksori.audio.features import FeatureConfig
from moksori.data import corpus as corpora
from moksori.data import feature_cache, flat_cache, index
from moksori.data.corpus import MANIFEST, SPLITS, Corpus, Recording
from moksori.data.excerpts import ExcerptTable
from moksori.data.index import Columns, Rows
from moksori.data.segments import SegmentTable, open_codes
from moksori.progress import Progress


@pytest.fixture
def folder(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared folder whose manifest counts as large."""
    monkeypatch.setattr(corpora, "LARGE_BYTES", 1)
    shutil.copytree(corpus.folder / "clips", tmp_path / "clips")
    shutil.copy(corpus.folder / MANIFEST, tmp_path)
    return tmp_path


def indexes(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("index-*"))


def test_a_corpus_of_an_index_is_that_of_the_manifest(corpus: Corpus, folder: Path) -> None:
    first, second = Corpus.load(folder), Corpus.load(folder)
    assert isinstance(first.recordings, tuple) and isinstance(second.recordings, Rows)
    assert first == second and second == dataclasses.replace(corpus, folder=folder)
    assert second.fingerprint == corpus.fingerprint and second.training_ranges == corpus.training_ranges
    assert set(corpus.training_ranges) == set(corpus.singers)
    for field in dataclasses.fields(Columns):
        assert np.array_equal(getattr(first.columns, field.name), getattr(second.columns, field.name)), field.name
    for split in SPLITS:
        assert second.of(split) == corpus.of(split)
        assert second.of(split, "bass") == corpus.of(split, "bass")
    assert second.recordings[-2:] == corpus.recordings[-2:] and second.recordings[-1] == corpus.recordings[-1]
    assert second.recordings != corpus.recordings[:-1]


def test_a_corpus_with_an_index_decodes_no_recording_to_be_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Corpus.load(folder)
    monkeypatch.setattr(corpora, "recording_from_dict", None)
    opened = Corpus.load(folder)
    assert len(opened.recordings) == 12 and opened.fingerprint and opened.training_ranges


def test_saving_makes_the_index_and_another_manifest_another_one(folder: Path) -> None:
    corpus = Corpus.load(folder)
    (old,) = indexes(folder)
    kept = tuple(r for r in corpus.recordings if r.split != "test")
    dataclasses.replace(corpus, recordings=kept).save()
    (new,) = indexes(folder)
    assert new != old
    again = Corpus.load(folder)
    assert isinstance(again.recordings, Rows) and again.recordings == kept
    again.save()
    assert Corpus.load(folder) == again


@pytest.mark.parametrize("name", ["head.json", *index._TYPES])
def test_a_damaged_index_is_made_anew(folder: Path, name: str) -> None:
    expected = Corpus.load(folder)
    (path,) = indexes(folder)
    whole = (path / name).read_bytes()
    (path / name).write_bytes(whole[: len(whole) // 2])
    assert Corpus.load(folder) == expected
    (path,) = indexes(folder)
    assert (path / name).read_bytes() == whole


def test_an_index_that_says_something_else_than_a_corpus_is_made_anew(folder: Path) -> None:
    expected = Corpus.load(folder)
    (path,) = indexes(folder)
    head = json.loads((path / "head.json").read_text(encoding="utf-8"))
    (path / "head.json").write_text(json.dumps(head | {"sample_rate": "high"}), encoding="utf-8")
    assert Corpus.load(folder) == expected


def test_where_no_index_can_be_kept_the_manifest_is_read(folder: Path) -> None:
    (folder / "cache").write_bytes(b"a file is in the way")
    assert isinstance(Corpus.load(folder).recordings, tuple) and Corpus.load(folder) == Corpus.load(folder)


class TestShards:
    """Caches in several files; here, of 12 clips, every 5 have one."""

    CONFIG = FeatureConfig(8000, 80)

    @pytest.fixture(autouse=True)
    def invented_features(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Features of recordings by chance; those of sound take seconds."""

        def rows(work: Any, recording: Recording) -> tuple[Any, dict[str, Any]]:
            chance = np.random.default_rng([zlib.crc32(recording.source.encode()), work.copy])
            values = chance.uniform(-80, 0, (int(chance.integers(210, 300)), features.N_VALUES)).astype(np.float16)
            mean = chance.uniform(-1, 1, 2 * features.N_BANDS).tolist()
            return values, {"n_frames": len(values), "n_loud": int(chance.integers(100)), "mean": mean}

        monkeypatch.setattr(feature_cache._Work, "rows", rows)

    def drawn(self, corpus: Corpus) -> list[torch.Tensor]:
        tables = [
            SegmentTable(corpus, "train", 8000, 500),
            SegmentTable(corpus, "train", 8000, 400, melody_hop_samples=80),
            ExcerptTable(corpus, "train", self.CONFIG, 20, 1),
        ]
        found = [segment.clip for table in tables for segment in table.fixed_items(3)]
        chance = np.random.default_rng(0)
        found += [table.item(singer, chance) for table in tables for singer in (0, 1, 2) for _ in range(5)]
        return [*found, tables[2].mean_shapes()]  # type: ignore[attr-defined]

    def test_what_is_drawn_does_not_depend_on_the_number_of_files(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        corpus = Corpus.load(folder)
        expected = self.drawn(corpus)
        shutil.rmtree(folder / "cache")
        monkeypatch.setattr(flat_cache, "CLIPS_A_SHARD", 5)
        Corpus.load(folder)
        found = self.drawn(Corpus.load(folder))
        assert len(list((folder / "cache").glob("codes-8000-?of3-*.u8"))) == 3
        assert len(list((folder / "cache").glob("features-8000-80-0-?of3-*.f16"))) == 3
        assert all(torch.equal(own, other) for own, other in zip(found, expected, strict=True))

    def test_a_cache_of_before_whose_header_tells_of_the_clips_is_read(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        corpus = Corpus.load(folder)
        expected = self.drawn(corpus)
        for header in (folder / "cache").glob("features-*.json"):
            path = header.with_suffix(".clips")
            n = path.stat().st_size // (16 + 16 * features.N_BANDS)
            counts = np.frombuffer(path.read_bytes()[: 16 * n], np.int64).reshape(n, 2)
            means = np.frombuffer(path.read_bytes()[16 * n :], np.float64).reshape(n, -1)
            calls = zip(counts.tolist(), means.tolist(), strict=True)
            clips = [{"n_frames": frames, "n_loud": loud, "mean": mean} for (frames, loud), mean in calls]
            before = {k: v for k, v in json.loads(header.read_text(encoding="utf-8")).items() if k != "n_frames"}
            header.write_text(json.dumps(before | {"clips": clips}), encoding="utf-8")
            path.unlink()
        monkeypatch.setattr(feature_cache._Work, "rows", None)  # nothing is computed again
        assert all(torch.equal(own, other) for own, other in zip(self.drawn(corpus), expected, strict=True))

    def test_an_interrupted_build_goes_on_with_the_shard_that_is_missing(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flat_cache, "CLIPS_A_SHARD", 5)
        corpus = Corpus.load(folder)
        calls: list[Progress] = []

        def until(n: int) -> None:
            def tell(progress: Progress) -> None:
                calls.append(progress)
                if len(calls) == n:
                    raise KeyboardInterrupt

            open_codes(corpus, 8000, workers=1, progress=tell)

        with pytest.raises(KeyboardInterrupt):
            until(7)
        calls.clear()
        until(0)
        assert [progress.done for progress in calls] == list(range(6, 13)) and {
            progress.total for progress in calls
        } == {12}
        calls.clear()
        until(0)
        assert calls == []
