"""Rooms: what only decays falls as its reverberation time says, and a room bounds the falls of any voice in it."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import reverberation

RATE = 16_000


def _voice(seconds: float = 6.0) -> np.ndarray:
    """Notes of a quarter of a second, one right after the other, each with other harmonics."""
    rng, times = np.random.default_rng(0), np.arange(round(seconds * RATE)) / RATE
    note = (times / 0.25).astype(int)
    f0_hz = 200.0 * 2 ** (rng.integers(0, 12, note.max() + 1) / 12)[note]
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE
    return np.asarray(0.1 * sum(rng.random(note.max() + 1)[note] ** 2 * np.sin(k * phase) for k in range(1, 25)))


def _in_room(voice: np.ndarray, decay_seconds: float, wet: float) -> np.ndarray:
    times = np.arange(round(1.5 * decay_seconds * RATE)) / RATE
    tail = np.random.default_rng(1).standard_normal(len(times)) * 10.0 ** (-3.0 * times / decay_seconds)
    size = len(voice) + len(tail)
    found = np.fft.irfft(np.fft.rfft(voice, size) * np.fft.rfft(tail, size), size)[: len(voice)]
    return voice + wet * found * np.sqrt(np.square(voice).mean() / np.square(found).mean())


@pytest.mark.parametrize("decay_seconds", [0.5, 1.0, 2.0])
def test_what_only_decays_falls_by_its_reverberation_time(decay_seconds: float) -> None:
    times = np.arange(2 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(times)) * 10.0 ** (-3.0 * times / decay_seconds)
    # Noise wavers by some dB from frame to frame: its median fall is that of the room.
    bands_db = reverberation._band_levels_db(noise, RATE)
    assert np.median(bands_db[:60] - bands_db[20:80]) == pytest.approx(12.0 / decay_seconds, rel=0.05)


def test_a_dry_voice_falls_and_one_in_a_large_room_cannot() -> None:
    voice = _voice()
    dry, small, large = (
        reverberation.steepest_fall_db(sound.astype(np.float32), RATE)
        for sound in (voice, _in_room(voice, 0.3, 0.3), _in_room(voice, 2.0, 0.5))
    )
    assert dry is not None and small is not None and large is not None
    assert dry > small + 3 > 22 > 18 > large > 6


def test_how_loud_it_is_does_not_matter() -> None:
    room = _in_room(_voice(), 1.0, 0.5).astype(np.float32)
    assert reverberation.steepest_fall_db(0.1 * room, RATE) == pytest.approx(
        reverberation.steepest_fall_db(room, RATE), abs=0.2
    )


@pytest.mark.parametrize("n_samples", [0, 100, 4000])
def test_too_little_sound_tells_nothing(n_samples: int) -> None:
    assert reverberation.steepest_fall_db(_voice(1.0)[:n_samples].astype(np.float32), RATE) is None


def test_a_note_that_is_held_tells_nothing_as_nothing_ends_in_it() -> None:
    times = np.arange(2 * RATE) / RATE
    held = 0.1 * sum(np.sin(2 * np.pi * 220.0 * k * times) / k for k in range(1, 20))
    assert reverberation.steepest_fall_db(np.asarray(held, np.float32), RATE) is None
