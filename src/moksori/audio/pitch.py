"""Pitch: the fundamental frequency of a voice over time, and the words of music for it.

Tracking is done by swift-f0, a small network that comes with its package; frames are 16 ms apart. What is too soft for
it is raised first (`levelling`), so that a soft verse keeps its melody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import swift_f0

from moksori.audio import levelling, resample
from moksori.audio.clip import Clip, Samples

LOW_HZ, HIGH_HZ = 46.875, 2093.75  # what the tracker can hear: F#1 to C7
HOP_SECONDS = 0.016  # s from one frame to the next
VOICED_CONFIDENCE = 0.5  # the tracker's scores are calibrated to this threshold
BIN_CENTS = 20.0  # width of the bins of a pitch histogram

_LEAP_CENTS = 150.0  # from one frame to the next: faster than any voice glides, so something else begins
_NOTE_FRAMES = 5  # 80 ms; what is shorter is a glitch of the tracker, or a sibilant

_RATE = 16000  # Hz, what the network was trained on
_HOP_SAMPLES = 256
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True, eq=False)
class PitchTrack:
    """The pitch of a clip over time; F frames, frame i at `i * hop_seconds`."""

    f0_hz: npt.NDArray[np.float64]  # [F], 0 where unvoiced
    confidence: npt.NDArray[np.float64]  # [F], in [0, 1]
    is_voiced: npt.NDArray[np.bool_]  # [F]
    hop_seconds: float  # s

    @property
    def times_seconds(self) -> npt.NDArray[np.float64]:
        """Time of each frame, `[F]`."""
        return np.arange(len(self.f0_hz), dtype=np.float64) * self.hop_seconds

    @property
    def voiced_hz(self) -> npt.NDArray[np.float64]:
        """The f0 of the voiced frames only."""
        return self.f0_hz[self.is_voiced]


def joined(tracks: Sequence[PitchTrack]) -> PitchTrack:
    """Tracks of one hop, one behind the other; at least one."""
    return PitchTrack(
        np.concatenate([track.f0_hz for track in tracks]),
        np.concatenate([track.confidence for track in tracks]),
        np.concatenate([track.is_voiced for track in tracks]),
        tracks[0].hop_seconds,
    )


def n_frames(n_samples: int, sample_rate: int) -> int:
    """Frames of the track of a clip: at least one, but none for an empty clip."""
    return max(1, -(-n_samples * _RATE // sample_rate) // _HOP_SAMPLES) if n_samples else 0


class Tracker(Protocol):
    """Whoever tells the pitch of a recording."""

    def track(self, clip: Clip) -> PitchTrack:
        """Track a whole clip; see `n_frames`."""

    def track_blocks(self, blocks: Iterable[Samples], sample_rate: int) -> PitchTrack:
        """Track a recording that comes in mono blocks `[n]`; the same result as for the whole."""


class PitchTracker:
    """A loaded pitch network. Making one takes 20 ms; one may serve several threads at once."""

    def __init__(self) -> None:
        self._network = swift_f0.SwiftF0(threads=1, spin=False)

    def __reduce__(self) -> tuple[type[PitchTracker], tuple[()]]:
        """A copy, also in another process, loads the network anew."""
        return PitchTracker, ()

    def track(self, clip: Clip) -> PitchTrack:
        """Track a whole clip.

        Returns:
            A track of `n_frames` frames. Silence and nearly all noise are unvoiced.
        """
        return self.track_blocks([clip.samples], clip.sample_rate)

    def track_blocks(self, blocks: Iterable[Samples], sample_rate: int) -> PitchTrack:
        """Track a recording that comes in mono blocks `[n]`, in bounded memory; the same result as for the whole."""
        resampler, leveller = resample.StreamResampler(sample_rate, _RATE), levelling.StreamLeveller(_RATE)
        stream = self._network.stream()
        results = [stream.push(leveller.push(resampler.push(block)), _RATE) for block in blocks]
        results.append(stream.push(leveller.push(resampler.flush()), _RATE))
        results += [stream.push(leveller.flush(), _RATE), stream.flush()]
        f0_hz = np.concatenate([result.pitch_hz for result in results])
        confidence = np.concatenate([result.confidence for result in results])
        is_voiced = confidence >= VOICED_CONFIDENCE
        is_voiced &= ~_is_no_voice(np.where(is_voiced, f0_hz, 0.0), leveller)
        return PitchTrack(np.where(is_voiced, f0_hz, 0.0), confidence, is_voiced, HOP_SECONDS)


def _is_no_voice(f0_hz: npt.NDArray[np.float64], leveller: levelling.StreamLeveller) -> npt.NDArray[np.bool_]:
    """Which frames of a track `[F]` are a hum or a flicker of noise, of a recording that was raised."""
    gains_db = leveller.gains_db  # [G], at the middles of frames
    if not gains_db.any():
        return np.zeros(len(f0_hz), np.bool_)
    middles = (np.arange(len(gains_db)) + 0.5) * leveller.hop_samples / _RATE
    is_raised = np.interp(np.arange(len(f0_hz)) * HOP_SECONDS, middles, gains_db) > 0
    is_flicker = levelling.is_flicker(f0_hz, is_raised, HOP_SECONDS)
    return is_flicker | levelling.is_hum(f0_hz, is_raised, HOP_SECONDS)


@dataclass(frozen=True)
class PitchRange:
    """Where a voice moves, in Hz.

    Raises:
        ValueError: it does not rise from above 0.
    """

    low_hz: float  # 5th percentile of the notes, see `range_of`
    median_hz: float
    high_hz: float  # 95th percentile

    def __post_init__(self) -> None:
        if not 0 < self.low_hz <= self.median_hz <= self.high_hz:
            raise ValueError(f"a range rises from above 0: {self}")

    def rounded(self) -> PitchRange:
        """The same to hundredths of a Hz, as ranges are written down."""
        return PitchRange(round(self.low_hz, 2), round(self.median_hz, 2), round(self.high_hz, 2))


def is_note(track: PitchTrack) -> npt.NDArray[np.bool_]:
    """Which frames belong to notes that are held, `[F]`; trackers lie now and then, and sibilants are no notes.

    A stretch of voiced frames that moves without a leap (150 cents a frame) counts if it lasts 80 ms. Where no stretch
    does, every voiced frame counts: something has to.
    """
    logs = 1200.0 * np.log2(np.where(track.is_voiced, track.f0_hz, 1.0))
    begins = np.concatenate([[True], (np.abs(np.diff(logs)) > _LEAP_CENTS) | np.diff(track.is_voiced)])
    stretch = np.cumsum(begins[: len(logs)]) - 1  # [F], the number of each frame's stretch
    lasts = np.bincount(stretch, minlength=1)[stretch] >= _NOTE_FRAMES
    held = np.asarray(track.is_voiced & lasts, np.bool_)
    return held if held.any() else track.is_voiced


Histogram = Mapping[int, float]
"""How long each pitch was sung, in frames weighted by the tracker's confidence: bin -> weight. Bin b is 20 cents wide,
and its middle is MIDI number b / 5."""


def histogram(track: PitchTrack) -> Histogram:
    """The pitches of the notes of a track, see `is_note`; empty when nothing is voiced."""
    found: Counter[int] = Counter()
    notes = is_note(track)
    for hz, weight in zip(track.f0_hz[notes].tolist(), track.confidence[notes].tolist(), strict=True):
        found[round(100.0 * hz_to_midi(hz) / BIN_CENTS)] += weight
    return found


def range_of(weights: Histogram) -> PitchRange | None:
    """The 5th percentile, median and 95th percentile of what was sung; None for an empty histogram.

    The one rule by which ranges are found, of a song as of a singer: many recordings count by the sum of their
    histograms, so that a long one counts for more, and frames that the tracker is unsure of for less.
    """
    bins = sorted(pitched for pitched, weight in weights.items() if weight > 0)
    if not bins:
        return None
    until = np.cumsum([weights[pitched] for pitched in bins])
    low, median, high = (bins[int(place)] for place in np.searchsorted(until, until[-1] * np.array([0.05, 0.5, 0.95])))
    return PitchRange(*(midi_to_hz(pitched * BIN_CENTS / 100.0) for pitched in (low, median, high)))


def range_hz(track: PitchTrack) -> PitchRange | None:
    """The range of one track, see `range_of`; None when no frame is voiced."""
    return range_of(histogram(track))


def at_times(track: PitchTrack, times_seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Read a track at any times: f0 in Hz, 0 where unvoiced.

    Between frames pitch moves in a straight line on the scale of notes; the nearer frame says whether there is any.
    """
    return interpolated(times_seconds, track.times_seconds, track.f0_hz, track.is_voiced)


