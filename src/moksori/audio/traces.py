"""Traces of earlier processing that a file does not declare: clipping turned down, a bandwidth that is not there.

    flat tops    a converter or an effect was driven too far, and the level changed afterwards: one amplitude below full
                 scale is met far more often than those around it, since every top ends there
    a step       a recording of 8 kHz, or a telephone, in a file of 44.1 kHz: the spectrum breaks off like a wall, at
                 one frequency from beginning to end, and nothing rises again above

A voice does neither: its tops are round and of all heights, and its spectrum falls, but never by 25 dB at once; an
instrument of a few partials breaks off, but elsewhere for each note.

Flat tops are found at any level and any number of bits; behind another rate or a codec, which round them, only where
much was clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples

_BINS_A_FACTOR = 200  # bins of amplitudes: each 0.5 % wide
_LOWEST = 1e-3  # amplitude, -60 dBFS, below which nobody looks for flat tops
_FINEST = 3 / 32768  # width of a bin, at least: steps of 16 bits would stand out in a finer one
_N_BINS = round(np.log(16.0 / _LOWEST) * _BINS_A_FACTOR)
_OFFSET = 0.5  # mean over deviation, of the first block: from here on it is an offset, and tops are measured from it
_WIDTHS = (1, 3, 8)  # bins that a flat top may fill, after it was resampled or coded
_STANDS_OUT = 6.0  # a flat top's bin over those around it; over those below, a sine's reaches 4
_FEWEST = 20  # samples in such a bin
_FEWEST_SHARE = 1e-4  # of all samples
_LARGEST_ABOVE = 0.5  # of a flat top's samples that may lie above it: ringing of filters and codecs

_N_FFT = 2048
_STEP_DB = 25.0
_LOWEST_HZ = 3000.0  # a telephone's
_SEGMENT_SECONDS = 0.5
_SAME = 0.05  # by which edges of one filter may differ, as a factor
_NARROW = 0.75  # of the band that could be there: less is reported

FLAT = "it was clipped, whatever its level is now: the tops of its waveform are flat; look for a copy that was not"

Spectrum = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Traces:
    """What was found of earlier steps."""

    clipped_fraction: float = 0.0  # of all samples, that are flat tops at any level
    bandwidth_hz: float | None = None  # where the spectrum breaks off; None where it does not

    def remarks(self, wanted_hz: float) -> tuple[str, ...]:
        """In words, for whoever sent the recording.

        Args:
            wanted_hz: the band that the file and those who hear it could have.
        """
        found: list[str] = []
        if self.clipped_fraction:
            found.append(FLAT)
        if self.bandwidth_hz is not None and self.bandwidth_hz < _NARROW * wanted_hz:
            found.append(
                f"nothing is heard above {self.bandwidth_hz / 1000:.1f} kHz: it was recorded, or went, through a "
                "narrower band; look for a copy that did not"
            )
        return tuple(found)


class TraceSurvey:
    """Look for traces in a recording block by block, in bounded memory."""

    def __init__(self, sample_rate: int, n_channels: int = 1) -> None:
        self._rate = sample_rate
        self._counts = np.zeros((n_channels, 2, _N_BINS), np.int64)  # channel, sign, amplitude
        self._n_samples = 0
        self._power: Spectrum = np.zeros(_N_FFT // 2 + 1)
        self._segment, self._n_in_segment = self._power.copy(), 0
        self._edges: list[float] = []  # of segments, in Hz
        self._window = np.hanning(_N_FFT)
        self._rest = np.zeros(0, np.float32)
        self._offset: Samples | None = None  # of each channel

    def push(self, block: Samples) -> None:
        """Take the next samples, `[n]` or `[n, channels]`."""
        channels = block[:, None] if block.ndim == 1 else block
        if self._offset is None and len(channels):
            mean = channels.mean(axis=0, dtype=np.float32)
            is_offset = np.abs(mean) > _OFFSET * channels.std(axis=0, dtype=np.float64)
            self._offset = np.where(is_offset, mean, np.float32(0.0))
        if self._offset is not None and self._offset.any():
            channels = channels - self._offset
        self._n_samples += channels.size
        for counts, samples in zip(self._counts, channels.T, strict=True):
            for way, sign in enumerate((1.0, -1.0)):
                amplitudes = samples[sign * samples > _LOWEST]
                places = np.log(np.abs(amplitudes) / _LOWEST) * _BINS_A_FACTOR
                counts[way] += np.bincount(np.minimum(places.astype(np.int64), _N_BINS - 1), minlength=_N_BINS)
        waiting = np.concatenate([self._rest, channels.mean(axis=1)])
        n_frames = len(waiting) // _N_FFT
        for frame in waiting[: n_frames * _N_FFT].reshape(n_frames, _N_FFT):
            self._add(np.square(np.abs(np.fft.rfft(frame * self._window))))
        self._rest = waiting[n_frames * _N_FFT :].astype(np.float32)

    def _add(self, power: Spectrum) -> None:
        """The spectrum of a frame; at the end of each segment, its edge is noted."""
        self._power += power
        self._segment += power
        self._n_in_segment += 1
        if self._n_in_segment * _N_FFT >= _SEGMENT_SECONDS * self._rate:
            edge_hz = _breaks_off(self._segment, self._rate)
            self._edges += [] if edge_hz is None else [edge_hz]
            self._segment, self._n_in_segment = np.zeros_like(self._power), 0

    def _bandwidth_hz(self) -> float | None:
        """Where the spectrum of the whole breaks off, if that of most segments that do so does it there, too."""
        edge_hz = _breaks_off(self._power, self._rate)
        if edge_hz is None or not self._edges:
            return None
        n_same = sum(abs(edge / edge_hz - 1) < _SAME for edge in self._edges)
        return edge_hz if n_same > len(self._edges) / 2 else None

    def result(self) -> Traces:
        """What was found so far."""
        n_flat = sum(_flat_tops(counts) for of_channel in self._counts for counts in of_channel)
        share = n_flat / max(1, self._n_samples)
        return Traces(share if share >= _FEWEST_SHARE else 0.0, self._bandwidth_hz())


def _flat_tops(counts: npt.NDArray[np.int64]) -> int:
    """How many samples lie in flat tops, by the numbers of samples of each amplitude."""
    up_to = np.concatenate([[0], np.cumsum(counts)])
    highest = int(np.flatnonzero(counts)[-1]) if counts.any() else 0
    # Down to 2 dB below the largest, and where there is room for softer ones below.
    places = np.arange(max(highest - _BINS_A_FACTOR // 4, 8), highest + 1)
    finest = np.ceil(_FINEST / _LOWEST * np.exp(-places / _BINS_A_FACTOR) * _BINS_A_FACTOR).astype(np.int64)
    for n_bins in _WIDTHS:
        width = np.maximum(n_bins, finest)
        own = up_to[places + 1] - up_to[np.maximum(0, places + 1 - width)]
        below = up_to[np.maximum(0, places + 1 - 2 * width)] - up_to[np.maximum(0, places + 1 - 6 * width)]
        above = up_to[-1] - up_to[np.minimum(places + 2 * width, len(counts))]
        # Where nothing at all lies below, steps are coarser than bins, or the sound is too soft to tell.
        is_flat = (own >= _FEWEST) & (own > _STANDS_OUT * below / 4) & (above < _LARGEST_ABOVE * own)
        is_flat &= (below > 0) & (places + 1 >= 6 * width)
        if is_flat.any():
            return int(own[is_flat].max())
    return 0


def _breaks_off(power: Spectrum, sample_rate: int) -> float | None:
    """The frequency in Hz where a mean spectrum breaks off; None where it does not."""
    if not power.any():
        return None
    levels = 10.0 * np.log10(power + power.max() * 1e-14)
    hz = np.arange(len(power)) * sample_rate / _N_FFT
    highest_above = np.maximum.accumulate(levels[::-1])[::-1]
    sums = np.concatenate([[0.0], np.cumsum(levels)])
    for place in range(int(0.92 * len(levels)), 0, -1):
        if hz[place] < _LOWEST_HZ:
            return None
        first, last = int(0.92 * place), int(0.97 * place)
        below = (sums[last] - sums[first]) / max(1, last - first)
        if below - highest_above[min(int(1.05 * place) + 1, len(levels) - 1)] > _STEP_DB:
            return float(hz[(first + last) // 2])
    return None
