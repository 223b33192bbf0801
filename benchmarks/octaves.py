"""Octave errors of the pitch tracker in high registers, and what `--repair-octaves` mends of them.

    python benchmarks/octaves.py SONG... [--seconds 20]

High singing is made of songs: they are moved up by pitch-synchronous overlap-add (`audio/overlap_add.py`), which keeps
the formants, and hiss is added 10 dB under them where the table says so. The truth is the pitch that is tracked before.
Printed are shares of frames that are voiced in both: within half a semitone, and one or two octaves too low, as tracked
and as repaired (`audio/octaves.py`).
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from moksori.audio import files, octaves, overlap_add, pitch
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack, PitchTracker

_HISS_DB = -10.0


def counts(found: PitchTrack, truth_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Frames voiced in both; of these right, too low by octaves, too high by octaves."""
    both = found.is_voiced & (truth_hz > 0)
    away = 12.0 * np.log2(found.f0_hz[both] / truth_hz[both])
    off = [(np.abs(away - 12.0 * octave) < 0.5).sum() for octave in (0, -1, -2, 1, 2)]
    return np.array([both.sum(), off[0], off[1] + off[2], off[3] + off[4]])


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    tracker, rng = PitchTracker(), np.random.default_rng(0)
    clips = [files.read_stretch(path, 0.0, asked.seconds) for path in asked.songs]
    tracks = [tracker.track(clip) for clip in clips]
    print("| moved up by | hiss | highest tenth | tracked: right, low, high | repaired: right, low, high |")
    print("| --- | --- | --- | --- | --- |")
    for semitones in (0, 12, 19, 24):
        for is_hissing in (False, True):
            before, after, sung = np.zeros(4), np.zeros(4), [np.zeros(0)]
            for clip, track in zip(clips, tracks, strict=True):
                samples = overlap_add.moved(clip, track, semitones).samples if semitones else clip.samples
                if is_hissing:
                    rms = np.sqrt(np.square(samples).mean()) * 10.0 ** (_HISS_DB / 20.0)
                    samples = (samples + rms * rng.standard_normal(len(samples))).astype(np.float32)
                high = Clip(samples, clip.sample_rate)
                truth_hz = np.where(track.is_voiced, track.f0_hz * 2.0 ** (semitones / 12.0), 0.0)
                found = tracker.track(high)
                mended, _ = octaves.repaired(found, functools.partial(iter, [high.samples]), clip.sample_rate)
                before, after = before + counts(found, truth_hz), after + counts(mended, truth_hz)
                sung.append(truth_hz[truth_hz > 0])
            cells = (
                f"{semitones} semitones",
                f"{_HISS_DB:g} dB" if is_hissing else "none",
                pitch.note_name(float(np.quantile(np.concatenate(sung), 0.9))),
                *(", ".join(f"{share:.3f}" for share in one[1:] / one[0]) for one in (before, after)),
            )
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
