"""Probing classifiers of singer and pitch, on an encoder's inputs and on its latent: what it lets through.

    sound       log-mel of a stretch    what there is to hide
    untrained   latent of the same encoder before its first step    what its narrowness alone takes away
    latent      latent of the trained encoder

Each is read by a probe of its own (`judges.probe`), taught on recordings for training and tried on those held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from moksori.audio import features
from moksori.data.corpus import Corpus
from moksori.data.segments import SegmentTable
from moksori.errors import DataError
from moksori.evaluation.judges import fitting, probe
from moksori.models import kinds, notes
from moksori.models.kinds import Converter
from moksori.progress import OnProgress, Progress, ignored
from moksori.training.media import base as media
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.base import Latent

SOUND, UNTRAINED, LATENT = "sound", "untrained", "latent"
_SECONDS = 0.3  # of a stretch, rounded to whole latent frames: as long as a sung note often is
_PER_SINGER = 60  # stretches of each singer that teach the probe
_HELD_OUT = ("validation", "test")
_PER_SINGER_AND_SPLIT = 30  # that it is tried on
_MOST_SINGERS = 16
_VOICED_SHARE, _STEADY_SEMITONES = 0.8, 1.0  # of a stretch that has a note
STEPS = 100  # of a probe; with 200 it reads no better


@dataclass(frozen=True)
class Stretches:
    """Short pieces of singing, as seen in several ways."""

    views: Mapping[str, Tensor]  # name -> [N, D, F]
    singer: Tensor  # [N]
    note: Tensor  # [N], see `models.notes`; `notes.NO_NOTE` where there is none, or more than one

    def of_notes(self) -> Stretches:
        """Those that have a note."""
        has = self.note != notes.NO_NOTE
        return Stretches({name: view[has] for name, view in self.views.items()}, self.singer[has], self.note[has])


@dataclass(frozen=True)
class Reading:
    """Share of held-out stretches that a probe names rightly, 0..1."""

    singer: float
    note: float | None  # to the semitone; None where too few stretches have a note


@dataclass(frozen=True)
class Leaks:
    """What was read, and what guessing reaches: the share of the commonest singer, and note, of the stretches tried."""

    n_singers: int
    n_stretches: int  # tried
    n_notes: int  # of these with a note
    singer_chance: float
    note_chance: float | None
    readings: dict[str, Reading]  # SOUND, UNTRAINED, LATENT


def read(
    model: Converter, corpus: Corpus, seed: int = 0, on_progress: OnProgress = ignored, n_steps: int = STEPS
) -> Leaks:
    """Read singer and pitch from what a model's encoder hears of recordings, and from what it makes of them.

    Args:
        model: of any singers; those of the recordings need not be among them.
        corpus: prepared recordings, some of them held out.
        seed: of the untrained encoder and of the probes.
        on_progress: called after each probe.
        n_steps: of each probe.

    Raises:
        DataError: nothing is held out.
    """
    if not any(corpus.of(split) for split in _HELD_OUT):
        raise DataError(
            f"{corpus.folder}: no recording is held out, so a probe can be tried on none that it was taught with; "
            "add recordings, three or more a singer"
        )
    with fitting.seeded(seed):
        untrained = kinds.build(model.config, model.singers.names)
    assert kinds.is_converter(untrained)
    media_of = {
        name: media.medium_for(each.eval(), PerturbConfig()) for name, each in ((UNTRAINED, untrained), (LATENT, model))
    }
    taught = _stretches(model, media_of, corpus, ("train",), _PER_SINGER)
    tried = _stretches(model, media_of, corpus, _HELD_OUT, _PER_SINGER_AND_SPLIT)
    return compare(taught, tried, seed, on_progress, n_steps)


def compare(
    taught: Stretches, tried: Stretches, seed: int = 0, on_progress: OnProgress = ignored, n_steps: int = STEPS
) -> Leaks:
    """Have a probe read singer and note from each view.

    Args:
        taught: what probes learn from; views of the same names.
        tried: what they are tried on.
        seed: of the probes.
        on_progress: called after each.
        n_steps: of each probe.
    """
    taught_notes, tried_notes = taught.of_notes(), tried.of_notes()
    has_notes = len(taught_notes.note) > 1 and len(tried_notes.note) > 1
    n_works, readings = (2 if has_notes else 1) * len(taught.views), {}

    def accuracy(name: str, by: Stretches, on: Stretches, labels: Tensor, wanted: Tensor) -> float:
        found = probe.accuracy(by.views[name], labels, on.views[name], wanted, seed, n_steps)
        reached[0] += 1
        on_progress(Progress(reached[0], n_works, name))
        return found

    reached = [0]
    for name in taught.views:
        singer = accuracy(name, taught, tried, taught.singer, tried.singer)
        note = accuracy(name, taught_notes, tried_notes, taught_notes.note, tried_notes.note) if has_notes else None
        readings[name] = Reading(singer, note)
    return Leaks(
        n_singers=len(set(tried.singer.tolist())),
        n_stretches=len(tried.singer),
        n_notes=len(tried_notes.note),
        singer_chance=_commonest(tried.singer),
        note_chance=_commonest(tried_notes.note) if has_notes else None,
        readings=readings,
    )


def note_of(f0_hz: Tensor) -> Tensor:
    """The note of each stretch `[N]` by its pitch `[N, F]`; none where it is hardly voiced or glides a semitone."""
    is_voiced = f0_hz > 0
    midi = torch.where(is_voiced, 69.0 + 12.0 * torch.log2(f0_hz.clamp(min=1.0) / 440.0), torch.nan)
    spread = midi.nanquantile(0.9, dim=1) - midi.nanquantile(0.1, dim=1)
    is_steady = (is_voiced.float().mean(dim=1) >= _VOICED_SHARE) & (spread < _STEADY_SEMITONES)
    return torch.where(is_steady, notes.of(f0_hz, 1)[:, 0], notes.NO_NOTE)


def _commonest(labels: Tensor) -> float:
    return labels.bincount().max().item() / len(labels)


@torch.no_grad()
def _stretches(
    model: Converter, media_of: Mapping[str, Latent], corpus: Corpus, splits: Sequence[str], per_singer: int
) -> Stretches:
    config = model.config
    hop = config.latent_hop_samples
    length = max(1, round(_SECONDS * config.sample_rate / hop)) * hop
    clips, mels, f0_hz, singers = [], [], [], []
    for split in splits:
        if not corpus.of(split):
            continue
        if kinds.is_source_filter(model):
            items = (
                media.medium_for(model, PerturbConfig())
                .table(corpus, split, length)
                .fixed_items(per_singer, _MOST_SINGERS)
            )
            clips += [item.clip for item in items]
            mels += [features.mels(item.clip)[features.ENCODER_WINDOW] for item in items]
            f0_hz += [features.f0_hz(item.clip) for item in items]
        else:
            items, every = (
                _encoder_inputs(model, corpus, split, length).fixed_items(per_singer, _MOST_SINGERS),
                _mel_hop(hop),
            )
            clips += [item.clip[0].long() for item in items]
            mels += [item.clip[3:, ::every] for item in items]
            f0_hz += [item.clip[1, ::every] for item in items]
        singers += [item.singer for item in items]
    stacked = torch.stack(clips)
    views = {SOUND: torch.stack(mels), **{name: medium.encode(stacked) for name, medium in media_of.items()}}
    return Stretches(views, torch.tensor(singers), note_of(torch.stack(f0_hz)))


def _encoder_inputs(model: Converter, corpus: Corpus, split: str, length: int) -> SegmentTable:
    """Codes with pitch and log-mel, of a model that hears codes alone."""
    config = model.config
    assert kinds.are_of_autoencoder(config)
    return SegmentTable(
        corpus,
        split,
        config.sample_rate,
        length,
        melody_hop_samples=_mel_hop(config.latent_hop_samples),
        mel_window_samples=features.ENCODER_WINDOW,
        n_bands=config.decoder.bands,
    )


def _mel_hop(latent_hop_samples: int) -> int:
    """The longest hop that features allow of which a latent frame is a whole number."""
    most = min(features.WINDOWS) // 2
    return next(hop for hop in range(min(most, latent_hop_samples), 0, -1) if latent_hop_samples % hop == 0)
