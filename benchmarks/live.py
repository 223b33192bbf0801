"""What singing live costs, and how far it is from the offline way.

    python benchmarks/live.py SONG... [--singer kumi] [--seconds 30]

Of every song: the time of a block over its length (processor time, so that others on the machine tell little), median
and p99; and beside the offline conversion of the same song, from the fourth second on, when level and mean shape are
known: the log-spectral distance (40 bands of equal width, frames of 10 ms that are louder than two fifths), the share
of frames with a pitch within half a semitone, and of those that are voiced in both; and the same two of the live
tracker itself beside swift-f0. The last column is the largest bend of the sound at the edges of blocks over the
largest anywhere.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import moksori
from moksori.audio import files, live_pitch, pitch, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.live_pitch import LivePitchConfig
from moksori.audio.pitch import PitchTracker
from moksori.conversion import ConvertOptions
from moksori.conversion.live import Live

_SETTLED_SECONDS = 4.0
Curve = npt.NDArray[np.float64]


def band_dbfs(samples: Samples) -> Curve:
    """Levels of 40 bands, `[F, 40]`."""
    padded = np.pad(samples, 512)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::240] * np.hanning(1024)
    power = np.square(np.abs(np.fft.rfft(windows, axis=1)))
    edges = np.linspace(0, 512, 41).astype(int)
    return np.asarray(10.0 * np.log10(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6))


def agreement(found_hz: Curve, expected_hz: Curve) -> tuple[float, float]:
    """Shares: of frames voiced in both that are within half a semitone, and of all that agree on voicing."""
    both = (found_hz > 0) & (expected_hz > 0)
    cents = np.abs(pitch.cents_between(found_hz[both], expected_hz[both]))
    return float((cents <= 50).mean()), float(((found_hz > 0) == (expected_hz > 0)).mean())


def tracked_live(samples: Samples, sample_rate: int) -> Curve:
    """What the live tracker hears every 10 ms."""
    config, hop = LivePitchConfig(sample_rate), sample_rate // 100
    padded = np.pad(samples, config.reach_samples)
    found = [0.0]
    for middle in range(0, len(samples), hop):
        found.append(live_pitch.pitch_at(padded[middle : middle + 2 * config.reach_samples], found[-1], config))
    return np.array(found[1:])


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="+", type=Path)
    parser.add_argument("--singer", default="kumi")
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    voice = moksori.load()
    rate, latency = voice.sample_rate, Live(voice, asked.singer).song.latency_seconds
    print(f"{platform.processor() or platform.machine()}, singer {asked.singer}, {1000 * latency:.0f} ms\n")
    heads = ("song", "load: median, p99", "distance", "pitch, voicing", "tracker: pitch, voicing", "bend at edges")
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for path in asked.songs:
        clip = files.read_stretch(path, 0.0, asked.seconds)
        samples = resample.resample(clip.samples, clip.sample_rate, rate)
        going = Live(voice, asked.singer)
        going.warm_up()
        n = going.song.block_samples
        sung = np.concatenate([going.process(samples[at : at + n]) for at in range(0, len(samples) - n + 1, n)])
        sung = sung[going.song.delay_frames * going.song.hop_samples :]
        offline = voice.convert(samples, rate, singer=asked.singer, options=ConvertOptions(transpose=0))[: len(sung)]
        found, expected = band_dbfs(sung), band_dbfs(offline)
        loud = expected.mean(axis=1) > np.quantile(expected.mean(axis=1), 0.4)
        loud[: round(100 * _SETTLED_SECONDS)] = False
        distance_db = np.sqrt(np.square(found - expected)[loud].mean(axis=1)).mean()
        times = np.arange(0.0, len(sung) / rate, 0.01)
        pitches = [pitch.at_times(PitchTracker().track(Clip(one, rate)), times) for one in (sung, offline, samples)]
        live_hz = tracked_live(samples, rate)[: len(times)]
        bend = np.abs(np.diff(sung, 2))
        edges = np.arange(n, len(bend) - 1, n) - 1
        cells = (
            path.stem,
            f"{going.meter.load(0.5):.2f}, {going.meter.load(0.99):.2f}",
            f"{distance_db:.1f} dB",
            "{:.3f}, {:.3f}".format(*agreement(pitches[0], pitches[1])),
            "{:.3f}, {:.3f}".format(*agreement(live_hz, pitches[2])),
            f"{bend[edges].max() / bend.max():.2f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
