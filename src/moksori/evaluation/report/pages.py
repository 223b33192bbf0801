"""A report as a page to read and to listen to: one HTML file that needs no network, and the same as Markdown."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import soundfile
from markupsafe import Markup, escape

from moksori import atomic
from moksori.audio import files, resample
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.errors import AudioFileError
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.measures.melody import SwiftF0, Tracker
from moksori.evaluation.report import data, figures, next_steps, scales, verdict
from moksori.evaluation.report.data import METRICS, Item, Report, Row
from moksori.language import ENGLISH, Words

HTML, MARKDOWN = "report.html", "report.md"

ROW_MEANINGS = {
    data.CONVERSION: "held-out recordings, converted into other singers: what this report is about",
    data.RECONSTRUCTION: "the same recordings, into their own singer: what the model costs without a change of voice",
    data.PARALLEL: "recordings whose words the target recorded, too, so that the right answer exists",
    data.PARALLEL_RECONSTRUCTION: "the target's recordings of those words, into the target itself",
    data.STRANGERS: "songs that nobody of the data sings, into every singer",
    data.MOVED: "sources at the pitch of their conversions by overlap-add, no model: what the key alone costs",
    data.MOVED_STRANGERS: "the same of the songs by strangers",
    data.FRAMES: "each moment of the moved source by the target's own nearest frames: what needs no net",
    data.FRAMES_STRANGERS: "the same of the songs by strangers",
    data.COPY_SYNTHESIS: "sources through the model's rate, and codes if it has any, without the model: its best",
    data.TRUTH: "real recordings of the targets: what the judges say of the real thing",
    data.COPY: "the source, handed in as its own conversion: all is right but the singer",
    data.SWAPPED: "a real recording of the target, of other words: the singer is right, and nothing else",
    data.CHANCE: "guessing",
}

_MAIN = (
    "identified",
    "leak",
    "identified_public",
    "raw_pitch_accuracy",
    "vowel_accuracy",
    "truth_distance_db",
    "rest_noise_db",
)
_CHARTS = ("identified", "leak", "raw_pitch_accuracy", "vowel_accuracy")
_ON_CARD = ("raw_pitch_accuracy", "vowel_accuracy", "character_error_rate", "truth_distance_db", "rest_noise_db")
_GROUPS = {"singer": "Who is heard", "melody": "Melody", "words": "Words", "sound": "Sound", "natural": "Naturalness"}
_ARROWS = {"higher": "↑", "lower": "↓", "": ""}
_PLAYER_RATE = 24000  # Hz; one that MP3 has
_LONGEST_SECONDS = 30.0  # of a player: a page of whole songs would be too big to send to anybody
_EXTREMES = 4  # of the pairs to listen to, at most as many are the weakest, and as many the best


@dataclass(frozen=True)
class Player:
    """A sound to play."""

    label: str
    length: str  # in words
    data: str  # URI


@dataclass(frozen=True)
class Card:
    """A pair to listen to."""

    item: Item
    players: list[Player]
    missing: list[str]  # why there is no sound, if there is none
    melody: Markup
    spectra: str  # data URI; empty if there is none
    main: list[tuple[str, str]]  # label, value
    others: list[tuple[str, str]]


def write(
    report: Report, folder: Path, *, n_players: int = 24, tracker: Tracker | None = None, say: Words = ENGLISH
) -> tuple[Path, Path]:
    """Write `report.html` and `report.md`.

    Args:
        report: the report; its items' files lie below the folder. A file that cannot be read is said to be missing.
        folder: of the report.
        n_players: pairs to listen to in the page.
        tracker: draws the melodies.
        say: in the reader's language. How the figures were made stays English.

    Returns:
        Paths of the two.

    Raises:
        OSError: the disk refused; each of the two is whole or as it was.
    """
    templates = environment(say)
    said = verdict_in(report, say)
    shared = {
        "report": report,
        "verdict": said,
        "next_steps": next_steps.write(report, say),
        "scales": scales.of(report),
        "about": _about(report, say),
        "title": _title(report, say),
        "metrics": METRICS,
        "meanings": ROW_MEANINGS,
        "arrows": _ARROWS,
        "is_reliable": verdict.is_reliable,
        "main": _columns(report, _MAIN),
        "tables": [(group, title, *_columns(report, _of_group(group))) for group, title in _GROUPS.items()],
    }
    lead, rest = _lead(said)
    html = templates.get_template(HTML).render(
        **shared,
        lead=lead,
        rest=rest,
        groups=_cards(report, folder, n_players, tracker or SwiftF0(), say),
        charts=[Markup(chart) for metric in _CHARTS if (chart := figures.rows_chart(report.rows, metric, say))],
        confusions=_confusions(report, say),
        curves=Markup(figures.training_curves(report.curves, say)),
        shown=[name for name in METRICS if any(name in item.scores for item in report.items)],
    )
    markdown = templates.get_template(MARKDOWN).render(**shared)
    paths = folder / HTML, folder / MARKDOWN
    for path, text in zip(paths, (html, markdown), strict=True):
        atomic.write(path, text.encode("utf-8", "replace"))  # a name of a file may hold bytes that are no text
    return paths


def choose(items: Sequence[Item], count: int) -> list[tuple[str, list[Item]]]:
    """Choose pairs to listen to.

    Args:
        items: all that could be.
        count: how many at most.

    Returns:
        Headings, with the items below each, none twice: the best conversions and the weakest, others so that every
        source and target singer has a turn, then a quarter or so of other rows. The same items give the same choice.
    """
    converted = [item for item in items if item.row == data.CONVERSION]
    others = [item for item in items if item.row != data.CONVERSION]
    n_converted = min(len(converted), count - min(len(others), count // 4))
    merits = _merits(converted)
    ranked = sorted(converted, key=lambda item: (merits[item.name], item.name))
    extremes = min(_EXTREMES, n_converted // 4)
    weakest, best = ranked[:extremes], ranked[len(ranked) - extremes :][::-1]
    between = [item for item in converted if item not in weakest and item not in best]
    chosen = _spread(others, count - n_converted)
    rest = "Others, spread over the singers" if extremes else "Conversions"
    groups = [
        ("The best", best),
        ("The weakest", weakest),
        (rest, _spread(between, n_converted - 2 * extremes)),
        *((row.capitalize(), [item for item in chosen if item.row == row]) for row in data.ROWS),
    ]
    return [(heading, group) for heading, group in groups if group]


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


def verdict_in(report: Report, say: Words) -> list[str]:
    """The verdict of a report in a reader's language; the report itself holds the English one."""
    if say.language == ENGLISH.language:
        return report.verdict
    return verdict.write(report.rows, report.confusion, report.judges, report.items, report.singers, say)


