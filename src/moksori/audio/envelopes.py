"""Spectral envelopes of harmonics and of noise, measured from a recording by pitch-synchronous analysis.

A window spans four periods of the voice (`audio.pitch_synchronous`): harmonics stand in bins 4, 8, ..., and between
them is noise.

    bins     0   1   2   3   4   5   6   7   8
    power            n       |       n       |        | harmonics 1, 2, ...; n noise between them

Both become smooth curves over bands on the mel scale, those that `models.synthesiser` sings from: an envelope says
nothing about the pitch it was measured at, so it may be sung at another.

Source: harmonic plus noise model with little noise below a voiced frequency, Stylianou 2001.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio import mels, pitch_synchronous
from moksori.audio.clip import Samples
from moksori.audio.pitch_synchronous import OVERSAMPLING, PERIODS

Curve = npt.NDArray[np.float64]

FLOOR = 1e-5  # smallest amplitude, -100 dB
LOWEST_HZ = 30.0  # f0 that the formulas take where there is none

_UNVOICED_WINDOW = 512  # samples
_LEAKAGE = 1e-3  # of a harmonic's power between harmonics, where pitch and loudness move as they do in singing
_LEAST_LEFT = 0.1  # of what is measured there, after that is taken off
_LOG_MEAN = -0.577  # mean log of a power of mean 1 that is exponentially distributed, as that of noise in a bin is
# Below this what lies between harmonics is mostly their own unsteadiness, and a voice with it sounds hoarse: the noise
# fades towards 0 Hz by so much. (Copy-synthesis of six songs: DistillMOS 3.43 -> 3.60; the songs themselves 3.82.)
_NOISE_FADES_HZ, _NOISE_FADES_NEPERS = 4000.0, 1.4
_FITS = 2  # rounds in which the curve is drawn nearer to the harmonics
_AT_ONCE = 512  # frames
_MOST_HARMONICS = 20  # that refine the pitch


@dataclass(frozen=True)
class EnvelopeConfig:
    """Of what, and how finely."""

    sample_rate: int = 24_000  # Hz
    hop_samples: int = 240
    n_bands: int = 64  # evenly spaced on the mel scale from 0 Hz to half the sample rate

    @functools.cached_property
    def bands_hz(self) -> Curve:
        """Where the bands stand, `[bands]`."""
        return mels.to_hz(np.linspace(0.0, mels.of_hz(self.sample_rate / 2), self.n_bands))

    def place(self, frequency_hz: Curve) -> Curve:
        """Where frequencies of any shape lie among the bands, 0 to `n_bands - 1`."""
        share = mels.of_hz(frequency_hz, np.log10) / mels.of_hz(self.sample_rate / 2)
        return np.asarray(np.clip(share, 0, 1) * (self.n_bands - 1))


@dataclass(frozen=True, eq=False)
class Envelopes:
    """What a recording's spectrum looks like once its pitch is taken out; F frames."""

    f0_hz: Curve  # [F], refined; 0 where unvoiced
    harmonics: Curve  # [bands, F], natural log of the amplitude of a harmonic there; the floor where unvoiced
    noise: Curve  # [bands, F], natural log of the RMS of white noise that is as loud there


def measure(
    samples: Samples,
    f0_hz: Curve,
    config: EnvelopeConfig,
    *,
    refine: bool = True,
    held_hz: Curve | None = None,
    only_voiced: bool = False,
) -> Envelopes:
    """Measure the envelopes of a sound.

    Args:
        samples: `[T]` at the config's rate, T at least 1.
        f0_hz: its pitch at every hop, `[F]`, 0 where unvoiced.
        config: rate, hop and bands.
        refine: correct the pitch by the phases of the harmonics first; a tracker's error of twenty cents moves the
            twentieth harmonic by a quarter of the way to the next.
        held_hz: what `held` says of the pitch of a whole song, for a stretch of it to be measured as in the whole;
            not with `refine`.
        only_voiced: nobody asks for the noise of unvoiced frames: it is the floor.
    """
    fine = pitch_synchronous.fine(samples, config.sample_rate, OVERSAMPLING * config.sample_rate)
    pitch_hz = np.asarray(f0_hz, np.float64)
    if refine:
        for n_harmonics in (4, 10, _MOST_HARMONICS):
            pitch_hz = _refined(fine, pitch_hz, n_harmonics, config)
    harmonics = np.full((config.n_bands, len(pitch_hz)), np.log(FLOOR))
    noise = harmonics.copy() if only_voiced else _noise_unvoiced(samples, len(pitch_hz), config)
    voiced = np.flatnonzero(pitch_hz > 0)
    held_hz = held(pitch_hz) if held_hz is None else held_hz
    for first in range(0, len(voiced), _AT_ONCE):
        some = voiced[first : first + _AT_ONCE]
        power = np.abs(_spectra(fine, held_hz, some, config)) ** 2
        harmonics[:, some], noise[:, some] = _curves(power, pitch_hz[some], config)
    return Envelopes(pitch_hz, harmonics, _steadied(noise, pitch_hz > 0))


