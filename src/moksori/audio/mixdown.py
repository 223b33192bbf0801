"""Downmix to mono: one channel out of several, in the scale of floats.

The mean of the channels is what a recording is taken for, unless something is lost in it: channels of opposite sign
cancel, a channel that is late puts notches into the spectrum, noise on one side covers the voice on the other. Then the
channel with the most of a voice is taken.

    cancel    a band, or a second in all, is weaker in the mean by 4.5 dB than if the channels had nothing in common;
              or some tenths of a second by 10 dB
    opposed   a channel is the best one upside down, if softer
    late      the best channel fits another one clearly better when it is moved
    covered   a channel sounds, and nothing of it repeats as a voice does
    steady    a channel never changes its level, as no voice does: hum, a time code, a tone
    alone     the others are silent

So the mean of two voices that sing on two sides stays what it is, and so does that of a voice in a room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples
from moksori.audio.traces import TraceSurvey

_LOST_DB = 4.5
_AUDIBLE_DB = 30.0  # below the strongest: what is weaker does not count
_ENOUGH_VALUES = 40  # of a spectrum, that tell the power of a band
_LOUD_DB = 20.0  # the same, of stretches of time
_STRETCH_SECONDS, _N_LOST = 0.5, 2  # length of such a stretch; so many have to be lost
_MOMENT_SECONDS, _GONE_DB = 0.1, 10.0  # the same, of what cancels altogether
_N_GONE, _GONE_SHARE = 3, 0.02  # so many moments, and this share of those that are loud
_OPPOSED, _OPPOSED_DB = -0.6, 15.0  # correlation over all, and how much softer such a channel may be
_STEADY_DB, _N_STEADY = 1.5, 20  # between its softest and its loudest moments, of so many; voices have 20
_LATE_SECONDS = 0.04  # how late a channel may be
_FITS, _FITS_BETTER = 0.8, 0.12  # correlation of a late channel, and how much better than in its place
_WINDOW_SECONDS, _EVERY_SECONDS = 0.085, 0.4
_LATE_WINDOWS = 2  # windows that are looked at for a late channel, in one
_N_KEPT = 64  # of those
_BAND_EDGES_HZ = 60.0 * 2.0 ** (np.arange(0, 23) / 3)  # thirds of an octave, to 9.7 kHz
_VOICE_SECONDS = (1 / 1000, 1 / 60)  # periods of voices
_LEAST_OF_8_BITS = 32.0  # whole numbers up to less are soft ones of 16 bits
_FULL_SCALES = {8: 2.0**7, 16: 2.0**15, 24: 2.0**23, 32: 2.0**31}  # bits -> largest integer
MOST_HEADROOM = 64.0  # amplitude, +36 dBFS; no recording and no sound card has more
_SURELY_INTEGER = 2.0  # whole numbers of at least this size are no sound in [-1, 1]
_N_DAMAGED, _DAMAGED_SHARE, _DAMAGE_FACTOR = 8, 1e-4, 10.0  # samples that are no sound: few, and far above all others

Powers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixdown:
    """How blocks of a recording become mono."""

    channel: int | None = None  # the one to take; None for the mean of all
    scale: float = 1.0
    loudest: float | None = None  # samples above are damage, and become zeros; None where there are none
    is_clipped: bool = False  # in one of the channels that are averaged, see `traces`
    remarks: tuple[str, ...] = ()  # for whoever sent the recording: what is unusual, and what was done

    def cleaned(self, block: Samples) -> Samples:
        """`[n, channels]` in the scale of floats, without what is damaged."""
        if self.loudest is not None:
            block = np.where(np.abs(block) > self.loudest, np.float32(0.0), block)
        return block if self.scale == 1.0 else block * np.float32(self.scale)

    def mono(self, block: Samples) -> Samples:
        """`[n, channels]` -> `[n]`."""
        block = self.cleaned(block)
        if block.shape[1] == 1:
            return block[:, 0]
        if self.channel is None:
            return np.asarray(block.mean(axis=1, dtype=np.float32))
        return np.ascontiguousarray(block[:, self.channel])


class MixdownSurvey:
    """Find out, block by block, how a recording should become mono."""

    def __init__(self, sample_rate: int, n_channels: int) -> None:
        self._rate, self._n = sample_rate, n_channels
        self._window = max(16, round(_WINDOW_SECONDS * sample_rate))
        self._peak, self._lowest, self._is_whole = 0.0, 0.0, True
        self._n_samples, self._n_beyond = 0, 0  # in all, and of those beyond any headroom
        self._peak_within = 0.0  # of the others
        self._stretches: list[Powers] = []  # [channels + 1] of half seconds, the mean last
        self._moments: list[Powers] = []  # the same, of tenths
        self._products = np.zeros((n_channels, n_channels))  # of channels, summed over all
        self._traces = TraceSurvey(sample_rate, n_channels)
        n_bins = self._window // 2 + 1
        edges = np.searchsorted(np.fft.rfftfreq(self._window, 1 / sample_rate), _BAND_EDGES_HZ)
        self._edges = np.unique(edges[edges < n_bins])
        self._bands = np.zeros((n_channels + 1, max(1, len(self._edges))))
        self._n_values = np.zeros(self._bands.shape[1])  # that each band was summed over
        self._voiced = np.zeros(n_channels)  # power of what has a period
        self._n_windows = 0
        self._windows: list[Samples] = []
        self._hann = np.hanning(self._window)

    def push(self, block: Samples) -> None:
        """Take the next samples, `[n, channels]`."""
        if not len(block):
            return
        magnitudes = np.abs(block)
        peak = float(magnitudes.max())
        self._peak, self._lowest = max(self._peak, peak), min(self._lowest, float(block.min()))
        self._n_samples += block.size
        within = peak
        if peak > MOST_HEADROOM:
            is_beyond = magnitudes > MOST_HEADROOM
            self._n_beyond += int(np.count_nonzero(is_beyond))
            within = float(magnitudes.max(where=~is_beyond, initial=0.0))
        self._peak_within = max(self._peak_within, within)
        if self._is_whole and peak > 0:
            self._is_whole = bool((block == np.rint(block)).all())
        if self._n == 1:
            return
        self._traces.push(block)
        values = block.astype(np.float64)
        values = np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)
        values -= values.mean(axis=0)  # an offset is no sound
        self._products += values[:, : self._n].T @ values[:, : self._n]
        squares = np.square(values)
        for seconds, powers in ((_STRETCH_SECONDS, self._stretches), (_MOMENT_SECONDS, self._moments)):
            n_samples = max(1, round(seconds * self._rate))
            starts = np.arange(0, len(values), n_samples)
            lengths = np.diff(np.append(starts, len(values)))
            powers.extend(np.add.reduceat(squares, starts, axis=0) / lengths[:, None])
        step = max(self._window, round(_EVERY_SECONDS * self._rate))
        for start in range(0, len(values), step):
            piece = values[start : start + _LATE_WINDOWS * self._window]
            if len(piece) >= self._window or start == 0:
                self._look(np.pad(piece, ((0, _LATE_WINDOWS * self._window - len(piece)), (0, 0))))

    def result(self) -> Mixdown:
        """The mixdown, of what was pushed so far."""
        if self._is_damaged:
            what = f"{self._n_beyond} of its samples, up to {self._peak:.3g}, are no sound; they were left out"
            return Mixdown(loudest=MOST_HEADROOM, remarks=(what,))
        scale, remarks = self._scaled()
        channel, is_clipped = None, False
        if self._n > 1 and self._stretches:
            steady = self._steady()
            best = self._best(steady)
            if self._is_better_alone(best, steady):
                channel = best
                remarks += (
                    f"channels cancel or cover each other in their mean; channel {best + 1} of {self._n} was taken",
                )
            is_clipped = channel is None and self._traces.result().clipped_fraction > 0
        return Mixdown(channel, scale, None, is_clipped, remarks)

    @property
    def peak(self) -> float:
        """Largest amplitude of all channels, before any scale."""
        return self._peak

    @property
    def _is_damaged(self) -> bool:
        """Whether a few samples are so far beyond the others that they are no sound, and tell no scale."""
        few = max(_N_DAMAGED, _DAMAGED_SHARE * self._n_samples)
        return 0 < self._n_beyond <= few and _DAMAGE_FACTOR * self._peak_within < MOST_HEADROOM

    def _scaled(self) -> tuple[float, tuple[str, ...]]:
        if self._peak <= MOST_HEADROOM and not (self._is_whole and self._peak >= _SURELY_INTEGER):
            return 1.0, ()
        # Nothing below zero, and around the middle between 0 and a power of two: as in a wav of 8 bits.
        is_unsigned = self._is_whole and self._lowest >= 0
        peak = self._peak / 2 if is_unsigned else self._peak
        scales = (
            bits for bits, full in _FULL_SCALES.items() if peak <= full and (bits > 8 or peak >= _LEAST_OF_8_BITS)
        )
        bits = next(scales, None)
        scale = 1.0 / _FULL_SCALES[bits] if bits else 1.0 / self._peak
        what = f"{'unsigned ' if is_unsigned else ''}integers of {bits} bits" if bits else "no sound's scale"
        return scale, (f"its samples go up to {self._peak:.6g}, {what} written as floats; brought to full scale 1",)

    def _look(self, late_window: npt.NDArray[np.float64]) -> None:
        """Add a window `[2 W, channels + 1]` to what is known of bands and periods; keep it for late channels."""
        window = late_window[: self._window]
        spectra = np.abs(np.fft.rfft(window * self._hann[:, None], axis=0)) ** 2  # [bins, channels + 1]
        if len(self._edges):
            self._bands += np.add.reduceat(spectra, self._edges, axis=0).T
            self._n_values += np.diff(np.append(self._edges, len(spectra)))
        n_fft = 2 * self._window
        power = np.abs(np.fft.rfft(window[:, : self._n], n_fft, axis=0)) ** 2
        correlation = np.fft.irfft(power, axis=0)
        shortest, longest = (round(period * self._rate) for period in _VOICE_SECONDS)
        lags = np.arange(max(1, shortest), min(longest, self._window // 2) + 1)
        fade = (self._window - lags) / self._window  # fewer samples meet at a long lag
        at = correlation[lags] / np.maximum(correlation[0], 1e-20) / fade[:, None]
        period = np.clip(at.max(axis=0, initial=0.0), 0.0, 1.0)
        self._voiced += correlation[0] / self._window * period**6  # noise has some period by chance, hardly 0.5
        self._n_windows += 1
        self._windows.append(late_window[:, : self._n].astype(np.float32))
        if len(self._windows) > _N_KEPT:  # evenly fewer, so that memory is bounded
            self._windows = self._windows[::2]

    def _best(self, steady: npt.NDArray[np.bool_]) -> int:
        """The channel with the most of a voice; one that never changes its level only if there is no other."""
        power = np.stack(self._stretches)[:, : self._n].mean(axis=0)
        is_voice = (power > power.max() * _below(_AUDIBLE_DB)) & (self._voiced > 0.1 * power * self._n_windows)
        others = np.where(is_voice & ~steady, self._voiced, -1.0)
        return int(others.argmax() if others.max() > 0 else self._voiced.argmax())

    def _steady(self) -> npt.NDArray[np.bool_]:
        """Which channels are of one level from beginning to end, `[channels]`."""
        moments = np.stack(self._moments)[:, : self._n]
        if len(moments) < _N_STEADY:
            return np.zeros(self._n, np.bool_)
        low, high = np.quantile(moments, (0.05, 0.95), axis=0)
        return np.asarray((low > 0) & (low > high * _below(_STEADY_DB)))

    def _is_better_alone(self, best: int, steady: npt.NDArray[np.bool_]) -> bool:
        stretches = np.stack(self._stretches)
        if not stretches[:, best].max() > 0:
            return False
        power = stretches[:, : self._n].mean(axis=0)
        if (np.delete(power, best) < power[best] * _below(_AUDIBLE_DB)).all():
            return True  # the others are silent: their mean would only be softer
        if steady.any() and not steady[best]:
            return True
        if self._is_opposed(best) or self._is_gone_for_moments(best):
            return True
        # Channels with nothing in common would have a mean of this power; less is cancelled.
        lost = _below(_LOST_DB) / self._n**2
        loud = stretches[:, best] > stretches[:, best].max() * _below(_LOUD_DB)
        n_lost = np.count_nonzero(stretches[loud, -1] < lost * stretches[loud, : self._n].sum(axis=1))
        if n_lost >= min(_N_LOST, len(stretches)):
            return True
        bands = self._bands
        audible = (bands[best] > bands[best].max() * _below(_AUDIBLE_DB)) & (self._n_values >= _ENOUGH_VALUES)
        if (bands[-1][audible] < lost * bands[: self._n, audible].sum(axis=0)).any():
            return True
        return self._is_late(best) or self._is_covered(best)

    def _is_opposed(self, best: int) -> bool:
        """Whether some channel is the best one upside down."""
        power = np.diag(self._products)
        correlation = self._products[best] / np.sqrt(np.maximum(power * power[best], 1e-30))
        return bool(((power > power[best] * _below(_OPPOSED_DB)) & (correlation < _OPPOSED)).any())

    def _is_gone_for_moments(self, best: int) -> bool:
        """Whether the mean is next to nothing for some tenths of a second in which the best channel is loud."""
        moments = np.stack(self._moments)
        loud = moments[:, best] > moments[:, best].max() * _below(_LOUD_DB)
        left = _below(_GONE_DB) / self._n**2 * moments[loud, : self._n].sum(axis=1)
        return bool(np.count_nonzero(moments[loud, -1] < left) >= max(_N_GONE, _GONE_SHARE * np.count_nonzero(loud)))

    def _is_covered(self, best: int) -> bool:
        """Whether some channel sounds about as much as the best one, but repeats nothing."""
        power = np.stack(self._stretches)[:, : self._n].mean(axis=0)
        share = self._voiced / np.maximum(self._voiced.max(), 1e-30) / np.maximum(power / power[best], 1e-30)
        sounding = power > power[best] * _below(_AUDIBLE_DB)
        is_voice = self._voiced[best] > 0.1 * power[best] * self._n_windows
        return bool(is_voice and (sounding & (share < 0.02)).any())

    def _is_late(self, best: int) -> bool:
        """Whether a channel is the best one some milliseconds away."""
        furthest = max(1, round(_LATE_SECONDS * self._rate))
        windows = np.stack(self._windows)  # [N, 2 W, channels]
        energy = np.square(windows, dtype=np.float64).sum(axis=1)  # [N, channels]
        windows = windows[energy[:, best] > energy[:, best].max() * _below(_AUDIBLE_DB)]
        n_fft = 1 << int(np.ceil(np.log2(2 * windows.shape[1])))
        spectra = np.fft.rfft(windows, n_fft, axis=1)
        cross = np.fft.irfft(spectra * spectra[:, :, best : best + 1].conj(), axis=1)
        norms = np.sqrt(np.square(windows, dtype=np.float64).sum(axis=1))  # [N, channels]
        scale = np.maximum(norms * norms[:, best : best + 1], 1e-20)
        around = np.concatenate([cross[:, : furthest + 1], cross[:, -furthest:]], axis=1)
        lags = np.concatenate([np.arange(furthest + 1), np.arange(furthest, 0, -1)])
        around /= (1.0 - lags / windows.shape[1])[:, None]  # fewer samples meet at a long lag
        in_place, moved = cross[:, 0] / scale, around.max(axis=1) / scale  # [N, channels]
        others = np.arange(self._n) != best
        fits, better = moved.mean(axis=0)[others], (moved - in_place).mean(axis=0)[others]
        return bool(((fits > _FITS) & (better > _FITS_BETTER)).any())


def _below(db: float) -> float:
    """The factor of a power so many decibels below."""
    return float(10.0 ** (-db / 10.0))


def of(samples: Samples, sample_rate: int) -> Mixdown:
    """How a recording in memory, `[T, channels]`, should become mono."""
    step = 4 * sample_rate
    return of_blocks(
        lambda: (samples[start : start + step] for start in range(0, len(samples), step)), sample_rate, samples.shape[1]
    )


def of_blocks(read: Callable[[], Iterable[Samples]], sample_rate: int, n_channels: int) -> Mixdown:
    """How a recording should become mono that is read from its beginning in blocks `[n, channels]`.

    It is read again where damage in it could have led astray.
    """
    survey = MixdownSurvey(sample_rate, n_channels)
    for block in read():
        survey.push(block)
    found = survey.result()
    if found.loudest is None or n_channels == 1:
        return found
    again = MixdownSurvey(sample_rate, n_channels)
    for block in read():
        again.push(np.where(np.abs(block) > found.loudest, np.float32(0.0), block))
    cleaned = again.result()
    return replace(cleaned, loudest=found.loudest, remarks=found.remarks + cleaned.remarks)
