"""How much memory does an evaluation of whole songs take?

    python benchmarks/evaluation_memory.py [--songs 24] [--seconds 180] [--conversions 1]

Invented songs are analysed as `moksori evaluate` does, on all cores, by judges with weights by chance: their memory
does not depend on what they know. Each song is scored beside some conversions, and one pair of songs is aligned.
Printed are the memory that stays of a song, and the peak of the whole process.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.evaluation import scoring
from moksori.evaluation.analyses import Analyses
from moksori.evaluation.judges.panel import Analysis, Panel
from moksori.evaluation.judges.singer import NetClassifier, SingerNet
from moksori.evaluation.judges.vowels import VowelNet, VowelRecogniser
from moksori.evaluation.measures import mel_cepstrum
from moksori.evaluation.measures.melody import SwiftF0
from moksori.evaluation.pairs import Pair
from moksori.evaluation.report import data as report
from moksori.progress import ignored

RATE = 24000


def song(seconds: float, seed: int) -> Clip:
    """A buzz that wanders in pitch and rests now and then."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    f0_hz = 220.0 * 2.0 ** np.interp(times, np.arange(0, seconds + 1), rng.uniform(-0.5, 0.5, int(seconds) + 1))
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE
    is_sung = np.interp(times, np.arange(0, seconds + 1), rng.uniform(0, 1, int(seconds) + 1)) > 0.25
    buzz = sum(np.sin(order * phase) / order for order in range(1, 6))
    return Clip((0.1 * buzz * is_sung).astype(np.float32), RATE)


def kept_bytes(value: object) -> int:
    """Bytes of the arrays in a dataclass."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if dataclasses.is_dataclass(value):
        return sum(kept_bytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    return 0


def peak_mb() -> float:
    """The most memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def main(n_songs: int, seconds: float, n_conversions: int) -> None:
    """Print what was measured."""
    names = [f"singer {number}" for number in range(8)]
    panel = Panel([NetClassifier(SingerNet(len(names)), names)], SwiftF0(), VowelRecogniser(VowelNet()))
    print(f"before the first song: {peak_mb():.0f} MB")
    with tempfile.TemporaryDirectory() as temporary:
        songs = [Path(temporary) / f"{number}.flac" for number in range(n_songs)]
        for number, path in enumerate(songs):
            files.write(path, song(seconds, number))
        print(f"with songs written: {peak_mb():.0f} MB")
        pairs = [
            Pair(f"{path.stem} to {target}", report.CONVERSION, path, path.name, names[0], target, path)
            for path in songs
            for target in names[1 : 1 + n_conversions]
        ]
        analyses = Analyses(panel, ignored)
        items = scoring.conversions(analyses, pairs)
        assert len(items) == len(pairs) and not analyses.unreadable
        kept: list[Analysis] = [found for path in songs if (found := analyses.of(path))]
        print(f"with {n_songs} songs of {seconds:g} s analysed, {len(items)} conversions scored: {peak_mb():.0f} MB")
        mel_cepstrum.aligned_distance_db(kept[0].cepstra, kept[-1].cepstra)
        print(f"with two of them aligned: {peak_mb():.0f} MB; {kept_bytes(kept[0]) / 1e6:.1f} MB stay of a song")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--conversions", type=int, default=1)
    asked = parser.parse_args()
    main(asked.songs, asked.seconds, asked.conversions)
