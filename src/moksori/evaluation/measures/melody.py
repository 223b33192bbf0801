"""Melody accuracy: the f0 of a conversion beside that of its source, after the transposition that was asked for.

    pitch tracks -> validate -> the frames both have -> share right, share right but for the octave, correlation, error

The measures are those of melody extraction (raw pitch and raw chroma accuracy: Poliner et al. 2007), but stricter: a
frame in which the conversion is unvoiced is wrong.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from moksori import surroundings
from moksori.audio import pitch, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTrack
from moksori.errors import UserError

TOLERANCE_CENTS = 50.0  # a quarter tone either way still is the same note
_EDGE_CENTS = 1e-6  # exactly 50 cents counts as right, whatever floating point makes of it
_FEWEST_FRAMES = 10  # for a correlation
_STILL_CENTS = 0.1  # a curve that moves less has no shape to correlate

Values = npt.NDArray[np.float64]


class Tracker(Protocol):
    """An f0 tracker."""

    name: str

    def track(self, clip: Clip) -> PitchTrack:
        """The pitch of a clip, a frame each `pitch.HOP_SECONDS`."""


class SwiftF0:
    """The tracker that comes with the package; see `pitch.PitchTracker`."""

    name = "swift-f0"
    _AT_ONCE_SECONDS = 10  # the network's memory grows with a block, and the track does not depend on them

    def __init__(self) -> None:
        self._tracker = pitch.PitchTracker()

    def track(self, clip: Clip) -> PitchTrack:
        """See `Tracker.track`."""
        n = self._AT_ONCE_SECONDS * clip.sample_rate
        blocks = [clip.samples[start : start + n] for start in range(0, max(clip.n_samples, 1), n)]
        return self._tracker.track_blocks(blocks, clip.sample_rate)


class Pyin:
    """Probabilistic YIN (Mauch and Dixon 2014) as librosa does it; slower, and of another family."""

    name = "pyin"
    _RATE = 16000  # Hz
    _WINDOW_SAMPLES = 1024  # three periods of the lowest tone
    _AT_ONCE_FRAMES = 1250  # 20 s: its memory grows with the length, half a gigabyte for three minutes
    _MARGIN_FRAMES = 63  # 1 s on either side, in which a piece finds its way to the best path

    def track(self, clip: Clip) -> PitchTrack:
        """See `Tracker.track`."""
        samples = resample.resample_clip(clip, self._RATE).samples
        hop_samples = round(pitch.HOP_SECONDS * self._RATE)
        n_frames = max(len(samples) // hop_samples, 1 if len(samples) else 0)
        f0_hz, probability, is_voiced = np.zeros(n_frames), np.zeros(n_frames), np.zeros(n_frames, np.bool_)
        for start in range(0, n_frames, self._AT_ONCE_FRAMES):
            stop = min(start + self._AT_ONCE_FRAMES, n_frames)
            first = max(0, start - self._MARGIN_FRAMES)
            piece = samples[first * hop_samples : (stop + self._MARGIN_FRAMES) * hop_samples]
            if np.abs(piece).max(initial=0.0) > 0:
                found = self._track(piece)
                for whole, part in zip((f0_hz, probability, is_voiced), found, strict=True):
                    whole[start:stop] = part[start - first : stop - first]
        return PitchTrack(f0_hz, probability, is_voiced, pitch.HOP_SECONDS)

    def _track(self, samples: Samples) -> tuple[Values, Values, npt.NDArray[np.bool_]]:
        """F0 in Hz or 0, probability and voicing of samples that are not silent, a frame more than there are hops."""
        surroundings.before_numba()
        librosa = importlib.import_module("librosa")
        f0_hz, is_voiced, probability = librosa.pyin(
            samples,
            fmin=pitch.LOW_HZ,
            fmax=pitch.HIGH_HZ,
            sr=self._RATE,
            frame_length=self._WINDOW_SAMPLES,
            hop_length=round(pitch.HOP_SECONDS * self._RATE),
            resolution=0.1,
        )
        is_voiced &= np.isfinite(f0_hz)
        return np.where(is_voiced, f0_hz, 0.0), probability, is_voiced


TRACKERS: dict[str, Callable[[], Tracker]] = {SwiftF0.name: SwiftF0, Pyin.name: Pyin}


AUTO = "auto"


def independent_of(conditioned_by: str | None) -> str:
    """The tracker to judge a voice by.

    Args:
        conditioned_by: the tracker whose f0 the voice is conditioned on; None if it is not.

    Returns:
        Another one if it is installed: a voice would agree with the mistakes of the one that it is conditioned on.
    """
    is_there = importlib.util.find_spec("librosa") is not None
    return Pyin.name if conditioned_by == SwiftF0.name and is_there else SwiftF0.name


def tracker(name: str) -> Tracker:
    """A tracker by name.

    A model that is conditioned on the pitch of one tracker must be judged by another: it would agree with its own
    mistakes.

    Raises:
        UserError: no tracker of that name, or it is not installed.
    """
    if name not in TRACKERS:
        raise UserError(f"unknown pitch tracker {name!r}; known are {', '.join(TRACKERS)}")
    if name == Pyin.name and importlib.util.find_spec("librosa") is None:
        raise UserError("pyin comes with librosa, which is not installed here; try `pip install 'moksori[judges]'`")
    return TRACKERS[name]()


@dataclass(frozen=True)
class Melody:
    """How well a melody is kept; shares are of the source's voiced frames, in [0, 1]."""

    raw_pitch_accuracy: float  # within 50 cents of the tone asked for
    raw_chroma_accuracy: float  # within 50 cents of some octave of it
    octave_error: float  # the difference of the two: the right note in a wrong octave
    voicing_f1: float  # of the conversion's voiced frames, with the source's as truth
    pitch_correlation: float | None  # of log pitch where both are voiced; None under 10 frames, or without any movement
    pitch_rmse_cents: float | None  # where both are voiced; None where they never are


