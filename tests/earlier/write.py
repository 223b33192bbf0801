"""Writes the runs of this folder, of nets that train in a moment: `python tests/earlier/write.py`.

They were written once, by version 0.1.0 as of November 2026, and are kept, so that what has been handed out since can
still be read. Run it again only to add a run; those that lie here are not to be written anew.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import synthetic
from tiny_recipes import TINY_ALONE, TINY_RECIPE, TINY_SWIFT

from moksori import checkpoint
from moksori.audio import features
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.models import conditions
from moksori.models.notes import NoteConfig
from moksori.training import recipe as recipes
from moksori.training.choose import Score
from moksori.training.folder import RunFolder
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions, open_run

HERE = Path(__file__).parent
N_STEPS = 12


def recipes_of_runs() -> dict[str, Recipe]:
    """By the name of a run's folder."""
    codes = recipes.parse(TINY_RECIPE, "codes")
    codes = replace(
        codes, back_translation=replace(codes.back_translation, start_step=6, refresh_every_steps=4, pool_batches=2)
    )
    encoder, notes = replace(codes.model.encoder, hop_samples=160), NoteConfig(channels=4)
    with_melody = replace(codes.model, sample_rate=8000, encoder=encoder, melody_hop_samples=40, notes=notes)
    melody = replace(codes, model=with_melody)
    swift = recipes.parse("average_decay = 0.9\n" + TINY_SWIFT, "features")
    alone = recipes.parse(TINY_ALONE, "alone")
    alone = replace(alone, model=replace(alone.model, singer_channels=2, is_told_melody=True))
    return {
        name: replace(
            run, loop=replace(run.loop, log_every_steps=2, save_every_steps=6, score_every_steps=6, keep_states=1)
        )
        for name, run in {"codes": codes, "melody": melody, "features": swift, "alone": alone}.items()
    }


class FixedScorer:
    def score(self, model, provenance):
        return Score(0.9, 0.8, 0.7) if provenance.steps == 6 else Score(0.5, 0.5, 0.5)


@torch.no_grad()
def outputs(model) -> dict[str, list[float]]:
    """What a model makes of a fixed input."""
    config, codes = model.config, (torch.arange(640)[None] * 37) % 256
    singer = model.singers(torch.tensor([1]))
    f0, level = torch.full((1, 8), 220.0), torch.full((1, 8), -20.0)
    if config.kind == "source-filter":
        mel = torch.linspace(-8.0, 2.0, 8 * features.WINDOWS[features.ENCODER_WINDOW]).reshape(1, -1, 8)
        z = model.encoder(conditions.mel(mel))
        controls = model.decoder(z, f0, level, singer)
        made = {"latent": z, "harmonics": controls.harmonics, "noise": controls.noise}
    elif config.kind == "wavenet-alone":
        made = {"logits": model.logits(codes, torch.stack([f0, level], dim=1), singer)}
    else:
        z = model.encode(codes)
        local = None
        if config.melody_hop_samples:
            local = torch.stack([f0[:, :1], level[:, :1]], dim=1).expand(-1, -1, 640 // config.melody_hop_samples)
        made = {"latent": z, "logits": model.logits(codes, z, singer, local)}
    return {name: value.flatten()[:: max(1, value.numel() // 20)][:20].tolist() for name, value in made.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        songs = Path(folder) / "songs"
        synthetic.write_corpus(
            songs, np.random.default_rng(0), singers=synthetic.SINGERS[:2], n_songs=3, seconds=1.0, sample_rate=8000
        )
        corpus = prepare(songs, Path(folder) / "data", PrepareConfig(sample_rate=8000, workers=1))
        expected = {}
        for name, recipe in recipes_of_runs().items():
            where = RunFolder(HERE / name)
            shutil.rmtree(where.root, ignore_errors=True)
            trainer = open_run(where, corpus, recipe, RunOptions(software="moksori 0.1.0"))
            trainer.observers.append(Journal(where.journal))
            trainer.scorer = FixedScorer() if name != "alone" else None
            trainer.run(Budget(N_STEPS))
            expected[name] = outputs(checkpoint.read_model(where.model)[0])
            shutil.rmtree(where.samples, ignore_errors=True)
            (where.root / ".lock").unlink(missing_ok=True)
        (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
