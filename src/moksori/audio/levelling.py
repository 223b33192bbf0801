"""Automatic gain control for a pitch tracker: a soft voice is brought to where the tracker hears, before it listens.

The pitch network hears little of a voice below -45 dBFS and nothing below -50. What is louder than `TRACKED_DBFS` stays
as it is, to the bit; what is softer is raised, frame by frame:

    level of 20 ms, without what lies below every voice -> clicks out -> loudest of 0.4 s before and 0.1 s behind
    -> gain up to `TRACKED_DBFS`, in straight lines of dB from the middle of one frame to that of the next

What was loud just before keeps the gain down, since what follows is its reverberation: note ends stay where they are.
What will be loud does not, or the last second before a chorus would be lost. Pauses are raised as well: noise has no
pitch at any level, but for a moment (`is_flicker`), and the hum of the mains is known by its steadiness (`is_hum`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples
from moksori.audio.level import FLOOR_DBFS

TRACKED_DBFS = -40.0  # a pitch tracker hears well from here on
_MOST_GAIN_DB = 50.0
_FAINTEST_DBFS = -95.0  # what is fainter is the noise of 16 bits
_FRAME_SECONDS = 0.02
_BEFORE, _BEHIND = 20, 5  # frames: loud sound keeps the gain down for so long after it, and so long ahead of it
_AHEAD = _BEHIND + 2  # frames that have to be known before a gain is: finding clicks takes another one

_MAINS_HZ = (50.0, 60.0)
_PARTIALS = 4  # of a hum that may pass for a pitch
_FLICKER_SECONDS = 0.04  # what is raised and has a pitch for no longer is no voice
_HUM_CENTS, _HUM_SECONDS = 12.0, 0.4  # how steady a hum is, and for how long at least

Floats = npt.NDArray[np.float64]


class StreamLeveller:
    """Raise what is soft in a recording that comes in blocks `[n]`; as many samples leave as came.

    However the recording is cut into blocks, the result is the same.
    """

    def __init__(self, sample_rate: int) -> None:
        self._hop = max(8, round(_FRAME_SECONDS * sample_rate))
        line = np.linspace(-1.0, 1.0, self._hop)
        # An offset, a slope and a bend within a frame are no voice: rumble of 20 Hz bends 0.4 of its period.
        self._slow, _ = np.linalg.qr(np.stack([np.ones(self._hop), line, line**2], axis=1))  # [hop, 3]
        self._levels: list[float] = []  # dBFS, of every frame so far
        self._gains_db: list[float] = []  # of every frame whose neighbourhood is known
        self._waiting = np.zeros(0, np.float32)  # samples that have not left
        self._n_left = 0  # frames whose samples have left

    @property
    def gains_db(self) -> Floats:
        """The gain in the middle of each frame so far, `[F]`."""
        return np.array(self._gains_db)

    @property
    def hop_samples(self) -> int:
        """Length of a frame."""
        return self._hop

    def push(self, block: Samples) -> Samples:
        """Take the next samples and return those that are ready."""
        self._waiting = np.concatenate([self._waiting, block])
        n_measured = len(self._levels) - self._n_left  # frames among what waits
        n_new = len(self._waiting) // self._hop - n_measured
        if n_new > 0:
            start = n_measured * self._hop
            self._measure(self._waiting[start : start + n_new * self._hop].reshape(n_new, self._hop))
            self._settle(len(self._levels) - _AHEAD + 1)
        return self._leave(max(0, len(self._gains_db) - 1 - self._n_left) * self._hop)

    def flush(self) -> Samples:
        """Return what is held back; nothing can be pushed afterwards."""
        n_rest = len(self._waiting) - (len(self._levels) - self._n_left) * self._hop
        if n_rest:
            last = np.zeros(self._hop, np.float32)
            last[:n_rest] = self._waiting[-n_rest:]
            self._measure(last[None])
        self._settle(len(self._levels))
        return self._leave(len(self._waiting))

    def _measure(self, frames: Samples) -> None:
        """Note the levels of some frames `[n, hop]`."""
        values = frames.astype(np.float64)
        power = np.square(values).sum(axis=1) - np.square(values @ self._slow).sum(axis=1)
        floor = 10.0 ** (FLOOR_DBFS / 10.0)
        self._levels += (10.0 * np.log10(np.maximum(power / self._hop, floor))).tolist()

    def _settle(self, until: int) -> None:
        """Choose the gains of all frames before `until`; what is not known yet counts as silence."""
        first = len(self._gains_db)
        if until <= first:
            return
        # Levels from `_BEFORE + 1` frames before the first to `_BEHIND + 1` behind the last.
        begin, end = first - _BEFORE - 1, until + _BEHIND + 1
        known = np.full(end - begin, FLOOR_DBFS)
        inside = self._levels[max(0, begin) : end]
        known[max(0, -begin) : max(0, -begin) + len(inside)] = inside
        # The least of three: a click is one frame or two, a voice more.
        steady = np.lib.stride_tricks.sliding_window_view(known, 3).min(axis=1)
        loudest = np.lib.stride_tricks.sliding_window_view(steady, _BEFORE + 1 + _BEHIND).max(axis=1)  # [until - first]
        gains = np.where(loudest > _FAINTEST_DBFS, np.clip(TRACKED_DBFS - loudest, 0.0, _MOST_GAIN_DB), 0.0)
        self._gains_db += gains.tolist()

    def _leave(self, n_samples: int) -> Samples:
        """Let so many samples go, louder by their gain."""
        ready, self._waiting = self._waiting[:n_samples], self._waiting[n_samples:]
        first, self._n_left = self._n_left, self._n_left + n_samples // self._hop
        around = self._gains_db[max(0, first - 1) : first + -(-n_samples // self._hop) + 1]
        if not len(ready) or not any(around):
            return ready
        middles = (np.arange(len(around)) + max(0, first - 1) - first + 0.5) * self._hop
        gain_db = np.interp(np.arange(len(ready)), middles, around)
        return (ready * 10.0 ** (gain_db / 20.0)).astype(np.float32)


def is_flicker(f0_hz: Floats, is_raised: npt.NDArray[np.bool_], hop_seconds: float) -> npt.NDArray[np.bool_]:
    """Which frames of a track are a moment of noise that has a pitch by chance, `[F]`: runs of 0.04 s or less.

    Args:
        f0_hz: `[F]`, 0 where unvoiced.
        is_raised: `[F]`, where the recording was so soft that it had to be raised; elsewhere nothing is a flicker.
        hop_seconds: from one frame to the next.
    """
    found = np.zeros(len(f0_hz), np.bool_)
    for start, end in _runs(f0_hz > 0):
        if (end - start) * hop_seconds <= _FLICKER_SECONDS and is_raised[start:end].all():
            found[start:end] = True
    return found


def is_hum(f0_hz: Floats, is_raised: npt.NDArray[np.bool_], hop_seconds: float) -> npt.NDArray[np.bool_]:
    """Which frames of a track are the hum of the mains, `[F]`.

    Args:
        f0_hz: `[F]`, 0 where unvoiced.
        is_raised: `[F]`, where the recording was so soft that it had to be raised; elsewhere nothing is a hum.
        hop_seconds: from one frame to the next.

    Returns:
        True for runs of 0.4 s or more within 12 cents of 50 or 60 Hz or of one of their first partials.
    """
    found = np.zeros(len(f0_hz), np.bool_)
    n_least = max(1, round(_HUM_SECONDS / hop_seconds))
    for hz in (mains * partial for mains in _MAINS_HZ for partial in range(1, _PARTIALS + 1)):
        cents = 1200.0 * np.abs(np.log2(np.where(f0_hz > 0, f0_hz, 1e-3) / hz))
        for start, end in _runs(is_raised & (cents < _HUM_CENTS)):
            if end - start >= n_least:
                found[start:end] = True
    return found


def _runs(is_so: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where a condition `[F]` holds on and on: the first frame of each run, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_so, [False]])))
    return [(start, end) for start, end in edges.reshape(-1, 2).tolist()]
