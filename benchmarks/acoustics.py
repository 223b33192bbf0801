"""How surely several voices, backing and rooms are noticed, and how seldom they are where there are none.

    python benchmarks/acoustics.py SONG... [--seconds 20]

Songs of one dry voice are heard as they are; two by two, as loud or 6 dB apart; with the rendered backing of
`benchmarks/separation.py`; and in rooms made of decaying noise, 6 dB under the voice. Printed are medians, and how many
of them are told of (`conversion/acoustics.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import separation

from moksori.audio import files, resample
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTracker
from moksori.conversion import acoustics

RATE = separation.RATE
Curve = npt.NDArray[np.float64]


def in_room(voice: Curve, decay_seconds: float) -> Curve:
    """The voice with the tail of a room, 6 dB under it, that loses 60 dB in so many seconds."""
    times = np.arange(round(1.5 * decay_seconds * RATE)) / RATE
    tail = np.random.default_rng(0).standard_normal(len(times)) * 10.0 ** (-3.0 * times / decay_seconds)
    size = 1 << (len(voice) + len(tail)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(voice, size) * np.fft.rfft(tail, size), size)[: len(voice)]
    return np.asarray(voice + 0.5 * wet * np.sqrt(np.square(voice).mean() / np.square(wet).mean()))


def materials(voices: list[Curve]) -> Iterator[tuple[str, list[Curve]]]:
    """Names, and sounds."""
    yield "one voice", voices
    for apart_db in (0.0, 6.0):
        pairs = [(one, np.resize(other, len(one))) for one, other in zip(voices, voices[1:] + voices[:1], strict=True)]
        yield f"two voices, {apart_db:g} dB apart", [one + 10 ** (-apart_db / 20) * other for one, other in pairs]
    for below_db in (0.0, 6.0, 12.0):
        rests = [separation.backing(len(voice)).mean(axis=1) * np.sqrt(np.square(voice).mean()) for voice in voices]
        yield (
            f"backing, {below_db:g} dB under the voice",
            [voice + 10 ** (-below_db / 20) * rest for voice, rest in zip(voices, rests, strict=True)],
        )
    for decay_seconds in (0.4, 0.8, 1.5, 2.5):
        yield f"a room of {decay_seconds:g} s", [in_room(voice, decay_seconds) for voice in voices]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    tracker, voices = PitchTracker(), []
    for path in asked.songs:
        clip = files.read_stretch(path, 0.0, asked.seconds)
        voice = resample.resample(clip.samples, clip.sample_rate, RATE).astype(np.float64)
        voices.append(voice * 0.1 / np.sqrt(np.square(voice).mean()))
    print(f"{len(voices)} songs\n")
    print("| what | second pitch | told | steepest falls | room told |")
    print("| --- | --- | --- | --- | --- |")
    for name, sounds in materials(voices):
        found = []
        for sound in sounds:
            clip = Clip((0.3 * sound).astype(np.float32), RATE)
            found.append(acoustics.estimate(iter([clip.samples]), RATE, tracker.track(clip)))
        falls = [one.steepest_fall_db for one in found if one.steepest_fall_db is not None]
        cells = (
            name,
            f"{np.median([one.second_pitch_share for one in found]):.2f}",
            f"{sum(one.is_many for one in found)}",
            f"{np.median(falls):.0f} dB",
            f"{sum(one.is_reverberant for one in found)}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
