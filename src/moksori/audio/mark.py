"""An inaudible mark in a sound: keyed spread spectrum on the levels of bands, and the detector for it.

Time and frequency are laid out in cells; a secret pattern of +1 and -1 says which of them are made a little louder and
which a little softer. Whoever knows the key adds the cells up with its signs: of a sound that has the mark they agree.

    pattern [bands, cells], again and again                  a cell: 32 ms by a semitone and a half
    + - - +
    - + - -      x level of each cell, less its neighbours'   -> summed over all cells, at every offset in time
    + + - +                                                   -> the best offset, in deviations of all of them

What it survives follows from that: a gain moves all cells alike; a cut moves the offset, which is searched; a codec or
noise blurs single cells, of which there are 1,300 a second; a shift of pitch moves the bands, and a few are searched.
Whoever knows the key can take the mark out: it is no proof against an adversary, and the usual key is public.

Source: the idea is that of Kirovski and Malvar 2003, Spread-spectrum watermarking of audio signals, sections II, III.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio import resample
from moksori.audio.clip import Clip, Samples

PUBLIC_KEY = "moksori"
DEPTH_DB = 1.0  # how much louder or softer a cell is made
THRESHOLD = 6.0  # deviations; docs/trust.md counts how often a sound without the mark reaches it

_HOP_SECONDS = 1 / 93.75  # 256 samples at 24 kHz; windows are twice as long
_HOPS = 3  # of a cell: longer ones hear the singing move, shorter ones run into each other
_LOW_HZ, _BAND_SEMITONES, _BANDS = 180.0, 1.5, 42  # up to 6.8 kHz, which fits into 16 kHz
_CELLS = 256  # of the pattern, 8.2 s
_FINE = 2  # steps of a hop in which the detector looks
_RATE = 16_000  # Hz, that the detector listens at
_SHIFTS_SEMITONES = tuple(0.75 * step for step in range(-4, 5))
_CLIP_DB = 1.0  # a cell says no more than this: singing moves by far more, and would drown the mark
_QUIET_DB = -50.0  # under the loudest: cells below say nothing
_LEAST_SECONDS = 2.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Detection:
    """What the detector says of a sound."""

    score: float  # how far the best offset stands out, in deviations of all offsets
    shift_semitones: float  # at which the pattern fits best
    seconds: float  # of sound listened to

    @property
    def is_marked(self) -> bool:
        """Whether the mark is there."""
        return self.score >= THRESHOLD


def pattern(key: str) -> npt.NDArray[np.int8]:
    """The signs of a key, `[bands, cells]`; each band has as many of either sign."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    signs = np.tile(np.array([1, -1], np.int8), (_BANDS, _CELLS // 2))
    return np.random.Generator(np.random.PCG64(seed)).permuted(signs, axis=1)


