"""Notes of a melody: where a pitch contour can be taken hold of, and the octave errors of trackers.

A note here is a stretch of voiced frames around one pitch; glides of a moment and vibrato belong to it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from moksori.audio.pitch import PitchTrack

_AWAY_SEMITONES = 0.8  # from the mean of a note so far: another note, if it lasts
_LASTING_SECONDS = 0.12  # half a period of vibrato is shorter
_LEAP_SEMITONES = 6.0  # so far nobody glides: another note at once
_LEAP_SECONDS = 0.05
_GAP_SECONDS = 0.25  # a longer rest separates neighbours
_OCTAVE_SEMITONES = (10.5, 13.5)  # a leap that may be a tracker's
_LONGEST_SECONDS = 0.6  # of such an error between two notes; longer stretches are taken for sung
_LONGEST_ONSET_SECONDS = 0.15  # of one beside a single note

Note = tuple[int, int]
"""Frames of a note: the first, and the one after the last."""


def notes(track: PitchTrack) -> list[Note]:
    """The notes of a melody, in order, apart from each other; together they hold every voiced frame."""
    midi = 12.0 * np.log2(np.where(track.is_voiced, track.f0_hz, 1.0))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], track.is_voiced, [False]])))
    hop = track.hop_seconds
    lasting, leap = max(2, round(_LASTING_SECONDS / hop)), max(1, round(_LEAP_SECONDS / hop))
    runs = edges.reshape(-1, 2).tolist()
    return [note for start, stop in runs for note in _cut(midi.tolist(), start, stop, lasting, leap)]


def _cut(midi: list[float], start: int, stop: int, lasting: int, leap: int) -> list[Note]:
    """A voiced stretch, cut where the pitch leaves the note so far for longer than a moment."""
    cuts, total, n_held, n_away = [start], 0.0, 0, 0
    for place in range(start, stop):
        away = abs(midi[place] - total / n_held) if n_held else 0.0
        if away <= _AWAY_SEMITONES:
            total, n_held, n_away = total + midi[place], n_held + 1, 0
            continue
        n_away += 1
        if n_away >= (leap if away > _LEAP_SEMITONES else lasting):
            begin = place + 1 - n_away
            cuts.append(begin)
            total, n_held, n_away = sum(midi[begin : place + 1]), n_away, 0
    return list(zip(cuts, [*cuts[1:], stop], strict=True))


def octaves_repaired(track: PitchTrack) -> tuple[PitchTrack, int]:
    """Bring notes back that a tracker took an octave too high or too low.

    A short note is such an error if the notes on both sides of it lie an octave away, on the same side; a very short
    one also beside a single, much longer note. An octave that somebody sings lasts, or is stayed in.

    Returns:
        The track, and how many notes were moved.
    """
    found, f0_hz, n_moved = notes(track), track.f0_hz.copy(), 0
    middles = [12.0 * np.log2(float(np.median(f0_hz[start:stop]))) for start, stop in found]
    for number, (start, stop) in enumerate(found):
        near = [
            (middles[other] - middles[number], found[other][1] - found[other][0])
            for other in (number - 1, number + 1)
            if 0 <= other < len(found) and _gap(found, number, other) * track.hop_seconds <= _GAP_SECONDS
        ]
        octave = _octave_off(near, stop - start, track.hop_seconds)
        if octave:
            f0_hz[start:stop] *= 2.0 ** (octave / 12.0)
            middles[number] += octave
            n_moved += 1
    return replace(track, f0_hz=f0_hz), n_moved


def _gap(found: list[Note], number: int, other: int) -> int:
    """Frames between two notes that follow each other."""
    first, second = sorted((number, other))
    return found[second][0] - found[first][1]


def _octave_off(near: list[tuple[float, int]], n_frames: int, hop_seconds: float) -> float:
    """By how many semitones a note should be moved: 12, -12, or 0 where it is none of a tracker's errors.

    Args:
        near: how far the notes on either side lie above, in semitones, and their lengths in frames.
        n_frames: length of the note itself.
        hop_seconds: from frame to frame.
    """
    low, high = _OCTAVE_SEMITONES
    longest = _LONGEST_SECONDS if len(near) == 2 else _LONGEST_ONSET_SECONDS
    if not near or n_frames * hop_seconds > longest or (len(near) == 1 and near[0][1] < 3 * n_frames):
        return 0.0
    if all(low <= away <= high for away, _ in near):
        return 12.0
    return -12.0 if all(-high <= away <= -low for away, _ in near) else 0.0
