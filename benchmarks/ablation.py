"""What does each part of the method contribute? A recipe without one part at a time, several seeds each.

    python benchmarks/ablation.py DATA OUT --texts TEXTS [--parallel PARALLEL] [--seeds 3] [--arms full no-mixup ...]
    python benchmarks/ablation.py DATA OUT --recipe benchmarks/ablation_phase.toml --whisper base --temperature 0.7

Each arm and seed is a run of its own in OUT/<arm>-<seed>, judged on held-out recordings, each moved by semitones to
where its target sings. Arms that differ in phase 2 only share phase 1, which is trained once a seed and carried on in
as many ways: resuming is exact, so each is the very run that it would have been alone. What is there already is kept,
so the command can be stopped and given again. Words are judged where it is told what is sung (`--texts`, vowels), and
by Whisper where it is named (content kept). OUT/ablation.md gathers two tables: the figures of each arm, and their
differences to the whole method, by seed, recording and target.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import latent_and_vector  # beside this file
import torch

import moksori
from moksori import atomic
from moksori.audio import files
from moksori.data.corpus import Corpus
from moksori.evaluation import conversions, held_out, pairs, runner
from moksori.evaluation.conversions import Options
from moksori.evaluation.judges import panel as scoring
from moksori.evaluation.judges import resemblyzer, whisper
from moksori.evaluation.judges import vowels as recogniser
from moksori.evaluation.judges.panel import Analysis, Panel
from moksori.evaluation.judges.resemblyzer import CentroidClassifier
from moksori.evaluation.measures import mel_cepstrum, melody, syllables
from moksori.evaluation.pairs import Pair, Texts
from moksori.evaluation.report import arms as arms_table
from moksori.evaluation.report import data as report
from moksori.evaluation.report.arms import Scores
from moksori.models import kinds
from moksori.progress import ignored
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.mixup import MixupConfig
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions, open_run

RECIPE = Path(__file__).with_suffix(".toml")
FULL = "full"
PROBE, MOVEMENT = arms_table.PROBE, arms_table.MOVEMENT
COLUMNS = (
    "identified",
    "leak",
    "identified_public",
    "leak_public",
    "raw_pitch_accuracy",
    "vowel_accuracy",
    "content_kept",
    MOVEMENT,
    "truth_distance_db",
    PROBE,
)


def arms(full: Recipe) -> dict[str, Recipe]:
    """The whole recipe, and what is left of it without one part."""

    def back(**changes: Any) -> Recipe:
        return dataclasses.replace(full, back_translation=dataclasses.replace(full.back_translation, **changes))

    return {
        FULL: full,
        "no-mixup": back(mixup=MixupConfig("fixed", fixed_share=0.0)),
        "uniform-mixup": back(mixup=MixupConfig("uniform")),
        "no-back-translation": back(start="never"),
        "no-confusion": dataclasses.replace(full, losses=dataclasses.replace(full.losses, confusion=0.0)),
        "no-augmentation": dataclasses.replace(full, segments=dataclasses.replace(full.segments, moved_copies=0)),
        "no-perturbation": dataclasses.replace(full, perturbation=PerturbConfig(0.0, 0.0, 0.0, 0.0)),
    }


def train(corpus: Corpus, out: Path, arm: str, recipe: Recipe, full: Recipe, seed: int) -> Path:
    """Train an arm, or go on with it; its folder."""
    folder = RunFolder(out / f"{arm}-{seed}")
    options = RunOptions(seed, software=f"moksori {moksori.__version__}")
    if dataclasses.replace(recipe, back_translation=full.back_translation) == full and not folder.root.exists():
        trunk = RunFolder(out / f"phase-1-{seed}")
        open_run(trunk, corpus, full, options).run(Budget(full.back_translation.start_step))
        fork(trunk, folder, recipe)
    trainer = open_run(folder, corpus, recipe, options)
    trainer.observers.append(Journal(folder.journal))
    trainer.run(Budget(recipe.loop.max_steps))
    return folder.root


def fork(trunk: RunFolder, branch: RunFolder, recipe: Recipe) -> None:
    """Begin a run where another one stands; the recipe may differ in what has had no effect so far."""
    beginning = branch.root.with_name(f".{branch.root.name}")
    shutil.rmtree(beginning, ignore_errors=True)
    shutil.copytree(trunk.root / "states", beginning / "states")
    shutil.copy(trunk.root / "run.json", beginning)
    atomic.write(beginning / "recipe.toml", recipes.dump(recipe).encode())
    beginning.rename(branch.root)


def kept(path: Path, work: Callable[[], Scores]) -> Scores:
    """What a file has, or what is found now and kept there."""
    if not path.is_file():
        atomic.write(path, json.dumps(work(), indent=0).encode())
    return list(json.loads(path.read_text(encoding="utf-8")))


class Jury:
    """Judges runs, and hears each real recording once."""

    def __init__(self, corpus: Corpus, texts: Texts, parallel: Path | None, options: Options) -> None:
        self._corpus = corpus
        self._texts = texts
        self._parallel = parallel
        self._options = options
        self._panel: Panel | None = None  # gathered when it is needed: that takes minutes the first time
        known = {recording.source: text for recording in corpus.recordings if (text := texts.of(recording.source))}
        self._recogniser = recogniser.load_or_fit(corpus, known, 0, ignored) if known else None
        self._sources: dict[Path, Analysis] = {}
        self._is_of_codes = False
        self._whisper = None if options.whisper == conversions.NOBODY else whisper.load(options.whisper)
        self._public: CentroidClassifier | None = None
        self._late: dict[Path, whisper.Encoding] = {}  # sources, as Whisper hears them

    def judge(self, run: Path, seed: int) -> Scores:
        """Judge a run, or read what was found before. Words are judged apart: their judge takes long to teach."""
        chosen = self._converted(run, seed)
        found = kept(run / "judged.json", lambda: self._judge(run, seed, chosen))
        if self._recogniser is not None:
            found += kept(run / "words.json", lambda: self._gathered(chosen, self._words))
        if kinds.samples_codes(moksori.load(run).model) and resemblyzer.is_available():
            found += kept(run / "public.json", lambda: self._gathered(chosen, self._public_for(run)))
        if self._whisper is not None:
            found += kept(run / "content.json", lambda: self._gathered(chosen, self._content))
        return found

    def _converted(self, run: Path, seed: int) -> list[Pair]:
        """Conversions of a run, made where they are missing."""
        options, corpus = dataclasses.replace(self._options, seed=seed), self._corpus
        voice = moksori.load(run)
        chosen = pairs.held_out(corpus, options.split, options.per_singer or 3, run / "audio", self._texts)
        if self._parallel:
            chosen += pairs.parallel(self._parallel, corpus.singers, options.per_pair, run / "audio", self._texts)
        # Every other one: of 7 targets a recording, the next recording has those that this one leaves out.
        converted = [pair for pair in chosen if pair.row in (report.CONVERSION, report.PARALLEL)][::2]
        converted = conversions.transposed(voice, converted, options)
        conversions.convert(voice, converted, run / "audio", options, ignored, corpus.fingerprint)
        return converted

    def _judge(self, run: Path, seed: int, chosen: Sequence[Pair]) -> Scores:
        model = moksori.load(run).model
        self._is_of_codes = kinds.samples_codes(model)
        inside = held_out.evaluate(model, self._corpus, self._options.split, seed=seed)
        return [
            *self._gathered(chosen, self._scores),
            {"metric": PROBE, "recording": "", "target": "", "value": inside.probe_accuracy},
        ]

    def _gathered(self, chosen: Sequence[Pair], scores: Callable[[Pair], scoring.Scores]) -> Scores:
        return [
            {"metric": metric, "recording": pair.recording, "target": pair.target_singer, "value": value}
            for pair in chosen
            for metric, value in scores(pair).items()
        ]

    def _scores(self, pair: Pair) -> scoring.Scores:
        clip = files.read(pair.conversion)
        if pair.truth:  # only the distance is taken: the voices of these pairs lie nearer to each other than others do
            ours, theirs = (mel_cepstrum.analyse(each) for each in (clip, files.read(pair.truth)))
            return {"truth_distance_db": mel_cepstrum.aligned_distance_db(ours, theirs)}
        panel = self._judges()
        if self._is_of_codes:  # the public judge is asked apart
            panel = dataclasses.replace(panel, classifiers=panel.classifiers[:1])
        if pair.source not in self._sources:
            self._sources[pair.source] = panel.analyse(files.read(pair.source))
        source, conversion = self._sources[pair.source], panel.analyse(clip)
        moves = mel_cepstrum.movement(source.cepstra, conversion.cepstra)
        return (
            panel.singer_scores(conversion, pair.source_singer, pair.target_singer)
            | melody.evaluate(source.track, conversion.track, pair.transpose_semitones)
            | ({} if moves is None else {MOVEMENT: moves})
        )

    def _words(self, pair: Pair) -> scoring.Scores:
        expected = syllables.vowels(pair.text) if pair.text and not pair.truth else None
        if not expected or self._recogniser is None:
            return {}
        return {
            "vowel_accuracy": recogniser.accuracy(self._recogniser.recognise(files.read(pair.conversion)), expected)
        }

    def _public_for(self, run: Path) -> Callable[[Pair], scoring.Scores]:
        """Resemblyzer, by recordings as the voice's codes could at best say them: bandwidth shall tell it nothing."""
        if self._public is None:
            self._public = latent_and_vector.public(self._corpus, moksori.load(run), self._corpus.singers)
        judge = self._public

        def scores(pair: Pair) -> scoring.Scores:
            if pair.truth:
                return {}
            heard = judge.classify([files.read(pair.conversion)])[0]
            return {
                "identified_public": float(heard == pair.target_singer),
                "leak_public": float(heard == pair.source_singer),
            }

        return scores

    def _content(self, pair: Pair) -> scoring.Scores:
        if pair.truth or self._whisper is None:
            return {}
        if pair.source not in self._late:
            self._late[pair.source] = self._whisper.encode(files.read(pair.source), whisper.LATE_SECONDS)
        kept = whisper.content_kept(self._late[pair.source], self._whisper.encode(files.read(pair.conversion)))
        return {} if kept is None else {"content_kept": kept}

    def _judges(self) -> Panel:
        if self._panel is None:
            # Whisper is asked apart, for frames alone: no text is read, which is most of its time.
            without_words = dataclasses.replace(self._options, whisper=conversions.NOBODY)
            self._panel = runner.gather_judges(self._corpus, Texts({}), without_words, ignored)
        return self._panel


