"""A listening test for people: the paper's own protocol, from the clips of a report.

Raters score each clip from 1 to 5 for quality, and for similarity to the target singer, whose voice they hear beside it
(Nachmani and Wolf 2019, section 4: mean opinion scores of ground truth, reconstruction and conversion). The test is
blind: clips have names by chance, and which is which stands in a key that is not published. Some clips come twice, to
see who listens. Everybody hears them in an order of their own.

    report -> FOLDER/publish/index.html and clips, to be put anywhere    FOLDER/key.csv, to be kept
    raters' CSVs + key -> mean opinion scores with intervals over raters and clips
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from moksori import atomic
from moksori.audio import files, level, resample
from moksori.audio.clip import Clip
from moksori.data.splits import evenly
from moksori.errors import AudioFileError, DataError
from moksori.evaluation.measures import bootstrap
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data
from moksori.evaluation.report.data import Item, Report

PUBLISH, KEY = "publish", "key.csv"
QUESTIONS = ("quality", "similarity")
ROWS = (data.TRUTH, data.RECONSTRUCTION, data.CONVERSION)

_COLUMNS = ("rater", "trial", "question", "score", "seconds")
_KEY_COLUMNS = ("trial", "row", "item", "source_singer", "target_singer", "repeats")
_RATE = 24000  # Hz, of all clips: a rate would tell which is which
_LEVEL_DBFS, _CEILING_DBFS = -23.0, -1.0  # one loudness, for the same reason
_ABSENT_MINDED = 1.5  # points between the two scores of a repeated clip, on average, from which a rater is flagged


@dataclass(frozen=True)
class Options:
    """What is asked."""

    per_row: int = 8  # clips of each of `ROWS`
    repeats: int = 3  # clips that come twice
    seed: int = 0
    title: str = "Listening test"


@dataclass(frozen=True)
class Opinion:
    """What raters thought of one row."""

    row: str
    question: str
    score: Figure  # mean opinion score, 1..5; n counts the ratings
    n_raters: int
    n_clips: int


@dataclass(frozen=True)
class Analysis:
    """What a test found."""

    opinions: list[Opinion]
    flagged: list[str]  # raters whose scores of repeated clips differ much, and by how much
    refused: list[str]  # what could not be used, and why


def make(report: Report, folder: Path, destination: Path, options: Options) -> int:
    """Write a listening test.

    Args:
        report: a report.
        folder: that it lies in.
        destination: of the test; must not exist, or be empty.
        options: what is asked.

    Returns:
        Number of trials of each rater.

    Raises:
        DataError: the destination is a file or holds something, the report has no clips, or a clip cannot be read.
    """
    if destination.exists() and not destination.is_dir():
        raise DataError(f"{destination}: is a file; a test needs a folder of its own")
    if destination.exists() and any(destination.iterdir()):
        raise DataError(f"{destination}: is not empty; a test that people have begun must not change under them")
    rng = np.random.default_rng(options.seed)
    chosen = _chosen(report, options.per_row)
    if not chosen:
        raise DataError("the report has no clips to listen to; make it with `moksori evaluate MODEL DATA -o REPORT`")
    repeated = [chosen[index] for index in rng.permutation(len(chosen))[: options.repeats]]
    asked = [(item, row, False) for item, row in chosen] + [(item, row, True) for item, row in repeated]
    publish = destination / PUBLISH
    names = _names(2 * len(asked), rng)
    trials: list[dict[str, str]] = []
    key: list[list[str]] = []
    references: dict[Path, str] = {}
    with _whole_or_not_at_all(destination):
        publish.mkdir(parents=True, exist_ok=True)
        for number, (item, row, is_repeat) in enumerate(asked):
            name = names[number]
            conversion = "target" if row == data.TRUTH else "conversion"
            _publish(folder / item.files[conversion], publish / f"{name}.flac")
            reference = folder / _reference(report, item, row)
            if reference not in references:
                references[reference] = names[len(asked) + len(references)]
                _publish(reference, publish / f"{references[reference]}.flac")
            trials.append({"clip": name, "reference": references[reference]})
            key.append([name, row, item.name, item.source_singer, item.target_singer, "repeat" if is_repeat else ""])
        _write_table(destination / KEY, _KEY_COLUMNS, key)
        page = _page(options, [trials[index] for index in rng.permutation(len(trials))])
        atomic.write(publish / "index.html", page.encode())
    return len(trials)


def analyse(folder: Path, results: Sequence[Path], seed: int = 0) -> Analysis:
    """Read the answers of raters.

    Args:
        folder: of the test, with its key.
        results: CSV files that the page gave to raters. A bad one, a bad row in one, or a second one by a
            rater of the same name is left out and named.
        seed: of the bootstrap.

    Raises:
        DataError: no key there, or no answer that can be used.
    """
    key = _read_key(folder / KEY)
    refused: list[str] = []
    ratings: dict[tuple[str, str, str], float] = {}  # rater, trial, question
    file_of: dict[str, Path] = {}  # of a rater: another file by the same name may be another person's
    for path in results:
        answers = _answers(path, key, refused)
        for rater in dict.fromkeys(rater for rater, *_ in answers):
            if file_of.setdefault(rater, path) != path:
                refused.append(f"{path}: rater {rater!r} has answered in {file_of[rater]}, too; left out here")
        for rater, trial, question, score in answers:
            if file_of[rater] == path:
                ratings[rater, trial, question] = score
    if not ratings:
        reason = f"; the first trouble: {refused[0]}" if refused else ""
        raise DataError(f"no rating could be used out of {len(results)} files{reason}")
    opinions = [
        opinion
        for row in ROWS
        for question in QUESTIONS
        if (opinion := _opinion(row, question, ratings, key, seed)) is not None
    ]
    return Analysis(opinions, _flagged(ratings, key), refused)


def markdown(analysis: Analysis) -> str:
    """An analysis for people."""
    lines = ["| clips | question | mean opinion score | 95 % interval | ratings | raters | clips |", "| --- " * 7 + "|"]
    for found in analysis.opinions:
        score = found.score
        lines.append(
            f"| {found.row} | {found.question} | {score.mean:.2f} | {score.low:.2f} to {score.high:.2f} | {score.n} | "
            f"{found.n_raters} | {found.n_clips} |"
        )
    lines += ["", "Intervals are of a bootstrap that draws raters and clips, both: others might have been asked."]
    lines += [f"- Flagged: {line}" for line in analysis.flagged]
    lines += [f"- Left out: {line}" for line in analysis.refused]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _whole_or_not_at_all(destination: Path) -> Iterator[None]:
    """Take away what was written into a folder where something fails: half a test would refuse the next try."""
    try:
        yield
    except BaseException:
        shutil.rmtree(destination / PUBLISH, ignore_errors=True)
        (destination / KEY).unlink(missing_ok=True)
        raise


def _chosen(report: Report, per_row: int) -> list[tuple[Item, str]]:
    """Clips of every row. For real recordings of the target, items of other rows lend theirs."""
    converted = [item for item in report.items if item.row == data.CONVERSION and "conversion" in item.files]
    rebuilt = [item for item in report.items if item.row == data.RECONSTRUCTION and "conversion" in item.files]
    real = list({item.files["target"]: item for item in converted + rebuilt if "target" in item.files}.values())
    by_row = {data.TRUTH: real, data.RECONSTRUCTION: rebuilt, data.CONVERSION: converted}
    return [(item, row) for row in ROWS for item in evenly(by_row[row], per_row)]


def _reference(report: Report, item: Item, row: str) -> str:
    """A real recording of the target, another one than the clip that is judged, or than its source, if there is one."""
    used = item.files["target" if row == data.TRUTH else "source"]
    real = [
        other.files["source"] for other in report.items if other.source_singer == item.target_singer and other.files
    ]
    return next((path for path in [*real, item.files.get("target", used)] if path != used), used)


def _names(count: int, rng: np.random.Generator) -> list[str]:
    """Names that tell nothing, none twice."""
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join("0123456789abcdef"[digit] for digit in rng.integers(16, size=12))] = None
    return list(names)


def _publish(source: Path, destination: Path) -> None:
    """Copy a clip at one rate and one loudness, and nothing of its file but the sound."""
    try:
        clip = resample.resample_clip(files.read(source), _RATE)
    except AudioFileError as error:
        raise DataError(f"the report's clip cannot be read: {error}") from None
    sung = level.sung_level_dbfs(level.measure(clip.samples, _RATE).frame_dbfs)
    if sung > level.FLOOR_DBFS:
        peak = level.peak_dbfs(clip.samples)
        gain_db = level.gain_to(sung, peak, target_dbfs=_LEVEL_DBFS, ceiling_dbfs=_CEILING_DBFS)
        clip = Clip(level.apply_gain(clip.samples, gain_db), _RATE)
    files.write(destination, clip)


def _page(options: Options, trials: list[dict[str, str]]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("moksori.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("listening.html").render(title=options.title, trials=trials)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    atomic.write(path, text.getvalue().encode())


def _harmless(cell: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _read_key(path: Path) -> dict[str, dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: the key of the test cannot be read: {error}") from None
    if not rows or not set(_KEY_COLUMNS) <= rows[0].keys():
        raise DataError(f"{path}: not the key of a listening test; expected the columns {', '.join(_KEY_COLUMNS)}")
    return {row["trial"]: row for row in rows}


def _answers(path: Path, key: dict[str, dict[str, str]], refused: list[str]) -> list[tuple[str, str, str, float]]:
    """The answers of one file; what is wrong is added to `refused`."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        refused.append(f"{path}: cannot be read: {error}")
        return []
    if not rows or not set(_COLUMNS) <= rows[0].keys():
        refused.append(f"{path}: not the answers of a listening test; expected the columns {', '.join(_COLUMNS)}")
        return []
    found = []
    for number, row in enumerate(rows, start=1):
        trial, question, score = row["trial"] or "", row["question"] or "", row["score"] or ""
        if trial not in key:
            refused.append(f"{path}, row {number}: the key does not know the clip {trial!r}")
        elif question not in QUESTIONS or score not in ("1", "2", "3", "4", "5") or not row["rater"]:
            refused.append(f"{path}, row {number}: expected a rater, a question and a score from 1 to 5")
        else:
            found.append((row["rater"], trial, question, float(score)))
    return found


