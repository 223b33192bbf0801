"""Beginning or going on with a run: the parts are built here and handed to the loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from moksori import settings
from moksori.audio.clip import Clip
from moksori.checkpoint import Provenance
from moksori.data.batches import Batches
from moksori.data.corpus import Corpus
from moksori.data.segments import Segment, SegmentTable
from moksori.errors import UserError
from moksori.models.autoencoder import Autoencoder
from moksori.training import samples, validation
from moksori.training.backtranslate import BackTranslation, BackTranslationConfig, TwoPhases
from moksori.training.folder import Identity, RunFolder
from moksori.training.learner import learners_for
from moksori.training.loop import Counters, Monitor, Trainer
from moksori.training.phases import Plan, SinglePhase
from moksori.training.recipe import Recipe
from moksori.training.reconstruct import Reconstruction


@dataclass(frozen=True)
class RunOptions:
    """What a run needs besides its data and recipe."""

    seed: int = 0
    device: str = "cpu"
    licence_note: str = ""
    software: str = ""  # name and version, for the model file


def open_run(
    folder: RunFolder,
    corpus: Corpus,
    recipe: Recipe,
    options: RunOptions,
    progress: Callable[[int, int, str], None] | None = None,
) -> Trainer:
    """Build a run, new or resumed; `Trainer.run` does the rest.

    Raises:
        UserError: the folder holds another run, or the data cannot be trained on.
    """
    folder.claim(Identity(options.seed, list(corpus.singers), corpus.fingerprint), recipe)
    table = SegmentTable(corpus, "train", recipe.model.sample_rate, recipe.segment_samples, progress=progress)
    segments = recipe.segments
    batches = Batches(
        table,
        segments.batch_size,
        options.seed,
        is_balanced=segments.is_balanced,
        is_augmented=segments.is_augmented,
    )
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)  # the weights' first values; nothing else draws from the global generator
        model = Autoencoder(recipe.model, corpus.singers).to(options.device)
    return Trainer(
        model=model,
        learners=learners_for(model, recipe.optimiser),
        plan=_plan(model, batches, recipe.back_translation),
        recipe=recipe,
        seed=options.seed,
        folder=folder,
        monitor=_monitor(model, corpus, recipe, options.seed),
        provenance=_provenance(corpus, recipe, options),
        clock=time.monotonic,
    )


def _plan(model: Autoencoder, batches: Batches, config: BackTranslationConfig) -> Plan:
    """Both phases; a single singer has nobody to be mixed with, and stays in phase 1."""
    reconstruction = Reconstruction(model, batches)
    if len(model.singers.names) < 2:
        return SinglePhase(reconstruction)
    return TwoPhases(reconstruction, BackTranslation(model, batches, config), config)


def _provenance(
    corpus: Corpus, recipe: Recipe, options: RunOptions
) -> Callable[[Counters, dict[str, float]], Provenance]:
    def describe(counters: Counters, figures: dict[str, float]) -> Provenance:
        return Provenance(
            software=options.software,
            recipe=recipe.name,
            steps=counters.step,
            training_seconds=round(counters.seconds, 1),
            data_fingerprint=corpus.fingerprint,
            level_dbfs=corpus.level_dbfs,
            licence_note=options.licence_note,
            figures=figures,
        )

    return describe


def _monitor(model: Autoencoder, corpus: Corpus, recipe: Recipe, seed: int) -> Monitor:
    """Held-out segments for figures and samples; without held-out recordings there are none of either."""
    rate, loop, hop = recipe.model.sample_rate, recipe.loop, recipe.model.encoder.hop_samples
    scored = _held_out_segments(corpus, rate, recipe.segment_samples, loop.validation_segments)
    sample_length = math.ceil(loop.sample_seconds * rate / hop) * hop
    heard = _held_out_segments(corpus, rate, sample_length, 1)
    # Spread over the singers rather than the first few.
    heard = heard[:: max(1, len(heard) // loop.sample_pairs)][: loop.sample_pairs]

    def figures() -> dict[str, float]:
        return settings.plain(validation.held_out(model, scored)) if len(scored) > 1 else {}

    def rendered() -> Iterator[tuple[str, Clip]]:
        return samples.render(model, heard, seed) if heard else iter(())

    return Monitor(figures, rendered)


def _held_out_segments(corpus: Corpus, sample_rate: int, length: int, per_singer: int) -> list[Segment]:
    return SegmentTable(corpus, "validation", sample_rate, length).fixed_items(per_singer)


def check_device(name: str) -> str:
    """Choose a device: "auto" takes a GPU if there is one.

    Raises:
        UserError: the device does not exist here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used here ({error}); use --device auto or cpu") from error
    return name