def _steadied(noise: Curve, is_voiced: npt.NDArray[np.bool_]) -> Curve:
    """Noise `[bands, F]`, smoothed over three frames within notes: a bin a gap is little to measure by."""
    wide = np.pad(noise, ((0, 0), (1, 1)), mode="edge")
    smooth = 0.25 * wide[:, :-2] + 0.5 * wide[:, 1:-1] + 0.25 * wide[:, 2:]
    is_within = is_voiced & np.append(is_voiced[1:], False) & np.insert(is_voiced[:-1], 0, False)
    return np.where(is_within, smooth, noise)


def stretched(measured: Envelopes, ratio: Curve, config: EnvelopeConfig) -> Envelopes:
    """The envelopes with formants moved down by a factor `[F]`: what stood at `ratio * f` stands at f."""
    import torch  # programs that sing by ONNX measure envelopes, and have none

    from moksori.audio import spectral

    place = torch.from_numpy(config.place(config.bands_hz[:, None] * ratio))

    def moved(curve: Curve) -> Curve:
        return np.asarray(spectral.rows_at(torch.from_numpy(curve), place).numpy())

    return Envelopes(measured.f0_hz, moved(measured.harmonics), moved(measured.noise))


def held(f0_hz: Curve) -> Curve:
    """Pitch that unvoiced frames take over from their neighbours, `[F]`."""
    voiced = np.flatnonzero(f0_hz > 0)
    if not len(voiced):
        return np.full(len(f0_hz), 220.0)
    return np.exp(np.interp(np.arange(len(f0_hz)), voiced, np.log(np.maximum(f0_hz[voiced], LOWEST_HZ))))


def _cycles(held_hz: Curve, config: EnvelopeConfig) -> Curve:
    """Periods gone by up to each frame, `[F]`: trapezia between frames."""
    steps = 0.5 * (held_hz[1:] + held_hz[:-1]) * (config.hop_samples / config.sample_rate)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _spectra(
    fine: Samples, held_hz: Curve, some: npt.NDArray[np.int64], config: EnvelopeConfig
) -> npt.NDArray[np.complex128]:
    """Spectra around some frames, `[n, bins]`; see `pitch_synchronous.spectra`."""
    cycles, rate = _cycles(held_hz, config), config.sample_rate
    seconds = np.arange(len(held_hz), dtype=np.float64) * (config.hop_samples / rate)
    ends_hz = (float(held_hz[0]), float(held_hz[-1]))
    return pitch_synchronous.spectra(fine, OVERSAMPLING * rate, cycles, seconds, cycles[some], ends_hz)


def _refined(fine: Samples, f0_hz: Curve, n_harmonics: int, config: EnvelopeConfig) -> Curve:
    """The pitch, corrected by how fast the phases of its harmonics turn from frame to frame."""
    voiced = np.flatnonzero(f0_hz > 0)
    pairs = voiced[np.isin(voiced + 1, voiced)]  # frames that are voiced, and so is the next
    if not len(pairs):
        return f0_hz
    held_hz = held(f0_hz)
    cycles = _cycles(held_hz, config)
    number = np.arange(1, n_harmonics + 1)
    spectra = np.zeros((len(f0_hz), n_harmonics), np.complex128)
    for first in range(0, len(voiced), _AT_ONCE):
        some = voiced[first : first + _AT_ONCE]
        spectra[some] = _spectra(fine, held_hz, some, config)[:, PERIODS * number]
    below_limit = number * f0_hz[pairs, None] < 0.45 * config.sample_rate
    # The axis has turned each harmonic by whole periods of the given pitch; what is left is the pitch's error.
    product = pitch_synchronous.turned(spectra[pairs], spectra[pairs + 1], cycles[pairs + 1] - cycles[pairs])
    weight = np.sqrt(np.abs(product)) * number**2 * below_limit  # the phase of the k-th turns k times as fast
    hop_seconds = config.hop_samples / config.sample_rate
    error_hz = (weight * np.angle(product) / (2 * np.pi * number * hop_seconds)).sum(1) / (weight.sum(1) + 1e-12)
    total, count = np.zeros(len(f0_hz)), np.zeros(len(f0_hz))
    for step in (0, 1):
        np.add.at(total, pairs + step, error_hz)
        np.add.at(count, pairs + step, 1.0)
    correction = np.clip(total / np.maximum(count, 1.0), -0.03 * f0_hz, 0.03 * f0_hz)
    return np.where(f0_hz > 0, f0_hz + correction, 0.0)


