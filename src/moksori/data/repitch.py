"""Pitch augmentation: the same recording at another, moving pitch, so that a singer of one note learns melodies.

The sound is read at a varying speed, which moves pitch and formants alike; then, frame by frame, the spectrum's
envelope is stretched back to where the recording had it. Only features are made, no sound: nothing has to be put
together again.

    speed 2^(s(t) / 12)     s(t) = a constant + a slow glide + a vibrato, in semitones
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori.audio import envelopes, features, pitch, resample, spectral
from moksori.audio.clip import Samples
from moksori.audio.features import FeatureConfig
from moksori.audio.pitch import PitchTrack

FURTHEST_SEMITONES = 7.0  # of the constant part, up or down
_GLIDE_SEMITONES = 1.5  # standard deviation of the knots of a glide
_GLIDE_SECONDS = 0.4  # from knot to knot
_VIBRATO_SEMITONES = 0.6  # at most
_VIBRATO_HZ = (4.5, 6.5)
_LIMIT_SEMITONES = 9.0
_OVERSAMPLING = 2  # before straight lines are drawn between samples

Curve = npt.NDArray[np.float64]
"""Semitones, one for each frame."""


def curve(n_frames: int, frame_seconds: float, rng: np.random.Generator) -> Curve:
    """Draw a moving transposition `[n_frames]`, in semitones."""
    times = np.arange(n_frames) * frame_seconds
    knots = rng.normal(0.0, _GLIDE_SEMITONES, 2 + int(n_frames * frame_seconds / _GLIDE_SECONDS))
    glide = np.interp(times, np.arange(len(knots)) * _GLIDE_SECONDS, knots)
    beats = rng.uniform(*_VIBRATO_HZ) * times + rng.random()
    vibrato = rng.uniform(0.0, _VIBRATO_SEMITONES) * np.sin(2 * np.pi * beats)
    moved = rng.uniform(-FURTHEST_SEMITONES, FURTHEST_SEMITONES) + glide + vibrato
    return np.asarray(np.clip(moved, -_LIMIT_SEMITONES, _LIMIT_SEMITONES), np.float64)


def moved(samples: Samples, track: PitchTrack, semitones: Curve, config: FeatureConfig) -> Tensor:
    """Features of a recording at another pitch, with its own formants.

    Args:
        samples: `[T]` at the config's rate.
        track: its pitch.
        semitones: for each frame of the result; where it is too short, its last value goes on.
        config: of the features.

    Returns:
        `[N_VALUES, F]`; F is such that all of the recording is read.
    """
    hop, rate = config.hop_samples, config.sample_rate
    places = _places(len(samples), semitones, hop)  # [T'] where each sample of the result is read
    fine = resample.resample(samples, rate, _OVERSAMPLING * rate)
    sound = np.interp(places * _OVERSAMPLING, np.arange(len(fine)), fine).astype(np.float32)
    at_frames = places[::hop]
    ratio = 2.0 ** (_held(semitones, len(at_frames)) / 12.0)
    f0_hz = ratio * pitch.at_times(track, at_frames / rate)
    mels = [
        features.log_mel(
            _with_formants_back(features.magnitude(sound, window, config), f0_hz, ratio, rate),
            config.filterbank(window),
        )
        for window in features.WINDOWS
    ]
    measured = envelopes.measure(sound, f0_hz, config.envelope)
    return features.join(
        mels, features.level_dbfs(sound, config), envelopes.stretched(measured, ratio, config.envelope), config
    )


def _places(n_samples: int, semitones: Curve, hop: int) -> npt.NDArray[np.float64]:
    slowest = 2.0 ** (-_LIMIT_SEMITONES / 12.0)
    n_frames = int(n_samples / hop / slowest) + 2
    speed = np.repeat(2.0 ** (_held(semitones, n_frames) / 12.0), hop)
    places = np.concatenate([[0.0], np.cumsum(speed)])
    return places[places <= n_samples - 1]


def _held(semitones: Curve, n_frames: int) -> Curve:
    return semitones[np.minimum(np.arange(n_frames), len(semitones) - 1)]


def _with_formants_back(magnitude: Tensor, f0_hz: Curve, ratio: Curve, sample_rate: int) -> Tensor:
    """Spectra `[bins, F]` whose envelopes, stretched by `ratio`, stand where they stood before."""
    logarithm = (magnitude + 1e-6).log()
    smooth = envelope(logarithm, f0_hz, sample_rate)
    n_bins = len(smooth)
    place = (torch.arange(n_bins)[:, None] * torch.from_numpy(ratio)).clamp(max=n_bins - 1).round()
    return (logarithm + (spectral.rows_at(smooth, place) - smooth).clamp(-6.0, 6.0)).exp()


def envelope(logarithm: Tensor, f0_hz: Curve, sample_rate: int) -> Tensor:
    """Envelopes of log spectra `[bins, F]`: their cepstra below six tenths of the period, where no harmonic shows."""
    longest = (0.6 * sample_rate / np.maximum(f0_hz, 80.0)).clip(0.001 * sample_rate, 0.005 * sample_rate)
    return spectral.cepstral_envelope(logarithm, torch.from_numpy(longest))
