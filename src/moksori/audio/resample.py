"""Resampling, whole or in a stream, with the output length stated beforehand.

`T` samples become `ceil(T * to_rate / from_rate)`. The filter (soxr, "HQ": linear phase, flat up to 0.91 of the lower
Nyquist frequency) is compensated for its delay, so a sound stays where it was in time.
"""

from __future__ import annotations

import numpy as np
import soxr

from moksori.audio import frames
from moksori.audio.clip import Clip, Samples

_ZERO_CROSSINGS, _KAISER, _CUT = 16, 8.0, 0.9  # of `BlockResampler`
_STEP = 1 << 16  # samples handed to soxr at a time; keeps its buffers small for hour-long blocks


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Return the same sound at another sample rate.

    Args:
        samples: float32 `[T]`.
        from_rate: Hz.
        to_rate: Hz.

    Returns:
        float32 `[ceil(T * to_rate / from_rate)]`. With equal rates, a copy. Around steps and clipped
        peaks the filter may overshoot [-1, 1] a little.

    Raises:
        ValueError: a rate is not positive, or the samples are not float32 `[T]`.
    """
    stream = StreamResampler(from_rate, to_rate)
    return np.concatenate([stream.push(samples), stream.flush()])


def resample_clip(clip: Clip, to_rate: int) -> Clip:
    """Return the clip at another sample rate; see `resample`."""
    return Clip(resample(clip.samples, clip.sample_rate, to_rate), to_rate)


class StreamResampler:
    """Resample block by block.

    However the input is cut, the joined output has the length and the samples (within 1e-4) of `resample`.

    Raises:
        ValueError: a rate is not positive, a block is not float32 `[n]`, or a block comes after `flush`.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        if from_rate < 1 or to_rate < 1:
            raise ValueError(f"cannot resample from {from_rate} Hz to {to_rate} Hz; rates are positive")
        self._from_rate, self._to_rate = from_rate, to_rate
        self._stream = None if from_rate == to_rate else soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")
        self._n_in = 0
        self._n_out = 0
        self._is_flushed = False

    def push(self, block: Samples) -> Samples:
        """Take the next samples `[n]` and return those that are ready; the filter holds back a few milliseconds."""
        if block.dtype != np.float32 or block.ndim != 1:
            raise ValueError(f"block is {block.dtype} {list(block.shape)}; expected float32 [n]")
        if self._is_flushed:
            raise ValueError("the stream was flushed; start a new one for another recording")
        self._n_in += len(block)
        ready = self._feed(block)
        self._n_out += len(ready)
        return ready

    def flush(self) -> Samples:
        """Return what the filter still holds, as if silence followed; nothing can be pushed afterwards."""
        if self._is_flushed:
            raise ValueError("the stream was flushed already")
        self._is_flushed = True
        missing = frames.rescaled_length(self._n_in, self._from_rate, self._to_rate) - self._n_out
        if self._stream is None or not missing:
            return np.zeros(0, np.float32)
        # soxr rounds the total length down now and then: two output samples of silence make sure it has enough.
        silence = np.zeros(2 * frames.n_frames(self._from_rate, self._to_rate), np.float32)
        return np.concatenate([self._feed(silence), self._stream.resample_chunk(silence[:0], last=True)])[:missing]

    def _feed(self, block: Samples) -> Samples:
        if self._stream is None:
            return block
        starts = range(0, len(block), _STEP)
        parts = [self._stream.resample_chunk(np.ascontiguousarray(block[start : start + _STEP])) for start in starts]
        return np.concatenate([np.zeros(0, np.float32), *parts])


class BlockResampler:
    """Resample blocks of one length as they come, a fixed, short time later: a windowed sinc, for live use.

    `StreamResampler` holds back 40 ms, this one less than one. It is flat up to 0.8 of the lower Nyquist frequency.

    Args:
        n_in: samples of a block.
        n_out: samples of what becomes of it.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        slower = max(1.0, n_in / n_out)  # input samples for each sample at the lower rate
        self.delay_samples = int(np.ceil(_ZERO_CROSSINGS * slower))  # at the input's rate
        reach = self.delay_samples
        # What comes out at place p lies `reach` before p in the input, of which as much is kept from the last block.
        places = reach + np.arange(n_out) * (n_in / n_out)
        self._index = np.floor(places).astype(np.int64)[:, None] + np.arange(1 - reach, reach + 1)
        away = (self._index - places[:, None]) / slower
        window = np.i0(_KAISER * np.sqrt(np.maximum(0.0, 1.0 - np.square(away * slower / reach)))) / np.i0(_KAISER)
        weights = np.sinc(_CUT * away) * window
        self._weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        self._past = np.zeros(2 * reach, np.float32)

    def push(self, block: Samples) -> Samples:
        """Take a block `[n_in]`, give `[n_out]`."""
        known = np.concatenate([self._past, block])
        self._past = known[len(block) :]
        return np.asarray((known[self._index] * self._weights).sum(axis=1), np.float32)
