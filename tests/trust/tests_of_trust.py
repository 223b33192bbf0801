"""What tests of trust share: sounds, takes, and the type of a call."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from moksori.audio.clip import Samples

RATE = 24_000

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Limited = Callable[..., "subprocess.CompletedProcess[str]"]


def sing(seconds: float = 4.0, hz: float = 220.0, peak: float = 0.3) -> Samples:
    """A voice-like sound of five notes, twelve partials, with vibrato and rests between the notes."""
    times = np.arange(int(seconds * RATE)) / RATE
    pitch = hz * 2 ** (np.floor(times * 2) % 5 / 12) * (1 + 0.01 * np.sin(33 * times))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    notes = sum(np.sin(k * phase) / k for k in range(1, 13)) * np.sin(np.pi * (times * 2 % 1)) ** 0.3
    return np.asarray(notes / np.abs(notes).max() * peak, np.float32)


def write_takes(folder: Path, n_takes: int = 3, seconds: float = 2.0) -> Path:
    """Two singers with some takes each."""
    for singer, hz in (("ana", 220.0), ("ben", 130.0)):
        (folder / singer).mkdir(parents=True)
        for take in range(n_takes):
            soundfile.write(folder / singer / f"take {take}.wav", sing(seconds, hz * 2 ** (take / 12)), RATE)
    return folder
