from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moksori.audio import frames

LENGTHS = st.integers(0, 10**12)
HOPS = st.integers(1, 10**6)
RATES = st.integers(1, 768_000)


@given(LENGTHS, HOPS)
def test_frames_cover_all_samples_and_no_frame_is_empty(n_samples: int, hop_samples: int) -> None:
    n_frames = frames.n_frames(n_samples, hop_samples)
    assert n_frames * hop_samples >= n_samples
    assert n_frames == 0 or (n_frames - 1) * hop_samples < n_samples


@given(LENGTHS, RATES, RATES)
def test_a_rescaled_length_is_the_exact_ceiling(n_samples: int, from_rate: int, to_rate: int) -> None:
    assert frames.rescaled_length(n_samples, from_rate, to_rate) == ceil(Fraction(n_samples * to_rate, from_rate))


@pytest.mark.parametrize("n_samples", [0, 1, 799, 800, 801])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_padding_then_cropping_gives_the_samples_back(n_samples: int, shape: tuple[int, ...]) -> None:
    samples = np.random.default_rng(0).normal(size=(*shape, n_samples)).astype(np.float32)
    padded = frames.pad_to_hop(samples, 800)
    assert padded.shape == (*shape, frames.padded_length(n_samples, 800))
    assert padded.dtype == np.float32
    assert not padded[..., n_samples:].any()
    assert np.array_equal(frames.crop(padded, n_samples), samples)


def test_a_time_becomes_the_nearest_sample() -> None:
    assert frames.seconds_to_samples(1.25, 24000) == 30000
    assert [frames.seconds_to_samples(place / 24000, 24000) for place in (0.4, 0.6)] == [0, 1]


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        frames.n_frames(5, 0)
    with pytest.raises(ValueError, match="not negative"):
        frames.n_frames(-1, 800)
    with pytest.raises(ValueError, match="cannot crop 3 samples to 4"):
        frames.crop(np.zeros(3, np.float32), 4)
