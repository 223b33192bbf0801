"""How often the mark of `moksori convert --mark` is found after what happens to sounds, and when there is none.

python benchmarks/mark.py -o docs/mark.md      needs PyAV (mp3, Opus) and librosa (pitch shift); some ten CPU minutes

Sounds: Arirang by the singers of the shipped voice, and the invented singers of the demo, in stretches of ten seconds.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import librosa
import numpy as np

import moksori
from moksori.audio import files, level, mark, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker, cents_between

DEMO = Path(__file__).parents[1] / "demo"
RATE = 24_000
SECONDS = 10
N_KEYS = 40  # that nobody used, tried on each sound: how high the score of a wrong key gets


def sounds() -> list[tuple[str, Samples]]:
    """Stretches of conversions and of invented singers, `RATE` Hz."""
    voice, song = moksori.load(), files.read(DEMO / "arirang.flac")
    whole = [
        (f"arirang by {name}", voice.convert(song.samples, song.sample_rate, singer=name)) for name in voice.singers
    ]
    found = [(name, resample.resample(samples, song.sample_rate, RATE)) for name, samples in whole]
    for path in sorted((DEMO / "singers").rglob("*.flac")):
        clip = files.read(path)
        found.append((path.parent.name, resample.resample(clip.samples, clip.sample_rate, RATE)))
    n = SECONDS * RATE
    return [(name, sound[i : i + n]) for name, sound in found for i in range(0, len(sound) - n + 1, n)]


def through_codec(samples: Samples, codec: str, container: str, bits: int, rate: int) -> Samples:
    """Encode and decode, at `RATE` again."""
    content, given = io.BytesIO(), resample.resample(samples, RATE, rate)
    with av.open(content, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bits
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(given[None].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate = rate
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            part.pts = None
            for packet in stream.encode(part):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)
    content.seek(0)
    with av.open(content, "r") as source:
        to_floats = av.AudioResampler(format="flt", layout="mono", rate=rate)
        frames = [part.to_ndarray()[0] for frame in source.decode(audio=0) for part in to_floats.resample(frame)]
    return resample.resample(np.concatenate(frames).astype(np.float32), rate, RATE)


def noisy(samples: Samples, snr_db: float) -> Samples:
    """With white noise so far below."""
    noise = np.random.default_rng(0).standard_normal(len(samples)) * np.sqrt(np.mean(samples**2))
    return np.asarray(samples + noise * 10 ** (-snr_db / 20), np.float32)


def shifted(samples: Samples, semitones: float) -> Samples:
    """At another pitch, as long as it was."""
    return np.asarray(librosa.effects.pitch_shift(samples, sr=RATE, n_steps=semitones), np.float32)


CHANGES: dict[str, Callable[[Samples], Samples]] = {
    "nothing": lambda x: x,
    "mp3, 128 kbit/s": lambda x: through_codec(x, "libmp3lame", "mp3", 128_000, 44_100),
    "Opus, 64 kbit/s": lambda x: through_codec(x, "libopus", "ogg", 64_000, 48_000),
    "Opus, 24 kbit/s": lambda x: through_codec(x, "libopus", "ogg", 24_000, 48_000),
    "to 16 kHz and back": lambda x: resample.resample(resample.resample(x, RATE, 16_000), 16_000, RATE),
    "to 8 kHz and back": lambda x: resample.resample(resample.resample(x, RATE, 8000), 8000, RATE),
    "20 dB softer": lambda x: level.apply_gain(x, -20.0),
    "the middle 5 s alone": lambda x: x[2 * RATE + 123 : 7 * RATE + 123],
    "the middle 3 s alone": lambda x: x[3 * RATE + 123 : 6 * RATE + 123],
    "noise, 30 dB under it": lambda x: noisy(x, 30.0),
    "noise, 10 dB under it": lambda x: noisy(x, 10.0),
    "a semitone higher": lambda x: shifted(x, 1.0),
    "two semitones lower": lambda x: shifted(x, -2.0),
    "faster by 1 %, and higher": lambda x: resample.resample(x, RATE, round(RATE / 1.01)),
}


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    output = parser.parse_args().output
    plain = sounds()
    marked = [np.concatenate(list(mark.marked([sound], RATE))) for _, sound in plain]
    rows = [row_of(name, change, plain, marked) for name, change in CHANGES.items()]
    wrong = [found for sound in [*marked, *(sound for _, sound in plain)] for found in of_wrong_keys(sound)]
    output.write_text(page(rows, wrong, cost(plain, marked), len(plain)), encoding="utf-8")


def score(samples: Samples) -> float:
    """What the detector says."""
    return mark.detect(Clip(np.asarray(samples, np.float32), RATE)).score


def of_wrong_keys(samples: Samples) -> list[float]:
    """What it says for keys that nobody used."""
    levels = mark.whitened_levels(Clip(samples, RATE))
    return [max(mark.best_offset(whitened, f"key {n}") for whitened in levels.values()) for n in range(N_KEYS)]


def row_of(
    name: str, change: Callable[[Samples], Samples], plain: list[tuple[str, Samples]], marked: list[Samples]
) -> str:
    """A row of the table: of sounds with the mark and of the same without it, after a change."""
    with_mark, without = ([score(change(sound)) for sound in some] for some in (marked, [sound for _, sound in plain]))
    n_found, n_false = (sum(found >= mark.THRESHOLD for found in some) for some in (with_mark, without))
    print(name, n_found, n_false, flush=True)
    return (
        f"| {name} | {n_found} of {len(marked)} | {np.median(with_mark):.1f} | {min(with_mark):.1f} | "
        f"{n_false} of {len(plain)} | {max(without):.1f} |"
    )


def cost(plain: list[tuple[str, Samples]], marked: list[Samples]) -> list[str]:
    """What the mark does to the sound: its own level, the spectrum, and what a tracker hears."""
    tracker, snr, spectrum, cents = PitchTracker(), [], [], []
    for (_, before), after in zip(plain, marked, strict=True):
        snr.append(10 * np.log10(np.mean(before**2) / np.mean((after - before) ** 2)))
        levels = [20 * np.log10(np.abs(librosa.stft(sound, n_fft=1024)) + 1e-4) for sound in (before, after)]
        spectrum.append(np.sqrt(np.mean((levels[0] - levels[1]) ** 2)))
        one, two = (tracker.track(Clip(sound, RATE)) for sound in (before, after))
        both = one.is_voiced & two.is_voiced
        cents.append(np.median(np.abs(cents_between(one.f0_hz[both], two.f0_hz[both]))))
    return [
        f"- {np.median(snr):.1f} dB is the sound above what the mark changes of it (lowest {min(snr):.1f} dB);",
        f"- {np.median(spectrum):.2f} dB is the distance of log spectra (highest {max(spectrum):.2f} dB);",
        f"- {np.median(cents):.1f} cents is what the pitch moves by, to a tracker (highest {max(cents):.1f}).",
    ]


PAGE = """\
# The inaudible mark: how often it is found, and what it costs

