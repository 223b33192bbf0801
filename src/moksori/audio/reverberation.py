"""Blind reverberation estimate: how much of a room is around a voice, by how steeply sound falls in it at best.

    dry     ~~~~|                 a harmonic that moves on, a consonant, the end of a note: 30 dB and more
                |____             are lost at once
    room    ~~~~\\                 the direct sound is gone, but the room goes on: 60 dB take its reverberation time
                 `--.__

Nobody falls more steeply than the room does, in no band, however legato the singing is; so the steepest falls tell. The
idea is that of Wen, Habets and Naylor 2008, who look at how decay rates are distributed in bands.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples

FALL_SECONDS = 0.2
_HOP_SECONDS, _WINDOW_SECONDS, _SMOOTH_FRAMES = 0.01, 0.04, 3
_LOW_HZ, _HIGH_HZ, _N_BANDS = 250.0, 6000.0, 12
_LOUD_DB = 12.0  # under a band's loudest twentieth: still a sound that can fall
_STEEPEST = 0.95  # quantile of the falls
_LEAST_FALLS = 500
_LEAST_DB = 1.0  # a room of 12 s; less is a note that is held, in which nothing ends
_FRAMES_AT_ONCE = 500


def steepest_fall_db(samples: Samples, sample_rate: int) -> float | None:
    """What is lost within `FALL_SECONDS` where most is lost, dB: 30 and more of a dry voice, under 18 in a large room.

    A sound that only decays, with a reverberation time of T, has 12 / T.

    Args:
        samples: `[T]`.
        sample_rate: Hz.

    Returns:
        None where there is too little sound to tell, less than a second or so, or nothing ends in it.
    """
    bands_db = _band_levels_db(samples, sample_rate)
    later = round(FALL_SECONDS / _HOP_SECONDS)
    if len(bands_db) <= later:
        return None
    loud = bands_db[:-later] > np.quantile(bands_db, 0.95, axis=0) - _LOUD_DB
    falls = (bands_db[:-later] - bands_db[later:])[loud]
    steepest_db = float(np.quantile(falls, _STEEPEST)) if len(falls) >= _LEAST_FALLS else 0.0
    return steepest_db if steepest_db >= _LEAST_DB else None


def _band_levels_db(samples: Samples, sample_rate: int) -> npt.NDArray[np.float64]:
    """Levels of some bands, frame by frame `[F, bands]`."""
    hop, size = round(_HOP_SECONDS * sample_rate), round(_WINDOW_SECONDS * sample_rate)
    if len(samples) < size:
        return np.zeros((0, 0))
    hz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    edges = np.searchsorted(hz, np.geomspace(_LOW_HZ, min(_HIGH_HZ, sample_rate / 2.2), _N_BANDS + 1))
    edges = np.unique(edges)
    window, frames = np.hanning(size), np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    powers = []
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        power = np.square(np.abs(np.fft.rfft(frames[start : start + _FRAMES_AT_ONCE] * window, axis=1)))
        powers.append(np.stack([power[:, low:high].sum(axis=1) for low, high in pairwise(edges.tolist())], axis=1))
    levels_db = 10.0 * np.log10(np.concatenate(powers) + 1e-9)
    kernel = np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES
    return np.stack([np.convolve(band, kernel, "same") for band in levels_db.T], axis=1)