def excerpt(track: PitchTrack, start_seconds: float, seconds: float) -> PitchTrack:
    """The part of a track from a time on; beyond its end nothing is voiced."""
    n_frames = max(1, round(seconds / track.hop_seconds))
    times = start_seconds + np.arange(n_frames, dtype=np.float64) * track.hop_seconds
    ends = track.times_seconds[-1] + track.hop_seconds if len(track.f0_hz) else 0.0
    f0_hz = np.where(times <= ends, at_times(track, times), 0.0)
    return PitchTrack(f0_hz, (f0_hz > 0).astype(np.float64), f0_hz > 0, track.hop_seconds)


def interpolated(
    times_seconds: npt.NDArray[np.float64],
    known_seconds: npt.NDArray[np.float64],
    f0_hz: npt.NDArray[np.float64],
    is_voiced: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Pitch at any times, `[n]`, from points that need not be evenly spaced; see `at_times`.

    Args:
        times_seconds: `[n]`.
        known_seconds: `[P]`, rising: where pitch is known.
        f0_hz: `[P]`, above 0 where voiced.
        is_voiced: `[P]`.
    """
    if not is_voiced.any():
        return np.zeros(len(times_seconds))
    here = np.interp(times_seconds, known_seconds, is_voiced.astype(np.float64)) > 0.5
    moved = np.exp(np.interp(times_seconds, known_seconds[is_voiced], np.log(f0_hz[is_voiced])))
    return np.where(here, moved, 0.0)


def cents_between(f0_hz: npt.ArrayLike, reference_hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return how far pitches lie above a reference, in cents (negative: below).

    Args:
        f0_hz: above 0; one or many.
        reference_hz: above 0; one, or as many.

    >>> cents_between([880.0, 220.0], 440.0).tolist()
    [1200.0, -1200.0]
    """
    ratio = np.asarray(f0_hz, np.float64) / np.asarray(reference_hz, np.float64)
    return np.asarray(1200.0 * np.log2(ratio), np.float64)


def transpose(f0_hz: float, semitones: float) -> float:
    """Return the pitch that lies so many semitones above.

    >>> transpose(440.0, -12)
    220.0
    """
    return float(f0_hz * 2.0 ** (semitones / 12.0))


def hz_to_midi(f0_hz: float) -> float:
    """Return the MIDI number of a pitch, with fractions: A4 = 440 Hz = 69."""
    return 69.0 + float(cents_between(f0_hz, 440.0)) / 100.0


def midi_to_hz(midi: float) -> float:
    """Return the pitch of a MIDI number.

    >>> midi_to_hz(69)
    440.0
    """
    return transpose(440.0, midi - 69.0)


def note_name(f0_hz: float) -> str:
    """Return the name of the nearest note of the equal temperament, middle C being C4.

    Raises:
        ValueError: the pitch is not above 0.

    >>> note_name(440.0), note_name(261.6), note_name(466.2)
    ('A4', 'C4', 'A#4')
    """
    if not f0_hz > 0:
        raise ValueError(f"{f0_hz} Hz is no pitch")
    octave, degree = divmod(round(hz_to_midi(f0_hz)), 12)
    return f"{_NAMES[degree]}{octave - 1}"