Made by `python benchmarks/mark.py -o docs/mark.md`, of {n_sounds} sounds of {seconds} s: Arirang by the singers of
the shipped voice, and the invented singers of the demo. A sound counts as marked from {threshold:g} deviations on. No
promise goes beyond this table.

| what was done to the sound | found | median score | lowest | false alarms without the mark | highest |
| --- | ---: | ---: | ---: | ---: | ---: |
{rows}

Of {n_wrong} trials of these sounds, marked and not, with keys that nobody used, {n_false} gave a false alarm; the
highest score was {highest:.1f}.

## What it costs in sound

{costs}

Whether anybody hears it was not asked of people. Each cell, 32 ms by a semitone and a half, is {depth:g} dB louder or
softer than it was; a step of about 1 dB is what people just notice of a steady tone.

## What was weighed

`resemble-perth` 1.0.1 brings its weights along (37 MB), as a `.pth.tar`: a pickle, which can run code when it is
loaded, and no pickle is read here. It takes a whole song at once, works at 32 kHz and was trained for speech. The
mark above needs no weights, works in blocks at the model's own rate, and is a page of code
(`src/moksori/audio/mark.py`).

Words in the file stay the default, as they change no sample. The mark is for those who want to find their conversions
after files were written anew. Whoever knows the key can take it out; the usual key is public, so that anybody can
look for it.
"""


def page(rows: list[str], wrong: list[float], costs: list[str], n_sounds: int) -> str:
    """The page, whole."""
    return PAGE.format(
        n_sounds=n_sounds,
        seconds=SECONDS,
        threshold=mark.THRESHOLD,
        rows="\n".join(rows),
        n_wrong=len(wrong),
        n_false=sum(found >= mark.THRESHOLD for found in wrong),
        highest=max(wrong),
        costs="\n".join(costs),
        depth=mark.DEPTH_DB,
    )


if __name__ == "__main__":
    main()
