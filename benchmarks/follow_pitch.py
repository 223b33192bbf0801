"""Does a WaveNet of codes follow a pitch? One small net on the same recordings, conditioned in several ways.

    python benchmarks/follow_pitch.py demo/singers OUT --forms melody "phase, noise" --steps 500

Every form is trained with the same batches, then generates freely, conditioned on stretches of held-out recordings:
as they are, and with their pitch moved by three semitones either way, which nobody sang. OUT/follow_pitch.md is the
table. What is there is kept, so the command can be stopped and given again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

import moksori
from moksori import atomic
from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.cli import wavenet
from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.data.splits import evenly
from moksori.evaluation.measures import melody
from moksori.models.solo import SoloConfig
from moksori.models.wavenet import WaveNetConfig
from moksori.soloist import Request, SoloOptions
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.training.learner import OptimiserConfig
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe, SegmentsConfig
from moksori.training.run import RunOptions, open_run
from moksori.training.schedules import LearningRateConfig

DECODER = WaveNetConfig(1, 8, 2, residual_channels=32, skip_channels=64, first_kernel_size=16)
BANDS = dataclasses.replace(DECODER, bands=4, first_kernel_size=8)
NOISE = 40.0  # codes, see `PerturbConfig.past_noise`
FORMS: dict[str, tuple[list[str], WaveNetConfig, float]] = {
    "melody": (["singer", "melody"], DECODER, 0.0),
    "melody, noise": (["singer", "melody"], DECODER, NOISE),
    "phase": (["singer", "phase"], DECODER, 0.0),
    "phase, noise": (["singer", "phase"], DECODER, NOISE),
    "phase, noise, bands": (["singer", "phase"], BANDS, NOISE),
    "mel": (["singer", "mel"], DECODER, 0.0),
    "mel, noise": (["singer", "mel"], DECODER, NOISE),
    "phase and mel, noise": (["singer", "phase", "mel"], DECODER, NOISE),
}
MOVED_SEMITONES = (0.0, 3.0, -3.0)
TEMPERATURES = (1.0, 0.7)
SECONDS = 2.5  # of each stretch
PER_SINGER = 1


def recipe(form: str, n_steps: int) -> Recipe:
    """Recipe `wavenet` with a small net and short batches: so early, more steps go further than better ones."""
    conditions, decoder, noise = FORMS[form]
    usual = recipes.load("wavenet")
    assert isinstance(usual.model, SoloConfig)
    own = wavenet.conditioned(
        dataclasses.replace(usual, model=dataclasses.replace(usual.model, decoder=decoder)), conditions
    )
    return dataclasses.replace(
        own,
        name=f"follow-pitch, {form}",
        average_decay=0.99,
        perturbation=dataclasses.replace(usual.perturbation, past_noise=noise),
        segments=SegmentsConfig(seconds=0.1, batch_size=4, shards=1, is_augmented=False),
        optimiser=OptimiserConfig(LearningRateConfig(3e-3, 0.5, max(1, n_steps // 4)), clip_norm=1.0),
        loop=dataclasses.replace(
            usual.loop,
            log_every_steps=50,
            validate_every_steps=max(1, n_steps // 2),
            sample_every_steps=10**9,
            save_every_steps=max(1, n_steps // 2),
        ),
    )


def train(corpus: Corpus, run: Path, form: str, n_steps: int) -> float:
    """Train a form, or go on with it; seconds of the processor, of this call alone."""
    began = time.process_time()
    options = RunOptions(0, licence_note="For a measurement.", software=f"moksori {moksori.__version__}")
    trainer = open_run(RunFolder(run), corpus, recipe(form, n_steps), options)
    trainer.run(Budget(n_steps))
    return time.process_time() - began


def stretches(corpus: Corpus) -> list[tuple[str, Clip]]:
    """A stretch of some held-out recordings of each singer, from the middle on."""
    found = []
    for singer in corpus.singers:
        for recording in evenly(list(corpus.of("test", singer)), PER_SINGER):
            whole = files.read(corpus.clip_path(recording))
            n = round(SECONDS * whole.sample_rate)
            start = max(0, (whole.n_samples - n) // 2)
            found.append((singer, Clip(whole.samples[start : start + n], whole.sample_rate)))
    return found


def followed(run: Path, sources: list[tuple[str, Clip]], temperature: float) -> dict[str, float]:
    """The share of voiced frames within 50 cents, by how far the pitch was moved; mean over stretches."""
    soloist, tracker = moksori.load_wavenet(run), melody.SwiftF0()
    config = soloist.model.config
    moves = MOVED_SEMITONES if config.is_melody_conditioned and not config.n_mels else MOVED_SEMITONES[:1]
    asked = []
    for semitones in moves:
        for singer, source in sources:
            local = soloist.analyse(source)
            local[0] *= 2 ** (semitones / 12)
            asked.append((semitones, source, Request(singer=singer, local_features=local)))
    clips = soloist.generate_all([request for *_, request in asked], SoloOptions(seed=1, temperature=temperature))
    rows: dict[float, list[float]] = {semitones: [] for semitones in moves}
    for number, ((semitones, source, _), clip) in enumerate(zip(asked, clips, strict=True)):
        files.write(run / f"{number:02d}.{semitones:+g}.{temperature:g}.flac", clip)
        kept = melody.measure(tracker.track(source), tracker.track(clip), semitones)
        if kept is not None:
            rows[semitones].append(kept.raw_pitch_accuracy)
    return {f"{semitones:+g}": float(np.mean(row)) for semitones, row in rows.items()}


def table(found: dict[str, dict[str, float]]) -> str:
    """Markdown."""
    columns = [f"{move:+g}, {temperature:g}" for temperature in TEMPERATURES for move in MOVED_SEMITONES]
    lines = [
        f"| conditioned on | steps | CPU s | {' | '.join(columns)} |",
        "| --- " * (3 + len(columns)) + "|",
    ]
    for form, row in found.items():
        cells = [f"{row[column]:.2f}" if column in row else "–" for column in columns]
        start = f"| {form} | {row['steps']:.0f} | {row['cpu']:.0f} |"
        lines.append(f"{start} {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read what is asked for, train, generate, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("singers", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--steps", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus = prepare(given.singers, given.out / "data", PrepareConfig())
    sources, results = stretches(corpus), given.out / "follow_pitch.json"
    found: dict[str, dict[str, float]] = json.loads(results.read_text()) if results.exists() else {}
    for form in given.forms:
        run = given.out / form.replace(", ", "-").replace(" ", "-")
        if found.get(form, {}).get("steps") == given.steps:
            continue
        cpu = train(corpus, run, form, given.steps)
        row = {"steps": float(given.steps), "cpu": cpu}
        for temperature in TEMPERATURES:
            for move, share in followed(run, sources, temperature).items():
                row[f"{move}, {temperature:g}"] = share
        found[form] = row
        atomic.write(results, json.dumps(found, indent=1).encode())
        atomic.write(given.out / "follow_pitch.md", table(found).encode())
        print(table(found), flush=True)


if __name__ == "__main__":
    main()
