import collections
import dataclasses

import pytest
import torch

from moksori.data.batches import Batch, Batches
from moksori.data.corpus import Corpus
from moksori.data.segments import SegmentTable
from moksori.errors import DataError


@pytest.fixture(scope="module")
def table(corpus: Corpus) -> SegmentTable:
    return SegmentTable(corpus, "train", 16000, 1000)


def is_same(a: Batch, b: Batch) -> bool:
    return torch.equal(a.clips, b.clips) and torch.equal(a.singer, b.singer)


def test_a_batch_is_a_function_of_seed_step_and_attempt(table: SegmentTable) -> None:
    first, second = Batches(table, 4, seed=3), Batches(table, 4, seed=3)
    second.batch(9)  # what was asked for before does not matter
    assert is_same(first.batch(5, 1), second.batch(5, 1))
    others = [first.batch(5), first.batch(6, 1), first.batch(1, 5), Batches(table, 4, seed=4).batch(5, 1)]
    assert not any(is_same(first.batch(5, 1), other) for other in others)


def test_shapes_and_types(table: SegmentTable) -> None:
    batch = Batches(table, 5, seed=0).batch(0)
    assert batch.clips.shape == (5, 1000)
    assert batch.singer.shape == (5,)
    assert batch.clips.dtype == batch.singer.dtype == torch.int64
    assert 0 <= int(batch.clips.min()) <= int(batch.clips.max()) <= 255


@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_singers_take_turns(table: SegmentTable, batch_size: int) -> None:
    batches = Batches(table, batch_size, seed=0)
    total: collections.Counter[int] = collections.Counter()
    for step in range(60):
        counts = collections.Counter(batches.batch(step).singer.tolist())
        assert max(counts.values()) - min(counts.get(singer, 0) for singer in range(3)) <= 1
        total += counts
    assert min(total.values()) > 0.8 * max(total.values())


def test_without_balance_singers_come_by_length_of_singing(table: SegmentTable) -> None:
    batch = Batches(table, 600, seed=0, is_balanced=False).batch(0)
    lengths = [table.sung_length(singer) for singer in range(3)]
    for singer in range(3):
        share = (batch.singer == singer).float().mean().item()
        assert share == pytest.approx(lengths[singer] / sum(lengths), abs=0.08)  # 4 standard deviations


def test_augmentation_changes_segments_and_keeps_singers(corpus: Corpus, table: SegmentTable) -> None:
    plain = Batches(table, 1, seed=0, is_augmented=False)
    varied = Batches(table, 1, seed=0)
    kinds = set()
    for step in range(40):
        a, b = plain.batch(step), varied.batch(step)  # one item: the draws before the augmentation are the same
        assert torch.equal(a.singer, b.singer)
        variants = [a.clips, a.clips.flip(-1), 255 - a.clips, 255 - a.clips.flip(-1)]
        kinds |= {i for i, variant in enumerate(variants) if torch.equal(variant, b.clips)}
    assert kinds == {0, 1, 2, 3}


def test_a_singer_without_training_recordings_is_named(corpus: Corpus) -> None:
    moved = [dataclasses.replace(r, split="test") if r.singer == "bass" else r for r in corpus.recordings]
    table = SegmentTable(dataclasses.replace(corpus, recordings=tuple(moved)), "train", 16000, 1000)
    with pytest.raises(DataError, match="no recording in the train split of: bass"):
        Batches(table, 4, seed=0)


def test_impossible_requests_are_refused(table: SegmentTable) -> None:
    with pytest.raises(ValueError, match="batch size 0"):
        Batches(table, 0, seed=0)
    with pytest.raises(ValueError, match="seed -1"):
        Batches(table, 1, seed=-1)
