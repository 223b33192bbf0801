"""What raising soft singing does to the pitch track of recordings: frames found anew, lost, and moved.

python benchmarks/levelling.py FILES_OR_FOLDERS...    with --gain-db -45, of the recordings made softer before
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import swift_f0

from moksori.audio import files, level, resample
from moksori.audio.clip import Clip
from moksori.audio.pitch import VOICED_CONFIDENCE, PitchTracker, cents_between

RATE = 16_000


def main() -> None:
    """Print a line a recording, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--gain-db", type=float, default=0.0)
    asked = parser.parse_args()
    found = [path for given in asked.paths for path in ([given] if given.is_file() else sorted(given.rglob("*.flac")))]
    network, tracker, sums = swift_f0.SwiftF0(threads=1, spin=False), PitchTracker(), np.zeros(5)
    for path in found:
        clip = files.read(path)
        clip = Clip(level.apply_gain(clip.samples, asked.gain_db), clip.sample_rate)
        raised, stream = tracker.track(clip), network.stream()
        parts = [stream.push(resample.resample(clip.samples, clip.sample_rate, RATE), RATE), stream.flush()]
        before = np.concatenate([part.confidence for part in parts]) >= VOICED_CONFIDENCE
        f0_hz = np.concatenate([part.pitch_hz for part in parts])
        both, n = before & raised.is_voiced, len(before)
        moved = both & (np.abs(cents_between(np.where(both, raised.f0_hz, 1.0), np.where(both, f0_hz, 1.0))) > 50)
        row = np.array(
            [n, before.sum(), (raised.is_voiced & ~before).sum(), (before & ~raised.is_voiced).sum(), moved.sum()]
        )
        sums += row
        print(f"{path.name:<30} {told(row)}")
    print(f"{'all':<30} {told(sums)}")


def told(row: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """Frames, and shares of them."""
    n, voiced, new, lost, moved = row
    return f"{n:6.0f} frames, voiced {voiced / n:.4f}, new {new / n:.4f}, lost {lost / n:.4f}, moved {moved / n:.4f}"


if __name__ == "__main__":
    main()
