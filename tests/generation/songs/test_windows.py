"""Windows: the same samples, however the blocks fall."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.generation.songs.windows import Window

SONG = np.arange(1, 101, dtype=np.float32)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_samples_by_their_place_with_silence_around(size: int) -> None:
    window = Window(SONG[start : start + size] for start in range(0, 100, size))
    np.testing.assert_array_equal(window.read(-3, 2), [0, 0, 0, 1, 2])
    np.testing.assert_array_equal(window.read(0, 10), SONG[:10])
    np.testing.assert_array_equal(window.read(5, 50), SONG[5:50])
    np.testing.assert_array_equal(window.read(40, 40), [])
    np.testing.assert_array_equal(window.read(95, 103), [*SONG[95:], 0, 0, 0])
    np.testing.assert_array_equal(window.read(99, 100), SONG[99:])
    np.testing.assert_array_equal(window.read(120, 122), [0, 0])


def test_what_lies_before_is_let_go() -> None:
    window = Window(iter([SONG]))
    window.read(50, 60)
    assert len(window._samples) <= 50
