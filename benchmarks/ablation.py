"""What does each part of the method contribute? Recipe `swift` without one part at a time, several seeds each.

    python benchmarks/ablation.py DATA OUT --steps 1500 --seeds 3 --texts TEXTS [--arms full no-critic ...]

Each arm and seed is a run of its own in OUT/<arm>-<seed>, and a report beside it: held-out recordings of the validation
split, each moved by semitones to where its target sings. What is there already is kept, so the command can be stopped
and given again. OUT/ablation.md gathers the table: the mean over seeds, and in brackets the lowest and the highest.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
from pathlib import Path

import torch

import moksori
from moksori.data.corpus import Corpus
from moksori.evaluation import report as reports
from moksori.evaluation import runner
from moksori.evaluation.making import Options
from moksori.evaluation.report import METRICS, Report
from moksori.evaluation.runner import Made
from moksori.evaluation.trials import Texts
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.training.loop import Budget
from moksori.training.mixup import MixupConfig
from moksori.training.perturb import PerturbConfig
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions, open_run

COLUMNS = (
    "identified",
    "leak",
    "identified_public",
    "leak_public",
    "raw_pitch_accuracy",
    "vowel_accuracy",
    "source_distance_db",
)
NEVER = 10**9  # a first step of phase 2 that never comes


def arms(full: Recipe) -> dict[str, Recipe]:
    """The whole recipe, and what is left of it without one part."""

    def loss(**changes: float) -> Recipe:
        return dataclasses.replace(full, losses=dataclasses.replace(full.losses, **changes))

    def back(**changes: object) -> Recipe:
        return dataclasses.replace(full, back_translation=dataclasses.replace(full.back_translation, **changes))

    segments = dataclasses.replace(full.segments, moved_copies=0)
    return {
        "full": full,
        "no-mixup": back(mixup=MixupConfig("fixed", fixed_share=0.0)),
        "uniform-mixup": back(mixup=MixupConfig("uniform")),
        "no-back-translation": back(start_step=NEVER),
        "no-confusion": loss(confusion=0.0),
        "no-augmentation": dataclasses.replace(full, segments=segments),
        "no-perturbation": dataclasses.replace(full, perturbation=PerturbConfig(0.0, 0.0, 0.0, 0.0)),
        "no-critic": loss(adversarial=0.0),
        "no-cycle": loss(cycle=0.0),
        "paper-losses-alone": loss(adversarial=0.0, cycle=0.0),
    }


def train(corpus: Corpus, folder: Path, recipe: Recipe, seed: int, n_steps: int) -> None:
    """Train an arm, or go on with it."""
    trainer = open_run(RunFolder(folder), corpus, recipe, RunOptions(seed, software=f"moksori {moksori.__version__}"))
    trainer.run(Budget(n_steps))


def judge(corpus: Corpus, run: Path, seed: int, texts: Texts) -> Report:
    """Report on a trained arm; the one that is there, if there is one."""
    folder = run / "report"
    if (folder / reports.FILE).is_file():
        return reports.load(folder)
    made = Made("benchmarks/ablation.py", datetime.date.today().isoformat(), f"moksori {moksori.__version__}")
    options = Options(split="validation", transpose="nearest", cycles=0, seed=seed)
    told = runner.evaluate_voice(
        moksori.load(run), corpus, folder, made, lambda stage, done, total: None, options=options, texts=texts
    )
    reports.save(told, folder)
    return told


def table(found: dict[str, list[Report]]) -> str:
    """The figures of conversions: a row for each arm."""
    named = [
        name for name in COLUMNS if all(_figures(told, name) is not None for own in found.values() for told in own)
    ]
    lines = ["| arm | seeds | " + " | ".join(METRICS[name].label for name in named) + " |"]
    lines.append("| --- " * (2 + len(named)) + "|")
    for arm, own in found.items():
        cells = []
        for name in named:
            values = [value for told in own if (value := _figures(told, name)) is not None]
            unit = ".1f" if METRICS[name].unit == "dB" else ".0%"
            spread = f" ({min(values):{unit}} to {max(values):{unit}})" if len(values) > 1 else ""
            cells.append(f"{sum(values) / len(values):{unit}}{spread}")
        lines.append(f"| {arm} | {len(own)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _figures(told: Report, name: str) -> float | None:
    row = told.row(reports.CONVERSION)
    figure = row.figures.get(name) if row else None
    return None if figure is None else figure.mean


def main() -> None:
    """Train, judge, gather."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--arms", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus, texts = Corpus.load(given.data), Texts.load(given.texts)
    known = arms(recipes.load("swift"))
    found: dict[str, list[Report]] = {}
    for seed in range(given.seeds):
        for arm in given.arms or known:
            run = given.out / f"{arm}-{seed}"
            train(corpus, run, known[arm], seed, given.steps)
            found.setdefault(arm, []).append(judge(corpus, run, seed, texts))
            (given.out / "ablation.md").write_text(table(found), encoding="utf-8")
            print(f"{arm}, seed {seed}\n{table(found)}", flush=True)


if __name__ == "__main__":
    main()