def _curves(power: Curve, f0_hz: Curve, config: EnvelopeConfig) -> tuple[Curve, Curve]:
    """Curves through harmonics and through what lies between, `[n, bins] -> 2 x [bands, n]`."""
    n_harmonics = int(0.5 * config.sample_rate / f0_hz.min())
    number = np.arange(1, min(n_harmonics, (power.shape[1] - 3) // PERIODS) + 1)
    peaks = power[:, PERIODS * number]  # [n, K]
    gaps = power[:, PERIODS * number + PERIODS // 2]  # above harmonic k
    under = np.concatenate([power[:, [PERIODS // 2]], gaps[:, :-1]], axis=1)
    limit_hz = config.sample_rate / 2
    there = number * f0_hz[:, None] < limit_hz
    tones = np.maximum(peaks - 0.5 * (under + gaps), 0.05 * peaks)
    logarithm = 0.5 * np.log(tones + FLOOR**2)
    weights = _weights(number * f0_hz[:, None], there, f0_hz, config)  # [n, bands, K]
    harmonics = np.einsum("nbk,nk->nb", weights, logarithm)
    read = _readings(number * f0_hz[:, None], config)
    for _ in range(_FITS):
        harmonics += np.einsum("nbk,nk->nb", weights, logarithm - read(harmonics))
    # Noise: a bin sees 6 / window of white noise's power, the window being four periods. Logs are averaged, since a few
    # bins of a transient would outweigh all others.
    share = 6.0 / (PERIODS * config.sample_rate / f0_hz[:, None])
    following = np.concatenate([peaks[:, 1:], peaks[:, -1:]], axis=1)
    left = np.maximum(gaps - _LEAKAGE * 0.5 * (peaks + following), _LEAST_LEFT * gaps)
    quiet = np.log(left / share + FLOOR**2)
    between = _weights(
        (number + 0.5) * f0_hz[:, None], (number + 0.5) * f0_hz[:, None] < limit_hz, f0_hz, config, widest=2.0
    )
    noise = 0.5 * (np.einsum("nbk,nk->nb", between, quiet) - _LOG_MEAN)
    noise -= _NOISE_FADES_NEPERS * np.clip(1.0 - config.bands_hz / _NOISE_FADES_HZ, 0.0, 1.0)
    return harmonics.T, np.maximum(noise, np.log(FLOOR)).T


def _weights(
    place_hz: Curve, there: npt.NDArray[np.bool_], f0_hz: Curve, config: EnvelopeConfig, widest: float = 1.0
) -> Curve:
    """Triangles that gather values at places `[n, K]` into bands: `[n, bands, K]`, each band's weights sum to 1.

    A triangle reaches to the next band or the next harmonic, whichever is further: between two harmonics that are far
    apart a curve is a straight line, where many crowd into a band it is their mean. Below the first and above the last
    place the curve is level.
    """
    bands_hz = config.bands_hz
    spacing_hz = np.gradient(bands_hz)
    last = np.where(there, place_hz, 0.0).max(axis=1, keepdims=True)
    centre = np.clip(bands_hz[None], place_hz[:, :1], np.maximum(last, place_hz[:, :1]))  # [n, bands]
    width = widest * np.maximum(spacing_hz[None], f0_hz[:, None])
    weights = np.maximum(1.0 - np.abs(place_hz[:, None] - centre[:, :, None]) / width[:, :, None], 0.0)
    weights = weights * there[:, None] + 1e-9 * (np.arange(place_hz.shape[1]) == 0)
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def _readings(place_hz: Curve, config: EnvelopeConfig) -> Callable[[Curve], Curve]:
    """A function that reads log envelopes `[n, bands]` at places `[n, K]` as the synthesiser does."""
    place = config.place(place_hz)
    low = np.minimum(place.astype(np.int64), config.n_bands - 2)
    share = place - low

    def read(log_envelope: Curve) -> Curve:
        power = np.exp(2.0 * log_envelope)
        ends = [np.take_along_axis(power, low + step, axis=1) for step in (0, 1)]
        return np.asarray(0.5 * np.log(ends[0] * (1 - share) + ends[1] * share + FLOOR**2))

    return read


def _noise_unvoiced(samples: Samples, n_frames: int, config: EnvelopeConfig) -> Curve:
    """Everything as noise, `[bands, F]`, from a spectrogram of short windows."""
    margin, hop = _UNVOICED_WINDOW // 2, config.hop_samples
    n_there = min(n_frames, -(-len(samples) // hop))
    padded = np.pad(np.asarray(samples, np.float64), margin)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _UNVOICED_WINDOW)[::hop][:n_there]  # [F, window]
    hann = np.hanning(_UNVOICED_WINDOW + 1)[:-1]
    power = np.abs(np.fft.rfft(windows * hann, axis=1).T * (2.0 / hann.sum())) ** 2 / (6.0 / _UNVOICED_WINDOW)
    hz = np.arange(len(power)) * (config.sample_rate / _UNVOICED_WINDOW)
    spacing = np.maximum(np.gradient(config.bands_hz), 1.5 * config.sample_rate / _UNVOICED_WINDOW)
    weights = np.maximum(1.0 - np.abs(hz - config.bands_hz[:, None]) / spacing[:, None], 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    found = 0.5 * np.log(weights @ power + FLOOR**2)
    return np.pad(found, ((0, 0), (0, n_frames - found.shape[1])), constant_values=np.log(FLOOR))
