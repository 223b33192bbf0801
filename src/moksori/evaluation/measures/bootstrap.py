"""Bootstrap confidence intervals of means, which draw recordings.

Clips that come from one recording are alike, so they are drawn together (a cluster bootstrap): a hundred conversions of
one song are one piece of evidence about songs, not a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_TAILS = (2.5, 97.5)  # percentiles: a 95 % interval


@dataclass(frozen=True)
class Figure:
    """A mean over clips with its 95 % interval, from a bootstrap that draws recordings."""

    mean: float
    low: float
    high: float
    n: int  # clips


def clustered(values: Sequence[float], recordings: Sequence[str], seed: int, n_draws: int = 2000) -> Figure:
    """Return the mean of values with its 95 % interval.

    Args:
        values: N scores.
        recordings: N names; scores of one recording are drawn together.
        seed: of the draws.
        n_draws: bootstrap samples.

    Returns:
        The mean over all values, and the percentiles of the mean over drawn recordings. With one recording the interval
        is the mean itself: nothing can be said about others.

    Raises:
        ValueError: no values, a value that is not finite, or not as many names.
    """
    scores = np.asarray(values, np.float64)
    if not len(scores) or len(scores) != len(recordings) or not np.isfinite(scores).all():
        raise ValueError(f"expected finite values and a name for each, found {len(scores)} and {len(recordings)}")
    _, group = np.unique(np.asarray(recordings, np.str_), return_inverse=True)
    sums, counts = np.bincount(group, scores), np.bincount(group)
    drawn = np.random.default_rng(seed).integers(len(counts), size=(n_draws, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, _TAILS)
    mean = float(scores.mean())
    return Figure(mean, min(float(low), mean), max(float(high), mean), len(scores))


def crossed(
    values: Sequence[float], runs: Sequence[str], recordings: Sequence[str], seed: int, n_draws: int = 2000
) -> Figure:
    """Return the mean of values with its 95 % interval, where several runs were tried on the same recordings.

    Runs and recordings are drawn, each for itself, and a value counts as often as its run times its recording was
    drawn: another seed and another song would both have given something else (Owen 2007, the pigeonhole bootstrap).
    With three runs the interval is a rough one.

    Args:
        values: N scores.
        runs: N names, of the training that each comes from.
        recordings: N names.
        seed: of the draws.
        n_draws: bootstrap samples.

    Raises:
        ValueError: no values, a value that is not finite, or not as many names.
    """
    scores = np.asarray(values, np.float64)
    if not len(scores) or not len(scores) == len(runs) == len(recordings) or not np.isfinite(scores).all():
        raise ValueError(
            f"expected finite values with two names each, found {len(scores)}, {len(runs)} and {len(recordings)}"
        )
    rows, row = np.unique(np.asarray(runs, np.str_), return_inverse=True)
    columns, column = np.unique(np.asarray(recordings, np.str_), return_inverse=True)
    sums, counts = np.zeros((2, len(rows), len(columns)))
    np.add.at(sums, (row, column), scores)
    np.add.at(counts, (row, column), 1.0)
    rng = np.random.default_rng(seed)
    of_rows, of_columns = (
        rng.multinomial(n, np.full(n, 1 / n), n_draws).astype(np.float64) for n in (len(rows), len(columns))
    )  # how often each is drawn, [n_draws, n]
    weights = np.einsum("dr,rc,dc->d", of_rows, counts, of_columns)
    totals = np.einsum("dr,rc,dc->d", of_rows, sums, of_columns)
    is_there = weights > 0  # runs that have no recording in common may draw nothing
    low, high = np.percentile(totals[is_there] / weights[is_there], _TAILS)
    mean = float(scores.mean())
    return Figure(mean, min(float(low), mean), max(float(high), mean), len(scores))


def paired(first: Mapping[str, float], second: Mapping[str, float], recordings: Mapping[str, str], seed: int) -> Figure:
    """Return the mean of `second - first` over the clips that both have, with its 95 % interval.

    Args:
        first: score by clip.
        second: score by clip.
        recordings: recording by clip, for all that are common.
        seed: of the draws.

    Raises:
        ValueError: no clip is common.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        raise ValueError("no clip has a score in both; there is nothing to compare")
    return clustered([second[name] - first[name] for name in common], [recordings[name] for name in common], seed)
