"""What the tests of the command line share beside fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile


class Outcome(NamedTuple):
    """What a call of the command ended with."""

    code: int
    out: str
    err: str


Moksori = Callable[..., Outcome]


def write_song(path: Path, n_samples: int = 400, sample_rate: int = 8000) -> Path:
    """A short song at a path whose folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.03 * np.sin(2 * np.pi * 220 * np.arange(n_samples) / sample_rate)
    soundfile.write(bytes(path), tone, sample_rate)
    return path
