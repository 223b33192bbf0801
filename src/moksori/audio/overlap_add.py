"""Pitch-synchronous overlap-add (TD-PSOLA): a voice at another pitch with its formants and its timing, by no model.

    sound      |\\    |\\    |\\    |\\        a mark in each period of the voice
    grains     /^\\  /^\\  /^\\  /^\\           a window from the mark before to the mark after
    higher     /^/^/^/^/^/^                  the same grains, nearer together

A grain keeps the shape of one period, so the spectrum's envelope stays where it is; how often grains come is the new
pitch. Where nothing is voiced they come as often as before, and the sound passes unchanged. Source: Moulines and
Charpentier 1990.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moksori.audio import pitch
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTrack

_UNVOICED_SECONDS = 0.005  # s from mark to mark where there is no period
_SEARCH = 0.2  # share of a period by which a mark may leave the place that the pitch predicts, to fit the one before
_LOWEST_HZ = 40.0  # a longer period is none

Places = npt.NDArray[np.int64]


def moved(clip: Clip, track: PitchTrack, semitones: float) -> Clip:
    """The clip so many semitones higher, as loud and as long as before.

    Args:
        clip: one voice.
        track: its pitch.
        semitones: 0 gives the clip itself, to rounding.

    Returns:
        Sound of the same length and rate. The power is kept where the number of grains changes.
    """
    if not clip.n_samples:
        return clip
    places, is_voiced = marks(clip, track)
    ratio = 2.0 ** (semitones / 12.0)
    samples = clip.samples.astype(np.float64)
    result = np.zeros(len(samples))
    for centre, index in _schedule(places, is_voiced, ratio):
        gain = ratio**-0.5 if is_voiced[index] else 1.0  # n grains a second have the power of n, if they are alike
        _add_grain(result, samples, places, index, centre, gain)
    return Clip(result.astype(np.float32), clip.sample_rate)


def marks(clip: Clip, track: PitchTrack) -> tuple[Places, npt.NDArray[np.bool_]]:
    """One mark a period where the voice is, every 5 ms elsewhere.

    Returns:
        Samples `[M]`, rising from 0 to the last one; whether each begins a voiced period, `[M]`.
    """
    n_samples, rate = clip.n_samples, clip.sample_rate
    times = np.arange(0.0, clip.seconds + _UNVOICED_SECONDS, 0.001)
    f0_hz = pitch.at_times(track, times)
    samples = clip.samples.astype(np.float64)
    places, voiced = [0], [False]
    while True:
        last = places[-1]
        f0 = float(f0_hz[min(round(last / rate * 1000), len(f0_hz) - 1)])
        is_voiced = f0 >= _LOWEST_HZ
        step = max(2, round(rate / f0 if is_voiced else rate * _UNVOICED_SECONDS))
        voiced[-1] = is_voiced
        if last + step >= n_samples - 1:
            break
        here = last + step
        if is_voiced:
            here = _like_before(samples, last, here, step)
        places.append(here)
        voiced.append(False)
    if n_samples > 1:
        places.append(n_samples - 1)
        voiced.append(voiced[-1])
    return np.asarray(places, np.int64), np.asarray(voiced, np.bool_)


def _like_before(samples: Samples | npt.NDArray[np.float64], last: int, here: int, period: int) -> int:
    """The place near `here` whose surroundings are most like those of the last mark, by correlation."""
    half, reach = period // 2, max(1, round(_SEARCH * period))
    if last < half or here + reach + half > len(samples):
        return here
    before = samples[last - half : last + half]
    around = samples[here - reach - half : here + reach + half]
    products = np.correlate(around, before, mode="valid")  # [2 * reach + 1]
    power = np.convolve(np.square(around), np.ones(len(before)), mode="valid")
    return here - reach + int((products / np.sqrt(power + 1e-9)).argmax())


def _schedule(places: Places, is_voiced: npt.NDArray[np.bool_], ratio: float) -> list[tuple[int, int]]:
    """Where grains are put, and which: (place, index of the mark whose grain it is)."""
    periods = np.diff(places, append=places[-1] + 1)
    schedule, place, index = [], 0.0, 0
    while place <= places[-1]:
        while index + 1 < len(places) and abs(places[index + 1] - place) <= abs(places[index] - place):
            index += 1
        if is_voiced[index]:
            schedule.append((round(place), index))
            place += max(1.0, periods[index] / ratio)
        else:  # as it was, in step with the marks
            schedule.append((int(places[index]), index))
            if index + 1 == len(places):
                break
            place = float(places[index + 1])
    return schedule


def _add_grain(
    result: npt.NDArray[np.float64],
    samples: npt.NDArray[np.float64],
    places: Places,
    index: int,
    centre: int,
    gain: float,
) -> None:
    """Add the grain of a mark around another place: raised cosines that rise from the mark before, fall to the next.

    Neighbours' windows sum to one, so grains that stay where they were give the sound back.
    """
    mark = int(places[index])
    left = mark - int(places[index - 1]) if index else 0
    right = int(places[index + 1]) - mark if index + 1 < len(places) else 1
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(left) / max(left, 1))
    fall = 0.5 + 0.5 * np.cos(np.pi * np.arange(right) / right)
    start = centre - left
    window = np.concatenate([rise, fall])[max(0, -start) : max(0, len(result) - start)]
    first = mark - left + max(0, -start)
    result[max(0, start) : max(0, start) + len(window)] += gain * window * samples[first : first + len(window)]
