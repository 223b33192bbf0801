"""One channel out of several, in the scale of floats.

The mean of the channels is what a recording is taken for, unless something is lost in it: channels of opposite sign
cancel, a channel that is late puts notches into the spectrum, noise on one side covers the voice on the other. Then the
channel with the most of a voice is taken.

    cancel    a band, or a second in all, is weaker in the mean by 4.5 dB than if the channels had nothing in common
    late      the best channel fits another one clearly better when it is moved
    covered   a channel sounds, and nothing of it repeats as a voice does
    alone     the others are silent

So the mean of two voices that sing on two sides stays what it is, and so does that of a voice in a room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio.clip import Samples

_LOST_DB = 4.5
_AUDIBLE_DB = 30.0  # below the strongest: what is weaker does not count
_ENOUGH_VALUES = 40  # of a spectrum, that tell the power of a band
_LOUD_DB = 20.0  # the same, of stretches of time
_STRETCH_SECONDS, _N_LOST = 0.5, 2  # length of such a stretch; so many have to be lost
_LATE_SECONDS = 0.03  # how late a channel may be
_FITS, _FITS_BETTER = 0.8, 0.12  # correlation of a late channel, and how much better than in its place
_WINDOW_SECONDS, _EVERY_SECONDS = 0.085, 0.4
_BAND_EDGES_HZ = 60.0 * 2.0 ** (np.arange(0, 23) / 3)  # thirds of an octave, to 9.7 kHz
_VOICE_SECONDS = (1 / 1000, 1 / 60)  # periods of voices
_FULL_SCALES = {16: 2.0**15, 24: 2.0**23, 32: 2.0**31}  # bits -> largest integer
_MOST_HEADROOM = 64.0  # +36 dBFS; no float recording has more
_SURELY_INTEGER = 2.0  # whole numbers of at least this size are no sound in [-1, 1]

Powers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixdown:
    """How blocks of a recording become mono."""

    channel: int | None = None  # the one to take; None for the mean of all
    scale: float = 1.0
    remarks: tuple[str, ...] = ()  # for whoever sent the recording: what is unusual, and what was done

    def mono(self, block: Samples) -> Samples:
        """`[n, channels]` -> `[n]`."""
        if block.shape[1] == 1:
            one = block[:, 0]
        elif self.channel is None:
            one = block.mean(axis=1, dtype=np.float32)
        else:
            one = np.ascontiguousarray(block[:, self.channel])
        return one if self.scale == 1.0 else one * np.float32(self.scale)


class MixdownSurvey:
    """Find out, block by block, how a recording should become mono."""

    def __init__(self, sample_rate: int, n_channels: int) -> None:
        self._rate, self._n = sample_rate, n_channels
        self._window = max(16, round(_WINDOW_SECONDS * sample_rate))
        self._peak, self._is_whole = 0.0, True
        self._stretches: list[Powers] = []  # [channels + 1] of each block, the mean last
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
        peak = float(np.abs(block).max())
        self._peak = max(self._peak, peak)
        if self._is_whole and peak > 0:
            self._is_whole = bool((block == np.rint(block)).all())
        if self._n == 1:
            return
        values = block.astype(np.float64)
        values = np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)
        values -= values.mean(axis=0)  # an offset is no sound
        for start in range(0, len(values), max(1, round(_STRETCH_SECONDS * self._rate))):
            stretch = values[start : start + round(_STRETCH_SECONDS * self._rate)]
            self._stretches.append(np.square(stretch).mean(axis=0))
        step = max(self._window, round(_EVERY_SECONDS * self._rate))
        for start in range(0, len(values), step):
            piece = values[start : start + self._window]
            if len(piece) == self._window or start == 0:
                self._look(np.pad(piece, ((0, self._window - len(piece)), (0, 0))))

    def result(self) -> Mixdown:
        """The mixdown, of what was pushed so far."""
        scale, remarks = self._scaled()
        channel = None
        if self._n > 1 and self._stretches and self._is_better_alone(best := int(self._voiced.argmax())):
            channel = best
            remarks += (
                f"channels cancel or cover each other in their mean; channel {best + 1} of {self._n} was taken",
            )
        return Mixdown(channel, scale, remarks)

    @property
    def peak(self) -> float:
        """Largest amplitude of all channels, before any scale."""
        return self._peak

    def _scaled(self) -> tuple[float, tuple[str, ...]]:
        if self._peak <= _MOST_HEADROOM and not (self._is_whole and self._peak >= _SURELY_INTEGER):
            return 1.0, ()
        bits = next((bits for bits, full in _FULL_SCALES.items() if self._peak <= full), None)
        scale = 1.0 / _FULL_SCALES[bits] if bits else 1.0 / self._peak
        what = f"integers of {bits} bits" if bits else "no sound's scale"
        return scale, (f"its samples go up to {self._peak:.6g}, {what} written as floats; brought to full scale 1",)

    def _look(self, window: npt.NDArray[np.float64]) -> None:
        """Add a window `[W, channels + 1]` to what is known of bands and periods; keep it to look for late channels."""
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
        self._windows.append(window[:, : self._n].astype(np.float32))
        if len(self._windows) > 128:  # evenly fewer, so that memory is bounded
            self._windows = self._windows[::2]

    def _is_better_alone(self, best: int) -> bool:
        stretches = np.stack(self._stretches)
        if not stretches[:, best].max() > 0:
            return False
        power = stretches[:, : self._n].mean(axis=0)
        if (np.delete(power, best) < power[best] * _below(_AUDIBLE_DB)).all():
            return True  # the others are silent: their mean would only be softer
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
        windows = np.stack(self._windows)  # [N, W, channels]
        energy = np.square(windows, dtype=np.float64).sum(axis=1)  # [N, channels]
        windows = windows[energy[:, best] > energy[:, best].max() * _below(_AUDIBLE_DB)]
        n_fft = 1 << int(np.ceil(np.log2(2 * self._window)))
        spectra = np.fft.rfft(windows, n_fft, axis=1)
        cross = np.fft.irfft(spectra * spectra[:, :, best : best + 1].conj(), axis=1)
        norms = np.sqrt(np.square(windows, dtype=np.float64).sum(axis=1))  # [N, channels]
        scale = np.maximum(norms * norms[:, best : best + 1], 1e-20)
        around = np.concatenate([cross[:, : furthest + 1], cross[:, -furthest:]], axis=1)
        in_place, moved = cross[:, 0] / scale, around.max(axis=1) / scale  # [N, channels]
        others = np.arange(self._n) != best
        fits, better = moved.mean(axis=0)[others], (moved - in_place).mean(axis=0)[others]
        return bool(((fits > _FITS) & (better > _FITS_BETTER)).any())


def _below(db: float) -> float:
    """The factor of a power so many decibels below."""
    return float(10.0 ** (-db / 10.0))


def of(samples: Samples, sample_rate: int) -> Mixdown:
    """How a recording in memory, `[T, channels]`, should become mono."""
    survey = MixdownSurvey(sample_rate, samples.shape[1])
    step = 4 * sample_rate
    for start in range(0, len(samples), step):
        survey.push(samples[start : start + step])
    return survey.result()
