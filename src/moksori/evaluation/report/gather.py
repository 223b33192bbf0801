"""Aggregation of scored clips into a report: means with intervals, confusion tables, accuracy of judges, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from moksori.data import doctor
from moksori.data.corpus import Corpus, sung_range
from moksori.data.doctor import SingerHealth
from moksori.evaluation.measures import bootstrap
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data, verdict
from moksori.evaluation.report.data import Item, Judge, Report, Row, SingerData

_OWN, _PUBLIC = ("identified", "leak"), ("identified_public", "leak_public")  # metrics whose chance is 1 of all singers


@dataclass(frozen=True)
class Origin:
    """How a report came to be."""

    command: str  # that repeats it
    created: str  # ISO date
    software: str  # "moksori 0.1.0"


@dataclass(frozen=True)
class Subject:
    """What a report is about."""

    title: str
    notes: Sequence[str]
    model: Mapping[str, object] = field(default_factory=dict)  # what is known of it
    curves: Mapping[str, list[list[float]]] = field(default_factory=dict)  # training curves
    tables: Mapping[str, list[list[str]]] = field(default_factory=dict)  # further tables


def report(
    subject: Subject,
    origin: Origin,
    items: Sequence[Item],
    judges: Mapping[str, str],
    corpus: Corpus,
    split: str,
    seed: int,
) -> Report:
    """Put everything together.

    Args:
        subject: what was judged.
        origin: by what and when.
        items: every clip that was scored.
        judges: classifiers of singers: name -> description.
        corpus: whose singers they are.
        split: of the recordings held out.
        seed: of the bootstrap.
    """
    truth, converted = (_of_row(items, name) for name in (data.TRUTH, data.CONVERSION))
    known = [_judge(name, description, truth, corpus.singers, seed) for name, description in judges.items()]
    confusion = {name: _confusion(converted, name, corpus.singers) for name in judges}
    means = rows(items, len(corpus.singers), seed)
    singers = [_singer(corpus, health, split) for health in doctor.examine(corpus)]
    return Report(
        subject.title,
        origin.command,
        origin.created,
        origin.software,
        singers,
        known,
        means,
        list(items),
        confusion,
        verdict.write(means, confusion, known, items, singers),
        list(subject.notes),
        dict(subject.model),
        dict(subject.curves),
        dict(subject.tables),
    )


def rows(items: Sequence[Item], n_singers: int, seed: int) -> list[Row]:
    """Means with intervals of scored clips, in the order of `data.ROWS`; the last row is what guessing would give."""
    found = []
    for name in data.ROWS:
        own = _of_row(items, name)
        figures = {}
        for metric in data.METRICS:
            scored = [item for item in own if metric in item.scores]
            if scored:
                values = [item.scores[metric] for item in scored]
                figures[metric] = bootstrap.clustered(values, [item.recording for item in scored], seed)
        if own:
            found.append(Row(name, len(own), figures))
    share = Figure(1 / n_singers, 1 / n_singers, 1 / n_singers, 0)
    asked = [metric for metric in _PUBLIC if any(metric in row.figures for row in found)]
    by_guessing = dict.fromkeys([*_OWN, *asked], share) if n_singers > 1 else {}  # of one singer nobody guesses who
    return [*found, Row(data.CHANCE, 0, by_guessing)]


def _of_row(items: Sequence[Item], name: str) -> list[Item]:
    return [item for item in items if item.row == name]


def _judge(name: str, description: str, truth: Sequence[Item], singers: Sequence[str], seed: int) -> Judge:
    """A classifier with its accuracy on real recordings; None where there are none."""
    is_right = [float(item.predicted[name] == item.target_singer) for item in truth]
    accuracy = bootstrap.clustered(is_right, [item.recording for item in truth], seed) if truth else None
    return Judge(name, description, accuracy, _confusion(truth, name, singers))


def _confusion(items: Sequence[Item], judge: str, singers: Sequence[str]) -> list[list[int]]:
    """Counts, target x named, in the order of the singers."""
    counts = np.zeros((len(singers), len(singers)), int)
    for item in items:
        counts[singers.index(item.target_singer), singers.index(item.predicted[judge])] += 1
    return [[int(count) for count in row] for row in counts]


def _singer(corpus: Corpus, health: SingerHealth, split: str) -> SingerData:
    singer = health.singer
    trained = corpus.of("train", singer)
    sung = sung_range(trained)
    minutes = sum(recording.sung_seconds for recording in trained) / 60
    low_hz, high_hz = (sung.low_hz, sung.high_hz) if sung else (None, None)
    n_held_out = len(corpus.of(split, singer))
    return SingerData(singer, minutes, n_held_out, low_hz, high_hz, health.noise_dbfs, health.clipped_fraction)
