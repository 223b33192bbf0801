"""Render `arirang.flac` from `arirang.musicxml`: a song that nobody in `singers/` sings, for `make demo` to convert.

The voice is NIT SONG070 F001, a Japanese HMM voice that comes with pysinsy (credit and terms: `LICENSE.md`). Run it
from the project root, in an environment that has Moksori; pip compiles pysinsy, which brings all it needs:

    .venv/bin/pip install pysinsy "setuptools<81"
    .venv/bin/python demo/render_arirang.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pysinsy  # type: ignore[import-not-found]

from moksori.audio import files, level, resample
from moksori.audio.clip import Clip

FOLDER = Path(__file__).parent
SAMPLE_RATE = 16_000  # Hz, as the singers' recordings
PEAK_DBFS = -3.0
TRIM = level.TrimConfig(guard_seconds=0.3)  # silence left before the first note and after the last one


def sung(score: Path) -> Clip:
    """Let the voice sing a score."""
    samples, sample_rate = pysinsy.synthesize(str(score))
    return Clip(np.asarray(samples / 2**15, np.float32), sample_rate)  # scaled as 16-bit integers


def finished(clip: Clip) -> Clip:
    """Trim, bring to the rate and to the peak level."""
    regions = level.sung_regions(level.measure(clip.samples, clip.sample_rate), TRIM)
    samples = resample.resample(clip.samples[regions[0][0] : regions[-1][1]], clip.sample_rate, SAMPLE_RATE)
    return Clip(level.apply_gain(samples, PEAK_DBFS - level.peak_dbfs(samples)), SAMPLE_RATE)


if __name__ == "__main__":
    files.write(FOLDER / "arirang.flac", finished(sung(FOLDER / "arirang.musicxml")))