def marked(blocks: Iterable[Samples], sample_rate: int, key: str = PUBLIC_KEY) -> Iterator[Samples]:
    """The same sound with the mark, in blocks, in bounded memory; as long as it was.

    Args:
        blocks: mono `[n]`, one after the other.
        sample_rate: Hz, at least 4000.
        key: whose pattern.
    """
    hop = round(_HOP_SECONDS * sample_rate)
    window = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))  # squares of two that overlap add up to 1
    gains = _gains(key, _bins_hz(2 * hop, sample_rate))
    waiting, tail = np.zeros(hop, np.float32), np.zeros(hop)  # a hop of silence before the beginning
    n_in = n_out = frame = 0

    def windows(ready: Samples) -> Iterator[Samples]:
        nonlocal frame, tail
        for start in range(0, len(ready) - hop, hop):
            spectrum = np.fft.rfft(window * ready[start : start + 2 * hop])
            sound = window * np.fft.irfft(spectrum * gains[(frame // _HOPS) % _CELLS], 2 * hop)
            yield (tail + sound[:hop]).astype(np.float32)
            tail, frame = sound[hop:], frame + 1

    def after_the_first(sound: Samples) -> Samples:
        """Without the silence before the beginning, nor what lies behind the end."""
        nonlocal n_out
        first = max(0, hop - n_out)
        kept = sound[first : max(first, n_in + hop - n_out)]
        n_out += len(sound)
        return kept

    for block in blocks:
        n_in += len(block)
        waiting = np.concatenate([waiting, block])
        n_whole = max(0, len(waiting) // hop - 1) * hop
        if n_whole:
            yield after_the_first(np.concatenate(list(windows(waiting[: n_whole + hop]))))
            waiting = waiting[n_whole:]
    rest = np.concatenate([waiting, np.zeros(3 * hop - len(waiting) % hop, np.float32)])
    yield after_the_first(np.concatenate(list(windows(rest))))


def detect(clip: Clip, key: str = PUBLIC_KEY) -> Detection:
    """Look for the mark of a key.

    Args:
        clip: of any rate; of fewer than 2 s the score is 0, and so it is of silence.
        key: whose pattern.
    """
    if clip.seconds < _LEAST_SECONDS:
        return Detection(0.0, 0.0, clip.seconds)
    score, shift = max((best_offset(whitened, key), shift) for shift, whitened in whitened_levels(clip).items())
    return Detection(round(score, 2), shift, clip.seconds)


def whitened_levels(clip: Clip) -> dict[float, Floats]:
    """What the cells of a sound say, whatever the key: for each shift of pitch in semitones, `[bands, steps]`."""
    power, hz = _spectrogram(resample.resample(clip.samples, clip.sample_rate, _RATE))
    return {shift: _whitened(power, hz, shift, clip.sample_rate / 2) for shift in _SHIFTS_SEMITONES}


def best_offset(whitened: Floats, key: str) -> float:
    """How far the best offset in time stands out, in deviations, where cells are added up with the signs of a key."""
    signs = np.repeat(pattern(key), _HOPS * _FINE, axis=1).astype(np.float64)
    n_steps = signs.shape[1]
    folded = np.zeros((len(whitened), n_steps))
    for start in range(0, whitened.shape[1], n_steps):
        part = whitened[:, start : start + n_steps]
        folded[:, : part.shape[1]] += part
    spectra = np.fft.rfft(folded, axis=1) * np.conj(np.fft.rfft(signs, axis=1))
    sums = np.fft.irfft(spectra.sum(axis=0), n_steps)
    spread = sums.std()
    return float((sums.max() - sums.mean()) / spread) if spread > 0 else 0.0


def _gains(key: str, hz: Floats) -> Floats:
    """How much each bin is multiplied by, `[cells, bins]`."""
    band = _band_of(hz, 0.0)
    inside = (band >= 0) & (band < _BANDS)
    signs = np.zeros((_CELLS, len(hz)))
    signs[:, inside] = pattern(key)[band[inside]].T
    gains: Floats = 10.0 ** (DEPTH_DB / 20.0 * signs)
    return gains


def _bins_hz(size: int, sample_rate: int) -> Floats:
    return np.arange(size // 2 + 1, dtype=np.float64) * (sample_rate / size)


def _band_of(hz: Floats, shift_semitones: float) -> npt.NDArray[np.int64]:
    """The band that each frequency lies in, once a sound was shifted; negative or too large outside."""
    semitones = 12.0 * np.log2(np.maximum(hz, 1.0) / _LOW_HZ) - shift_semitones
    return np.floor(semitones / _BAND_SEMITONES).astype(np.int64)


def _spectrogram(samples: Samples) -> tuple[Floats, Floats]:
    """Power `[bins, frames]` in steps of a fraction of a hop, and the bins' frequencies in Hz."""
    size = 2 * round(_HOP_SECONDS * _RATE)
    steps = np.round(np.arange(0, (len(samples) - size) / _RATE, _HOP_SECONDS / _FINE) * _RATE).astype(np.int64)
    window = np.hanning(size + 1)[:-1]
    rows = [
        np.abs(np.fft.rfft(window * samples[some[:, None] + np.arange(size)], axis=1)) ** 2
        for some in np.array_split(steps, max(1, len(steps) // 500))
    ]
    return np.concatenate(rows).T.astype(np.float64), _bins_hz(size, _RATE)


def _whitened(power: Floats, hz: Floats, shift: float, top_hz: float) -> Floats:
    """What each cell says, `[bands, steps]`: its level above that of the cells before and behind it, bounded."""
    band = _band_of(hz, shift)
    energy = np.zeros((_BANDS, power.shape[1]))
    for index in range(_BANDS):
        chosen = (band == index) & (hz < 0.95 * top_hz)
        if chosen.any():
            energy[index] = power[chosen].mean(axis=0)
    floor = energy.max() * 10.0 ** (_QUIET_DB / 10.0)
    if floor <= 0:
        return np.zeros_like(energy)
    level = 10.0 * np.log10(energy + floor)
    kernel = np.ones(_HOPS * _FINE) / (_HOPS * _FINE)
    smooth = np.stack([np.convolve(row, kernel, mode="same") for row in level])
    step = _HOPS * _FINE
    around = np.pad(smooth, ((0, 0), (step, step)), mode="edge")
    whitened = level - 0.5 * (around[:, : -2 * step] + around[:, 2 * step :])
    whitened -= np.median(whitened, axis=0, keepdims=True)  # what moves all bands alike is no mark
    whitened = np.clip(whitened, -_CLIP_DB, _CLIP_DB)
    return np.where(energy < floor, 0.0, whitened)
