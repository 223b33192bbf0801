"""Invented singers (source-filter synthesis): the same song by any singer, so that the true conversion exists.

A source (harmonics of an exact pitch, plus breath) passes a filter (the formants of the sung vowel). What makes a
singer is the scale of the formants (length of the vocal tract), the tilt of the source, breath and vibrato; what makes
a song is notes and vowels. Harmonic k has the amplitude

    a_k(t) = |H(k f0(t))| * k^(tilt / 6.02),    H = sum of resonances at formant_scale * F_i

Source: source-filter model, Fant 1960; vowel formants after Peterson and Barney 1952, table II (men).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from moksori.audio import files, frames
from moksori.audio.clip import Clip

Floats = npt.NDArray[np.floating[Any]]

FORMANTS_HZ = {  # first three formants, and a fourth that hardly moves
    "a": (730.0, 1090.0, 2440.0, 3500.0),
    "e": (530.0, 1840.0, 2480.0, 3500.0),
    "i": (270.0, 2290.0, 3010.0, 3700.0),
    "o": (570.0, 840.0, 2410.0, 3400.0),
    "u": (300.0, 870.0, 2240.0, 3300.0),
}
BANDWIDTHS_HZ = np.array([80.0, 100.0, 130.0, 180.0])
FORMANT_GAINS = np.array([1.0, 0.6, 0.3, 0.15])  # higher formants are weaker in any voice
HOP_SECONDS = 0.005  # of the pitch track
GLIDE_SECONDS = 0.06  # from one note, or vowel, to the next
FADE_SECONDS = 0.03  # into and out of a rest
AMPLITUDE = 0.1  # RMS of the sung part, -20 dBFS: leaves room for peaks


@dataclass(frozen=True)
class Singer:
    """What is heard as one person."""

    name: str
    formant_scale: float = 1.0  # 1 is a man's vocal tract; 1.17 a woman's, 1.3 a child's
    tilt_db_per_octave: float = -9.0  # of the source; nearer 0 is brighter
    vibrato_hz: float = 5.5
    vibrato_cents: float = 30.0  # to either side
    breath: float = 0.02  # amplitude of the noise relative to the tone
    low_midi: int = 45  # range of the songs written for this singer
    high_midi: int = 64

    def __post_init__(self) -> None:
        """Refuse a voice that cannot sound."""
        if self.formant_scale <= 0 or self.breath < 0 or self.low_midi > self.high_midi:
            raise ValueError(f"{self}: formant_scale above 0, breath from 0, low_midi up to high_midi expected")


SINGERS = (
    Singer("bass", 0.92, -11.0, 5.0, 35.0, 0.01, 40, 55),
    Singer("tenor", 1.0, -8.0, 6.0, 50.0, 0.02, 50, 65),
    Singer("alto", 1.13, -10.0, 5.5, 20.0, 0.08, 55, 70),
    Singer("child", 1.32, -7.0, 0.0, 0.0, 0.04, 60, 74),
)


@dataclass(frozen=True)
class Note:
    """A sung note, or a rest."""

    midi: float | None  # 69 is A4 = 440 Hz; None is a rest
    seconds: float
    vowel: str = "a"  # a key of FORMANTS_HZ

    def __post_init__(self) -> None:
        """Refuse unknown vowels and empty notes."""
        if self.vowel not in FORMANTS_HZ:
            raise ValueError(f"unknown vowel {self.vowel!r}; known are {', '.join(FORMANTS_HZ)}")
        if not self.seconds > 0:
            raise ValueError(f"a note of {self.seconds} s; expected more than 0")


@dataclass(frozen=True, eq=False)
class Rendering:
    """A song as sung, with its exact pitch."""

    clip: Clip
    f0_hz: Floats  # [F], at the start of each hop; 0 in rests
    hop_seconds: float = HOP_SECONDS


def render(song: list[Note], singer: Singer, sample_rate: int, generator: np.random.Generator) -> Rendering:
    """Let a singer sing a song.

    Args:
        song: notes and rests, one after the other; a glide of 60 ms joins neighbours.
        singer: whose voice.
        sample_rate: Hz.
        generator: draws the phase of the vibrato and the breath noise.

    Returns:
        A clip of `round(sum of seconds * sample_rate)` samples, -20 dBFS RMS while sung, peaks below 1, and its pitch.

    Raises:
        ValueError: the song is empty, or shorter than a sample.
    """
    ends = np.cumsum([note.seconds for note in song])
    n_samples = frames.seconds_to_samples(float(ends[-1]), sample_rate) if song else 0
    if not n_samples:
        raise ValueError("an empty song; expected at least one note")
    times = np.arange(n_samples) / sample_rate
    vibrato_phase = generator.uniform(0, 2 * np.pi)
    f0_hz = _f0_hz(song, ends, singer, times, vibrato_phase)  # [T], also under rests
    loudness = _smooth([float(note.midi is not None) for note in song], ends, times, FADE_SECONDS)  # [T], 0..1
    tone = _tone(song, ends, singer, f0_hz, sample_rate)
    breath = _breath(song, ends, singer, n_samples, sample_rate, generator)
    voice = (tone + singer.breath * breath) * loudness
    power = np.square(voice).sum() / max(np.square(loudness).sum(), 1e-9)
    voice *= AMPLITUDE / np.sqrt(max(power, 1e-12))
    voice *= min(1.0, 0.99 / max(np.abs(voice).max(), 1e-9))
    hop_times = np.arange(frames.n_frames(n_samples, max(1, round(HOP_SECONDS * sample_rate)))) * HOP_SECONDS
    is_sung = np.array([note.midi is not None for note in song])[_note_at(ends, hop_times)]
    track = np.where(is_sung, _f0_hz(song, ends, singer, hop_times, vibrato_phase), 0.0)
    return Rendering(Clip(voice.astype(np.float32), sample_rate), track)


def melody(singer: Singer, seconds: float, generator: np.random.Generator) -> list[Note]:
    """Invent a song within a singer's range: steps on a major scale, with a breath after every eighth note.

    Args:
        singer: whose range.
        seconds: about how long; the song is at most one note longer.
        generator: draws notes, lengths and vowels.
    """
    scale = [midi for midi in range(singer.low_midi, singer.high_midi + 1) if midi % 12 in (0, 2, 4, 5, 7, 9, 11)]
    scale = scale or [singer.low_midi]
    place = int(generator.integers(len(scale)))
    song: list[Note] = []
    while sum(note.seconds for note in song) < seconds:
        if len(song) % 9 == 8:
            song.append(Note(None, 0.3))
            continue
        place = int(np.clip(place + generator.integers(-2, 3), 0, len(scale) - 1))
        vowel = str(generator.choice(list(FORMANTS_HZ)))
        song.append(Note(scale[place], float(generator.choice([0.25, 0.5, 0.75])), vowel))
    return song


def write_corpus(
    folder: Path,
    generator: np.random.Generator,
    *,
    singers: tuple[Singer, ...] = SINGERS,
    n_songs: int = 4,
    seconds: float = 4.0,
    sample_rate: int = 16000,
) -> list[Path]:
    """Write invented singers as a folder of songs, ready for `prepare`.

    Args:
        folder: made when missing; gets `<singer>/song-<n>.wav`, 16-bit mono.
        generator: draws the songs; every singer has songs of their own.
        singers: one sub-folder each.
        n_songs: recordings of each singer.
        seconds: about how long each recording is.
        sample_rate: Hz.

    Returns:
        The files, by singer, then song.
    """
    written = []
    for singer in singers:
        (folder / singer.name).mkdir(parents=True, exist_ok=True)
        for n in range(1, n_songs + 1):
            song = melody(singer, seconds, generator)
            path = folder / singer.name / f"song-{n}.wav"
            files.write(path, render(song, singer, sample_rate, generator).clip)
            written.append(path)
    return written


def _note_at(ends: Floats, times: Floats) -> npt.NDArray[np.int64]:
    """Index of the note that sounds at each time."""
    return np.minimum(np.searchsorted(ends, times, side="right"), len(ends) - 1)


def _smooth(values: list[float], ends: Floats, times: Floats, seconds: float) -> Floats:
    """A value per note as a curve over time, with linear ramps of `seconds` centred on the joints.

    A note shorter than the ramps would fold them over each other; there they shrink to its length.
    """
    lengths = np.diff(ends, prepend=0.0)
    if len(values) == 1:
        return np.full(len(times), values[0])
    half = np.minimum(seconds, np.minimum(lengths[:-1], lengths[1:])) / 2  # [N - 1], one ramp per joint
    points = np.stack([ends[:-1] - half, ends[:-1] + half], axis=1).ravel()
    heights = np.stack([values[:-1], values[1:]], axis=1).ravel()
    return np.asarray(np.interp(times, points, heights))


def _f0_hz(song: list[Note], ends: Floats, singer: Singer, times: Floats, vibrato_phase: float) -> Floats:
    """Pitch at each time; a rest holds the note before it (the first note, when there is none)."""
    held: list[float] = []
    first = next((note.midi for note in song if note.midi is not None), 60.0)
    for note in song:
        held.append(note.midi if note.midi is not None else (held[-1] if held else first))
    midi = _smooth(held, ends, times, GLIDE_SECONDS)
    vibrato = singer.vibrato_cents / 100 * np.sin(2 * np.pi * singer.vibrato_hz * times + vibrato_phase)
    return np.asarray(440.0 * 2.0 ** ((midi + vibrato - 69.0) / 12.0))


def _formants_hz(song: list[Note], ends: Floats, singer: Singer, times: Floats) -> Floats:
    """Formants of the singer at each time, [4, T]."""
    tracks = [[FORMANTS_HZ[note.vowel][i] for note in song] for i in range(len(BANDWIDTHS_HZ))]
    curves = np.stack([_smooth(track, ends, times, GLIDE_SECONDS) for track in tracks])
    return np.asarray(singer.formant_scale * curves)


def _response(frequency_hz: Floats, formants_hz: Floats) -> Floats:
    """Magnitude of the vocal tract: a sum of resonances, each 1 high (times its gain) at its formant.

    Args:
        frequency_hz: any shape that broadcasts against one formant track.
        formants_hz: [4, ...].
    """
    total = np.zeros(np.broadcast_shapes(frequency_hz.shape, formants_hz.shape[1:]))
    for formant_hz, bandwidth_hz, gain in zip(formants_hz, BANDWIDTHS_HZ, FORMANT_GAINS, strict=True):
        total += gain / np.sqrt(1.0 + np.square((frequency_hz - formant_hz) / (bandwidth_hz / 2)))
    return total


def _tone(song: list[Note], ends: Floats, singer: Singer, f0_hz: Floats, sample_rate: int) -> Floats:
    """Harmonics below the Nyquist frequency, each as loud as source and vocal tract make it. [T]."""
    n_samples = len(f0_hz)
    times = np.arange(n_samples) / sample_rate
    # Amplitudes move slowly: they are computed every 5 ms and interpolated.
    coarse = np.arange(0.0, times[-1] + HOP_SECONDS, HOP_SECONDS)
    coarse_f0_hz = np.interp(coarse, times, f0_hz)
    formants_hz = _formants_hz(song, ends, singer, coarse)
    turn = np.exp(2j * np.pi * np.cumsum(f0_hz) / sample_rate)  # e^(i phase) of the fundamental
    harmonic = np.ones(n_samples, complex)
    tone = np.zeros(n_samples)
    for k in range(1, int(sample_rate / 2 / f0_hz.min()) + 1):
        harmonic *= turn  # e^(i k phase): one product instead of a sine
        frequency_hz = k * coarse_f0_hz
        amplitude = _response(frequency_hz, formants_hz) * k ** (singer.tilt_db_per_octave / 6.02)
        amplitude *= np.clip((0.5 * sample_rate - frequency_hz) / (0.05 * sample_rate), 0.0, 1.0)  # no aliasing
        tone += np.interp(times, coarse, amplitude) * harmonic.imag
    return np.asarray(tone / np.sqrt(np.square(tone).mean() + 1e-12))


def _breath(
    song: list[Note], ends: Floats, singer: Singer, n_samples: int, sample_rate: int, generator: np.random.Generator
) -> Floats:
    """White noise through the vocal tract, by windowed frames that overlap by half. [T]."""
    half = max(8, frames.seconds_to_samples(0.01, sample_rate))
    n_hops = n_samples // half + 2
    noise = generator.standard_normal((n_hops + 1) * half)
    windowed = np.lib.stride_tricks.sliding_window_view(noise, 2 * half)[::half] * np.hanning(2 * half + 1)[:-1]
    formants_hz = _formants_hz(song, ends, singer, np.arange(n_hops) * half / sample_rate)  # [4, n_hops]
    frequency_hz = np.fft.rfftfreq(2 * half, 1 / sample_rate)
    spectrum = np.fft.rfft(windowed) * _response(frequency_hz[None, :], formants_hz[:, :, None])
    filtered = np.fft.irfft(spectrum, 2 * half)  # [n_hops, 2 * half]
    joined = np.zeros((n_hops + 1, half))
    joined[:-1] += filtered[:, :half]
    joined[1:] += filtered[:, half:]
    breath = joined.ravel()[half : half + n_samples]
    return np.asarray(breath / np.sqrt(np.square(breath).mean() + 1e-12))
