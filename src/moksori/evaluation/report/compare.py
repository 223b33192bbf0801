"""Paired comparison of two reports: differences of the same clips, with intervals, and what they mean.

A clip is the same if both reports have it under one row, source recording, source singer, target and transposition.
Pairing takes out what makes some clips harder than others, so smaller differences can be distinguished from chance than
by two separate rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moksori.evaluation.measures import bootstrap
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data
from moksori.evaluation.report.data import METRICS, Item, Report

BETTER, WORSE, UNCLEAR, DIFFERENT = "better", "worse", "no clear difference", "different"

# Rows that no model has a part in are the same in every report of the same data.
_MODEL_ROWS = (data.CONVERSION, data.RECONSTRUCTION, data.PARALLEL, data.PARALLEL_RECONSTRUCTION, data.STRANGERS)


@dataclass(frozen=True)
class Difference:
    """One metric of one row, over the clips of both reports."""

    row: str
    metric: str
    first: float  # mean over the pairs
    second: float
    difference: Figure  # second - first
    word: str  # of the second: one of the constants above


@dataclass(frozen=True)
class Comparison:
    """What tells two reports apart."""

    differences: list[Difference]
    n_pairs: dict[str, int]  # by row: clips of both
    n_alone: dict[str, tuple[int, int]]  # by row: clips that only one has
    cautions: list[str]  # why figures might not be comparable


def compare(first: Report, second: Report, seed: int = 0) -> Comparison:
    """Compare a second report with a first one.

    Args:
        first: the one to start from.
        second: the other.
        seed: of the bootstrap.

    Returns:
        Differences of all rows and metrics of which the two have clips in common.
    """
    differences: list[Difference] = []
    n_pairs: dict[str, int] = {}
    n_alone: dict[str, tuple[int, int]] = {}
    for row in _MODEL_ROWS:
        ours, theirs = _by_key(first.items, row), _by_key(second.items, row)
        common = ours.keys() & theirs.keys()
        if not ours and not theirs:
            continue
        n_pairs[row] = len(common)
        n_alone[row] = len(ours) - len(common), len(theirs) - len(common)
        for metric in METRICS:
            found = _difference(row, metric, ours, theirs, seed)
            if found is not None:
                differences.append(found)
    return Comparison(differences, n_pairs, n_alone, _cautions(first, second))


def markdown(comparison: Comparison, first: str, second: str) -> str:
    """A comparison as a table for people; `first` and `second` are what the reports are called."""
    lines = [f"# {second} compared with {first}", ""]
    lines += [f"- CAUTION: {caution}" for caution in comparison.cautions]
    for row, n_pairs in comparison.n_pairs.items():
        alone = sum(comparison.n_alone[row])
        lines += ["", f"## {row}", "", f"{n_pairs} clips of both" + (f"; {alone} of only one" if alone else "") + "."]
        own = [difference for difference in comparison.differences if difference.row == row]
        if own:
            lines += ["", f"| | {first} | {second} | difference | 95 % interval | |", "| --- " * 6 + "|"]
            lines += [_line(difference) for difference in own]
    return "\n".join(lines) + "\n"


def _line(difference: Difference) -> str:
    metric = METRICS[difference.metric]
    scale, unit = (100.0, "%") if metric.unit == "%" else (1.0, metric.unit)
    digits = 2 if not unit else 1

    def text(value: float, sign: str = "") -> str:
        return f"{scale * value:{sign}.{digits}f}"

    found = difference.difference
    label = f"{metric.label}, {unit}" if unit else metric.label
    means = f"{text(difference.first)} | {text(difference.second)}"
    interval = f"{text(found.low, '+')} to {text(found.high, '+')}"
    return f"| {label} | {means} | {text(found.mean, '+')} | {interval} | {difference.word} |"


def _by_key(items: Sequence[Item], row: str) -> dict[str, Item]:
    """Items of a row by what makes them the same clip."""
    return {
        "\0".join((item.recording, item.source_singer, item.target_singer, f"{item.transpose_semitones:g}")): item
        for item in items
        if item.row == row
    }


def _difference(row: str, metric: str, ours: dict[str, Item], theirs: dict[str, Item], seed: int) -> Difference | None:
    first = {key: item.scores[metric] for key, item in ours.items() if metric in item.scores}
    second = {key: item.scores[metric] for key, item in theirs.items() if metric in item.scores}
    common = first.keys() & second.keys()
    if not common:
        return None
    recordings = {key: ours[key].recording for key in common}
    found = bootstrap.paired(first, second, recordings, seed)
    means = [sum(scores[key] for key in common) / len(common) for scores in (first, second)]
    return Difference(row, metric, means[0], means[1], found, _word(found, METRICS[metric].better))


def _word(difference: Figure, better: str) -> str:
    if difference.low <= 0.0 <= difference.high:
        return UNCLEAR
    if not better:
        return DIFFERENT
    return BETTER if (difference.mean > 0) == (better == "higher") else WORSE


def _cautions(first: Report, second: Report) -> list[str]:
    cautions = []
    if [singer.name for singer in first.singers] != [singer.name for singer in second.singers]:
        cautions.append("the reports are about other singers, so their judges have other names to choose from.")
    elif first.singers != second.singers:
        cautions.append("the reports were made with other data, so their judges were taught otherwise.")
    judges = [{judge.name: judge.real_accuracy for judge in report.judges} for report in (first, second)]
    if judges[0].keys() != judges[1].keys():
        cautions.append(f"the judges are not the same: {', '.join(judges[0])} and {', '.join(judges[1])}.")
    elif judges[0] != judges[1]:
        cautions.append("the judges are not equally good at real recordings, so they are not the same judges.")
    return cautions
