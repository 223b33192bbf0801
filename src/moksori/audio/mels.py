"""The mel scale: equal steps of it sound about equally far apart.

Source: O'Shaughnessy 1987, as used by HTK.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

Numbers = TypeVar("Numbers")  # a float, or an array or a tensor of any shape


def of_hz(hz: Numbers, log10: Callable[[Any], Any] = math.log10) -> Numbers:
    """The mels of frequencies: `2595 log10(1 + hz / 700)`.

    Args:
        hz: frequencies.
        log10: that of what they are, `np.log10` or `torch.log10`; for a float there is no need to say.

    >>> round(of_hz(1000.0))
    1000
    """
    numbers: Any = hz
    mels: Numbers = 2595.0 * log10(1.0 + numbers / 700.0)
    return mels


def to_hz(mels: Numbers) -> Numbers:
    """The frequencies of mels; the inverse of `of_hz`."""
    numbers: Any = mels
    hz: Numbers = 700.0 * (10.0 ** (numbers / 2595.0) - 1.0)
    return hz
