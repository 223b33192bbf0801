"""Schedules (learning rate, weights) of a training run, as functions of the step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LearningRateConfig:
    """Adam's step size: `initial * decay ** (step // decay_every_steps)`."""

    initial: float = 1e-3
    decay: float = 0.98
    decay_every_steps: int = 1000

    def __post_init__(self) -> None:
        if self.initial <= 0 or not 0 < self.decay <= 1 or self.decay_every_steps < 1:
            raise ValueError(f"learning rate must be positive, its decay in (0, 1], every at least 1 step: {self}")


def learning_rate(config: LearningRateConfig, step: int) -> float:
    """Learning rate of a step, counted from 0.

    >>> learning_rate(LearningRateConfig(initial=1.0, decay=0.5, decay_every_steps=10), 25)
    0.25
    """
    return config.initial * config.decay ** (step // config.decay_every_steps)
