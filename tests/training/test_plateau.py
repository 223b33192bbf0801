"""A plateau is reached by so many judgements in vain."""

from __future__ import annotations

import math

from moksori.training.plateau import Plateau


def _reached(plateau: Plateau, values: list[float]) -> list[bool]:
    found = []
    for value in values:
        plateau.add(value)
        found.append(plateau.is_reached)
    return found


def test_so_many_in_a_row_without_a_better_one_are_a_plateau() -> None:
    assert _reached(Plateau(2), [3.0, 2.0, 2.0, 1.0, 1.5, 1.2]) == [False, False, False, False, False, True]


def test_a_gain_must_be_large_enough_whatever_the_sign() -> None:
    assert _reached(Plateau(1, 0.1), [1.0, 0.95]) == [False, True]
    assert _reached(Plateau(1, 0.1), [-1.0, -1.05]) == [False, True]
    assert _reached(Plateau(1, 0.1), [-1.0, -1.2]) == [False, False]


def test_what_is_no_number_is_never_better() -> None:
    assert _reached(Plateau(2), [math.nan, math.inf]) == [False, True]
    assert _reached(Plateau(2), [1.0, -math.inf, math.nan]) == [False, False, True]


def test_a_memory_is_taken_up_where_it_was_left() -> None:
    one, two = Plateau(3), Plateau(3)
    _reached(one, [1.0, 1.0])
    two.restore(one.tensors())
    assert _reached(two, [1.0, 1.0]) == _reached(one, [1.0, 1.0]) == [False, True]
    two.restore({})
    assert _reached(two, [1.0, 1.0]) == [False, False]
