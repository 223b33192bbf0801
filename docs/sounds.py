"""Make the sounds that the guide plays: the invented singer's Arirang, and what the package makes of it.

    python docs/sounds.py FOLDER ...        FOLDER/sounds/*.mp3, for each folder; a quarter of a minute

No recording of a person is among them: the source is a synthetic voice (demo/LICENSE.md), the conversions are the
shipped voice's (its terms and credits: src/moksori/voices/first.md), the rest is drawn by chance.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch

import moksori
from moksori.audio import files, mulaw, resample
from moksori.audio.clip import Clip

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import losses  # noqa: E402  (beside this file)

SECONDS = 15
SINGERS = ("scottpoid", "kumi", "dorodoro", "syn_child")
_PLAYED_AT_DBFS = -26.0  # noise, which would startle at full scale


def song() -> Clip:
    """The beginning of Arirang."""
    whole = files.read(ROOT / "demo" / "arirang.flac")
    return Clip(whole.samples[: SECONDS * whole.sample_rate], whole.sample_rate)


def conversions(source: Clip) -> dict[str, Clip]:
    """The song in other voices, and in one between two."""
    voice = moksori.load()
    between = {"kumi": 0.5, "scottpoid": 0.5}
    sung = {name: voice.convert(source.samples, source.sample_rate, singer=name) for name in SINGERS}
    sung["between"] = voice.convert(source.samples, source.sample_rate, singer=between)
    return {f"arirang.{name}": Clip(samples, source.sample_rate) for name, samples in sung.items()}


def eight_bits(source: Clip) -> dict[str, Clip]:
    """Six seconds sung 40 dB softer, kept in 8 bits a sample in two ways, and raised again."""
    soft = torch.from_numpy(source.samples[: 6 * source.sample_rate]) / 100
    ways = {"mulaw": mulaw.decode(mulaw.encode(soft)), "even": torch.round((soft + 1) / 2 * 255) / 255 * 2 - 1}
    return {f"soft.{name}": Clip((way * 100).clamp(-1, 1).numpy(), source.sample_rate) for name, way in ways.items()}


def babble() -> dict[str, Clip]:
    """What comes out of predictors that know little, two seconds each; see `losses`."""
    corpus = losses.corpus()
    sounds = {}
    for name, predictor in losses.predictors(corpus[0]).items():
        codes = predictor.sample(2 * losses.RATE, np.random.default_rng(0))
        samples = mulaw.decode(torch.from_numpy(codes)).numpy()
        gain = 10 ** (_PLAYED_AT_DBFS / 20) / max(float(np.sqrt(np.square(samples).mean())), 1e-4)
        sounds[f"babble.{name}"] = Clip((samples * gain).clip(-1, 1), losses.RATE)
    return sounds


def main(folders: list[Path]) -> None:
    """Write all sounds into each folder."""
    torch.set_num_threads(1)
    source = song()
    sounds = {"arirang": source, **conversions(source), **eight_bits(source), **babble()}
    first = folders[0] / "sounds"
    first.mkdir(parents=True, exist_ok=True)
    for name, clip in sounds.items():
        rate = max(clip.sample_rate, 16_000)
        samples = resample.resample(clip.samples, clip.sample_rate, rate).clip(-1, 1)
        files.write(first / f"{name}.mp3", Clip(samples, rate))
    for folder in folders[1:]:
        shutil.copytree(first, folder / "sounds", dirs_exist_ok=True)
    print(f"{len(sounds)} sounds in {first}")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
