"""Kits for the tests of pools, in a module of their own so that other processes find them by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moksori.errors import UserError


@dataclass(frozen=True)
class Squares:
    """Squares numbers; each call is noted in a folder. Some numbers are bad for those who work on them."""

    notes: Path
    deadly: int = -1  # kills its worker every time
    deadly_once: int = -1
    wrong: int = -1  # raises every time
    wrong_once: int = -1
    refused: int = -1  # raises what a person can put right
    slow: float = 0.0

    def __call__(self) -> Callable[[int], tuple[int, int]]:
        """A worker."""
        (self.notes / f"made-{os.getpid()}-{time.monotonic_ns()}").touch()
        return self.square

    def square(self, number: int) -> tuple[int, int]:
        """The square, and who computed it."""
        (self.notes / f"did-{number}-{time.monotonic_ns()}").touch()
        n_before = len(list(self.notes.glob(f"did-{number}-*"))) - 1
        if number == self.deadly or (number == self.deadly_once and not n_before):
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self.wrong or (number == self.wrong_once and not n_before):
            raise OSError("the store is out of reach")
        if number == self.refused:
            raise UserError("the store wants a password")
        time.sleep(self.slow)
        return number * number, os.getpid()

    def n_made(self) -> int:
        """How many workers were made."""
        return len(list(self.notes.glob("made-*")))

    def n_times(self, number: int) -> int:
        """How often a number was begun."""
        return len(list(self.notes.glob(f"did-{number}-*")))


@dataclass(frozen=True)
class Nobody:
    """A kit that cannot make a worker."""

    def __call__(self) -> Callable[[int], int]:
        """Raise."""
        raise UserError("this model is damaged")
