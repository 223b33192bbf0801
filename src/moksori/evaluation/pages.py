"""A report as a page to read and to listen to: one HTML file that needs no network, and the same as Markdown."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import soundfile
from markupsafe import Markup

from moksori import atomic
from moksori.audio import files, pitch, resample
from moksori.audio.clip import Clip
from moksori.errors import AudioFileError
from moksori.evaluation import figures, report
from moksori.evaluation.melody import SwiftF0, Tracker
from moksori.evaluation.report import METRICS, Figure, Item, Report
from moksori.evaluation.trials import evenly

HTML, MARKDOWN = "report.html", "report.md"

_PLAYER_RATE = 24000  # Hz
_EXTREMES = 3  # of the pairs to listen to, as many are the worst, and as many the best
_CHARTS = ("identified", "leak", "raw_pitch_accuracy", "vowel_accuracy")
_GROUPS = {"singer": "Who is heard", "melody": "Melody", "words": "Words", "sound": "Sound"}
_ARROWS = {"higher": "↑", "lower": "↓", "": ""}


@dataclass(frozen=True)
class Card:
    """A pair to listen to."""

    item: Item
    players: list[tuple[str, str]]  # what it is, data URI
    missing: str  # why there is no sound, if there is none
    melody: Markup
    spectra: str  # data URI
    figures: list[tuple[str, str]]  # label, value


def write(told: Report, folder: Path, *, n_players: int = 24, tracker: Tracker | None = None) -> tuple[Path, Path]:
    """Write `report.html` and `report.md`.

    Args:
        told: the report; its items' files lie below the folder. A file that cannot be read is said to be missing.
        folder: of the report.
        n_players: pairs to listen to in the page.
        tracker: draws the melodies.

    Returns:
        Paths of the two.
    """
    tracker = tracker or SwiftF0()
    chosen = choose([item for item in told.items if item.files], n_players)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("moksori.evaluation", "templates"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"value": value_text, "note": _note, "cell": _cell}
    shared = {
        "report": told,
        "metrics": METRICS,
        "arrows": _ARROWS,
        "tables": [(title, *_main_table(told, group)) for group, title in _GROUPS.items()],
    }
    singers = [singer.name for singer in told.singers]
    html = environment.get_template(HTML).render(
        **shared,
        cards=[_card(item, folder, tracker) for item in chosen],
        charts=[Markup(chart) for metric in _CHARTS if (chart := figures.rows_chart(told.rows, metric))],
        confusions=[
            (
                judge,
                _confusion(told.confusion[judge.name], singers, f"conversions, heard by {judge.name}"),
                _confusion(judge.real_confusion, singers, f"real recordings, heard by {judge.name}"),
            )
            for judge in told.judges
        ],
        curves=Markup(figures.training_curves(told.curves)),
        shown=[name for name in METRICS if any(name in item.scores for item in told.items)],
    )
    markdown = environment.get_template(MARKDOWN).render(**shared)
    paths = folder / HTML, folder / MARKDOWN
    for path, text in zip(paths, (html, markdown), strict=True):
        atomic.write(path, text.encode())
    return paths


def choose(items: Sequence[Item], count: int) -> list[Item]:
    """Pairs to listen to: the worst and the best conversions, then others evenly spread, in the order of the report."""
    if count >= len(items):
        return list(items)
    ranked = sorted((item for item in items if item.row == report.CONVERSION), key=_merit)
    extremes = min(_EXTREMES, count // 4)
    chosen = {item.name for item in [*ranked[:extremes], *ranked[len(ranked) - extremes :]]}
    others = [item for item in items if item.name not in chosen]
    chosen |= {item.name for item in evenly(others, count - len(chosen))}
    return [item for item in items if item.name in chosen]


def value_text(value: float, metric: str) -> str:
    """A score with its unit.

    >>> value_text(0.873, "identified"), value_text(31.4, "pitch_rmse_cents"), value_text(0.5, "pitch_correlation")
    ('87 %', '31 cents', '0.50')
    """
    unit = METRICS[metric].unit
    if unit == "%":
        return f"{100 * value:.0f} %" if value >= 0.01 or value == 0 else f"{100 * value:.2g} %"
    if unit in ("cents", "a minute"):
        return f"{value:.0f} {unit}" if unit == "cents" else f"{value:.1f}"
    return f"{value:.1f} dB" if unit == "dB" else f"{value:.2f}"


def _main_table(told: Report, group: str) -> tuple[list[str], list[report.Row]]:
    """Metrics of a group that some row has, and the rows that have one of them."""
    names = [name for name, metric in METRICS.items() if metric.group == group]
    names = [name for name in names if any(name in row.figures for row in told.rows)]
    return names, [row for row in told.rows if any(name in row.figures for name in names)]


def _merit(item: Item) -> tuple[float, str]:
    scores = item.scores
    return scores.get("identified", 0.0) + scores.get("raw_pitch_accuracy", 0.0) - scores.get("leak", 0.0), item.name


def _card(item: Item, folder: Path, tracker: Tracker) -> Card:
    clips: dict[str, Clip] = {}
    missing = []
    for kind, path in item.files.items():
        try:
            clips[kind] = files.read(folder / path)
        except AudioFileError as error:
            missing.append(f"{kind}: {error}")
    labels = {
        "source": f"source, {item.source_singer or 'unknown singer'}",
        "conversion": f"conversion into {item.target_singer}",
        "target": f"{item.target_singer}, a real recording",
    }
    melody, spectra = Markup(), ""
    if "source" in clips and "conversion" in clips:
        tracks = tracker.track(clips["source"]), tracker.track(clips["conversion"])
        melody = Markup(figures.pitch_overlay(*tracks, item.transpose_semitones))
        spectra = figures.spectrogram_pair(clips["source"], clips["conversion"])
    order = [kind for kind in labels if kind in clips]
    return Card(
        item,
        [(labels[kind], _player(clips[kind])) for kind in order],
        "; ".join(missing),
        melody,
        spectra,
        [(METRICS[name].label, value_text(value, name)) for name, value in item.scores.items() if name in METRICS],
    )


def _confusion(counts: Sequence[Sequence[int]], singers: Sequence[str], title: str) -> Markup:
    return Markup(figures.confusion_matrix(counts, singers, title))


def _player(clip: Clip) -> str:
    """A clip as MP3 in a data URI."""
    content = io.BytesIO()
    sound = resample.resample_clip(clip, _PLAYER_RATE) if clip.sample_rate != _PLAYER_RATE else clip
    soundfile.write(content, sound.samples.clip(-1.0, 1.0), _PLAYER_RATE, format="MP3", subtype="MPEG_LAYER_III")
    return "data:audio/mpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _note(f0_hz: float | None) -> str:
    return pitch.note_name(f0_hz) if f0_hz else "–"


def _cell(figure: Figure | None, metric: str) -> str:
    """A figure with its interval, in plain text."""
    if figure is None:
        return "–"
    text = value_text(figure.mean, metric)
    if figure.low == figure.high:
        return text
    low, high = (value_text(bound, metric).split(" ")[0] for bound in (figure.low, figure.high))
    return f"{text} ({low} to {high})"
