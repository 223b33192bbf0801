"""Choosing the next code: a function of scores and one uniform number, so that every backend can be compared.

Where the uniforms come from is an argument too. `uniforms` draws them by (seed, stream, absolute position): the number
for sample 1,000,000 of a song is the same however the song is cut.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from moksori.errors import NonFiniteError


def pick(logits: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
    """Choose codes by inverting the cumulative distribution.

    Args:
        logits: `[B, N]`.
        uniform: `[B]`, in [0, 1).
        temperature: divides the logits; 1 samples the model's own law, 0 takes the most probable code.

    Returns:
        `[B]` int64: the first code whose cumulative probability exceeds the uniform.

    Raises:
        ValueError: a temperature that is negative or no number.
        NonFiniteError: scores that are not finite.

    >>> pick(torch.log(torch.tensor([[0.25, 0.25, 0.5]])), torch.tensor([0.3])).tolist()
    [1]
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be a number, and not negative: {temperature}")
    if temperature == 0:
        _refuse_nan(logits)
        return logits.argmax(dim=1)
    scores = logits.double()
    scores = (scores - scores.amax(dim=1, keepdim=True)) / temperature  # the best at 0: no temperature overflows it
    cumulative = torch.softmax(scores, dim=1).cumsum(dim=1)
    total = cumulative[:, -1:]  # 1 only up to rounding; a uniform below 1 stays below it
    _refuse_nan(total)
    return (cumulative <= uniform.double().unsqueeze(1) * total).sum(dim=1)


def _refuse_nan(scores: Tensor) -> None:
    # NaN compares false with everything: without this check a song would go on in code 0.
    if torch.isnan(scores).any():
        raise NonFiniteError("the scores of the next code are")


def uniforms(seed: int, stream: int, start: int, count: int) -> Tensor:
    """Draw the uniforms of the samples `start` to `start + count` of one stream.

    A counter-based generator (Philox, Salmon et al. 2011): position i needs no draw of the positions before it.

    Args:
        seed: any integer.
        stream: number of the utterance; streams are independent of each other.
        start: absolute position of the first sample, at least 0.
        count: how many.

    Returns:
        float64 `[count]`, in [0, 1).

    >>> torch.equal(uniforms(1, 0, 5, 3), uniforms(1, 0, 0, 8)[5:])
    True
    """
    per_counter = 4  # Philox-4x64 gives four numbers a counter
    first, skipped = divmod(start, per_counter)
    key = np.array([seed % 2**64, stream % 2**64], dtype=np.uint64)
    drawn = np.random.Generator(np.random.Philox(key=key, counter=first)).random(skipped + count)
    return torch.from_numpy(drawn[skipped:])


def white_noise(seed: int, stream: int, start: int, count: int) -> Tensor:
    """Draw white noise of RMS 1 for the samples `start` to `start + count` of one stream; see `uniforms`.

    Returns:
        float32 `[count]`, normally distributed: the quantiles of the uniforms, so that position counts here, too.

    >>> torch.equal(white_noise(1, 0, 5, 3), white_noise(1, 0, 0, 8)[5:])
    True
    """
    tiny = 2.0**-54  # half the smallest step of a uniform: its quantile is finite
    noise: Tensor = torch.special.ndtri(uniforms(seed, stream, start, count) + tiny)
    return noise.float()
