"""Validation of arguments of the public functions: taken where it is plain what is meant, else refused in words.

A slip in a caller's program is a `TypeError` (the wrong kind of thing) or a `ValueError` (the right kind, out of
range), which says what was given and what was expected.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

LOWEST_HZ, HIGHEST_HZ = 1_000, 768_000  # sample rates of recordings


def sample_rate(value: Any) -> int:
    """A sample rate in Hz; 44100.0 is one, 44.1 is none.

    >>> sample_rate(44100.0)
    44100
    """
    rate = whole_number(value, "sample_rate", "44100")
    if not LOWEST_HZ <= rate <= HIGHEST_HZ:
        hint = f"; {rate} kHz are {1000 * rate} Hz" if 0 < rate < LOWEST_HZ else ""
        raise ValueError(f"sample_rate is {value!r}; expected {LOWEST_HZ} to {HIGHEST_HZ} Hz, such as 44100{hint}")
    return rate


def whole_number(value: Any, name: str, example: str) -> int:
    """A whole number of any type: 3, 3.0, a NumPy integer; no text, no flag, no fraction."""
    if isinstance(value, bool | str | bytes):
        raise TypeError(f"{name} is {value!r}; expected a whole number, such as {example}")
    try:
        return int(operator.index(value))
    except TypeError:
        pass
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected a whole number, such as {example}")
    if not math.isfinite(value) or value != math.floor(value):
        raise ValueError(f"{name} is {value!r}; expected a whole number, such as {example}")
    return int(float(value))


def number(value: Any, name: str, example: str) -> float:
    """A number of any type that is one; no text and no flag. Its range is the caller's to check."""
    if isinstance(value, bool | str | bytes) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected a number, such as {example}")
    return float(value)


def path(value: Any, name: str = "path") -> Path:
    """A path, given as one or as text; `~` at the beginning of a text is the home folder."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{name} is {value!r}; expected a path, such as 'song.flac'")
    return Path(os.fsdecode(value)).expanduser()


def of_type(value: T | None, kind: type[T] | tuple[type[T], ...], name: str, example: str) -> T | None:
    """A thing of one kind, or of some, or None."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r:.80}; expected {example}")
    return value


def function(value: Any, name: str) -> Any:
    """Something that can be called, or None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} is {value!r:.80}; expected a function, or None")
    return value
