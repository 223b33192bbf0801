"""Breaths: found where there is no pitch for long, and kept sample by sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from moksori.audio import breaths
from moksori.audio.clip import Samples

RATE = 1000


def _blocks(samples: Samples, size: int) -> Iterator[Samples]:
    return (samples[start : start + size] for start in range(0, len(samples), size))


def test_only_long_stretches_without_pitch_are_breaths() -> None:
    f0_hz = np.full(200, 200.0)
    f0_hz[20:30] = 0.0  # a consonant
    f0_hz[100:140] = 0.0
    shares = breaths.shares(f0_hz, 0.01)
    np.testing.assert_array_equal(np.flatnonzero(shares), np.arange(104, 136))  # a margin stays with the consonants


def test_the_ends_of_a_song_have_no_consonant_to_save() -> None:
    f0_hz = np.zeros(100)
    f0_hz[40:60] = 200.0
    shares = breaths.shares(f0_hz, 0.01)
    assert shares[0] == shares[35] == shares[64] == shares[-1] == 1.0
    assert shares[36:64].max() == 0.0


def test_a_song_without_pitch_is_converted() -> None:
    assert breaths.shares(np.zeros(100), 0.01).max() == 0.0


@pytest.mark.parametrize(("size", "other"), [(7, 1000), (1000, 13), (50, 50)])
def test_the_source_is_heard_in_breaths_and_the_result_elsewhere(size: int, other: int) -> None:
    result, source = np.full(1000, 1.0, np.float32), np.full(990, -1.0, np.float32)
    shares = np.zeros(100)
    shares[40:60] = 1.0
    blocks = list(breaths.kept(_blocks(result, size), _blocks(source, other), shares, 0.01, RATE))
    sound = np.concatenate(blocks)
    assert [len(block) for block in blocks] == [len(block) for block in _blocks(result, size)]
    np.testing.assert_array_equal(sound[:370], 1.0)
    np.testing.assert_array_equal(sound[420:570], -1.0)
    assert (np.diff(sound[370:430]) <= 1e-6).all()  # a fade, no step
    assert np.abs(np.diff(sound[:980])).max() < 0.06


def test_a_source_that_ends_early_is_silent() -> None:
    result, shares = np.full(1000, 1.0, np.float32), np.ones(100)
    sound = np.concatenate(list(breaths.kept(_blocks(result, 100), iter([np.ones(5, np.float32)]), shares, 0.01, RATE)))
    assert sound[4] == 1.0
    assert sound[6:].max() == 0.0
