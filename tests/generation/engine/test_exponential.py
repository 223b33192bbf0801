from __future__ import annotations

import numpy as np
from numba import njit

from moksori.generation.engine import exponential, product
from moksori.generation.engine.exponential import exp, nearest


@njit(fastmath=product.FASTMATH)
def _each(values, powers, wholes):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        powers[i] = exp(values[i])
        wholes[i] = nearest(values[i])


def test_the_exponential_is_that_of_a_library_to_seven_digits() -> None:
    values = np.linspace(-exponential.LARGEST, exponential.LARGEST, 100_001, dtype=np.float32)
    powers, wholes = np.empty_like(values), np.empty_like(values)
    _each(values, powers, wholes)
    assert np.abs(powers / np.exp(values.astype(np.float64)) - 1).max() < 5e-7
    assert np.array_equal(wholes, np.rint(values))


def test_the_exponential_of_nothing_is_exactly_one() -> None:
    powers = np.empty(1, np.float32)
    _each(np.zeros(1, np.float32), powers, np.empty(1, np.float32))
    assert powers[0] == 1.0
