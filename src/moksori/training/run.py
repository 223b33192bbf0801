"""Beginning or going on with a run: the parts are built here and handed to the loop."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.data import prepare as preparing
from moksori.data import threads
from moksori.data.batches import Batches
from moksori.data.corpus import MANIFEST, Corpus
from moksori.data.segments import Segment
from moksori.errors import UserError
from moksori.models import kinds
from moksori.models.kinds import Model
from moksori.progress import OnProgress
from moksori.training import recipe as recipes
from moksori.training import shards, teacher, warm_start
from moksori.training.average import Average
from moksori.training.folder import Identity, RunFolder
from moksori.training.loop import Counters, Monitor, Trainer
from moksori.training.media import base as media
from moksori.training.media.base import Ingredients, Medium
from moksori.training.ranks import ALONE, Ranks
from moksori.training.recipe import Recipe
from moksori.training.shards import Team

DATA = "data"  # of a run's folder: what is prepared of raw recordings
_CALIBRATION_SEGMENTS = 16
_MOST_VALIDATED = 256  # of a larger corpus so many, evenly spread, are validated: time and memory do not grow with it


@dataclass(frozen=True)
class RunOptions:
    """What a run needs besides its data and recipe."""

    seed: int = 0
    device: str = "cpu"
    licence_note: str = ""
    software: str = ""  # name and version, for the model file


def data_of(source: Path, folder: RunFolder, singer: str = "") -> Corpus | None:
    """The prepared data of a run, if there is nothing to prepare: the source itself, or what the run has begun with.

    The singer is as in `PrepareConfig`.

    Raises:
        DataError: the source cannot be listed, or a manifest is damaged.
        UserError: the run has begun with other recordings. Nothing is written then: what is away for a moment (a disk
            that is not mounted, a decoder that is missing) can come back.
    """
    if (source / MANIFEST).is_file():
        return Corpus.load(source)
    data, begun_with = folder.root / DATA, folder.data_fingerprint
    if begun_with is None or not (data / MANIFEST).is_file():
        return None
    before = Corpus.load(data)
    if before.fingerprint != begun_with:
        return None
    changed = preparing.difference(source, before, singer)
    if changed.gone or changed.new:
        raise UserError(
            f"{source}: holds other recordings than those that {folder.root} has begun with ({changed}); bring "
            "them back to go on, or choose another folder with -o to begin anew"
        )
    return before


def made_data(source: Path, folder: RunFolder, prepare: Callable[[Path], Corpus]) -> Corpus:
    """Have a run's data made, where `data_of` has none.

    Args:
        source: of the recordings.
        folder: of the run.
        prepare: makes data in the folder that it is given.

    Raises:
        UserError: the run has begun with other recordings, and its data is gone. What was made is deleted then: its
            splits would be remembered for ever, and some of what was trained on be held out.
    """
    data, begun_with = folder.root / DATA, folder.data_fingerprint
    is_new = not os.path.lexists(data)
    made = prepare(data)
    if is_new and begun_with is not None and made.fingerprint != begun_with:
        shutil.rmtree(data)
        raise UserError(
            f"{source}: holds other recordings than those that {folder.root} has begun with, whose data is gone; bring "
            "them back to go on, or choose another folder with -o to begin anew"
        )
    return made


def open_run(
    folder: RunFolder,
    corpus: Corpus,
    recipe: Recipe,
    options: RunOptions,
    progress: OnProgress | None = None,
    ranks: Ranks = ALONE,
) -> Trainer:
    """Build a run, new or resumed; `Trainer.run` does the rest.

    Raises:
        UserError: the folder holds another run, the data cannot be trained on, or the processes that train together
            cannot share a batch or have different data.
    """
    device = torch.device(options.device)
    n_parts = shards.n_parts(recipe.segments.shards, device, ranks)
    rows = ranks.share(n_parts)
    model, identity = _begun(folder, corpus, recipe, options)
    is_new = bool(ranks.broadcast(folder.began_from() is None))
    if ranks.is_writer:
        folder.claim(identity, recipe)
    ranks.check_same("other data", corpus.fingerprint)
    ranks.check_same("another recipe", recipes.dump(recipe))
    medium = media.medium_for(model, recipe.perturbation)
    segments = recipe.segments
    with ranks.one_a_machine_first():
        table = medium.table(
            corpus, "train", recipe.segment_samples, moved_copies=segments.moved_copies, progress=progress
        )
    rows_a_part = segments.batch_size // n_parts
    batches, whole = (
        Batches(
            table,
            segments.batch_size,
            options.seed,
            is_balanced=segments.is_balanced,
            is_augmented=segments.is_augmented and medium.is_augmentable,
            rows=read,
        )
        for read in (range(rows_a_part * rows.start, rows_a_part * rows.stop), None)
    )
    medium.measure(corpus)
    if recipe.base and is_new:
        medium.meet(whole, recipe, options.seed)
    is_half = bool(ranks.broadcast(_is_half(recipe.precision, device)))  # machines may differ
    # Of several processes on one machine each has its share of the cores.
    n_threads = max(1, threads.n_cores() // ranks.local_world) if ranks.is_launched else None
    team = Team(n_parts, device, is_half=is_half, ranks=ranks, n_threads=1 if device.type != "cpu" else n_threads)
    ranges = _ranges(corpus)
    others = {name: PitchRange(hz, hz, hz) for name, hz in identity.other_singers.items()}
    some = table.fixed_items(1, _CALIBRATION_SEGMENTS)[:_CALIBRATION_SEGMENTS]
    average = Average(model, recipe.average_decay)
    shown = media.medium_for(average.model, recipe.perturbation)
    return Trainer(
        model=model,
        learners=medium.learners(recipe),
        average=average,
        plan=medium.plan(Ingredients(batches, recipe, others | ranges, team)),
        recipe=recipe,
        seed=options.seed,
        folder=folder,
        monitor=_monitor(shown, corpus, recipe, options.seed) if ranks.is_writer else Monitor(dict, lambda: iter(())),
        provenance=_provenance(corpus, ranges, recipe, options, identity.began_from, lambda: shown.layer_peaks(some)),
        clock=time.monotonic,
        team=team,
        own_singers=corpus.singers,
    )


def _begun(folder: RunFolder, corpus: Corpus, recipe: Recipe, options: RunOptions) -> tuple[Model, Identity]:
    """The model before its first step or, of a run that goes on, before its state is read."""
    who = (options.seed, list(corpus.singers), corpus.fingerprint)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)  # the weights' first values; nothing else draws from the global generator
        if not recipe.base:
            return kinds.build(recipe.model, corpus.singers).to(options.device), Identity(*who)
        if origin := folder.began_from():  # the voice that it began from need not be there any more
            line, others = origin
            model = kinds.build(recipe.model, [*corpus.singers, *others])
        else:
            base = warm_start.load(recipe.base)
            line, others = base.line, warm_start.others(base, corpus.singers)
            model = warm_start.begun(base, recipe.model, corpus.singers)
    warm_start.freeze(model)
    return model.train().to(options.device), Identity(*who, line, others)


def _provenance(
    corpus: Corpus,
    ranges: dict[str, PitchRange],
    recipe: Recipe,
    options: RunOptions,
    began_from: str,
    layer_peaks: Callable[[], tuple[float, ...]],
) -> Callable[[Counters, dict[str, float]], Provenance]:
    def describe(counters: Counters, figures: dict[str, float]) -> Provenance:
        return Provenance(
            software=options.software,
            recipe=recipe.name,
            steps=counters.step,
            training_seconds=round(counters.seconds, 1),
            data_fingerprint=corpus.fingerprint,
            level_dbfs=corpus.level_dbfs,
            ranges=ranges,
            licence_note=options.licence_note,
            rights=dict(corpus.rights),
            figures=figures,
            lineage=(
                *((began_from,) if began_from else ()),
                *((teacher.DESCRIPTION,) if recipe.losses.content else ()),
            ),
            layer_peaks=layer_peaks(),
        )

    return describe


def _ranges(corpus: Corpus) -> dict[str, PitchRange]:
    """Where each singer sang in training, over whole recordings; nobody whose pitch is not known."""
    return {name: sung.rounded() for name, sung in corpus.training_ranges.items()}


def _is_half(precision: str, device: torch.device) -> bool:
    """Whether the forward pass runs in bfloat16; "auto" asks the hardware, which is far faster at it or far slower."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not public, and not in every version
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)


def _monitor(medium: Medium, corpus: Corpus, recipe: Recipe, seed: int) -> Monitor:
    """Held-out segments for figures and samples; without held-out recordings there are none of either."""
    rate, loop, hop = recipe.model.sample_rate, recipe.loop, recipe.model.latent_hop_samples

    def held_out(n_samples: int, per_singer: int, most_singers: int) -> list[Segment]:
        return medium.table(corpus, "validation", n_samples).fixed_items(per_singer, most_singers)

    scored = held_out(recipe.segment_samples, loop.validation_segments, _MOST_VALIDATED)
    chosen = held_out(math.ceil(loop.sample_seconds * rate / hop) * hop, 1, loop.sample_pairs)

    def figures() -> dict[str, float]:
        return medium.figures(scored) if len(scored) >= 2 else {}

    def samples() -> Iterator[tuple[str, Clip]]:
        return medium.samples(chosen, seed) if chosen else iter(())

    return Monitor(figures, samples)
