"""Mixup of singer embeddings: how much of the true singer, and of whom else, a virtual singer has.

    u = w v_A + (1 - w) v_B,    B another singer than A, drawn uniformly

The default law of w is Beta(0.2, 0.2). Its density, proportional to w^-0.8 (1 - w)^-0.8, is infinite at both ends
and lowest (0.319) in the middle: two draws in three lie within 0.1 of an end. So most virtual singers are nearly A or
nearly B, and few are truly in between. A Beta crowds the middle only when its parameters exceed 1.

Source: Nachmani and Wolf 2019, section 3.2; the law of Zhang et al. 2018 (mixup), equation 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LAWS = ("beta", "uniform", "fixed")


@dataclass(frozen=True)
class MixupConfig:
    """The law of the true singer's share w."""

    law: str = "beta"  # "beta": Beta(a, a); "uniform": U(0, 1); "fixed": always the same share
    beta_parameter: float = 0.2  # a
    fixed_share: float = 0.0  # for law "fixed"; 0 is plain back-translation, through a real other singer
    keeps_larger_share: bool = False  # give max(w, 1 - w) to the true singer

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise ValueError(f"unknown mixup law {self.law!r}; known laws are {', '.join(LAWS)}")
        if self.beta_parameter <= 0 or not 0 <= self.fixed_share <= 1:
            raise ValueError(f"beta_parameter must be positive and fixed_share in [0, 1]: {self}")


def shares(config: MixupConfig, n: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw the true singer's share of `n` virtual singers, each in [0, 1]."""
    if config.law == "beta":
        drawn = generator.beta(config.beta_parameter, config.beta_parameter, n)
    elif config.law == "uniform":
        drawn = generator.random(n)
    else:
        drawn = np.full(n, config.fixed_share)
    return np.maximum(drawn, 1 - drawn) if config.keeps_larger_share else drawn


def partners(singers: npt.NDArray[np.int64], n_singers: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw another singer for each, uniformly among all others.

    Args:
        singers: `[n]`, numbers below `n_singers`.
        n_singers: at least 2.
        generator: one number is drawn from it for each.

    Raises:
        ValueError: there is nobody else.

    >>> partners(np.array([0, 1, 0]), 2, np.random.default_rng(0)).tolist()
    [1, 0, 1]
    """
    if n_singers < 2:
        raise ValueError("a virtual singer needs at least two singers")
    # A step of 1 to n - 1 around the circle of singers never ends where it began.
    return (singers + generator.integers(1, n_singers, len(singers))) % n_singers