def environment(say: Words = ENGLISH) -> jinja2.Environment:
    """Of all pages: everything is escaped, and what a page forgets to give is an error; `t` says things."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("moksori.evaluation", "templates"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "value": value_text,
        "range": lambda singer: _range(singer, say),
        "cell": lambda figure, metric: _cell(figure, metric, say),
        "words": lambda figure, metric: _words(figure, metric, say),
        "md": _markdown,
        "code": _code,
        "fence": _fence,
        "digest": _digest,
    }
    environment.globals |= {"t": say, "language": say.language}
    return environment


def _title(report: Report, say: Words) -> str:
    """The title; that of an evaluation of a voice in the reader's language."""
    name, asked, rest = report.title.rpartition(": how good are its conversions?")
    return say("{name}: how good are its conversions?", name=name) if asked and not rest else report.title


def _about(report: Report, say: Words) -> list[str]:
    """Who made the report, when, and what of: facts for a line."""
    model = report.model
    facts = [report.created, report.software]
    if model.get("recipe"):
        facts.append(say("recipe {name}", name=model["recipe"]))
    if model.get("steps"):
        facts.append(say("{n} steps", n=model["steps"]))
    if model.get("training_seconds"):
        facts.append(say("{n} minutes of training", n=f"{model['training_seconds'] / 60:.0f}"))
    if model.get("sample_rate"):
        facts.append(f"{model['sample_rate']} Hz")
    if model.get("backend"):
        facts.append(say("backend {name}", name=model["backend"]))
    return facts


def _lead(said: Sequence[str]) -> tuple[str, list[str]]:
    """The first statement of a verdict, for large letters, and all that follows."""
    if not said:
        return "No verdict.", []
    head, stop, tail = said[0].partition(". ")
    return head + stop.strip(), [*([tail] if tail else []), *said[1:]]


def _of_group(group: str) -> list[str]:
    return [name for name, metric in METRICS.items() if metric.group == group]


