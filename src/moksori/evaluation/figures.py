"""Pictures of a report, as SVG or PNG text that a page can hold; the same data always gives the same text."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from moksori.audio import pitch, spectral
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.audio.spectral import SpectralConfig
from moksori.evaluation.report import METRICS, Row

_INK = "#7a8190"  # reads on white and on black
_SOURCE, _CONVERSION = "#8a8f98", "#d1495b"
_LINES = ("#2a7f9e", "#d1495b", "#66a182", "#edae49", "#8d6cab", "#5c677d")
_RANGE_DB = 70.0  # of a spectrogram


def confusion_matrix(counts: Sequence[Sequence[int]], singers: Sequence[str], title: str) -> str:
    """Targets (rows) against who is heard (columns); colour is the share of the row, numbers are clips. SVG."""
    table = np.asarray(counts, float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    size = 1.6 + 0.42 * len(singers)
    picture = Picture(figsize=(size, size))
    axes = picture.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(singers)), singers, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(singers)), singers)
    axes.set_xlabel("heard as")
    axes.set_ylabel("target")
    axes.set_title(title, fontsize=10)
    for row, column in np.argwhere(table > 0):
        ink = "white" if shares[row, column] > 0.5 else "#1d3557"
        axes.text(column, row, f"{int(table[row, column])}", ha="center", va="center", color=ink, fontsize=8)
    return _svg(picture)


def pitch_overlay(source: PitchTrack, conversion: PitchTrack, transpose_semitones: float) -> str:
    """The tones asked for, and those that were sung, over time. SVG."""
    picture = Picture(figsize=(5.0, 1.9))
    axes = picture.add_subplot()
    asked = np.where(source.is_voiced, source.f0_hz, np.nan) * 2 ** (transpose_semitones / 12)
    sung = np.where(conversion.is_voiced, conversion.f0_hz, np.nan)
    axes.plot(source.times_seconds, asked, color=_SOURCE, linewidth=4.0, alpha=0.5, label="asked for")
    axes.plot(conversion.times_seconds, sung, color=_CONVERSION, linewidth=1.3, label="sung")
    _note_axis(axes, np.concatenate([asked, sung]))
    axes.set_xlabel("s")
    axes.legend(fontsize=7, frameon=False, labelcolor=_INK, ncols=2, loc="upper right", borderaxespad=0.1)
    return _svg(picture)


def spectrogram_pair(source: Clip, conversion: Clip) -> str:
    """Source above, conversion below, on one scale. PNG as a data URI."""
    rate = min(source.sample_rate, conversion.sample_rate)
    config = SpectralConfig(rate, window_samples=1024, hop_samples=max(1, rate // 100), n_mels=80, low_hz=40.0)
    picture = Picture(figsize=(5.0, 2.6), dpi=96)
    top_db = None
    for place, (clip, name) in enumerate(((source, "source"), (conversion, "conversion")), start=1):
        waveform = torch.from_numpy(clip.samples if clip.n_samples else np.zeros(1, np.float32))
        own = SpectralConfig(clip.sample_rate, config.window_samples, max(1, clip.sample_rate // 100), 80, 40.0)
        decibels = (20 / np.log(10)) * spectral.log_mel(waveform, own).numpy()
        top_db = decibels.max() if top_db is None else top_db
        axes = picture.add_subplot(2, 1, place)
        axes.imshow(
            decibels, origin="lower", aspect="auto", cmap="magma", vmin=top_db - _RANGE_DB, vmax=top_db,
            extent=(0.0, max(clip.seconds, 0.01), 0, 1),
        )  # fmt: skip
        axes.set_yticks([])
        axes.set_ylabel(name, fontsize=8)
        axes.tick_params(labelsize=7, labelbottom=place == 2)
    return _png(picture)


def training_curves(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Losses and held-out figures over the steps of training. SVG; empty without curves."""
    names = [name for name, points in curves.items() if points]
    if not names:
        return ""
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    picture = Picture(figsize=(3.2 * columns, 2.2 * rows), layout="constrained")
    for place, name in enumerate(names, start=1):
        steps, values = np.asarray(curves[name], float).T
        axes = picture.add_subplot(rows, columns, place)
        axes.plot(steps, values, color=_LINES[place % len(_LINES)], linewidth=1.2)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=7)
    return _svg(picture)


def rows_chart(rows: Sequence[Row], metric: str) -> str:
    """One metric of every row that has it, with intervals. SVG; empty if none has."""
    having = [row for row in rows if metric in row.figures]
    if not having:
        return ""
    scale = 100.0 if METRICS[metric].unit == "%" else 1.0
    picture = Picture(figsize=(4.6, 0.7 + 0.28 * len(having)))
    axes = picture.add_subplot()
    for place, row in enumerate(reversed(having)):
        figure = row.figures[metric]
        colour = _CONVERSION if place == len(having) - 1 else _LINES[0]
        axes.plot([scale * figure.low, scale * figure.high], [place, place], color=colour, linewidth=2.0, alpha=0.6)
        axes.plot(scale * figure.mean, place, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(having)), [row.name for row in reversed(having)], fontsize=8)
    if METRICS[metric].unit == "%":
        axes.set_xlim(-3, 103)
    axes.set_ylim(-0.6, len(having) - 0.4)
    axes.set_title(METRICS[metric].label + (f", {METRICS[metric].unit}" if METRICS[metric].unit else ""), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    return _svg(picture)


def _note_axis(axes: Any, f0_hz: Any) -> None:
    """A logarithmic axis with note names, of an octave or more."""
    found = f0_hz[np.isfinite(f0_hz)]
    low, high = (found.min(), found.max()) if len(found) else (220.0, 440.0)
    middle, half = np.sqrt(low * high), max(0.6, np.log2(high / low) / 2 + 0.15)
    axes.set_yscale("log", base=2)
    axes.set_ylim(middle * 2.0**-half, middle * 2.0**half)
    step = 4 if half < 1.2 else 12
    first = int(np.ceil(pitch.hz_to_midi(float(middle * 2.0**-half)) / step) * step)
    last = int(np.floor(pitch.hz_to_midi(float(middle * 2.0**half))))
    ticks = [pitch.midi_to_hz(note) for note in range(first, last + 1, step)]
    axes.set_yticks(ticks, [pitch.note_name(tick) for tick in ticks], fontsize=7)
    axes.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.grid(axis="y", alpha=0.25)
    axes.tick_params(axis="x", labelsize=7)


def _dress(picture: Picture) -> None:
    """Ink that reads on a light page and on a dark one."""
    picture.patch.set_alpha(0.0)
    for axes in picture.axes:
        axes.patch.set_alpha(0.0)
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_color(_INK)
        axes.tick_params(colors=_INK)
        for spine in axes.spines.values():
            spine.set_color(_INK)
            spine.set_alpha(0.5)


def _svg(picture: Picture) -> str:
    _dress(picture)
    text = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "moksori", "font.family": "sans-serif"}
    with mpl.rc_context(settings):
        picture.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def _png(picture: Picture) -> str:
    _dress(picture)
    content = io.BytesIO()
    FigureCanvasAgg(picture)
    picture.savefig(content, format="png", bbox_inches="tight", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
