"""A recording decoded: mono, at the rate of the corpus, in a spool, with what was measured on the way.

    decode -> mono (see `mixdown`) -> resample -> spool    levels, clipping, traces of earlier treatment, checksum

It goes through in blocks, so that hours fit into little memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from moksori.audio import files, level
from moksori.audio.clip import Samples
from moksori.audio.highpass import StreamHighPass
from moksori.audio.resample import StreamResampler
from moksori.audio.traces import TraceSurvey
from moksori.data.prepare_config import PrepareConfig
from moksori.errors import DataError

BLOCK_SAMPLES = 1 << 17  # decoded at a time


@dataclass(frozen=True)
class DecodedTake:
    """A recording decoded, resampled and measured; not yet a clip."""

    spool: IO[bytes]  # float32 samples at the corpus rate, the whole recording
    measured: level.Measurement
    regions: list[tuple[int, int]]  # sung, in samples of the spool
    gain_db: float
    audio_sha256: str
    clipped_fraction: float
    remarks: tuple[str, ...]  # what is unusual about it, and what was done
    number: int | None = None  # of the stretch, where this is one

    @property
    def n_samples(self) -> int:
        """Length of the clip: from the first sung region to the last."""
        return self.regions[-1][1] - self.regions[0][0]

    def blocks(self) -> Iterator[Samples]:
        """The samples of the clip, [n] at a time, at their gain."""
        self.spool.seek(4 * self.regions[0][0])
        remaining = self.n_samples
        while remaining:
            block = np.frombuffer(self.spool.read(4 * min(BLOCK_SAMPLES, remaining)), np.float32)
            remaining -= len(block)
            yield level.apply_gain(block, self.gain_db)

    def part(self, number: int, regions: list[tuple[int, int]]) -> DecodedTake:
        """A stretch of it, at the gain of the whole."""
        hop, (start, end) = self.measured.hop_samples, (regions[0][0], regions[-1][1])
        self.spool.seek(4 * start)
        samples = np.frombuffer(self.spool.read(4 * (end - start)), np.float32)
        measured = dataclasses.replace(
            self.measured,
            frame_dbfs=self.measured.frame_dbfs[start // hop : -(-end // hop)],
            n_samples=end - start,
            peak_dbfs=level.peak_dbfs(samples),
        )
        return dataclasses.replace(
            self, measured=measured, regions=regions, audio_sha256=_sound_sha256(samples), number=number
        )


def decode(path: Path, spool: IO[bytes], config: PrepareConfig) -> DecodedTake:
    """Decode a file once, into the spool.

    Raises:
        AudioFileError: the file cannot be read as sound.
        DataError: there is too little singing in it.
    """
    info, down = files.probe(path), files.mixdown(path)
    resampler = StreamResampler(info.sample_rate, config.sample_rate)
    meter, above = level.LevelMeter(config.sample_rate), level.LevelMeter(config.sample_rate)
    low_cut = StreamHighPass(config.sample_rate)
    survey = TraceSurvey(info.sample_rate, info.n_channels)
    sound = hashlib.sha256()
    n_values = n_clipped = 0
    for block in files.blocks(path, BLOCK_SAMPLES):  # [n, channels]
        n_values += block.size
        cleaned = down.cleaned(block)
        n_clipped += int(np.count_nonzero(np.abs(cleaned) >= level.CLIPPED_AMPLITUDE))
        survey.push(cleaned)
        mono = down.mono(block)
        sound.update(_as_16_bit(mono))
        resampled = resampler.push(mono)
        meter.push(resampled)
        above.push(low_cut.push(resampled))
        spool.write(resampled.tobytes())
    rest = resampler.flush()
    meter.push(rest)
    for last in (low_cut.push(rest), low_cut.flush()):
        above.push(last)
    spool.write(rest.tobytes())
    traces, clipped_fraction = survey.result(), n_clipped / n_values
    if traces.clipped_fraction < 2 * clipped_fraction:  # at full scale, where its number tells
        traces = dataclasses.replace(traces, clipped_fraction=0.0)
    clipped_fraction = max(clipped_fraction, traces.clipped_fraction)
    wanted_hz = min(info.sample_rate, config.sample_rate) / 2
    measured, remarks = meter.result(), (*info.remarks, *down.remarks, *traces.remarks(wanted_hz))
    if level.is_lower_than_a_voice(measured, above.result()):
        measured = above.result()
        remarks += ("an offset or a rumble below every voice was taken out",)
        _take_out_the_lowest(spool, config.sample_rate)
    if measured.gain_peak_dbfs < measured.peak_dbfs:
        remarks += ("clicks stand out above the voice; they were left out of account when its level was set",)
    gain_db = level.gain_to(
        level.sung_level_dbfs(measured.frame_dbfs, config.trim),
        measured.gain_peak_dbfs,
        target_dbfs=config.level_dbfs,
        ceiling_dbfs=config.ceiling_dbfs,
    )
    _check_singing(measured, config)
    regions = level.sung_regions(measured, config.trim)
    return DecodedTake(spool, measured, regions, round(gain_db, 3), sound.hexdigest(), clipped_fraction, remarks)


def _take_out_the_lowest(spool: IO[bytes], sample_rate: int) -> None:
    """Put a recording without its lowest frequencies in its place; what comes back is as long as what was read."""
    low_cut = StreamHighPass(sample_rate)
    read, written = 0, 0
    while True:
        spool.seek(read)
        content = spool.read(4 * BLOCK_SAMPLES)
        read += len(content)
        ready = (low_cut.push(np.frombuffer(content, np.float32)) if content else low_cut.flush()).tobytes()
        spool.seek(written)  # behind what was read, since the filter holds some back
        spool.write(ready)
        written += len(ready)
        if not content:
            return


def _check_singing(measured: level.Measurement, config: PrepareConfig) -> None:
    n_sung = int(np.count_nonzero(measured.frame_dbfs > level.gate_dbfs(measured.frame_dbfs, config.trim)))
    sung_seconds = n_sung * measured.hop_samples / measured.sample_rate
    if not n_sung or sung_seconds < config.min_seconds:
        raise DataError(
            f"{sung_seconds:.2f} s of singing in {measured.n_samples / measured.sample_rate:.2f} s; "
            f"expected at least {config.min_seconds:g} s above {config.trim.absolute_gate_dbfs:g} dBFS"
        )


def _as_16_bit(samples: Samples) -> bytes:
    return np.round(samples.clip(-1, 1) * 32767).astype("<i2").tobytes()


def _sound_sha256(samples: Samples) -> str:
    return hashlib.sha256(_as_16_bit(samples)).hexdigest()
