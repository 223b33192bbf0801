"""Beginning or going on with a run: the parts are built here and handed to the loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from moksori import settings
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.data.batches import Batches
from moksori.data.corpus import Corpus, sung_range
from moksori.data.excerpts import ExcerptTable
from moksori.data.segments import Segment
from moksori.errors import UserError
from moksori.models import kinds
from moksori.models.kinds import Model
from moksori.models.swift import SwiftConfig
from moksori.training import media, shards, tables
from moksori.training.average import Average
from moksori.training.folder import Identity, RunFolder
from moksori.training.learner import learners_for
from moksori.training.logging import samples, validation
from moksori.training.loop import Counters, Monitor, Trainer
from moksori.training.media import AnyMedium, FeatureMedium, SoloMedium
from moksori.training.phases.adversarial import CriticisedReconstruction
from moksori.training.phases.backtranslate import BackTranslation, TwoPhases
from moksori.training.phases.base import Phase, Plan, SinglePhase
from moksori.training.phases.predict import Prediction
from moksori.training.phases.reconstruct import Reconstruction
from moksori.training.phases.schedule import Turns
from moksori.training.recipe import Recipe
from moksori.training.shards import Team

_CALIBRATION_SEGMENTS = 16
_UNKNOWN_HZ = 220.0  # the middle of a singer whose pitch was never heard


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
    segments = recipe.segments
    table = tables.table(
        corpus,
        "train",
        recipe.model,
        recipe.segment_samples,
        moved_copies=segments.moved_copies,
        progress=progress,
    )
    batches = Batches(
        table,
        segments.batch_size,
        options.seed,
        is_balanced=segments.is_balanced,
        is_augmented=segments.is_augmented and not isinstance(recipe.model, SwiftConfig),
    )
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)  # the weights' first values; nothing else draws from the global generator
        model = kinds.build(recipe.model, corpus.singers).to(options.device)
    if model.singers.measured is not None and isinstance(table, ExcerptTable):
        model.singers.measured.copy_(table.mean_shapes())
    medium = media.medium_for(model, recipe.perturbation)
    device = torch.device(options.device)
    n_parts = shards.n_parts(segments.shards, device)
    team = Team(n_parts, device, is_half=_is_half(recipe.precision, device))
    return Trainer(
        model=model,
        learners=learners_for(model, recipe.optimiser, recipe.critic_optimiser),
        average=Average(model, recipe.average_decay),
        plan=_plan(medium, corpus, batches, recipe, team),
        recipe=recipe,
        seed=options.seed,
        folder=folder,
        monitor=_monitor(model, medium, corpus, recipe, options.seed),
        provenance=_provenance(corpus, recipe, options, _calibrated(medium, table.fixed_items(1))),
        clock=time.monotonic,
        team=team,
    )


def _plan(medium: AnyMedium, corpus: Corpus, batches: Batches, recipe: Recipe, team: Team) -> Plan:
    """Both phases; a single singer has nobody to be mixed with, and stays in phase 1. A WaveNet by itself has one."""
    if isinstance(medium, SoloMedium):
        return SinglePhase(Prediction(medium, batches))
    if len(medium.singers.names) < 2:
        return SinglePhase(Reconstruction(medium, batches))
    losses, turns = recipe.losses, Turns(recipe.back_translation)
    first: Phase = Reconstruction(medium, batches)
    if isinstance(medium, FeatureMedium) and (losses.adversarial or losses.cycle):
        ranges = _ranges(corpus)
        unknown = PitchRange(_UNKNOWN_HZ, _UNKNOWN_HZ, _UNKNOWN_HZ)
        first = CriticisedReconstruction(
            medium, batches, [ranges.get(name, unknown).median_hz for name in corpus.singers]
        )
    return TwoPhases(first, BackTranslation(medium, batches, turns, team), turns)


def _calibrated(medium: AnyMedium, segments: list[Segment]) -> Callable[[], tuple[float, ...]]:
    """Asks how large the inputs of the decoder's layers get, for int8; nothing where no decoder samples codes."""
    if isinstance(medium, FeatureMedium) or not segments:
        return tuple
    some = segments[:_CALIBRATION_SEGMENTS]
    clips = torch.stack([segment.clip for segment in some])
    singer = torch.tensor([segment.singer for segment in some])
    return lambda: medium.layer_peaks(clips, singer)


def _provenance(
    corpus: Corpus, recipe: Recipe, options: RunOptions, layer_peaks: Callable[[], tuple[float, ...]]
) -> Callable[[Counters, dict[str, float]], Provenance]:
    def describe(counters: Counters, figures: dict[str, float]) -> Provenance:
        return Provenance(
            software=options.software,
            recipe=recipe.name,
            steps=counters.step,
            training_seconds=round(counters.seconds, 1),
            data_fingerprint=corpus.fingerprint,
            level_dbfs=corpus.level_dbfs,
            ranges=_ranges(corpus),
            licence_note=options.licence_note,
            figures=figures,
            layer_peaks=layer_peaks(),
        )

    return describe


def _ranges(corpus: Corpus) -> dict[str, PitchRange]:
    """Where each singer sang in training, over whole recordings; nobody whose pitch was never heard."""
    found = {name: sung_range(corpus.of("train", name)) for name in corpus.singers}
    return {name: sung.rounded() for name, sung in found.items() if sung}


def _is_half(precision: str, device: torch.device) -> bool:
    """Whether the forward pass runs in bfloat16; "auto" asks the hardware, which is far faster at it or far slower."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not public, and not in every version
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)


def _monitor(model: Model, medium: AnyMedium, corpus: Corpus, recipe: Recipe, seed: int) -> Monitor:
    """Held-out segments for figures and samples; without held-out recordings there are none of either."""
    rate, loop, hop = recipe.model.sample_rate, recipe.loop, recipe.model.latent_hop_samples
    scored = _held_out_segments(corpus, recipe, recipe.segment_samples, loop.validation_segments)
    sample_length = math.ceil(loop.sample_seconds * rate / hop) * hop
    heard = _held_out_segments(corpus, recipe, sample_length, 1)
    # Spread over the singers rather than the first few.
    heard = heard[:: max(1, len(heard) // loop.sample_pairs)][: loop.sample_pairs]

    def figures() -> dict[str, float]:
        if len(scored) < 2:
            return {}
        if isinstance(medium, SoloMedium):
            return validation.held_out_alone(medium, scored)
        return settings.plain(validation.held_out(medium, scored))

    def rendered() -> Iterator[tuple[str, Clip]]:
        return samples.render(model, heard, seed) if heard else iter(())

    return Monitor(figures, rendered)


def _held_out_segments(corpus: Corpus, recipe: Recipe, length: int, per_singer: int) -> list[Segment]:
    return tables.table(corpus, "validation", recipe.model, length).fixed_items(per_singer)


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
        reason = str(error).partition("\n")[0].partition(". ")[0]  # torch may go on for sixty lines
        raise UserError(f"device {name!r} cannot be used here ({reason}); use --device auto or cpu") from error
    return name
