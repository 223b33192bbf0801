"""Reverberation: the known decay of a made room is read from the ends of notes."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import reverberation

RATE = 16_000


def _notes(decay_seconds: float, noise: float = 0.0) -> np.ndarray:
    """Notes of half a second with as long rests, in a room of exponential noise."""
    rng = np.random.default_rng(0)
    times = np.arange(8 * RATE) / RATE
    dry = 0.3 * np.sin(2 * np.pi * 300 * times) * ((times % 2.0) < 0.5)
    ring = np.arange(round(1.5 * decay_seconds * RATE)) / RATE
    room = rng.standard_normal(len(ring)) * 10.0 ** (-3.0 * ring / decay_seconds)  # 60 dB in `decay_seconds`
    n = 1 << int(np.ceil(np.log2(len(dry) + len(room))))
    wet = np.fft.irfft(np.fft.rfft(dry, n) * np.fft.rfft(room, n), n)[: len(dry)]
    return (0.1 * wet / np.abs(wet).max() + noise * rng.standard_normal(len(dry))).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.8])
def test_a_rooms_decay_is_read(seconds: float) -> None:
    assert reverberation.decay_seconds(_notes(seconds), RATE) == pytest.approx(seconds, rel=0.25)


def test_a_dry_recording_falls_at_once() -> None:
    times = np.arange(8 * RATE) / RATE
    dry = (0.3 * np.sin(2 * np.pi * 300 * times) * ((times % 2.0) < 0.5)).astype(np.float32)
    found = reverberation.decay_seconds(dry, RATE)
    assert found is not None and found < 0.3


def test_where_nothing_ends_nothing_is_said() -> None:
    times = np.arange(4 * RATE) / RATE
    assert reverberation.decay_seconds(np.sin(300 * times).astype(np.float32), RATE) is None
    assert reverberation.decay_seconds(np.zeros(RATE, np.float32), RATE) is None