def main() -> None:
    """Train, judge, gather."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", default=str(RECIPE))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--texts", type=Path, help="table of what is sung, for the recogniser of vowels")
    parser.add_argument("--parallel", type=Path, help="recordings of the same words by several singers")
    parser.add_argument("--arms", nargs="*")
    parser.add_argument("--per-singer", type=int, default=2, help="held-out recordings, each into half of the others")
    parser.add_argument("--per-pair", type=int, default=8, help="parallel recordings a direction, half of them taken")
    parser.add_argument("--tracker", default="swift-f0", help="of the pitch; swift-f0 also tells the voices theirs")
    parser.add_argument("--temperature", type=float, default=1.0, help="of voices that sample codes")
    parser.add_argument("--whisper", default=conversions.NOBODY, help="who says how much of the words is kept: base")
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus, full = Corpus.load(given.data), recipes.load(given.recipe)
    options = Options(
        per_singer=given.per_singer,
        per_pair=given.per_pair,
        temperature=given.temperature,
        transpose="nearest",
        tracker=given.tracker,
        whisper=given.whisper,
    )
    jury = Jury(corpus, Texts.load(given.texts), given.parallel, options)
    known = arms(full)
    chosen = given.arms or list(known)
    found: dict[str, dict[int, Scores]] = {arm: {} for arm in chosen}
    given.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for seed in range(given.seeds):
        runs = {}
        for arm in chosen:
            runs[arm] = train(corpus, given.out, arm, known[arm], full, seed)
            print(f"{time.monotonic() - began:.0f} s: {arm}, seed {seed} is trained", flush=True)
        for arm, run in runs.items():
            found[arm][seed] = jury.judge(run, seed)
            judged_so_far = {arm: judged for arm, judged in found.items() if judged}
            done = arms_table.tables(judged_so_far, COLUMNS, FULL)
            atomic.write(given.out / "ablation.md", done.encode())
            print(f"{time.monotonic() - began:.0f} s: {arm}, seed {seed} is judged\n{done}", flush=True)


if __name__ == "__main__":
    main()
