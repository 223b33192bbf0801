"""How sure a mean is: bootstrap intervals that draw recordings.

Clips that come from one recording are alike, so they are drawn together (a cluster bootstrap): a hundred conversions of
one song are one piece of evidence about songs, not a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moksori.evaluation.report import Figure

_TAILS = (2.5, 97.5)  # percentiles: a 95 % interval


def bootstrap(values: Sequence[float], recordings: Sequence[str], seed: int, n_draws: int = 2000) -> Figure:
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
    return bootstrap([second[name] - first[name] for name in common], [recordings[name] for name in common], seed)
