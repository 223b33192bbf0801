"""Samples on the way: whose, how long, and always the same."""

from __future__ import annotations

import numpy as np
import torch

from moksori.data.segments import Segment
from moksori.models.autoencoder import Autoencoder
from moksori.training.media.codes import CodeMedium


def _segments(*singers: int) -> list[Segment]:
    return [Segment(torch.full((80,), 128), singer, f"album/take {singer}.wav", 0) for singer in singers or (0, 1)]


def test_each_segment_is_sung_by_the_next_singer(tiny_model: Autoencoder) -> None:
    rendered = dict(CodeMedium(tiny_model).samples(_segments(), seed=0))
    assert list(rendered) == ["take 0.bass-to-tenor", "take 1.tenor-to-bass"]
    assert all((clip.n_samples, clip.sample_rate) == (80, 4000) for clip in rendered.values())


def test_where_one_singer_has_recordings_they_are_sung_by_that_singer_again(tiny_model: Autoencoder) -> None:
    """Others may be in the table, whom a voice began from: nobody waits for them."""
    assert [name for name, _ in CodeMedium(tiny_model).samples(_segments(0, 0), seed=0)] == ["take 0.bass"] * 2


def test_the_seed_decides(tiny_model: Autoencoder) -> None:
    def sung(seed: int) -> np.ndarray:
        return np.concatenate([clip.samples for _, clip in CodeMedium(tiny_model).samples(_segments(), seed)])

    assert np.array_equal(sung(1), sung(1))
    assert not np.array_equal(sung(1), sung(2))
