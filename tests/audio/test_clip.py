import numpy as np
import pytest

from moksori.audio.clip import Clip


def test_a_clip_knows_its_length() -> None:
    clip = Clip(np.zeros(12000, np.float32), 24000)
    assert (clip.n_samples, clip.seconds) == (12000, 0.5)


def test_an_empty_clip_is_legal() -> None:
    assert Clip(np.zeros(0, np.float32), 16000).seconds == 0.0


def test_samples_a_little_outside_full_scale_are_kept() -> None:
    assert Clip(np.full(3, 1.2, np.float32), 16000).samples.max() > 1


@pytest.mark.parametrize(
    "samples", [np.zeros(4), np.zeros((2, 2), np.float32), np.zeros(4, np.int16), [0.0, 1.0], np.float32(0)]
)
def test_only_float32_in_one_dimension_is_a_clip(samples: object) -> None:
    with pytest.raises(ValueError, match=r"float32 array \[T\]"):
        Clip(samples, 16000)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        Clip(np.array([0, bad], np.float32), 16000)


@pytest.mark.parametrize("rate", [0, -1, 16000.5, True, "16000"])
def test_only_a_positive_whole_number_is_a_rate(rate: object) -> None:
    with pytest.raises(ValueError, match=r"sample_rate is .*; expected a"):
        Clip(np.zeros(1, np.float32), rate)  # type: ignore[arg-type]
