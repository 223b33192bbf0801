"""Artefacts and dynamics: clipping, clicks, noise in rests, and the loudness curve beside that of the source.

Rhythm and dynamics are compared with the source; clipping, clicks and noise in rests are things that nobody wants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio import level, resample
from moksori.audio.clip import Clip

_HOP_SECONDS = 0.02  # a frame of the loudness curve
_FLOOR_DBFS = -70.0  # quieter is as good as silent
_FULL_SCALE = 0.999  # of a 16-bit sample, but for rounding
_SHORTEST_REST_SECONDS = 0.1
_RATE = 16000  # Hz, at which clicks are looked for
_BLOCK_SAMPLES = 240  # 15 ms are searched for clicks
_LOCAL_SAMPLES = 960  # within their 60 ms of surroundings: some periods of the lowest voice
_AT_ONCE = 256  # blocks, 4 s
_ORDER = 24  # of the linear prediction
_LOCAL_PERCENTILE = 99.0  # of prediction errors around: most glottal pulses and bursts of consonants lie below
_CLICK_FACTOR = 8.0  # how far a click stands out of that
_CLICK_DBFS = -55.0  # fainter prediction errors are not heard
_APART_SECONDS = 0.02  # nearer outliers are one click

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sound:
    """What is measured of the sound of one clip; some 0.1 MB for three minutes."""

    seconds: float
    levels_dbfs: Values  # loudness curve, a frame each 20 ms, `[F]`
    click_seconds: Values  # times of clicks, `[N]`
    clipped_fraction: float  # in [0, 1]


def analyse(clip: Clip) -> Sound:
    """Measure a clip of any rate and length."""
    levels_dbfs = level.frame_level_dbfs(clip.samples, max(1, round(_HOP_SECONDS * clip.sample_rate)))
    return Sound(clip.seconds, levels_dbfs, find_clicks(clip), clipped_fraction(clip))


def validate(source: Sound, conversion: Sound) -> None:
    """Refuse what cannot have been measured of a clip.

    Raises:
        ValueError: a duration below 0, or a share outside of [0, 1].
    """
    for name, sound in (("source", source), ("conversion", conversion)):
        if sound.seconds < 0 or not 0 <= sound.clipped_fraction <= 1:
            raise ValueError(f"{name}: {sound.seconds} s with a share of {sound.clipped_fraction} clipped")


def evaluate(source: Sound, conversion: Sound) -> dict[str, float]:
    """What a report says of a conversion beside its source, by metric; what is not defined is left out."""
    validate(source, conversion)
    figures = {
        "level_correlation": level_correlation(source, conversion),
        "clipped_fraction": conversion.clipped_fraction,
        "clicks_per_minute": clicks_per_minute(source, conversion),
        "rest_noise_db": rest_noise_db(source, conversion),
    }
    return {name: value for name, value in figures.items() if value is not None}


def level_correlation(source: Sound, conversion: Sound) -> float | None:
    """Correlation of the loudness curves in dB, in [-1, 1]; None if one does not move or has less than two frames."""
    n_frames = min(len(source.levels_dbfs), len(conversion.levels_dbfs))
    first, second = (np.maximum(sound.levels_dbfs[:n_frames], _FLOOR_DBFS) for sound in (source, conversion))
    if n_frames < 2 or np.ptp(first) < 1e-9 or np.ptp(second) < 1e-9:
        return None
    return float(np.clip(np.corrcoef(first, second)[0, 1], -1.0, 1.0))


def clipped_fraction(clip: Clip) -> float:
    """Share of samples at full scale with a neighbour that is too, in [0, 1]; 0 for an empty clip.

    A single sample at full scale is a peak; two in a row are a wave with its top cut off.
    """
    is_full = np.abs(clip.samples) >= _FULL_SCALE
    has_neighbour = np.zeros_like(is_full)
    has_neighbour[1:] |= is_full[:-1]
    has_neighbour[:-1] |= is_full[1:]
    return float(np.sum(is_full & has_neighbour) / max(clip.n_samples, 1))


def clicks_per_minute(source: Sound, conversion: Sound) -> float:
    """Clicks a minute that the source does not have at the same place; 0 for an empty clip."""
    theirs = source.click_seconds
    n_new = sum(1 for time in conversion.click_seconds if not np.any(np.abs(theirs - time) < 2 * _APART_SECONDS))
    return 60.0 * n_new / conversion.seconds if conversion.seconds else 0.0


def rest_noise_db(source: Sound, conversion: Sound) -> float | None:
    """Level of the conversion where the source rests, in dB relative to where it sings.

    None if the source has no rest of 100 ms (or no singing), or the conversion is silent where the source sings.
    """
    levels, found = source.levels_dbfs, conversion.levels_dbfs
    is_sung = levels > level.gate_dbfs(levels) if len(levels) else np.zeros(0, np.bool_)
    rests = _long_runs(~is_sung, round(_SHORTEST_REST_SECONDS / _HOP_SECONDS))
    n_frames = min(len(found), len(levels))
    rest, sung = found[:n_frames][rests[:n_frames]], found[:n_frames][is_sung[:n_frames]]
    if not len(rest) or not len(sung) or sung.max() <= _FLOOR_DBFS:
        return None
    return _mean_dbfs(rest) - _mean_dbfs(sung)


def find_clicks(clip: Clip) -> Values:
    """Find the clicks of a clip: their times in seconds, `[N]`, apart from each other.

    A click is a sample that its neighbours do not predict (linear prediction, as in the restoration of old records:
    Godsill and Rayner 1998, chapter 5), far more so than the glottal pulses and consonants around it. Of steps of a
    tenth of full scale, put into our singers' recordings, it finds 34 of 40; the recordings themselves have 2 to 3 a
    minute by this measure (lips, plosives), so read it beside the row of real recordings.
    """
    if clip.seconds * _RATE < _LOCAL_SAMPLES:
        return np.zeros(0)
    samples = resample.resample_clip(clip, _RATE).samples.astype(np.float64)
    places = np.flatnonzero(_is_click(samples))
    if not len(places):
        return np.zeros(0)
    is_first = np.diff(places, prepend=-_RATE) > _APART_SECONDS * _RATE
    return places[is_first] / _RATE


def _is_click(samples: Values) -> npt.NDArray[np.bool_]:
    """Whether each sample stands out of its surroundings, `[T]` -> `[T]`."""
    n_blocks, around = -(-len(samples) // _BLOCK_SAMPLES), (_LOCAL_SAMPLES - _BLOCK_SAMPLES) // 2
    padded = np.pad(samples, (around, around + n_blocks * _BLOCK_SAMPLES - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _LOCAL_SAMPLES)[::_BLOCK_SAMPLES]  # [N, L]
    # Some at a time: what is computed of a window takes a hundred times the memory of its samples.
    pieces = [_stands_out(windows[start : start + _AT_ONCE], around) for start in range(0, n_blocks, _AT_ONCE)]
    return np.concatenate(pieces).reshape(-1)[: len(samples)]


def _stands_out(windows: Values, around: int) -> npt.NDArray[np.bool_]:
    """Whether each sample in the middle of windows `[N, L]` is a click, `[N, L - 2 * around]`."""
    error = np.abs(_prediction_error(windows))
    usual = np.percentile(error[:, _ORDER:], _LOCAL_PERCENTILE, axis=1, keepdims=True)
    blocks = error[:, around : around + _BLOCK_SAMPLES]
    return np.asarray(blocks > np.maximum(_CLICK_FACTOR * usual, level.db_to_amplitude(_CLICK_DBFS)))


def _prediction_error(windows: Values) -> Values:
    """What is left of each window `[N, L]` after linear prediction by its own autocorrelation; the start is not."""
    length = windows.shape[1]
    power = np.square(np.abs(np.fft.rfft(windows * np.hanning(length), 2 * length, axis=1)))
    correlation = np.fft.irfft(power, axis=1)[:, : _ORDER + 1]
    correlation[:, 0] = 1.0001 * correlation[:, 0] + 1e-9  # a little white noise keeps the equations solvable
    lags = np.abs(np.subtract.outer(np.arange(_ORDER), np.arange(_ORDER)))
    weights = np.linalg.solve(correlation[:, lags], correlation[:, 1:, None])[..., 0]  # [N, order]
    error = windows.copy()
    for lag in range(1, _ORDER + 1):
        error[:, lag:] -= weights[:, lag - 1 : lag] * windows[:, :-lag]
    return error


def _mean_dbfs(levels: Values) -> float:
    """Level of the mean power of frames, not below the floor."""
    return max(float(10 * np.log10(np.mean(10 ** (levels / 10)))), _FLOOR_DBFS)


def _long_runs(is_in: npt.NDArray[np.bool_], n_frames: int) -> npt.NDArray[np.bool_]:
    """Keep only runs of at least `n_frames` True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_in, [False]]).astype(np.int8)))
    kept = np.zeros_like(is_in)
    for start, stop in edges.reshape(-1, 2):
        kept[start:stop] = stop - start >= n_frames
    return kept
