"""How much of a song's melody does a voice keep? Notes within 50 cents of what was asked for, as swift-f0 hears them.

    python benchmarks/songs_in_tune.py VOICE SONG [SONG ...] -s NAME [-s NAME ...] [--seconds 8] [--temperature 0.7]

For voices that sample codes: those that a synthesiser sings are in tune by construction.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import moksori
from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.conversion import ConvertOptions
from moksori.evaluation.measures import melody


def main() -> None:
    """Print the share of frames in tune for each song and singer, and the means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("voice", type=Path)
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("-s", "--singer", action="append", required=True)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each song, from its beginning")
    parser.add_argument("--temperature", type=float, default=0.7)
    given = parser.parse_args()
    voice, shares = moksori.load(given.voice), []
    for path in given.songs:
        whole = files.read(path)
        song = Clip(whole.samples[: round(given.seconds * whole.sample_rate)], whole.sample_rate)
        for singer in given.singer:
            shares.append(in_tune(voice, song, singer, given.temperature))
            print(f"{path.stem:24} {singer:12} {shares[-1]:.2f}", flush=True)
    print(f"{'mean':37} {np.mean(shares):.2f}")


def in_tune(voice: moksori.Voice, song: Clip, singer: str, temperature: float) -> float:
    """The share of a song's voiced frames whose pitch the conversion has, 0..1."""
    options = ConvertOptions(temperature=temperature)
    semitones = voice.transposition(song, singer, options)
    sung = voice.convert(song.samples, song.sample_rate, singer=singer, options=options)
    tracker = melody.SwiftF0()
    kept = melody.measure(
        tracker.track(song), tracker.track(Clip(sung.astype(np.float32), song.sample_rate)), semitones
    )
    if kept is None:
        raise SystemExit("no voice in the song; give one that is sung from its beginning")
    return kept.raw_pitch_accuracy


if __name__ == "__main__":
    main()