def _columns(report: Report, wanted: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Those metrics that some row has, and the rows that have one of them."""
    names = [name for name in wanted if any(name in row.figures for row in report.rows)]
    return names, [row for row in report.rows if any(name in row.figures for name in names)]


def _confusions(report: Report, say: Words) -> list[tuple[data.Judge, Markup, Markup]]:
    """Confusion matrices of each judge, of conversions and of real recordings; none where it was not asked."""
    singers = [singer.name for singer in report.singers]

    def drawn(counts: Sequence[Sequence[int]], title: str) -> Markup:
        return Markup(figures.confusion_matrix(counts, singers, title, say)) if counts else Markup()

    return [
        (
            judge,
            drawn(
                report.confusion.get(judge.name, []), say("conversions into ..., heard by {judge}", judge=judge.name)
            ),
            drawn(judge.real_confusion, say("real recordings of ..., heard by {judge}", judge=judge.name)),
        )
        for judge in report.judges
    ]


def _merits(items: Sequence[Item]) -> dict[str, float]:
    """By what conversions are ranked, name -> merit: the singer, the melody, the words.

    A score that is not defined for a clip (a song without a text has no vowels) counts as the mean of the others:
    it makes the clip neither better nor weaker.
    """
    merits = dict.fromkeys((item.name for item in items), 0.0)
    for metric, sign in (("identified", 1), ("leak", -1), ("raw_pitch_accuracy", 1), ("vowel_accuracy", 1)):
        known = [item.scores[metric] for item in items if metric in item.scores]
        mean = sum(known) / max(1, len(known))
        for item in items:
            merits[item.name] += sign * item.scores.get(metric, mean)
    return merits


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Up to `count` items in their order; each choice is of the row, then of the singers, that had fewest turns."""
    left = list(range(len(items)))
    chosen: list[int] = []
    n_chosen: Counter[tuple[str, ...]] = Counter()

    def rank(index: int) -> tuple[int, int, int, int]:
        item = items[index]
        source, target = n_chosen["source", item.source_singer], n_chosen["target", item.target_singer]
        return (
            n_chosen["row", item.row],
            source + target,
            n_chosen["pair", item.source_singer, item.target_singer],
            index,
        )

    while left and len(chosen) < count:
        index = min(left, key=rank)
        left.remove(index)
        chosen.append(index)
        item = items[index]
        n_chosen.update([("row", item.row), ("source", item.source_singer), ("target", item.target_singer)])
        n_chosen["pair", item.source_singer, item.target_singer] += 1
    return [items[index] for index in sorted(chosen)]


class _Album:
    """Sounds of a report, each read, tracked and packed once, however many cards show it."""

    def __init__(self, folder: Path, tracker: Tracker, say: Words) -> None:
        self._folder, self._tracker, self._say = folder, tracker, say
        self._clips: dict[str, Clip] = {}
        self._tracks: dict[str, PitchTrack] = {}
        self._data: dict[str, str] = {}
        self._lengths: dict[str, str] = {}

    def clip(self, path: str) -> Clip:
        """The beginning of a sound; raises AudioFileError."""
        if path not in self._clips:
            whole = files.read(self._folder / path)
            self._clips[path] = Clip(whole.samples[: int(_LONGEST_SECONDS * whole.sample_rate)], whole.sample_rate)
            is_cut = whole.n_samples > self._clips[path].n_samples
            length = f"{whole.seconds:.1f} s"
            first = f"{_LONGEST_SECONDS:.0f}"
            self._lengths[path] = self._say("the first {n} of {length}", n=first, length=length) if is_cut else length
        return self._clips[path]

    def player(self, path: str, label: str) -> Player:
        """A sound to play."""
        if path not in self._data:
            self._data[path] = _data_uri(self.clip(path))
        return Player(label, self._lengths[path], self._data[path])

    def track(self, path: str) -> PitchTrack:
        """The pitch of a sound."""
        if path not in self._tracks:
            self._tracks[path] = self._tracker.track(self.clip(path))
        return self._tracks[path]


def _cards(report: Report, folder: Path, count: int, tracker: Tracker, say: Words) -> list[tuple[str, list[Card]]]:
    album = _Album(folder, tracker, say)
    chosen = choose([item for item in report.items if item.files], count)
    return [(heading, [_card(item, folder, album, say) for item in items]) for heading, items in chosen]


def _card(item: Item, folder: Path, album: _Album, say: Words) -> Card:
    labels = {
        "source": say("source: {singer}", singer=item.source_singer or say("unknown singer")),
        "conversion": say("conversion into {singer}", singer=item.target_singer),
        "target": say("the real {singer}", singer=item.target_singer),
    }
    there, missing = [], []
    for kind in labels:
        try:
            if kind in item.files:
                album.clip(item.files[kind])
                there.append(kind)
        except AudioFileError as error:
            missing.append(f"{say(kind)}: {str(error).replace(str(folder / item.files[kind]), item.files[kind])}")
    melody, spectra = Markup(), ""
    if "source" in there and "conversion" in there:
        source, conversion = item.files["source"], item.files["conversion"]
        tracks = album.track(source), album.track(conversion)
        melody = Markup(figures.pitch_overlay(*tracks, item.transpose_semitones, say))
        spectra = figures.spectrogram_pair(album.clip(source), album.clip(conversion))
    known = [name for name in METRICS if name in item.scores]
    main, others = (
        [
            (say(METRICS[name].label), value_text(item.scores[name], name))
            for name in known
            if (name in _ON_CARD) is wanted
        ]
        for wanted in (True, False)
    )
    others += [(say("{kind}, as Whisper reads it", kind=say(kind)), text) for kind, text in item.texts.items()]
    players = [album.player(item.files[kind], labels[kind]) for kind in there]
    return Card(item, players, missing, melody, spectra, main, others)


def _data_uri(clip: Clip) -> str:
    """A clip as MP3 in a data URI, or as FLAC where the sound library knows no MP3."""
    content = io.BytesIO()
    sound = resample.resample_clip(clip, _PLAYER_RATE) if clip.sample_rate != _PLAYER_RATE else clip
    kind = "mpeg" if soundfile.check_format("MP3", "MPEG_LAYER_III") else "flac"
    container, codec = ("MP3", "MPEG_LAYER_III") if kind == "mpeg" else ("FLAC", "PCM_16")
    soundfile.write(content, sound.samples.clip(-1.0, 1.0), _PLAYER_RATE, format=container, subtype=codec)
    return f"data:audio/{kind};base64," + base64.b64encode(content.getvalue()).decode()


def player_of(clip: Clip, label: str) -> Player:
    """A clip to play."""
    return Player(label, f"{clip.seconds:.1f} s", _data_uri(clip))


def _range(singer: data.SingerData, say: Words) -> str:
    """From which note to which a singer sang in training."""
    if not singer.f0_low_hz or not singer.f0_high_hz:
        return say("unknown")
    return verdict.span((singer.f0_low_hz, singer.f0_high_hz), say)


def _cell(figure: Figure | None, metric: str, say: Words = ENGLISH) -> str:
    """A figure with its interval, in plain text."""
    if figure is None:
        return "–"
    text = value_text(figure.mean, metric)
    return text if figure.low == figure.high else f"{text} ({_words(figure, metric, say)})"


def _words(figure: Figure, metric: str, say: Words) -> str:
    """An interval, in plain text."""
    low, high = (value_text(bound, metric).split(" ")[0] for bound in (figure.low, figure.high))
    return say("{low} to {high}", low=low, high=high)


def _markdown(text: object) -> str:
    """A text that Markdown shows as it is, but for `code`, in a line or in a cell of a table.

    Backticks that do not pair up, or stand side by side, are shown too: otherwise a name could end a piece of code.
    """
    parts = " ".join(str(text).split()).split("`")
    if len(parts) % 2 == 0 or "" in parts[1:-1]:
        return _literal("`".join(parts)).replace("`", r"\`")
    # Within code only the bar of a table means anything.
    return "".join("`" + part.replace("|", r"\|") + "`" if i % 2 else _literal(part) for i, part in enumerate(parts))


def _literal(text: str) -> str:
    """A text without code, nothing of which Markdown takes for its own."""
    plain = re.sub(r"([\\*\[\]|])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\_", plain)  # within a word an underscore emphasises nothing


def _code(text: str) -> Markup:
    """A text in HTML, with what stands between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _fence(text: str) -> str:
    """A fence for a code block that the text cannot end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


def _digest(text: str) -> str:
    """What a Content-Security-Policy calls a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