def _opinion(
    row: str, question: str, ratings: dict[tuple[str, str, str], float], key: dict[str, dict[str, str]], seed: int
) -> Opinion | None:
    """Mean score of a row; a clip that came twice counts with the mean of its scores."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (rater, trial, asked), score in ratings.items():
        if asked == question and key[trial]["row"] == row:
            cells[rater, key[trial]["item"]].append(score)
    if not cells:
        return None
    raters, clips = {rater for rater, _ in cells}, {clip for _, clip in cells}
    scores = [float(np.mean(given)) for given in cells.values()]
    found = bootstrap.crossed(scores, [rater for rater, _ in cells], [clip for _, clip in cells], seed)
    n_ratings = sum(map(len, cells.values()))
    return Opinion(row, question, dataclasses.replace(found, n=n_ratings), len(raters), len(clips))


def _flagged(ratings: dict[tuple[str, str, str], float], key: dict[str, dict[str, str]]) -> list[str]:
    """Raters whose scores of clips that came twice lie far apart."""
    twice: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for (rater, trial, question), score in ratings.items():
        twice[rater, key[trial]["item"], key[trial]["row"], question].append(score)
    apart: dict[str, list[float]] = defaultdict(list)
    for (rater, *_), scores in twice.items():
        if len(scores) == 2:
            apart[rater].append(abs(scores[0] - scores[1]))
    return [
        f"rater {rater}: {np.mean(distances):.1f} points between two scores of one clip, on average"
        for rater, distances in sorted(apart.items())
        if np.mean(distances) >= _ABSENT_MINDED
    ]
