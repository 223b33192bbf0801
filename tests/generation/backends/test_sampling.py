from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.generation.backends import sampling

ALMOST_ONE = math.nextafter(1, 0)  # the largest uniform that a float64 generator can draw


def scores(probabilities: list[float], streams: int = 1) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log().expand(streams, -1)


def chi_square(counts: torch.Tensor, probabilities: torch.Tensor) -> float:
    expected = probabilities * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def critical(degrees: int) -> float:
    """What chi-square exceeds once in 10,000 samples (Wilson and Hilferty 1931; z = 3.719)."""
    return float(degrees * (1 - 2 / (9 * degrees) + 3.719 * (2 / (9 * degrees)) ** 0.5) ** 3)


def test_evenly_spread_uniforms_hit_each_code_by_its_probability() -> None:
    probabilities = [0.05, 0.5, 0.2, 0.25]
    uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    assert sampling.pick(scores(probabilities, 1000), uniform).bincount().tolist() == [50, 500, 200, 250]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_codes_come_as_often_as_the_softmax_at_that_temperature_says(temperature: float) -> None:
    chance, n = torch.Generator().manual_seed(1), 40_000
    logits = torch.randn(1, 256, dtype=torch.float64, generator=chance) * 0.6 * temperature
    probabilities = torch.exp(logits[0] / temperature)
    probabilities /= probabilities.sum()
    assert (n * probabilities).min() > 5  # the usual condition of the test
    codes = sampling.pick(logits.expand(n, -1), sampling.uniforms(3, 0, 0, n), temperature)
    assert chi_square(codes.bincount(minlength=256), probabilities) < critical(255)
    # The test has an edge: the law of another temperature fails it.
    other = torch.softmax(logits[0] / (temperature * 1.2), dim=0)
    assert chi_square(codes.bincount(minlength=256), other) > critical(255)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    uniform=st.floats(0, 1, exclude_max=True),
    temperature=st.floats(1e-3, 1e3),
    scale=st.sampled_from([0.1, 3.0, 300.0]),
)
def test_the_code_is_the_first_whose_cumulative_probability_exceeds_the_uniform(
    seed: int, uniform: float, temperature: float, scale: float
) -> None:
    logits = scale * torch.randn(1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    code = int(sampling.pick(logits, torch.tensor([uniform], dtype=torch.float64), temperature))
    law = torch.softmax(logits[0] / temperature, dim=0)
    assert law.sum().item() == pytest.approx(1)
    assert law[:code].sum().item() <= uniform + 1e-9
    assert law[: code + 1].sum().item() > uniform - 1e-9


@settings(max_examples=100, deadline=None)
@given(
    zeros=st.lists(st.integers(0, 7), max_size=7, unique=True),
    uniform=st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, ALMOST_ONE]),
    seed=st.integers(0, 1000),
)
def test_an_impossible_code_is_never_picked(zeros: list[int], uniform: float, seed: int) -> None:
    logits = torch.randn(1, 8, generator=torch.Generator().manual_seed(seed))
    logits[0, zeros] = -math.inf
    assert int(sampling.pick(logits, torch.tensor([uniform], dtype=torch.float64))) not in zeros


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_uniform_pick_the_ends_of_the_codes(dtype: torch.dtype) -> None:
    logits = torch.zeros(2, 256)
    largest = 1 - torch.finfo(dtype).eps / 2
    assert sampling.pick(logits, torch.tensor([0, largest], dtype=dtype)).tolist() == [0, 255]


def test_a_uniform_on_an_edge_belongs_to_the_code_above_it() -> None:
    assert sampling.pick(torch.zeros(3, 4), torch.tensor([0.25, 0.5, 0.75])).tolist() == [1, 2, 3]


def test_each_stream_has_its_own_scores_and_uniform() -> None:
    logits = torch.cat([scores([0.9, 0.1]), scores([0.1, 0.9]), scores([0.1, 0.9])])
    assert sampling.pick(logits, torch.tensor([0.5, 0.5, 0.05])).tolist() == [0, 1, 0]


def test_adding_a_number_to_all_scores_changes_nothing() -> None:
    logits = torch.randn(200, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    uniform = sampling.uniforms(0, 0, 0, 200)
    assert torch.equal(sampling.pick(logits, uniform), sampling.pick(logits + 5000, uniform))


def test_temperature_zero_takes_the_most_probable_code_whatever_the_uniform() -> None:
    logits = scores([0.3, 0.4, 0.3], 4)
    assert sampling.pick(logits, torch.tensor([0, 0.1, 0.9, 0.999]), temperature=0).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-310])
