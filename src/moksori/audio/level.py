"""Level and voice activity: decibels, frame levels, and where in a recording somebody sings.

0 dBFS is amplitude 1.0, for peaks and RMS alike, so a full-scale sine has an RMS of -3.01 dBFS. Nothing is quieter
than `FLOOR_DBFS`: digital silence gets that finite number, which survives averaging and JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moksori.audio import frames
from moksori.audio.clip import Clip, Samples

Levels = npt.NDArray[np.float64]
"""One level per frame, `[F]`, in dBFS."""

FLOOR_DBFS = -120.0  # below the quantisation noise of 16 bits (-98 dBFS); stands for digital silence
CLIPPED_AMPLITUDE = 0.9999  # at or above this a 16-bit converter had no room left (32764.7 / 32768)
HOP_SECONDS = 0.02  # one frame of `LevelMeter`: a few periods of a low voice, shorter than a consonant


@dataclass(frozen=True)
class TrimConfig:
    """What counts as singing when silence is trimmed away."""

    absolute_gate_dbfs: float = -60.0  # dBFS; a frame quieter than this is never singing
    relative_gate_db: float = 45.0  # dB below the loud frames; quieter frames are room and noise
    loud_quantile: float = 0.95  # "loud": this quantile of the frames above the absolute gate
    join_seconds: float = 0.5  # s; a shorter gap between two phrases is kept
    guard_seconds: float = 0.25  # s; kept before and after a phrase, for breaths and the tails of consonants

    def __post_init__(self) -> None:
        if not FLOOR_DBFS <= self.absolute_gate_dbfs <= 0:
            raise ValueError(f"absolute_gate_dbfs is {self.absolute_gate_dbfs}; expected {FLOOR_DBFS:g}..0 dBFS")
        if not 0 <= self.loud_quantile <= 1:
            raise ValueError(f"loud_quantile is {self.loud_quantile}; expected 0..1")
        for name in ("relative_gate_db", "join_seconds", "guard_seconds"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more")


_TELLS_DB, _HISSES_DB = 0.15, 3.0  # what lies below a voice adds so much to the singing, or to the pauses
_AUDIBLE_DBFS = -75.0  # pauses below are silent anyway
_SILENCE_SECONDS = 0.1  # of one and the same value that count as digital silence
_N_CLICKS, _CLICK_SHARE = 4, 1e-3  # so many frames, or this share of all, may be clicks
_CLICK_FACTOR = 4.0  # 12 dB: how far they stand out
_KNEE = 0.9  # amplitude from which `soft_limit` bends


def amplitude_to_db(amplitude: float) -> float:
    """Return 20 log10 of an amplitude (0 or more), never below `FLOOR_DBFS`.

    >>> amplitude_to_db(0.1), amplitude_to_db(0.0)
    (-20.0, -120.0)
    """
    return float(_power_to_db(np.square(np.float64(amplitude))))


def db_to_amplitude(db: float) -> float:
    """Return the factor that a gain in dB stands for.

    >>> db_to_amplitude(-20.0)
    0.1
    """
    return float(10.0 ** (db / 20.0))


def apply_gain(samples: Samples, gain_db: float) -> Samples:
    """Return the samples louder by `gain_db`, any shape, still float32; nothing is clipped."""
    return samples * np.float32(db_to_amplitude(gain_db))


def soft_limit(samples: Samples) -> Samples:
    """Bend what is louder than 0.9 so that nothing reaches full scale; what is softer stays as it is.

    >>> [round(float(x), 3) for x in soft_limit(np.array([0.5, -0.8, 1.1, -30.0], np.float32))]
    [0.5, -0.8, 0.996, -1.0]
    """
    over = np.maximum(np.abs(samples) - _KNEE, 0.0)
    bent = np.sign(samples) * (_KNEE + (1.0 - _KNEE) * np.tanh(over / (1.0 - _KNEE)))
    return np.where(over > 0, bent, samples).astype(np.float32)


def gain_to(level_dbfs: float, peak_dbfs: float, *, target_dbfs: float, ceiling_dbfs: float) -> float:
    """Return the gain in dB that brings a level to its target, or less if the peak would pass the ceiling.

    >>> gain_to(-30.0, -12.0, target_dbfs=-23.0, ceiling_dbfs=-1.0)
    7.0
    >>> gain_to(-30.0, -5.0, target_dbfs=-23.0, ceiling_dbfs=-1.0)
    4.0
    """
    return min(target_dbfs - level_dbfs, ceiling_dbfs - peak_dbfs)


def peak_dbfs(samples: Samples) -> float:
    """Return the level of the largest sample (any shape); `FLOOR_DBFS` for an empty or silent array."""
    return amplitude_to_db(float(np.abs(samples).max(initial=0.0)))


def rms_dbfs(samples: Samples) -> float:
    """Return the level of the mean power (any shape); `FLOOR_DBFS` for an empty or silent array."""
    return float(_power_to_db(np.square(samples, dtype=np.float64).sum() / max(samples.size, 1)))


def frame_level_dbfs(samples: Samples, hop_samples: int) -> Levels:
    """Measure the RMS level of each frame.

    Args:
        samples: `[T]`.
        hop_samples: frame length, at least 1.

    Returns:
        `[ceil(T / hop_samples)]` in dBFS. A last, partial frame is averaged over the samples that it has.
    """
    n_samples, n_frames = len(samples), frames.n_frames(len(samples), hop_samples)
    squares = np.square(frames.pad_to_hop(samples, hop_samples), dtype=np.float64).reshape(n_frames, hop_samples)
    counts = np.minimum(hop_samples, n_samples - hop_samples * np.arange(n_frames))
    return _power_to_db(squares.sum(axis=1) / counts)


@dataclass(frozen=True, eq=False)
class Measurement:
    """What `LevelMeter` found out about a recording."""

    frame_dbfs: Levels  # [F] RMS of each frame
    hop_samples: int  # frame length
    n_samples: int  # length of the recording
    sample_rate: int  # Hz
    peak_dbfs: float
    n_clipped: int  # samples at or above CLIPPED_AMPLITUDE
    voice_peak_dbfs: float | None = None  # the peak but for a few clicks; None where nobody looked for any
    silences: tuple[
        tuple[int, int], ...
    ] = ()  # [start, end) in samples: digital silence of a tenth of a second or more

    @property
    def gain_peak_dbfs(self) -> float:
        """The peak that limits a gain: a few clicks do not count."""
        return self.peak_dbfs if self.voice_peak_dbfs is None else self.voice_peak_dbfs

    @property
    def clipped_fraction(self) -> float:
        """Share of the samples at full scale, 0..1; 0 when there are none."""
        return self.n_clipped / max(self.n_samples, 1)


class LevelMeter:
    """Measure a recording block by block, so that hours fit into bounded memory (one number each 20 ms).

    However the samples are cut into blocks, the result is the same as for one block.
    """

    def __init__(self, sample_rate: int, hop_samples: int = 0) -> None:
        """Frames of so many samples; 0 for 20 ms."""
        self._sample_rate = sample_rate
        self._hop_samples = hop_samples or max(1, frames.seconds_to_samples(HOP_SECONDS, sample_rate))
        self._levels: list[Levels] = []
        self._rest = np.zeros(0, np.float32)  # start of a frame that is not full yet
        self._n_samples = 0
        self._n_clipped = 0
        self._peak = 0.0
        self._frame_peaks: list[Levels] = []
        self._silences: list[list[int]] = []  # runs of one value, the last one perhaps still going on
        self._last = np.float32(0.0)  # sample before the next block

    def push(self, block: Samples) -> None:
        """Take the next samples, `[n]`."""
        magnitudes = np.abs(block)
        self._n_samples += len(block)
        self._n_clipped += int(np.count_nonzero(magnitudes >= CLIPPED_AMPLITUDE))
        self._peak = max(self._peak, float(magnitudes.max(initial=0.0)))
        self._find_silence(block)
        waiting = np.concatenate([self._rest, block])
        n_whole = len(waiting) // self._hop_samples * self._hop_samples
        self._levels.append(frame_level_dbfs(waiting[:n_whole], self._hop_samples))
        self._frame_peaks.append(_frame_peaks(waiting[:n_whole], self._hop_samples))
        self._rest = waiting[n_whole:]

    def _find_silence(self, block: Samples) -> None:
        """Note runs of one value: zeros, or an offset; one that touches the last one goes on with it.

        Called behind the count of samples.
        """
        if not len(block):
            return
        begin = self._n_samples - len(block)
        is_still = block == np.concatenate([[self._last], block[:-1]])
        self._last = block[-1]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], is_still, [False]]))).reshape(-1, 2) + begin
        for start, end in edges.tolist():
            first = max(0, start - 1)  # the first of equals repeats nothing
            if self._silences and self._silences[-1][1] == start:
                self._silences[-1][1] = end
            elif self._is_long(end - first) or end == self._n_samples:
                self._silences.append([first, end])
        # Only the last run can still grow.
        self._silences = [run for run in self._silences if self._is_long(run[1] - run[0]) or run[1] == self._n_samples]

    def _is_long(self, n_samples: int) -> bool:
        return n_samples >= _SILENCE_SECONDS * self._sample_rate

    def result(self) -> Measurement:
        """Return what was measured so far; more may be pushed afterwards."""
        last = frame_level_dbfs(self._rest, self._hop_samples)
        peaks = _frame_peaks(self._rest, self._hop_samples)
        return Measurement(
            frame_dbfs=np.concatenate([*self._levels, last]),
            hop_samples=self._hop_samples,
            n_samples=self._n_samples,
            sample_rate=self._sample_rate,
            peak_dbfs=amplitude_to_db(self._peak),
            n_clipped=self._n_clipped,
            voice_peak_dbfs=amplitude_to_db(_without_clicks(np.concatenate([*self._frame_peaks, peaks]))),
            silences=tuple((start, end) for start, end in self._silences if self._is_long(end - start)),
        )


def _frame_peaks(samples: Samples, hop_samples: int) -> Levels:
    """The largest amplitude of each frame `[F]`."""
    padded = frames.pad_to_hop(np.abs(samples), hop_samples)
    return np.asarray(padded.reshape(-1, hop_samples).max(axis=1, initial=0.0), np.float64)


def _capped(frame_dbfs: Levels) -> Levels:
    """Levels of frames; those of a few clicks are brought down to the loudest other one."""
    usual_dbfs = amplitude_to_db(_without_clicks(10.0 ** (frame_dbfs / 20.0)))
    return np.minimum(frame_dbfs, usual_dbfs)


def _without_clicks(peaks: Levels) -> float:
    """The largest peak; where a few frames stand out from all others by 12 dB, the largest of those others."""
    n_clicks = max(_N_CLICKS, round(_CLICK_SHARE * len(peaks)))
    if len(peaks) <= 10 * n_clicks:
        return float(peaks.max(initial=0.0))
    largest = np.sort(np.partition(peaks, -n_clicks - 1)[-n_clicks - 1 :])
    usual = float(largest[0])
    return usual if usual > 0 and largest[-1] > _CLICK_FACTOR * usual else float(largest[-1])


def measure(samples: Samples, sample_rate: int) -> Measurement:
    """Measure a whole recording `[T]` at once."""
    meter = LevelMeter(sample_rate)
    meter.push(samples)
    return meter.result()


class PeakOutline:
    """The outline of a waveform as editors draw it, from blocks: the peak of each of many equal parts.

    Args:
        n_samples: of the whole recording; what is pushed beyond falls into the last part.
        n_parts: at least 1; a recording of fewer samples leaves some parts at 0.

    >>> outline = PeakOutline(4, 2)
    >>> outline.push(np.array([0.0, -0.5, 0.25, 0.125], np.float32))
    >>> outline.result().tolist()
    [0.5, 0.25]
    """

    def __init__(self, n_samples: int, n_parts: int) -> None:
        self._n_samples, self._peaks, self._n_pushed = max(1, n_samples), np.zeros(n_parts, np.float32), 0

    def push(self, block: Samples) -> None:
        """Take the next samples, `[n]`."""
        n_parts = len(self._peaks)
        places = (self._n_pushed + np.arange(len(block))) * n_parts // self._n_samples
        np.maximum.at(self._peaks, np.minimum(places, n_parts - 1), np.abs(block))
        self._n_pushed += len(block)

    def result(self) -> Samples:
        """The peak amplitude of each part, `[n_parts]`."""
        return self._peaks.copy()


def loudest_stretch(frame_dbfs: Levels, n_frames: int) -> int:
    """Return the frame at which the stretch of `n_frames` with the highest mean power begins; the first of equals.

    A recording that is no longer than that begins at 0.

    >>> loudest_stretch(np.array([-60.0, -20.0, -20.0, -60.0]), 2)
    1
    """
    power = np.concatenate([[0.0], np.cumsum(10.0 ** (frame_dbfs / 10.0))])
    if len(frame_dbfs) <= n_frames:
        return 0
    sums = power[n_frames:] - power[:-n_frames]
    return int(np.argmax(sums > sums.max() * (1 - 1e-9)))


DEFAULT_TRIM = TrimConfig()
ANY_LEVEL = TrimConfig(absolute_gate_dbfs=FLOOR_DBFS)  # every sound counts as singing
_CEILING_DBFS = -1.0


def gate_dbfs(frame_dbfs: Levels, config: TrimConfig = DEFAULT_TRIM) -> float:
    """Return the level above which a frame counts as sung.

    Two gates, as in ITU-R BS.1770: the absolute one decides which frames tell how loud the singing is, and the
    relative one hangs below that. A silent or empty recording has the absolute gate.
    """
    audible = frame_dbfs[frame_dbfs > config.absolute_gate_dbfs]
    if not len(audible):
        return config.absolute_gate_dbfs
    loud_dbfs = float(np.quantile(audible, config.loud_quantile))
    return max(config.absolute_gate_dbfs, loud_dbfs - config.relative_gate_db)


def sung_level_dbfs(frame_dbfs: Levels, config: TrimConfig = DEFAULT_TRIM) -> float:
    """Return the level of the singing: the mean power of the frames above the gate, pauses and clicks left out.

    Args:
        frame_dbfs: `[F]`.
        config: where the gate lies.

    Returns:
        A level in dBFS; `FLOOR_DBFS` when no frame is sung.
    """
    frame_dbfs = _capped(frame_dbfs)
    sung = frame_dbfs[frame_dbfs > gate_dbfs(frame_dbfs, config)]
    return float(_power_to_db((10.0 ** (sung / 10.0)).sum() / max(len(sung), 1)))


def gain_for_singing(measured: Measurement, target_dbfs: float) -> float:
    """Return the gain that brings the singing to the level of the training data; none for a silent recording.

    A recording so faint that nothing passes for singing is raised all the same: a model has never heard anything as
    faint, and would answer at the level of its training. No recording is raised beyond a peak of -1 dBFS, a few clicks
    left out.
    """
    sung = sung_level_dbfs(measured.frame_dbfs)
    if sung <= FLOOR_DBFS:
        sung = sung_level_dbfs(measured.frame_dbfs, ANY_LEVEL)
    if sung <= FLOOR_DBFS:
        return 0.0
    return gain_to(sung, measured.gain_peak_dbfs, target_dbfs=target_dbfs, ceiling_dbfs=_CEILING_DBFS)


def gain_of(clip: Clip, target_dbfs: float) -> float:
    """The same for a clip that was not measured yet."""
    return gain_for_singing(measure(clip.samples, clip.sample_rate), target_dbfs)


def is_lower_than_a_voice(measured: Measurement, above: Measurement) -> bool:
    """Whether a part of a recording that lies below every voice tells in its levels.

    Args:
        measured: the recording.
        above: the same without its lowest frequencies, see `highpass`.
    """
    if sung_level_dbfs(measured.frame_dbfs) - sung_level_dbfs(above.frame_dbfs) > _TELLS_DB:
        return True
    noise = noise_dbfs(measured.frame_dbfs)
    return noise > _AUDIBLE_DBFS and noise - noise_dbfs(above.frame_dbfs) > _HISSES_DB


def noise_dbfs(frame_dbfs: Levels) -> float:
    """Return the level of the quietest frames: the 5th percentile of those that are not digital silence.

    `FLOOR_DBFS` when all are.
    """
    sounding = frame_dbfs[frame_dbfs > FLOOR_DBFS]
    return float(np.quantile(sounding, 0.05)) if len(sounding) else FLOOR_DBFS


def sung_regions(measurement: Measurement, config: TrimConfig = DEFAULT_TRIM) -> list[tuple[int, int]]:
    """Find the stretches in which somebody sings.

    Frames above the gate are joined over short gaps; each stretch is widened by the guards, clipped to the
    recording, and stretches that touch become one:

        level     ....####..###.........####....
        joined        [-------]         [--]
        guarded     [-----------]     [------]

    Returns:
        `(start, end)` in samples, end exclusive: ascending, apart from each other, within `[0, n_samples]`.
        Empty when nothing is sung.
    """
    hop, rate = measurement.hop_samples, measurement.sample_rate
    sung = measurement.frame_dbfs > gate_dbfs(measurement.frame_dbfs, config)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sung, [False]])))
    guard = frames.seconds_to_samples(config.guard_seconds, rate)
    shortest_gap = frames.seconds_to_samples(config.join_seconds, rate)
    regions: list[tuple[int, int]] = []
    for start, end in (edges.reshape(-1, 2) * hop).tolist():
        # The last region in the list already carries its guard: the gap is measured without it.
        if regions and start - (regions[-1][1] - guard) < max(shortest_gap, 2 * guard + 1):
            regions[-1] = (regions[-1][0], end + guard)
        else:
            regions.append((start - guard, end + guard))
    return [(max(0, start), min(end, measurement.n_samples)) for start, end in regions]


def _power_to_db(power: npt.NDArray[np.float64] | np.float64) -> Levels:
    floor = 10.0 ** (FLOOR_DBFS / 10.0)
    return np.asarray(10.0 * np.log10(np.maximum(power, floor)), np.float64)
