"""How long a room goes on sounding: the decay behind the ends of notes.

Where singing stops, the level falls: at once in a dry recording, along a straight line in dB in a room. The slope is
told as the time that 60 dB take (reverberation time, ISO 3382), read over 15 dB as there is rarely more above the
noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moksori.audio import level
from moksori.audio.clip import Samples

_HOP_SECONDS = 0.01
_SMOOTH_FRAMES = 7  # a room's sound wavers
_LOUD_DB = 10.0  # under the loudest twentieth: still a note
_TOP_DB, _BOTTOM_DB = 3.0, 18.0  # under the note's last loud frame, between which the slope is read
_LONGEST_SECONDS = 3.0
_RISE_DB = 4.0  # so much may a decay waver
_LEAST_DECAYS = 3


def decay_seconds(samples: Samples, sample_rate: int) -> float | None:
    """The median time in which 60 dB would be lost behind notes, s; None where fewer than three notes end so."""
    hop = max(1, round(_HOP_SECONDS * sample_rate))
    power = 10.0 ** (level.frame_level_dbfs(samples, hop) / 10.0)
    dbfs = 10.0 * np.log10(np.convolve(power, np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES, "same") + 1e-12)
    heard = dbfs[dbfs > level.FLOOR_DBFS + 20]
    if not len(heard):
        return None
    loud = float(np.quantile(heard, 0.95)) - _LOUD_DB
    times = [seconds for end in _ends(dbfs, loud) if (seconds := _decay(dbfs[end:])) is not None]
    return float(np.median(times)) if len(times) >= _LEAST_DECAYS else None


def _ends(dbfs: npt.NDArray[np.float64], loud_dbfs: float) -> list[int]:
    """The last loud frames before each fall."""
    is_loud = dbfs >= loud_dbfs
    return np.flatnonzero(is_loud[:-1] & ~is_loud[1:]).tolist()


def _decay(dbfs: npt.NDArray[np.float64]) -> float | None:
    """The time for 60 dB of a level that falls from its first frame on; None where it rises before it has fallen."""
    dbfs = dbfs[: round(_LONGEST_SECONDS / _HOP_SECONDS)]
    fallen = np.flatnonzero(dbfs < dbfs[0] - _BOTTOM_DB)
    if not len(fallen):
        return None
    part = dbfs[: int(fallen[0]) + 1]
    if (part - np.minimum.accumulate(part) > _RISE_DB).any():
        return None
    top = int(np.flatnonzero(part < part[0] - _TOP_DB)[0]) - 1
    return 60.0 * (len(part) - 1 - top) * _HOP_SECONDS / float(part[top] - part[-1])
