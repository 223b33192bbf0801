"""Samples, frames and seconds, in integer arithmetic wherever a length is decided.

Frame i covers the samples from `i * hop_samples` up to `(i + 1) * hop_samples`; the last frame may be partly empty:

    samples  |-------|-------|-------|---|
    frames       0       1       2     3       n_frames(T, hop) = ceil(T / hop) = 4
"""

from __future__ import annotations

import numpy as np

from moksori.audio.clip import Samples


def n_frames(n_samples: int, hop_samples: int) -> int:
    """Count the frames that cover `n_samples`, the last one perhaps in part.

    >>> n_frames(1600, 800), n_frames(1601, 800), n_frames(0, 800)
    (2, 3, 0)
    """
    _check(n_samples, hop_samples)
    return -(-n_samples // hop_samples)


def padded_length(n_samples: int, hop_samples: int) -> int:
    """Return the smallest multiple of the hop that is at least `n_samples`."""
    return n_frames(n_samples, hop_samples) * hop_samples


def pad_to_hop(samples: Samples, hop_samples: int) -> Samples:
    """Append zeros until the length is a multiple of the hop.

    Args:
        samples: `[..., T]`.
        hop_samples: at least 1.

    Returns:
        `[..., padded_length(T, hop_samples)]`; `crop(result, T)` is the input again.
    """
    n_samples = samples.shape[-1]
    missing = padded_length(n_samples, hop_samples) - n_samples
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, missing)])


def crop(samples: Samples, n_samples: int) -> Samples:
    """Keep the first `n_samples` of `[..., T]`.

    Raises:
        ValueError: there are fewer, or a negative number is wanted.
    """
    if not 0 <= n_samples <= samples.shape[-1]:
        raise ValueError(f"cannot crop {samples.shape[-1]} samples to {n_samples}")
    return samples[..., :n_samples]


def seconds_to_samples(seconds: float, sample_rate: int) -> int:
    """Return the sample position nearest to a time.

    >>> seconds_to_samples(0.02, 44100)
    882
    """
    return round(seconds * sample_rate)


def rescaled_length(n_samples: int, from_rate: int, to_rate: int) -> int:
    """Return how many samples a clip has at another rate: `ceil(n_samples * to_rate / from_rate)`.

    It also carries a position (the end of a region) from one rate to the other.

    >>> rescaled_length(44100, 44100, 16000), rescaled_length(1, 44100, 16000), rescaled_length(3, 1, 2)
    (16000, 1, 6)
    """
    return -(-n_samples * to_rate // from_rate)


def _check(n_samples: int, hop_samples: int) -> None:
    if n_samples < 0:
        raise ValueError(f"n_samples is {n_samples}; a length is not negative")
    if hop_samples < 1:
        raise ValueError(f"hop_samples is {hop_samples}; a hop is at least one sample")
