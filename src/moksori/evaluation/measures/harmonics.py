"""Naturalness as figures: harmonics and the noise between them, frame by frame, beside those of the source.

    sound -> read at even steps of the voice's phase -> windows of 4 periods -> spectrum, 4 bins a harmonic
                                                          bins 4, 8, 12, ...: tones;  bins 6, 10, ...: noise between

The spectra are those of `audio.pitch_synchronous`, by which envelopes are measured, too. The pitch is refined by the
phases of the lower harmonics, since a tracker's error of 20 cents is half a harmonic at the 40th. By bands, because
ears and faults differ there.

A blurred voice, a mean over what a net cannot tell apart, has wrong harmonics, moves too little from frame to frame,
and hisses; a hoarse patch is a moment in which a note turns into loud hiss altogether.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio import pitch, pitch_synchronous
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTrack
from moksori.audio.pitch_synchronous import OVERSAMPLING, PERIODS, POINTS, WINDOW

BANDS_HZ = {"low": (0.0, 1000.0), "mid": (1000.0, 4000.0), "high": (4000.0, 8000.0)}
HOP_SECONDS = 0.01

_RATE = 24000
_FINE_RATE = OVERSAMPLING * _RATE
_ROUNDS = (4, 10, 20)  # harmonics whose phases refine the pitch, a round after another: more would wrap at first
_LARGEST_CORRECTION = 0.03  # of f0, half a semitone, in each round: where there is only noise, phases say nothing
_SMOOTH_FRAMES = 5  # over which a correction is averaged
_FLOOR_DB = 60.0  # harmonics this far below the loudest one of the clip are as good as silent
_FEWEST_FRAMES = 10  # for a figure
_AT_ONCE = 500  # frames, 5 s

# A hoarse patch: in the source a tone, in the conversion noise, for as long as an ear needs and not as a consonant.
_HOARSE_BAND_HZ = (1500.0, 8000.0)
_HOARSE_DB = 0.0  # tones of the conversion over its noise, at most
_WORSE_DB = 10.0  # than the source at the same moment
_LOUD_DB = -6.0  # noise against the usual tones and noise of the conversion in the band: loud hiss, not a fading note
_PATCH_SECONDS = (0.05, 0.15)  # shorter is no patch; a longer one counts once for each such stretch that it begins

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Harmonics:
    """Powers on a 10 ms grid; frame i at `i * HOP_SECONDS`, K harmonics."""

    f0_hz: Values  # [F], refined; 0 where unvoiced
    tone: Values  # [F, K], power of harmonics 1 to K, noise taken off; 0 where there is none
    noise: Values  # [F, K], power of the noise in the f0 around each harmonic
    top_hz: float  # beyond which the clip holds nothing

    @property
    def hz(self) -> Values:
        """Frequency of each harmonic, `[F, K]`."""
        return self.f0_hz[:, None] * np.arange(1, self.tone.shape[1] + 1)

    def inside(self, low_hz: float, high_hz: float) -> npt.NDArray[np.bool_]:
        """Which harmonics lie in a band and in the clip, `[F, K]`."""
        hz = self.hz
        return (hz > low_hz) & (hz >= 1.0) & (hz <= min(high_hz, self.top_hz))


def evaluate(
    source: Clip, source_track: PitchTrack, conversion: Clip, track: PitchTrack, semitones: float, *, is_same: bool
) -> dict[str, float]:
    """All figures of this module by the names of a report; what is not defined is left out.

    Args:
        source: a voice.
        source_track: its pitch.
        conversion: what became of it, of one timing with it.
        track: its pitch.
        semitones: how much higher it was asked for.
        is_same: whether it is meant to be the source itself, sung anew: then harmonics are compared one by one.
    """
    first = analyse(source, source_track)
    asked_hz = curve(source.seconds, source_track) * 2.0 ** (semitones / 12.0)
    return compare(first, analyse(conversion, track, asked_hz), is_same=is_same)


def analyse(clip: Clip, track: PitchTrack, asked_hz: Values | None = None) -> Harmonics:
    """Measure a clip at its own pitch; a conversion also where it has none, at the pitch that was asked for.

    Args:
        clip: one voice.
        track: its pitch.
        asked_hz: `[F]` at `HOP_SECONDS`, of a conversion: hiss has no pitch of its own. Frames beyond it are left out.
    """
    own_hz = curve(clip.seconds, track)
    if asked_hz is None:
        return measure(clip, own_hz)
    n_frames = min(len(asked_hz), len(own_hz))
    return measure(clip, np.where(own_hz[:n_frames] > 0, own_hz[:n_frames], asked_hz[:n_frames]))


def compare(first: Harmonics, second: Harmonics, *, is_same: bool) -> dict[str, float]:
    """What a report says of the harmonics of a conversion, the second, beside those of its source; see `evaluate`."""
    figures: dict[str, float | None] = {}
    for band in BANDS_HZ:
        if is_same:
            figures[f"harmonic_error_{band}_db"] = harmonic_error_db(first, second, band)
        movements = movement_db(first, band), movement_db(second, band)
        if movements[0] is not None and movements[1] is not None and movements[0] > 0:
            figures[f"movement_{band}"] = movements[1] / movements[0]
        ratios = tone_to_noise_db(first, band), tone_to_noise_db(second, band)
        if ratios[0] is not None and ratios[1] is not None:
            figures[f"tone_to_noise_{band}_db"] = ratios[1] - ratios[0]
    figures["hoarse_per_minute"] = hoarse_per_minute(first, second)
    return {name: value for name, value in figures.items() if value is not None}


def measure(clip: Clip, f0_hz: Values) -> Harmonics:
    """Harmonics and noise of a clip.

    Args:
        clip: one voice.
        f0_hz: `[F]` at `HOP_SECONDS`, as a tracker says; 0 where unvoiced.

    Returns:
        F frames; those that are unvoiced, or nearer to an end than half a window, have f0 0.
    """
    voiced = np.flatnonzero(f0_hz > 0)
    if not len(voiced) or not clip.n_samples:
        return Harmonics(np.zeros(len(f0_hz)), np.zeros((len(f0_hz), 1)), np.zeros((len(f0_hz), 1)), 0.0)
    fine = pitch_synchronous.fine(clip.samples, clip.sample_rate, _FINE_RATE)
    times = np.arange(len(f0_hz)) * HOP_SECONDS
    refined = np.exp(np.interp(times, times[voiced], np.log(f0_hz[voiced])))  # goes on where nothing is voiced
    for n_harmonics in _ROUNDS:
        refined = refined * (1.0 + _correction(fine, refined, voiced, n_harmonics))
    half = PERIODS / 2 / refined
    voiced = voiced[(times > half)[voiced] & (times + half < clip.seconds)[voiced]]
    n_harmonics = min(int(8000.0 / refined.min()), POINTS // 2 - 1)
    at = PERIODS * np.arange(1, n_harmonics + 1)
    of_noise = WINDOW.sum() ** 2 / np.square(WINDOW).sum() / (2 * POINTS)  # power around a harmonic, of a bin's
    tone, noise = np.zeros((2, len(f0_hz), n_harmonics))
    for some in _stretches(voiced):
        power = np.square(np.abs(_spectra(fine, refined, some)))  # [n, 2 POINTS + 1]
        between = (power[:, at - PERIODS // 2] + power[:, at + PERIODS // 2]) / 2
        tone[some] = np.maximum(power[:, at] - between, 0.0) / 2  # a sine of amplitude a has a power of a^2 / 2
        noise[some] = of_noise * between
    known = np.zeros(len(f0_hz))
    known[voiced] = refined[voiced]
    return Harmonics(known, tone, noise, 0.48 * clip.sample_rate)


def harmonic_error_db(source: Harmonics, other: Harmonics, band: str) -> float | None:
    """How far the harmonics of a voice sung anew are from its own, mean of absolute dB; gain plays no part.

    None where too few frames are voiced in both.
    """
    n_frames, n_harmonics = (min(source.tone.shape[axis], other.tone.shape[axis]) for axis in (0, 1))
    both = np.s_[:n_frames, :n_harmonics]
    first, second = _decibels(source)[both], _decibels(other)[both]
    loud = (source.f0_hz[:n_frames] > 0) & (other.f0_hz[:n_frames] > 0)
    inside = source.inside(*BANDS_HZ[band])[both] & loud[:, None]
    everywhere = source.inside(0.0, 8000.0)[both] & loud[:, None]
    if np.count_nonzero(inside.any(axis=1)) < _FEWEST_FRAMES:
        return None
    gain_db = np.median((second - first)[everywhere])
    return float(np.abs(second - first - gain_db)[inside].mean())


def movement_db(voice: Harmonics, band: str) -> float | None:
    """How far each harmonic moves within 10 ms, mean of absolute dB; None where too few frames are voiced."""
    level_db, inside = _decibels(voice), voice.inside(*BANDS_HZ[band])
    both = inside[1:] & inside[:-1]
    if np.count_nonzero(both.any(axis=1)) < _FEWEST_FRAMES:
        return None
    return float(np.abs(np.diff(level_db, axis=0))[both].mean())


def tone_to_noise_db(voice: Harmonics, band: str) -> float | None:
    """Power of the harmonics over that of the noise between them, where voiced; None where too few frames are."""
    inside = voice.inside(*BANDS_HZ[band])
    if np.count_nonzero(inside.any(axis=1)) < _FEWEST_FRAMES:
        return None
    return float(10 * np.log10((voice.tone[inside].sum() + 1e-12) / (voice.noise[inside].sum() + 1e-12)))


def hoarse_per_minute(source: Harmonics, conversion: Harmonics) -> float | None:
    """Hoarse patches in a minute of voiced source: 50 to 150 ms in which a note turns into loud hiss.

    A frame is hoarse if above 1.5 kHz the conversion has more noise than tones, the source has 10 dB more tone against
    its noise, and the hiss is about as loud as the conversion usually is there. None where too little is voiced.
    """
    n_frames = min(len(source.f0_hz), len(conversion.f0_hz))
    voiced = (source.f0_hz[:n_frames] > 0) & (conversion.f0_hz[:n_frames] > 0)
    if voiced.sum() < _FEWEST_FRAMES:
        return None
    (tone, noise), (own_tone, own_noise) = (_in_hoarse_band(voice, n_frames) for voice in (source, conversion))
    ratio_db, own_ratio_db = (
        10 * np.log10((a + 1e-12) / (b + 1e-12)) for a, b in ((tone, noise), (own_tone, own_noise))
    )
    usual = np.median((own_tone + own_noise)[voiced])
    is_loud = own_noise > usual * 10 ** (_LOUD_DB / 10)
    is_hoarse = voiced & (own_ratio_db < _HOARSE_DB) & (ratio_db - own_ratio_db > _WORSE_DB) & is_loud
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_hoarse, [False]]).astype(np.int8))).reshape(-1, 2)
    lengths = (edges[:, 1] - edges[:, 0]) * HOP_SECONDS
    shortest, longest = _PATCH_SECONDS
    n_patches = int(np.ceil(lengths[lengths > shortest - HOP_SECONDS / 2] / longest - 1e-6).sum())
    return n_patches / (float(voiced.sum()) * HOP_SECONDS / 60)


def _in_hoarse_band(voice: Harmonics, n_frames: int) -> tuple[Values, Values]:
    inside = voice.inside(*_HOARSE_BAND_HZ)[:n_frames]
    return (voice.tone[:n_frames] * inside).sum(axis=1), (voice.noise[:n_frames] * inside).sum(axis=1)


def _decibels(voice: Harmonics) -> Values:
    """Level of each harmonic, not more than 60 dB below the loudest, `[F, K]`."""
    return np.asarray(10 * np.log10(np.maximum(voice.tone, voice.tone.max() * 10 ** (-_FLOOR_DB / 10) + 1e-15)))


def curve(seconds: float, track: PitchTrack) -> Values:
    """A track on the grid of 10 ms, over the whole of a clip of so many seconds."""
    times = np.arange(int(seconds / HOP_SECONDS) + 1, dtype=np.float64) * HOP_SECONDS
    return pitch.at_times(track, times)


def _cycles(f0_hz: Values) -> tuple[Values, Values]:
    """Phase of the voice in cycles, and its times, every ms."""
    step = HOP_SECONDS / 10
    times = np.arange(len(f0_hz) * 10, dtype=np.float64) * step
    f0 = np.exp(np.interp(times, np.arange(len(f0_hz)) * HOP_SECONDS, np.log(f0_hz)))
    return np.concatenate([[0.0], np.cumsum((f0[1:] + f0[:-1]) / 2 * step)]), times


def _stretches(frames: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Frames, some at a time: a window of each takes a hundred times the memory of its samples."""
    return np.array_split(frames, max(1, -(-len(frames) // _AT_ONCE)))


def _spectra(fine: Samples, f0_hz: Values, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.complex128]:
    """Spectra of windows of 4 periods around some frames, `[n, bins]`, bin 4 k at harmonic k."""
    cycles, times = _cycles(f0_hz)
    ends_hz = (float(f0_hz[0]), float(f0_hz[-1]))
    return pitch_synchronous.spectra(fine, _FINE_RATE, cycles, times, cycles[frames * 10], ends_hz)


def _correction(fine: Samples, f0_hz: Values, voiced: npt.NDArray[np.int64], n_harmonics: int) -> Values:
    """By what share f0 is too low, `[F]`: how much further harmonics turn from frame to frame than the present f0."""
    pairs = voiced[:-1][np.diff(voiced) == 1]
    if not len(pairs):
        return np.zeros(len(f0_hz))
    numbers = np.arange(1, n_harmonics + 1)
    here, there = (
        np.concatenate([_spectra(fine, f0_hz, some)[:, PERIODS * numbers] for some in _stretches(frames)])
        for frames in (pairs, pairs + 1)
    )
    cycles, _ = _cycles(f0_hz)
    step = cycles[(pairs + 1) * 10] - cycles[pairs * 10]  # how far the present f0 turns the first harmonic
    turned = pitch_synchronous.turned(here, there, step)
    weights = numbers * np.sqrt(np.abs(turned)) + 1e-12
    share = (weights * np.angle(turned) / numbers).sum(axis=1) / weights.sum(axis=1) / (2 * np.pi * step)
    found = np.zeros(len(f0_hz))
    found[pairs] = np.clip(share, -_LARGEST_CORRECTION, _LARGEST_CORRECTION)
    known = np.zeros(len(f0_hz))
    known[pairs] = 1.0
    kernel = np.ones(_SMOOTH_FRAMES)
    return np.asarray(
        np.convolve(found, kernel, mode="same") / np.maximum(np.convolve(known, kernel, mode="same"), 1.0)
    )
