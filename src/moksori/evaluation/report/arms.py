"""Arms of an experiment side by side: several recipes, several seeds each, with intervals over seeds and recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from moksori.evaluation.measures import bootstrap
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report.data import METRICS, Item

PROBE, MOVEMENT = "probe_accuracy", "movement"  # that no report has, and an experiment may
LABELS = {PROBE: "singer read from the latent", MOVEMENT: "moves as the source does"}
UNITS = {PROBE: "%", MOVEMENT: "%"}

Scores = list[dict[str, object]]
"""What was found of one run: a row for each score, with metric, recording, target and value."""


def scores_of(items: Sequence[Item], row: str) -> Scores:
    """The scores of one kind of clips of a report."""
    return [
        {"metric": metric, "recording": item.recording, "target": item.target_singer, "value": value}
        for item in items
        if item.row == row
        for metric, value in item.scores.items()
    ]


def tables(found: Mapping[str, Mapping[int, Scores]], columns: Sequence[str], reference: str) -> str:
    """Two tables in Markdown: figures of each arm, and differences to a reference by seed, recording and target.

    Args:
        found: arm -> seed -> what was found.
        columns: metrics to show, as far as some run has them.
        reference: the arm that others are compared with.
    """
    values = {arm: {seed: _by_clip(scores) for seed, scores in runs.items()} for arm, runs in found.items()}
    named = [name for name in columns if any(name in run for runs in values.values() for run in runs.values())]
    head = ["| arm | seeds | " + " | ".join(_label(name) for name in named) + " |", "| --- " * (2 + len(named)) + "|"]
    lines = [*head, *(_row(arm, runs, named) for arm, runs in values.items())]
    full = values.get(reference, {})
    others = {arm: _less(runs, full) for arm, runs in values.items() if arm != reference}
    lines += ["", f"Less {reference}, in bold where the interval leaves out 0:", "", *head]
    lines += [_row(arm, runs, named, is_difference=True) for arm, runs in others.items() if runs]
    return "\n".join(lines) + "\n"


Run = dict[str, dict[tuple[str, str], float]]
"""Values of a run by metric, recording and target."""


def _by_clip(scores: Scores) -> Run:
    run: Run = {}
    for row in scores:
        clip = (str(row["recording"]), str(row["target"]))
        run.setdefault(str(row["metric"]), {})[clip] = float(str(row["value"]))
    return run


def _less(runs: Mapping[int, Run], full: Mapping[int, Run]) -> dict[int, Run]:
    """Values less those of the reference of the same seed, where both have one."""
    return {
        seed: {
            metric: {
                clip: value - full[seed][metric][clip] for clip, value in by_clip.items() if clip in full[seed][metric]
            }
            for metric, by_clip in run.items()
            if metric in full[seed]
        }
        for seed, run in runs.items()
        if seed in full
    }


def _row(arm: str, runs: Mapping[int, Run], named: Sequence[str], *, is_difference: bool = False) -> str:
    cells = [_cell(name, figure, is_difference) if (figure := _figure(runs, name)) else "–" for name in named]
    return f"| {arm} | {len(runs)} | " + " | ".join(cells) + " |"


def _figure(runs: Mapping[int, Run], metric: str) -> Figure | None:
    rows = [(value, str(seed), clip[0]) for seed, clip, value in _values(runs, metric)]
    if not rows:
        return None
    values, seeds, recordings = zip(*rows, strict=True)
    return bootstrap.crossed(values, seeds, recordings, seed=0)


def _values(runs: Mapping[int, Run], metric: str) -> Iterator[tuple[int, tuple[str, str], float]]:
    for seed, run in runs.items():
        for clip, value in run.get(metric, {}).items():
            yield seed, clip, value


def _cell(metric: str, figure: Figure, is_difference: bool) -> str:
    """Mean and interval; a difference whose interval leaves out 0 is bold."""
    scale, form = (100, ".1f" if is_difference else ".0f") if _unit(metric) == "%" else (1, ".2f")
    sign = "+" if is_difference else ""
    mean, low, high = (f"{scale * value:{sign}{form}}" for value in (figure.mean, figure.low, figure.high))
    is_clear = is_difference and (figure.low > 0 or figure.high < 0)
    return f"**{mean}** ({low} to {high})" if is_clear else f"{mean} ({low} to {high})"


def _label(metric: str) -> str:
    label, unit = LABELS.get(metric) or METRICS[metric].label, _unit(metric)
    return f"{label}, {unit}" if unit else label


def _unit(metric: str) -> str:
    return UNITS.get(metric) or METRICS[metric].unit
