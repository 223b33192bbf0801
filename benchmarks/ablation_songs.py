"""What does each idea of `swift` do to strangers' songs? A voice begun from the shipped one, without a part at a time.

    python benchmarks/ablation_songs.py DATA SINGERS OUT --songs SONGS [--steps 200] [--seeds 3] [--arms full ...]

DATA is prepared, of two or more singers whom the shipped voice does not know; SINGERS has a folder of recordings for
each singer that Resemblyzer has to tell apart, those of DATA among them. Every arm trains recipe `adapt` for so many
steps and sings the songs with each singer. Arms of a conversion sing with the voice of the whole recipe, otherwise.

What is there already is kept, so the command can be stopped and given again. OUT/ablation.md gathers two tables: the
figures of each arm, and differences to the whole by seed, song and target. Needs the extras `judges` and `words`.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import ablation  # beside this file
import numpy as np
import sharpening
import torch

import moksori
from moksori import atomic
from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.conversion import ConvertOptions
from moksori.data.corpus import Corpus
from moksori.evaluation.measures import melody
from moksori.evaluation.report import arms as arms_table
from moksori.evaluation.report.arms import Scores
from moksori.training import recipe as recipes
from moksori.training.perturb import PerturbConfig
from moksori.training.recipe import Recipe

# As `sharpening.Judges.scores` says them.
COLUMNS = ("distill_mos", "content_kept", "character_error_rate", "identified_public", "leak_public")
PITCH = "raw_pitch_accuracy"
FULL = ablation.FULL
SHARPENING = 0.3  # of recipe adapt
UNPERTURBED = PerturbConfig(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def arms(full: Recipe) -> dict[str, Recipe]:
    """The whole recipe, and what is left of it without one part."""

    def less(loss: str) -> Recipe:
        return dataclasses.replace(full, losses=dataclasses.replace(full.losses, **{loss: 0.0}))

    back = dataclasses.replace(full.back_translation, start="never")
    return {
        FULL: full,
        "no back-translation": dataclasses.replace(full, back_translation=back),
        "no perturbation": dataclasses.replace(full, perturbation=UNPERTURBED),
        "no critic": less("adversarial"),
        "no cycle": less("cycle"),
        "no hold on the detail": less("detail"),
        "no loss of envelopes": less("envelope"),
        "no confusion": less("confusion"),
    }


# Of a conversion with the whole recipe's voice: how much of the song's own detail goes along, how sharp formants are.
SUNG = {
    "sung with no detail": (0.0, SHARPENING),
    "sung with all detail": (1.0, SHARPENING),
    "sung without sharpening": (None, 0.0),
}


class Jury:
    """Judges what a voice makes of the songs."""

    def __init__(self, singers: Path, songs: Path, language: str) -> None:
        self._judges, self._tracker = sharpening.Judges(singers, language), melody.SwiftF0()
        self._songs = {path.stem: self._judges.hear(files.read(path)) for path in sorted(songs.glob("*.flac"))}
        self._tracks = {name: self._tracker.track(song.clip) for name, song in self._songs.items()}

    def judge(self, voice: moksori.Voice, targets: list[str], detail: float | None) -> Scores:
        """Every song with every target: a row for each score."""
        found: Scores = []
        for name, song in self._songs.items():
            for target in targets:
                options = ConvertOptions(transpose="nearest", detail=detail)
                semitones = voice.transposition(song.clip, target, options)
                moved = dataclasses.replace(options, transpose=semitones)
                rate = song.clip.sample_rate
                sung = Clip(
                    voice.convert(song.clip.samples, rate, singer=target, options=moved).astype(np.float32), rate
                )
                kept = melody.measure(self._tracks[name], self._tracker.track(sung), semitones)
                scores = dict(zip(COLUMNS, self._judges.scores(song, sung, target)[: len(COLUMNS)], strict=True))
                scores |= {} if kept is None else {PITCH: kept.raw_pitch_accuracy}
                found += [
                    {"metric": metric, "recording": name, "target": target, "value": value}
                    for metric, value in scores.items()
                    if np.isfinite(value)
                ]
        return found


def main() -> None:
    """Train, sing, judge, gather."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("singers", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--songs", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", help="default: all that are trained")
    parser.add_argument("--language", default="en", help="of the songs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus, whole = Corpus.load(given.data), recipes.load("adapt")
    loop: dict[str, Any] = {"max_steps": given.steps, "score_every_steps": 0, "sample_every_steps": 10**6}
    known = arms(dataclasses.replace(whole, loop=dataclasses.replace(whole.loop, **loop)))
    jury = Jury(given.singers, given.songs, given.language)
    given.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[int, Scores]] = {}
    targets = list(corpus.singers)
    for seed in range(given.seeds):
        for arm in given.arms or known:
            run = ablation.train(corpus, given.out, arm.replace(" ", "-"), known[arm], known[FULL], seed)
            ways = {arm: (None, SHARPENING)} | (SUNG if arm == FULL else {})
            for way, (detail, amount) in ways.items():

                def work(run: Path = run, detail: float | None = detail, amount: float = amount) -> Scores:
                    return jury.judge(sharpening.sharpened(run, amount), targets, detail)

                found.setdefault(way, {})[seed] = ablation.kept(run / f"{way.replace(' ', '-')}.json", work)
            done = arms_table.tables(found, (*COLUMNS, PITCH), FULL)
            atomic.write(given.out / "ablation.md", done.encode())
            print(f"{arm}, seed {seed}\n{done}", flush=True)


if __name__ == "__main__":
    main()
