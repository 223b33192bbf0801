"""Transposition: which octave suits a singer, and which notes lie outside the singer's range.

Whole octaves leave a song in its key, so that a backing track still fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio import pitch
from moksori.audio.pitch import PitchRange, PitchTrack

HIGHEST_HZ = 1900.0  # nothing is moved beyond what the tracker can hear
_FURTHEST_OCTAVES = 3
_HIGHEST_PERCENTILE = 99  # of a song's notes; what lies beyond may be an error of the tracker
_AS_GOOD = 1.0  # semitones squared, that an octave may be worse than the best and still be taken
_TOLERANCE_SEMITONES = 2.0  # beyond a singer's range that still counts as inside
_SHORTEST_SECONDS = 0.15  # of a note outside the range that is worth a word
_GAP_SECONDS = 0.1  # shorter rests do not end such a note

Pitches = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outside:
    """A stretch of a song that its singer never sang so high, or so low."""

    start_seconds: float
    stop_seconds: float
    note: str  # the one furthest out, as sung


def whole_octaves(track: PitchTrack, singer: PitchRange) -> float:
    """The transposition in semitones, a multiple of 12, that brings a song to where a singer sings.

    The fewest octaves that do: a song that lies within the singer's range for the most part stays as it is; else it is
    moved to where it leaves the range by as little as can be (mean square), and of octaves that are as good the
    nearest is taken. Each one costs words.

    Args:
        track: of the song; only its notes count, see `pitch.is_note`.
        singer: where the singer sang in training.
    """
    song = track.f0_hz[pitch.is_note(track)]
    if not len(song) or _share_inside(song, singer) > 0.9:
        return 0.0
    lowest_hz, highest_hz = np.percentile(song, [100 - _HIGHEST_PERCENTILE, _HIGHEST_PERCENTILE])
    keys = _within_hearing(12 * np.arange(-_FURTHEST_OCTAVES, _FURTHEST_OCTAVES + 1), highest_hz)
    away = _away(np.clip(song, lowest_hz, highest_hz), keys, singer)
    is_good = away <= away.min() + _AS_GOOD
    return float(keys[np.lexsort((away, np.abs(keys), ~is_good))[0]])


def nearest(track: PitchTrack, singer: PitchRange) -> float:
    """The transposition in whole semitones with which a song lies best within a singer's range.

    The key changes; the voice is at home. Where the song leaves the range, it leaves it by as little as can be (mean
    square, in semitones); where several keys fit, the one whose middle is nearest to the singer's.

    Args:
        track: of the song; only its notes count, see `pitch.is_note`.
        singer: where the singer sang in training.
    """
    song = track.f0_hz[pitch.is_note(track)]
    if not len(song):
        return 0.0
    keys = np.arange(-12 * _FURTHEST_OCTAVES, 12 * _FURTHEST_OCTAVES + 1)
    keys = _within_hearing(keys, float(np.percentile(song, _HIGHEST_PERCENTILE)))
    return float(keys[_best(song, keys, singer)])


def _within_hearing(semitones: npt.NDArray[np.int64], highest_hz: float) -> npt.NDArray[np.int64]:
    """Those of some transpositions that move no note beyond what the tracker can hear."""
    return semitones[(semitones <= 0) | (highest_hz * 2.0 ** (semitones / 12.0) <= HIGHEST_HZ)]


def _best(song_hz: Pitches, semitones: npt.NDArray[np.int64], singer: PitchRange) -> int:
    """Which of some transpositions `[K]` brings notes `[N]` best into a range, see `nearest`."""
    off_middle = np.abs(pitch.cents_between(np.median(song_hz), singer.median_hz) / 100.0 + semitones)
    return int(np.lexsort((off_middle, np.round(_away(song_hz, semitones, singer), 6)))[0])


def _away(song_hz: Pitches, semitones: npt.NDArray[np.int64], singer: PitchRange) -> Pitches:
    """How far notes `[N]` lie outside a range after some transpositions `[K]`, mean square in semitones: `[K]`."""
    low, high = (pitch.cents_between(song_hz, end_hz) / 100.0 for end_hz in (singer.low_hz, singer.high_hz))
    outside = [np.maximum(0.0, np.maximum(-(low + key), high + key)) for key in semitones]
    return np.asarray([np.square(beyond).mean() for beyond in outside])


def moved(f0_hz: Pitches, semitones: float) -> Pitches:
    """A song's pitch so many semitones higher; unvoiced frames stay 0."""
    return np.asarray(f0_hz * 2.0 ** (semitones / 12.0), np.float64)


def outside(f0_hz: Pitches, hop_seconds: float, singer: PitchRange) -> list[Outside]:
    """Where a song leaves a singer's range by more than a whole tone, for longer than a moment.

    Args:
        f0_hz: as it is to be sung, 0 where unvoiced.
        hop_seconds: from frame to frame.
        singer: where the singer sang in training.
    """
    is_out = (f0_hz > 0) & ~_is_inside(np.maximum(f0_hz, 1e-9), singer)
    gap, shortest = round(_GAP_SECONDS / hop_seconds), _SHORTEST_SECONDS / hop_seconds
    found: list[Outside] = []
    places = np.flatnonzero(is_out)
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1 + gap) + 1):
        if len(run) and len(run) >= shortest:
            sung = f0_hz[run]
            away = np.abs(np.log2(sung / np.clip(sung, singer.low_hz, singer.high_hz)))
            note = pitch.note_name(float(sung[int(away.argmax())]))
            found.append(Outside(round(run[0] * hop_seconds, 2), round((run[-1] + 1) * hop_seconds, 2), note))
    return found


def between(ranges: list[tuple[PitchRange, float]]) -> PitchRange:
    """The range of a voice between singers: geometric means, by shares that sum to 1; at least one singer."""
    logs = sum(share * np.log([own.low_hz, own.median_hz, own.high_hz]) for own, share in ranges)
    low, median, high = np.exp(logs).tolist()
    return PitchRange(low, median, high)


def _is_inside(f0_hz: Pitches, singer: PitchRange) -> npt.NDArray[np.bool_]:
    tolerance = 2.0 ** (_TOLERANCE_SEMITONES / 12.0)
    return np.asarray((f0_hz >= singer.low_hz / tolerance) & (f0_hz <= singer.high_hz * tolerance), np.bool_)


def _share_inside(f0_hz: Pitches, singer: PitchRange) -> float:
    return float(_is_inside(f0_hz, singer).mean())
