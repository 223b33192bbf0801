"""Intervals hold the truth as often as they say, and know that clips of one recording are alike."""

from __future__ import annotations

import math

import numpy as np
import pytest

from moksori.evaluation.measures import bootstrap
from moksori.evaluation.measures.bootstrap import Figure


def test_equal_values_are_sure() -> None:
    assert bootstrap.clustered([2.0, 2.0, 2.0], ["a", "b", "c"], seed=0) == Figure(2.0, 2.0, 2.0, 3)


def test_one_recording_says_nothing_about_others() -> None:
    assert bootstrap.clustered([0.0, 1.0], ["a", "a"], seed=0) == Figure(0.5, 0.5, 0.5, 2)


def test_two_recordings_by_hand() -> None:
    # Drawn are aa, ab, ba or bb, so the mean is 0, 0.5 or 1, and both ends have a quarter of the draws.
    figure = bootstrap.clustered([0.0, 1.0], ["a", "b"], seed=1)
    assert figure == Figure(0.5, 0.0, 1.0, 2)


def test_a_recording_with_more_clips_weighs_more() -> None:
    assert bootstrap.clustered([0.0, 1.0, 1.0, 1.0], ["a", "b", "b", "b"], seed=0).mean == 0.75


def test_copies_of_clips_do_not_make_it_surer() -> None:
    values = np.random.default_rng(0).standard_normal(20).tolist()
    names = [str(number) for number in range(20)]
    once = bootstrap.clustered(values, names, seed=0)
    copied = bootstrap.clustered(values * 5, names * 5, seed=0)
    believed_apart = bootstrap.clustered(values * 5, [str(number) for number in range(100)], seed=0)
    assert copied.high - copied.low == pytest.approx(once.high - once.low)
    assert believed_apart.high - believed_apart.low < 0.6 * (once.high - once.low)


def test_the_truth_lies_inside_about_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(3)
    n_inside, n_trials = 0, 300
    names = [str(number) for number in range(40)]
    for trial in range(n_trials):
        figure = bootstrap.clustered(rng.standard_normal(40).tolist(), names, seed=trial, n_draws=400)
        n_inside += figure.low <= 0.0 <= figure.high
    # 0.95 less the known optimism of percentile intervals at 40 values (1 to 2 points); 3 binomial deviations are 0.04.
    assert 0.90 <= n_inside / n_trials <= 0.98


def test_the_same_seed_gives_the_same_interval() -> None:
    values, names = [0.0, 0.3, 1.0, 0.2], list("abcd")
    assert bootstrap.clustered(values, names, seed=5) == bootstrap.clustered(values, names, seed=5)


@pytest.mark.parametrize(("values", "names"), [([], []), ([1.0], []), ([math.nan], ["a"])])
def test_what_has_no_mean_is_refused(values: list[float], names: list[str]) -> None:
    with pytest.raises(ValueError, match="expected finite values"):
        bootstrap.clustered(values, names, seed=0)


def test_pairs_are_the_clips_of_both() -> None:
    names = {"x": "r1", "y": "r2", "z": "r3"}
    figure = bootstrap.paired({"x": 1.0, "y": 2.0, "z": 9.0}, {"x": 2.0, "y": 3.0, "w": 0.0}, names, seed=0)
    assert figure == Figure(1.0, 1.0, 1.0, 2)
    with pytest.raises(ValueError, match="nothing to compare"):
        bootstrap.paired({"x": 1.0}, {"y": 1.0}, names, seed=0)


def test_runs_and_recordings_are_drawn_each_for_itself() -> None:
    # Runs differ by 1, recordings not at all: a quarter of the draws takes run 0 twice, a quarter run 1 twice.
    values, runs, recordings = [0.0, 0.0, 1.0, 1.0], ["0", "0", "1", "1"], ["a", "b", "a", "b"]
    assert bootstrap.crossed(values, runs, recordings, seed=0) == Figure(0.5, 0.0, 1.0, 4)
    # And the other way round.
    assert bootstrap.crossed(values, recordings, runs, seed=0) == Figure(0.5, 0.0, 1.0, 4)
    assert bootstrap.crossed([2.0] * 4, runs, recordings, seed=0) == Figure(2.0, 2.0, 2.0, 4)


def test_with_one_run_the_crossed_interval_is_that_of_the_recordings() -> None:
    values = np.random.default_rng(0).standard_normal(40).tolist()
    names = [str(number % 20) for number in range(40)]
    one, crossed = bootstrap.clustered(values, names, seed=0), bootstrap.crossed(values, ["0"] * 40, names, seed=0)
    assert crossed.mean == one.mean
    assert (crossed.low, crossed.high) == pytest.approx((one.low, one.high), abs=0.05)


def test_runs_without_a_recording_in_common_are_no_obstacle() -> None:
    assert bootstrap.crossed([0.0, 1.0], ["0", "1"], ["a", "b"], seed=0) == Figure(0.5, 0.0, 1.0, 2)


def test_crossed_values_without_names_are_refused() -> None:
    for values, runs in (([], []), ([1.0], []), ([math.nan], ["0"])):
        with pytest.raises(ValueError, match="two names each"):
            bootstrap.crossed(values, runs, ["a"] * len(values), seed=0)