def test_a_tiny_temperature_is_nearly_zero_and_does_not_overflow(temperature: float) -> None:
    # Scores divided by 1e-310 became infinite, and the law NaN.
    logits = torch.randn(50, 256, generator=torch.Generator().manual_seed(0)) * 100
    uniform = sampling.uniforms(0, 0, 0, 50)
    assert torch.equal(sampling.pick(logits, uniform, temperature), logits.argmax(dim=1))


def test_a_huge_temperature_is_a_fair_die() -> None:
    codes = sampling.pick(scores([0.97, 0.01, 0.01, 0.01], 4), torch.tensor([0.1, 0.3, 0.6, 0.9]), temperature=1e9)
    assert codes.tolist() == [0, 1, 2, 3]


def test_a_negative_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match=r"negative: -0\.1"):
        sampling.pick(torch.zeros(1, 4), torch.zeros(1), temperature=-0.1)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_that_are_nan_are_refused(temperature: float) -> None:
    # They gave code 0, a full-scale negative sample, for the rest of the song.
    logits = torch.zeros(2, 4)
    logits[1, 2] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        sampling.pick(logits, torch.tensor([0.5, 0.5]), temperature)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(-(2**70), 2**70),
    stream=st.integers(0, 2**40),
    start=st.integers(0, 2**50),
    count=st.integers(0, 30),
    cut=st.integers(0, 30),
)
def test_uniforms_go_by_absolute_position(seed: int, stream: int, start: int, count: int, cut: int) -> None:
    whole = sampling.uniforms(seed, stream, start, cut + count)
    assert torch.equal(whole[cut:], sampling.uniforms(seed, stream, start + cut, count))
    assert torch.equal(whole[:cut], sampling.uniforms(seed, stream, start, cut))
    assert whole.dtype == torch.float64
    assert ((whole >= 0) & (whole < 1)).all()


def test_uniforms_are_uniform() -> None:
    """Kolmogorov and Smirnov: sqrt(n) D exceeds 2.23 once in 10,000 samples."""
    n = 100_000
    ordered = sampling.uniforms(0, 0, 12_345, n).sort().values.numpy()
    steps = np.arange(n + 1) / n
    distance = max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1]))
    assert n**0.5 * distance < 2.23


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, 0), (0, 1)),  # streams
        ((0, 0), (1, 0)),  # seeds
        ((0, 1), (1, 0)),  # seed and stream are not added up
        ((5, 7), (-5, 7)),
    ],
)
def test_streams_and_seeds_are_independent(one: tuple[int, int], other: tuple[int, int]) -> None:
    """No correlation at any of 100 lags beyond five standard deviations, 5 / sqrt(n)."""
    n = 40_000
    a, b = (sampling.uniforms(*which, 0, n + 100) - 0.5 for which in (one, other))
    correlations = [float((a[:n] * b[lag : lag + n]).mean() * 12) for lag in range(100)]
    assert max(map(abs, correlations)) < 5 / n**0.5


def test_uniforms_of_a_stream_do_not_repeat_themselves() -> None:
    drawn = sampling.uniforms(0, 0, 0, 10_000)
    assert len(drawn.unique()) == 10_000


def test_drawing_uses_no_global_chance() -> None:
    np_state, torch_state = np.random.get_state()[1], torch.get_rng_state()
    sampling.uniforms(0, 0, 0, 10)
    assert np.array_equal(np_state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.get_rng_state())


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox-4x64-10 by hand (Salmon et al. 2011, section 3): ten rounds of two wide products."""
    low, words, (k0, k1) = 2**64 - 1, [counter, 0, 0, 0], key
    for _ in range(10):
        a, b = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [b >> 64 ^ words[1] ^ k0, b & low, a >> 64 ^ words[3] ^ k1, a & low]
        k0, k1 = k0 + 0x9E3779B97F4A7C15 & low, k1 + 0xBB67AE8584CAA73B & low
    return words


def test_a_seed_means_the_same_numbers_for_ever() -> None:
    """A song converted with a seed today must come out again tomorrow, whatever numpy has become."""
    words = philox(1, (7, 2)) + philox(2, (7, 2))  # numpy counts before it draws, so position 0 has counter 1
    assert sampling.uniforms(7, 2, 0, 8).tolist() == [(word >> 11) / 2**53 for word in words]
    assert sampling.uniforms(-7, 2, 4 * 10**6, 1).item() == (philox(10**6 + 1, (2**64 - 7, 2))[0] >> 11) / 2**53
