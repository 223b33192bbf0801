"""Pictures of a report, as SVG or PNG text that a page can hold; the same data always gives the same text.

An SVG takes the colour of the text around it (`currentColor`), so it reads on a light page, a dark one and on paper.
Each is complete in itself: a page may hold many of them, and hide some, without one borrowing parts of another.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from matplotlib import ticker
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from PIL import Image

from moksori.audio import mels, pitch, resample, spectral
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.audio.spectral import SpectralConfig
from moksori.evaluation.report.data import CONVERSION, METRICS, Row
from moksori.language import ENGLISH, Words

# Blue and vermilion stay apart for colour-blind eyes (Okabe and Ito 2008), and from white and black.
BLUE, RED = "#2f86b5", "#d95f3b"
_INK = "#7f8693"  # stands for the page's own ink in an SVG; in a PNG it reads on white and on black
_DEEPEST = 0.8  # opacity of a full cell: ink on it has a contrast above 4, on a light page and on a dark one
_RANGE_DB = 70.0  # of a spectrogram
_RATE = 24000  # Hz, the most that a spectrogram shows
_N_COLOURS = 64  # of a spectrogram: steps of about 1 dB
_KILOHERTZ = (0.25, 1.0, 2.0, 4.0, 8.0)  # labelled in a spectrogram
_WIDTH_INCHES, _LEFT, _RIGHT = 5.2, 0.1, 0.985  # of melody and spectrograms, so that their times stand in line
_QUARTER_TONE = 2.0 ** (50.0 / 1200.0)
_LEAP_CENTS = 400.0  # from one frame to the next: a jump of the voice or of the tracker, not a line to draw

Values = npt.NDArray[np.float64]


def confusion_matrix(counts: Sequence[Sequence[int]], singers: Sequence[str], title: str, say: Words = ENGLISH) -> str:
    """Confusion matrix as SVG: target singers down the side, predicted singers along the foot.

    Args:
        counts: clips, singer x predicted; empty for no singers.
        singers: their names, in that order.
        title: above it.
        say: in the reader's language.

    Returns:
        A table whose numbers are clips and whose colour is the share of the row. Behind each row stands the share that
        is predicted rightly; a row without clips has none.
    """
    n = len(singers)
    table = np.asarray(counts, float).reshape(n, n)
    sums = table.sum(axis=1)
    shares = table / np.maximum(sums[:, None], 1.0)
    picture = Picture(figsize=(1.9 + 0.42 * n, 1.3 + 0.4 * n))
    axes = picture.add_subplot()
    blue = np.broadcast_to(mpl.colors.to_rgb(BLUE), (n, n, 3))
    if n:
        axes.imshow(np.concatenate([blue, _DEEPEST * shares[..., None]], axis=2), interpolation="none")
    for row, column in np.argwhere(table > 0):
        axes.text(column, row, f"{int(table[row, column])}", ha="center", va="center", color=_INK, fontsize=8.5)
    for row in range(n):
        axes.add_patch(mpl.patches.Rectangle((row - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=_INK, linewidth=0.8))
        if sums[row]:
            axes.text(n - 0.35, row, f"{shares[row, row]:.0%}", va="center", color=_INK, fontsize=8.5)
    axes.set_xticks(range(n), map(_literal, singers), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), map(_literal, singers))
    axes.tick_params(length=0, labelsize=9)
    axes.set_xlabel(say("heard as"), fontsize=9)
    axes.set_title(_literal(title), fontsize=10, loc="left", color=_INK)
    return _svg(picture, f"{title}: {_spoken(table, singers, say)}")


def pitch_overlay(source: PitchTrack, conversion: PitchTrack, transpose_semitones: float, say: Words = ENGLISH) -> str:
    """The tones asked for, and those that were sung, over time, as SVG.

    Args:
        source: its track.
        conversion: its track.
        transpose_semitones: that was asked for: the source is drawn so much higher.
        say: in the reader's language.

    Returns:
        A wide band, a quarter tone up and down from each tone asked for, within which a tone counts as right, with the
        conversion as a line; note names along the side. Tracks without a voiced frame leave their part out.
    """
    picture = Picture(figsize=(_WIDTH_INCHES, 2.0))
    axes = picture.add_axes((_LEFT, 0.19, _RIGHT - _LEFT, 0.68))
    asked, sung = _curve(source) * 2 ** (transpose_semitones / 12), _curve(conversion)
    axes.fill_between(
        source.times_seconds, asked / _QUARTER_TONE, asked * _QUARTER_TONE, color=BLUE, alpha=0.4, linewidth=1.5,
        label=say("asked for, and a quarter tone around it"),
    )  # fmt: skip
    axes.plot(conversion.times_seconds, sung, color=RED, linewidth=1.5, label=say("sung"))
    seconds = max(len(track.f0_hz) * track.hop_seconds for track in (source, conversion))
    axes.set_xlim(0.0, max(seconds, pitch.HOP_SECONDS))
    _note_axis(axes, [asked, sung])
    axes.set_xlabel(say("seconds"), fontsize=8)
    axes.legend(
        fontsize=8, frameon=False, labelcolor=_INK, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2, borderpad=0.0, handlelength=1.4,
    )  # fmt: skip
    described = say("The melody asked for, and the melody of the conversion, over time")
    return _svg(picture, described, is_tight=False)


def spectrogram_pair(source: Clip, conversion: Clip) -> str:
    """Source above, conversion below, as PNG in a data URI.

    Args:
        source: a clip; may be empty, of another length, or of another rate.
        conversion: likewise.

    Returns:
        Log-mel of both on one scale of time, of frequency (up to half the higher rate, but 12 kHz at most) and of
        loudness (70 dB down from the loudest of the source). Its words are English in every language: in a PNG they
        are drawn, by a font that has no Korean.
    """
    rate = min(_RATE, max(source.sample_rate, conversion.sample_rate))
    config = SpectralConfig(rate, 1024, max(1, rate // 100), n_mels=64, low_hz=60.0)
    both = [_decibels(clip, config) for clip in (source, conversion)]
    top_db = float(both[0].max())
    seconds = max(source.seconds, conversion.seconds, 0.01)
    low, high = (mels.of_hz(hz) for hz in (config.low_hz, config.top_hz))
    picture = Picture(figsize=(_WIDTH_INCHES, 2.5), dpi=125)
    for place, (clip, decibels) in enumerate(zip((source, conversion), both, strict=True), start=1):
        axes = picture.add_subplot(2, 1, place)
        axes.imshow(
            decibels, origin="lower", aspect="auto", cmap="magma", vmin=top_db - _RANGE_DB, vmax=top_db,
            extent=(0.0, max(clip.seconds, 0.01), low, high),
        )  # fmt: skip
        axes.set_xlim(0.0, seconds)
        ticks = [kilohertz for kilohertz in _KILOHERTZ if 1000.0 * kilohertz < config.top_hz]
        axes.set_yticks([mels.of_hz(1000.0 * tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
        axes.set_title(("source", "conversion")[place - 1], fontsize=8, loc="left", pad=2.0, color=_INK)
        axes.set_ylabel("kHz", fontsize=8)
        axes.tick_params(labelsize=7, labelbottom=place == 2, length=2.0)
    picture.subplots_adjust(_LEFT, 0.09, _RIGHT, 0.93, hspace=0.22)
    return _png(picture)


def training_curves(curves: Mapping[str, Sequence[Sequence[float]]], say: Words = ENGLISH) -> str:
    """Losses and held-out figures over the steps of training, a panel each, as SVG.

    Args:
        curves: name -> [step, value] pairs.
        say: in the reader's language.

    Returns:
        The picture; empty without curves.
    """
    names = [name for name, points in curves.items() if len(points)]
    if not names:
        return ""
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    picture = Picture(figsize=(3.3 * columns, 2.2 * rows), layout="constrained")
    for place, name in enumerate(names, start=1):
        steps, values = np.asarray(curves[name], float).T
        axes = picture.add_subplot(rows, columns, place)
        marker = "o" if len(steps) < 30 else ""
        colour = RED if name.startswith("held-out") else BLUE
        axes.plot(steps, values, color=colour, linewidth=1.2, marker=marker, markersize=2.5)
        axes.set_title(_literal(name.replace("_", " ")), fontsize=9, loc="left", color=_INK)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.2)
        if place > len(names) - columns:
            axes.set_xlabel(say("step"), fontsize=8)
    return _svg(picture, say("Over the steps of training: {names}", names=", ".join(names)))


def rows_chart(rows: Sequence[Row], metric: str, say: Words = ENGLISH) -> str:
    """One metric of every row that has it, a point with its interval, as SVG.

    Args:
        rows: of a report.
        metric: a key of `METRICS`.
        say: in the reader's language.

    Returns:
        The picture, conversions in a colour of their own; empty if no row has the metric.
    """
    having = [row for row in rows if metric in row.figures]
    if not having:
        return ""
    unit = METRICS[metric].unit
    scale = 100.0 if unit == "%" else 1.0
    picture = Picture(figsize=(3.6, 0.35 + 0.26 * len(having)))
    axes = picture.add_subplot()
    for place, row in enumerate(reversed(having)):
        figure = row.figures[metric]
        colour = RED if row.name == CONVERSION else BLUE
        axes.plot([scale * figure.low, scale * figure.high], [place, place], color=colour, linewidth=3.0, alpha=0.5)
        axes.plot(scale * figure.mean, place, "o", color=colour, markersize=5.5)
    axes.set_yticks(range(len(having)), [say(row.name) for row in reversed(having)])
    if unit == "%" and 0.2 < max(row.figures[metric].high for row in having) <= 1.0:
        axes.set_xlim(-3, 103)
    axes.set_ylim(-0.6, len(having) - 0.4)
    label = say(METRICS[metric].label)
    axes.set_title(label + (f", {unit}" if unit else ""), fontsize=9.5, loc="left", color=_INK)
    axes.tick_params(labelsize=8.5, length=0)
    axes.grid(axis="x", alpha=0.25)
    spoken = ", ".join(f"{say(row.name)} {scale * row.figures[metric].mean:.3g} {unit}".strip() for row in having)
    return _svg(picture, f"{label}: {spoken}")


def _spoken(table: Values, singers: Sequence[str], say: Words) -> str:
    """A confusion table in words, for those who cannot see it."""
    rows = []
    for singer, row in zip(singers, table, strict=True):
        named = ", ".join(f"{other} {int(count)}" for other, count in zip(singers, row, strict=True) if count)
        rows.append(say("{singer} heard as {others}", singer=singer, others=named or say("nobody")))
    return "; ".join(rows) or say("no singers")


def _curve(track: PitchTrack) -> Values:
    """The f0 in Hz, NaN where nothing is to be drawn: unvoiced frames, and the first one after a leap."""
    f0_hz = np.where(track.is_voiced, track.f0_hz, np.nan)
    if len(f0_hz) > 1:
        moved = np.abs(pitch.cents_between(f0_hz[1:], f0_hz[:-1]))
        f0_hz[1:][moved > _LEAP_CENTS] = np.nan
    return f0_hz


def _note_axis(axes: Any, curves: Sequence[Values]) -> None:
    """A logarithmic axis with note names, of an octave or more, that strays of a tracker do not stretch."""
    bounds = [np.nanpercentile(curve, [5, 95]) for curve in curves if np.isfinite(curve).any()]
    low, high = (np.min(bounds), np.max(bounds)) if bounds else (220.0, 440.0)
    middle, half = np.sqrt(low * high), max(0.55, np.log2(high / low) / 2 + 0.25)
    axes.set_yscale("log", base=2)
    axes.set_ylim(middle * 2.0**-half, middle * 2.0**half)
    step = 2 if half < 0.7 else 4 if half < 1.3 else 12
    first = int(np.ceil(pitch.hz_to_midi(float(middle * 2.0**-half)) / step) * step)
    last = int(np.floor(pitch.hz_to_midi(float(middle * 2.0**half))))
    ticks = [pitch.midi_to_hz(note) for note in range(first, last + 1, step)]
    axes.set_yticks(ticks, [pitch.note_name(tick) for tick in ticks])
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.grid(axis="y", alpha=0.25)
    axes.tick_params(labelsize=8, length=2.0)


def _decibels(clip: Clip, config: SpectralConfig) -> npt.NDArray[np.float32]:
    """Log-mel of a clip in dB, `[n_mels, F]` with F at least 1."""
    samples = resample.resample_clip(clip, config.sample_rate).samples if clip.n_samples else np.zeros(1, np.float32)
    decibels: npt.NDArray[np.float32] = (20 / np.log(10)) * spectral.log_mel(torch.from_numpy(samples), config).numpy()
    return decibels


def _literal(text: str) -> str:
    """A text that is drawn as it is written: between two dollars matplotlib would read mathematics."""
    return text.replace("$", r"\$")


def _dress(picture: Picture) -> None:
    """Draw everything that is not data in the one ink, on nothing."""
    picture.patch.set_alpha(0.0)
    for axes in picture.axes:
        axes.patch.set_alpha(0.0)
        axes.tick_params(colors=_INK)
        for text in (axes.xaxis.label, axes.yaxis.label):
            text.set_color(_INK)
        for spine in axes.spines.values():
            spine.set_color(_INK)
            spine.set_alpha(0.4)


def _svg(picture: Picture, described: str, *, is_tight: bool = True) -> str:
    _dress(picture)
    text = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "moksori", "font.family": "sans-serif"}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The drawing holds letters, not their shapes: whoever shows it has the font of a singer's name, or has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        picture.savefig(
            text, format="svg", bbox_inches="tight" if is_tight else None, pad_inches=0.04,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )  # fmt: skip
    whole = text.getvalue()
    drawing = _own_ids(whole[whole.index("<svg") :]).replace(_INK, "currentColor")
    return drawing.replace("<svg", f'<svg role="img" aria-label="{html.escape(described)}"', 1)


def _own_ids(svg: str) -> str:
    """Keep only the ids that are referred to, and make them the drawing's own, so that a page may hold many."""
    mine = hashlib.sha256(svg.encode()).hexdigest()[:8]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{mine}{found[1]}"' if found[1] in used else "", svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{mine}", svg)


def _png(picture: Picture) -> str:
    """A picture of few colours, which makes it a third of the size."""
    _dress(picture)
    canvas: Any = FigureCanvasAgg(picture)
    canvas.draw()
    few = Image.fromarray(np.asarray(canvas.buffer_rgba())).quantize(_N_COLOURS, Image.Quantize.FASTOCTREE)
    content = io.BytesIO()
    few.save(content, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
