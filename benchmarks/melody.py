"""Does a conversion keep melody and rhythm? Compares pitch and level with those of the source, frame by frame.

    python benchmarks/melody.py SOURCE CONVERSION [CONVERSION ...]

Columns: share of the source's voiced frames that are voiced in the conversion; of the same frames, those within 50
cents of the source (raw pitch accuracy), and those within 50 cents of some octave of it (raw chroma accuracy); the
correlation of the level curves in dB, 20 ms a frame, all below -70 dBFS taken as that.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from moksori.audio import files, level, pitch
from moksori.audio.clip import Clip


def compare(source: pitch.PitchTrack, conversion: pitch.PitchTrack) -> tuple[float, float, float]:
    """Voicing recall, raw pitch accuracy and raw chroma accuracy, each a share of the source's voiced frames."""
    n = min(len(source.f0_hz), len(conversion.f0_hz))
    voiced = source.is_voiced[:n]
    both = voiced & conversion.is_voiced[:n]
    cents = np.abs(pitch.cents_between(conversion.f0_hz[:n][both], source.f0_hz[:n][both]))
    to_nearest_octave = np.abs((cents + 600) % 1200 - 600)
    counts = (both.sum(), (cents <= 50).sum(), (to_nearest_octave <= 50).sum())
    recall, accuracy, chroma = (float(count / max(voiced.sum(), 1)) for count in counts)
    return recall, accuracy, chroma


def level_correlation(source: Clip, conversion: Clip) -> float:
    """Correlation of the level curves of two clips of one length, in [-1, 1]."""
    curves = [
        np.maximum(level.frame_level_dbfs(clip.samples, clip.sample_rate // 50), -70.0) for clip in (source, conversion)
    ]
    n = min(map(len, curves))
    return float(np.corrcoef(curves[0][:n], curves[1][:n])[0, 1])


def main(names: list[str]) -> None:
    """Print a row for each conversion."""
    tracker = pitch.PitchTracker()
    source = files.read(Path(names[0]))
    track = tracker.track(source)
    print("| conversion | voiced | pitch | chroma | level |\n| --- | --- | --- | --- | --- |")
    for name in names[1:]:
        conversion = files.read(Path(name))
        shares = compare(track, tracker.track(conversion))
        columns = [f"{value:.2f}" for value in (*shares, level_correlation(source, conversion))]
        print(f"| {Path(name).name} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