def validate(source: PitchTrack, conversion: PitchTrack) -> None:
    """Refuse tracks whose frames are not at the same times.

    Raises:
        ValueError: the hops differ.
    """
    if source.hop_seconds != conversion.hop_seconds:
        raise ValueError(f"tracks of {source.hop_seconds} s and {conversion.hop_seconds} s a frame cannot be compared")


def measure(source: PitchTrack, conversion: PitchTrack, transpose_semitones: float = 0.0) -> Melody | None:
    """Compare a conversion's melody with its source's.

    Args:
        source: track of the source, F frames.
        conversion: track of the conversion, of the same hop; frames that it lacks count as unvoiced.
        transpose_semitones: that was asked for.

    Returns:
        The figures; None if the source has no voiced frame, for then there is no melody to keep.

    Raises:
        ValueError: the tracks have different hops.
    """
    validate(source, conversion)
    if not source.is_voiced.any():
        return None
    cents = deviation_cents(source, conversion, transpose_semitones)
    accuracy, chroma = raw_pitch_accuracy(source, cents), raw_chroma_accuracy(source, cents)
    both = source.is_voiced & _is_voiced(conversion, len(source.f0_hz))
    return Melody(
        accuracy,
        chroma,
        chroma - accuracy,
        voicing_f1(source.is_voiced, conversion.is_voiced),
        correlation(np.log2(source.f0_hz[both]), np.log2(conversion.f0_hz[: len(both)][both[: len(conversion.f0_hz)]])),
        float(np.sqrt(np.mean(np.square(cents)))) if len(cents) else None,
    )


def evaluate(source: PitchTrack, conversion: PitchTrack, transpose_semitones: float = 0.0) -> dict[str, float]:
    """What a report says of a conversion beside its source, by metric; what is not defined is left out."""
    melody = measure(source, conversion, transpose_semitones)
    return {} if melody is None else {name: value for name, value in vars(melody).items() if value is not None}


def deviation_cents(source: PitchTrack, conversion: PitchTrack, transpose_semitones: float = 0.0) -> Values:
    """How far the conversion lies above the tone asked for, where both are voiced, `[N]` in cents."""
    n_frames = min(len(source.f0_hz), len(conversion.f0_hz))
    both = source.is_voiced[:n_frames] & conversion.is_voiced[:n_frames]
    above = pitch.cents_between(conversion.f0_hz[:n_frames][both], source.f0_hz[:n_frames][both])
    return above - 100.0 * transpose_semitones


def raw_pitch_accuracy(source: PitchTrack, cents: Values) -> float:
    """Share of the source's voiced frames with a deviation of at most 50 cents; 0 if there are none."""
    return float(np.sum(np.abs(cents) <= TOLERANCE_CENTS + _EDGE_CENTS) / max(source.is_voiced.sum(), 1))


def raw_chroma_accuracy(source: PitchTrack, cents: Values) -> float:
    """The same with deviations taken to the nearest octave."""
    return raw_pitch_accuracy(source, (cents + 600.0) % 1200.0 - 600.0)


def voicing_f1(is_voiced: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> float:
    """F1 score of voiced frames, in [0, 1]; frames that one of the tracks lacks are unvoiced there.

    Two tracks without a voiced frame agree: 1.
    """
    n_both = int(np.sum(is_voiced[: len(found)] & found[: len(is_voiced)]))
    n_either = int(is_voiced.sum() + found.sum())
    return 2 * n_both / n_either if n_either else 1.0


def correlation(first: Values, second: Values) -> float | None:
    """Correlation of two curves of log2 pitch; None under 10 frames, or where one stands still."""
    still = _STILL_CENTS / 1200.0
    if len(first) < _FEWEST_FRAMES or np.std(first) < still or np.std(second) < still:
        return None
    return float(np.clip(np.corrcoef(first, second)[0, 1], -1.0, 1.0))


def _is_voiced(track: PitchTrack, n_frames: int) -> npt.NDArray[np.bool_]:
    """Voicing of exactly `n_frames` frames."""
    own = track.is_voiced[:n_frames]
    return np.pad(own, (0, n_frames - len(own)))
