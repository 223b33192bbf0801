"""What separation gains: songs without backing, mixed with a rendered one, taken apart, converted.

    python benchmarks/separation.py SONG... [--singer kumi] [--seconds 30]

Needs the separator's weights (`moksori separator`). The backing is made here: triads of decaying strings, a bass, and
drums of noise, in stereo; it is as loud as the voice, or 6 dB softer. Printed are SI-SDR (Le Roux et al. 2019), of
the mix and of the stems, and whether conversions sing the melody: the share of the song's voiced frames that are within
half a semitone of it (RPA50), by the tracker.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

import moksori
from moksori.audio import files, pitch, resample
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTracker
from moksori.conversion import ConvertOptions, SongFile, mix
from moksori.conversion.mix import Mixing

RATE = 44_100
Curve = npt.NDArray[np.float64]
_ROOTS_HZ = (130.8, 110.0, 87.3, 98.0)  # C, A minor, F, G: the four chords of most songs
_BEAT_SECONDS = 0.5


def backing(n_samples: int) -> Curve:
    """Chords, bass and drums, `[n, 2]`, of RMS 1."""
    rng, sound = np.random.default_rng(0), np.zeros((n_samples, 2))
    bar = round(4 * _BEAT_SECONDS * RATE)
    for number in range(n_samples // bar + 1):
        start = number * bar
        times = np.arange(min(bar, n_samples - start)) / RATE
        root, third = _ROOTS_HZ[number % 4], (3 if number % 4 == 1 else 4)
        for voice, semitones in enumerate((0, third, 7, 12)):
            hz = 2 * root * 2 ** (semitones / 12)
            tones = [np.exp(-(1 + 0.4 * k) * times) * np.sin(2 * np.pi * k * hz * times) / k for k in range(1, 10)]
            string = np.sum(tones, axis=0)
            pan = 0.25 + voice / 6
            sound[start : start + len(times)] += 0.1 * np.stack([np.sqrt(1 - pan) * string, np.sqrt(pan) * string], 1)
        bass = np.sin(2 * np.pi * root / 2 * times) + 0.4 * np.sin(2 * np.pi * root * times)
        sound[start : start + len(times)] += 0.15 * bass[:, None]
    beat = round(_BEAT_SECONDS * RATE)
    for number, start in enumerate(range(0, n_samples - beat, beat // 2)):
        hit = np.arange(beat // 2) / RATE
        noise = rng.standard_normal(len(hit))
        hat = 0.05 * np.diff(noise, append=0.0) * np.exp(-hit * 60)
        snare = 0.25 * noise * np.exp(-hit * 25) * (number % 4 == 2)
        kick = 0.6 * np.sin(2 * np.pi * 50 * hit) * np.exp(-hit * 18) * (number % 4 == 0)
        sound[start : start + len(hit)] += (hat + snare + kick)[:, None]
    return np.asarray(sound / np.sqrt(np.square(sound).mean()))


def si_sdr_db(estimate: Curve, reference: Curve) -> float:
    """Scale-invariant signal-to-distortion ratio.

    >>> round(si_sdr_db(np.array([2.0, 2.0, 0.0]), np.array([1.0, 1.0, 0.0])) > 100)
    1
    >>> round(si_sdr_db(np.array([1.0, 0.1]), np.array([1.0, 0.0])), 3)
    20.0
    """
    target = (estimate * reference).sum() / np.square(reference).sum() * reference
    return float(10 * np.log10(np.square(target).sum() / (np.square(estimate - target).sum() + 1e-20)))


def melody_share(found: Clip, track: pitch.PitchTrack, semitones: float) -> float:
    """The share of the song's voiced frames that are sung within half a semitone of its moved melody."""
    times = track.times_seconds[track.is_voiced]
    f0_hz = pitch.at_times(PitchTracker().track(found), times)
    wanted = track.voiced_hz * 2 ** (semitones / 12)
    near = np.abs(pitch.cents_between(np.where(f0_hz > 0, f0_hz, 1.0), wanted)) <= 50
    return float((near & (f0_hz > 0)).mean())


def _read(path: Path) -> Curve:
    return np.concatenate(list(files.blocks(path))).astype(np.float64)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="+", type=Path)
    parser.add_argument("--singer", default="kumi")
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    voice = moksori.load()
    print(f"{platform.processor() or platform.machine()}, moksori {moksori.__version__}, singer {asked.singer}\n")
    heads = ("song", "voice over backing", "SI-SDR voice: mix, stem", "backing: mix, stem", "RPA50: alone, stem, mix")
    print(f"| {' | '.join(heads)} |")
    print("| --- | --- | --- | --- | --- |")
    seconds = processor = 0.0
    for path in asked.songs:
        clip = files.read_stretch(path, 0.0, asked.seconds)
        alone = resample.resample(clip.samples, clip.sample_rate, RATE).astype(np.float64)
        rest = backing(len(alone)) * np.sqrt(np.square(alone).mean())
        track = PitchTracker().track(Clip(alone.astype(np.float32), RATE))
        options = ConvertOptions(transpose=voice.transposition(clip, asked.singer, ConvertOptions()))
        assert not isinstance(options.transpose, str)
        for ratio_db in (0.0, 6.0):
            quiet = rest * 10 ** (-ratio_db / 20)
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                scale = 0.5 / np.abs(alone[:, None] + quiet).max()
                for name, sound in (("mix", alone[:, None] + quiet), ("alone", np.repeat(alone[:, None], 2, 1))):
                    with files.Writer(folder / f"{name}.wav", RATE, 2) as writer:
                        writer.write((scale * sound).astype(np.float32))
                began = time.process_time()
                song = SongFile(folder / "mix.wav", folder / "out.wav", asked.singer)
                mix.convert_file(voice, song, options, Mixing(stems=folder))
                processor, seconds = processor + time.process_time() - began, seconds + len(alone) / RATE
                stem = {name: _read(folder / f"out.{name}.wav").mean(axis=1) for name in mix.STEMS}
                for name in ("mix", "alone"):
                    voice.convert_file(
                        folder / f"{name}.wav", folder / f"{name}.sung.wav", singer=asked.singer, options=options
                    )
                sung = (files.read(folder / f"{name}.sung.wav") for name in ("alone", "mix"))
                shares = [melody_share(one, track, options.transpose) for one in sung]
                shares.insert(1, melody_share(Clip(stem["sung"].astype(np.float32), RATE), track, options.transpose))
            mixed, own = (alone[:, None] + quiet).mean(axis=1), quiet.mean(axis=1)
            cells = (
                path.stem,
                f"{ratio_db:g} dB",
                f"{si_sdr_db(mixed, alone):.1f}, {si_sdr_db(stem['voice'], alone):.1f} dB",
                f"{si_sdr_db(mixed, own):.1f}, {si_sdr_db(stem['backing'], own):.1f} dB",
                ", ".join(f"{share:.2f}" for share in shares),
            )
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{seconds / processor:.1f} times faster than real time, in processor time, separation and conversion")


if __name__ == "__main__":
    main()
