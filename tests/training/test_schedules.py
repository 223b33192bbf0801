"""The learning rate over a run."""

from __future__ import annotations

import pytest

from moksori.training.schedules import LearningRateConfig, learning_rate


def test_the_rate_falls_in_stairs() -> None:
    config = LearningRateConfig(initial=1e-3, decay=0.98, decay_every_steps=1000)
    assert learning_rate(config, 0) == learning_rate(config, 999) == 1e-3
    assert learning_rate(config, 1000) == pytest.approx(0.98e-3)
    assert learning_rate(config, 299_999) == pytest.approx(1e-3 * 0.98**299)


def test_a_decay_of_one_keeps_the_rate() -> None:
    assert learning_rate(LearningRateConfig(decay=1.0), 10**9) == 1e-3


@pytest.mark.parametrize("wrong", [{"initial": 0.0}, {"decay": 0.0}, {"decay": 1.01}, {"decay_every_steps": 0}])
def test_a_schedule_that_cannot_train_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="learning rate"):
        LearningRateConfig(**wrong)  # type: ignore[arg-type]
