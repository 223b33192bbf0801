"""The mean of the channels, unless something is lost in it."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import mixdown, signals
from moksori.audio.clip import Samples

RATE = 24_000
_noise = np.random.default_rng(0)
VOICE = np.concatenate(
    [signals.tone(hz, 0.5, RATE, amplitude=0.2, n_harmonics=12).samples for hz in (220, 247, 277, 330)]
)
OTHER = np.concatenate(
    [signals.tone(hz, 0.5, RATE, amplitude=0.2, n_harmonics=12).samples for hz in (330, 294, 262, 196)]
)
HISS = (0.1 * _noise.standard_normal(len(VOICE))).astype(np.float32)
NOTHING = np.zeros_like(VOICE)
SWELLS = np.tile(VOICE * np.sin(np.linspace(0, 8 * np.pi, len(VOICE))).astype(np.float32) ** 2, 2)


def _room(seed: int) -> Samples:
    """The voice in a room, with the sound of the room different on each side."""
    tail = np.random.default_rng(seed).standard_normal(6000) * np.exp(-np.arange(6000) / 1500) * 0.02
    return (VOICE + np.convolve(VOICE, tail)[: len(VOICE)]).astype(np.float32)


def _late(seconds: float) -> Samples:
    n_samples = round(seconds * RATE)
    return np.concatenate([np.zeros(n_samples, np.float32), VOICE[: len(VOICE) - n_samples]])


MEAN = {
    "the same twice": [VOICE, VOICE],
    "to one side": [VOICE, 0.5 * VOICE],
    "two voices on two sides": [VOICE, OTHER],
    "a room": [_room(1), _room(2)],
    "softly noisy": [VOICE + 1e-3 * HISS, VOICE + 1e-3 * HISS[::-1]],
    "offsets": [VOICE + 0.1, VOICE - 0.1],
    "silence": [NOTHING, NOTHING],
    "noise in three channels": [HISS, HISS[::-1].copy(), np.roll(HISS, 5000)],
}
ONE = {
    "opposite": ([VOICE, -VOICE], {0, 1}),
    "nearly opposite": ([VOICE, -0.9 * VOICE], {0, 1}),
    "opposite for a second": ([VOICE, np.concatenate([VOICE[:RATE], -VOICE[RATE:]])], {0, 1}),
    "late by 0.2 ms": ([VOICE, _late(0.0002)], {0, 1}),
    "late by 0.5 ms": ([VOICE, _late(0.0005)], {0, 1}),
    "late by 5 ms": ([VOICE, _late(0.005)], {0, 1}),
    "a voice and a hiss": ([VOICE, HISS], {0}),
    "a loud hiss and a voice": ([4 * HISS, VOICE], {1}),
    "only the second": ([NOTHING, VOICE], {1}),
    "three": ([VOICE, -VOICE, NOTHING], {0, 1}),
    "one of eight": ([NOTHING] * 5 + [VOICE] + [NOTHING] * 2, {5}),
    "eight in turns": ([VOICE, -VOICE] * 4, set(range(8))),
    "opposite and softer": ([VOICE, -0.25 * VOICE], {0}),
    "opposite for some tenths": ([VOICE, np.concatenate([VOICE[: -2 * RATE // 5], -VOICE[-2 * RATE // 5 :]])], {0, 1}),
    "opposite in turns": ([VOICE, VOICE * np.where(np.arange(len(VOICE)) % 14400 < 7200, 1, -1)], {0, 1}),
    "late by 20 ms": ([VOICE, _late(0.02)], {0, 1}),
    "late by 38 ms": ([VOICE, _late(0.038)], {0, 1}),
    "late and opposite": ([VOICE, -_late(0.003)], {0, 1}),
    "a voice and a hum": ([SWELLS, signals.tone(50.0, 4.0, RATE, amplitude=0.2).samples], {0}),
    "a time code and a voice": ([np.sign(signals.tone(1207.0, 4.0, RATE).samples) * 0.5, SWELLS], {1}),
}


def _of(channels: list[Samples]) -> mixdown.Mixdown:
    return mixdown.of(np.stack(channels, axis=1).astype(np.float32), RATE)


@pytest.mark.parametrize("case", MEAN)
def test_what_has_something_to_say_on_both_sides_stays_the_mean(case: str) -> None:
    found = _of(MEAN[case])
    assert (found.channel, found.scale, found.loudest, found.remarks) == (None, 1.0, None, ())


@pytest.mark.parametrize("case", ONE)
def test_where_the_mean_loses_one_channel_is_taken_and_said(case: str) -> None:
    channels, good = ONE[case]
    found = _of(channels)
    assert found.channel in good
    assert f"channel {found.channel + 1} of {len(channels)} was taken" in found.remarks[0]
    mono = found.mono(np.stack(channels, axis=1).astype(np.float32))
    np.testing.assert_array_equal(mono, channels[found.channel].astype(np.float32))


@pytest.mark.parametrize(("factor", "scale"), [(32768.0, 2.0**-15), (2.0**23, 2.0**-23), (2.0**31, 2.0**-31)])
@pytest.mark.parametrize("is_whole", [False, True])
def test_the_scale_of_integers_is_known(factor: float, scale: float, is_whole: bool) -> None:
    samples = VOICE * np.float32(factor)
    found = mixdown.of((np.rint(samples) if is_whole else samples)[:, None], RATE)
    assert found.scale == scale
    assert np.abs(found.mono(samples[:, None])).max() == pytest.approx(np.abs(VOICE).max())


@pytest.mark.parametrize(("factor", "scale"), [(127, 2.0**-7), (32767, 2.0**-15)])
def test_unsigned_integers_are_known_by_having_nothing_below_zero(factor: int, scale: float) -> None:
    samples = np.rint((2 * VOICE + 1) * factor)[:, None]  # around the middle
    found = mixdown.of(samples, RATE)
    assert found.scale == scale and "unsigned integers" in found.remarks[0]


def test_integers_of_8_bits_are_known() -> None:
    assert mixdown.of(np.rint(2 * VOICE * 127)[:, None], RATE).scale == 2.0**-7


@pytest.mark.parametrize("size", [100.0, -1e6, 1e30])
@pytest.mark.parametrize("channels", [[VOICE], [VOICE, -VOICE], [VOICE, VOICE]], ids=["one", "opposite", "same"])
def test_a_few_samples_that_are_no_sound_are_left_out(size: float, channels: list[Samples]) -> None:
    """One of 1e6 once made a song silent: it told the scale of all."""
    given = np.stack(channels, axis=1)
    damaged = given.copy()
    damaged[[7, 30_000]] = size
    found, plain = mixdown.of(damaged, RATE), mixdown.of(given, RATE)
    assert (found.channel is None) == (plain.channel is None)
    assert f"{2 * len(channels)} of its samples" in found.remarks[0]
    wanted = plain.mono(given) if plain.channel is None else given[:, found.channel].copy()
    wanted[[7, 30_000]] = 0.0
    np.testing.assert_array_equal(found.mono(damaged), wanted)


def test_a_clipped_channel_is_told_where_it_is_averaged() -> None:
    """In the mean of a clipped and a clean channel no top is flat."""
    clean = (SWELLS + 0.003 * np.random.default_rng(1).standard_normal(len(SWELLS))).astype(np.float32)
    assert not _of([clean, clean]).is_clipped
    assert _of([clean, np.clip(clean, -0.1, 0.1)]).is_clipped


def test_soft_integers_are_known_by_being_whole() -> None:
    assert mixdown.of(np.rint(VOICE * 40)[:, None], RATE).scale == 2.0**-15


@pytest.mark.parametrize("gain_db", [-60.0, 0.0, 12.0, 24.0])
def test_headroom_is_no_scale_of_integers(gain_db: float) -> None:
    assert mixdown.of((VOICE * 10 ** (gain_db / 20)).astype(np.float32)[:, None], RATE) == mixdown.Mixdown()
