"""Test pairs: conversions to be judged, each with its source, target and words.

A pair names files; nothing is read yet. There are five ways to one:

    held_out    recordings that a model never saw, each into every singer
    listed      those that somebody has listed, each into the singer that is named
    parallel    recordings that two singers made of the same words, each into the other: the true conversion exists
    strangers   songs that nobody of the data sings, each into every singer
    from_table  conversions that somebody else made, named in a CSV
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from moksori.audio import files
from moksori.data import rows
from moksori.data.corpus import Corpus, Recording
from moksori.data.splits import evenly
from moksori.errors import DataError
from moksori.evaluation.report import data as report

_TABLE_COLUMNS = ("conversion", "source", "target")
_OPTIONAL_COLUMNS = ("source_singer", "transpose", "text", "truth")
_LISTED_COLUMNS, _PERHAPS_LISTED = ("source", "target"), ("source_singer", "text", "truth")
_PAIR_COLUMNS = ("source", "source_singer", "target", "target_singer")


@dataclass(frozen=True)
class Pair:
    """A conversion to be judged."""

    name: str  # unique, safe as a file name
    row: str  # of the report
    source: Path
    recording: str  # the source's name in the data: what the bootstrap draws
    source_singer: str  # "" where nobody knows
    target_singer: str
    conversion: Path  # the sound to be judged; written by whoever makes it
    transpose_semitones: float = 0.0  # asked for
    text: str | None = None  # the source's syllables
    truth: Path | None = None  # the target's own recording of the same words


def held_out(corpus: Corpus, split: str, per_singer: int, folder: Path, texts: Texts) -> list[Pair]:
    """Every singer's held-out recordings into every singer, the own one included (a reconstruction).

    Args:
        corpus: prepared recordings.
        split: the recordings to take, "test" or "validation".
        per_singer: how many of each singer, evenly spread over the manifest.
        folder: where conversions are to be written.
        texts: what is sung.

    A singer without a recording in the split is a target only.

    Raises:
        DataError: nobody has a recording in the split.
    """
    if not any(corpus.of(split, singer) for singer in corpus.singers):
        raise DataError(
            f"{corpus.folder}: nobody has a recording in the {split} split; add recordings (three or more a singer), "
            "prepare them into a new folder and train again"
        )
    pairs: list[Pair] = []
    for singer in corpus.singers:
        for recording in evenly(corpus.of(split, singer), per_singer):
            for target in corpus.singers:
                name = _name(recording.source, target)
                pairs.append(
                    Pair(
                        name,
                        report.CONVERSION if target != singer else report.RECONSTRUCTION,
                        corpus.clip_path(recording),
                        recording.source,
                        singer,
                        target,
                        folder / f"{name}.flac",
                        text=texts.of(recording.source),
                    )
                )
    return pairs


def listed(path: Path, corpus: Corpus, folder: Path, texts: Texts) -> list[Pair]:
    """The pairs of a list, such as a published one, in its order.

    Args:
        path: a CSV, or a TSV by its suffix, with the columns source and target, and perhaps source_singer, text (the
            syllables) and truth (the target's own recording of the same words). A source is the name of a recording of
            the corpus, or a path from the table's folder, as a truth is.
        corpus: prepared recordings.
        folder: where conversions are to be written.
        texts: what is sung.

    Raises:
        DataError: the table cannot be read or has no row; a row names an unknown singer, a file that is not there, or
            a recording that the model was trained on, or says the same as another.
    """
    known = {recording.source: recording for recording in corpus.recordings}
    found: dict[str, Pair] = {}
    for number, row in enumerate(rows.read(path, _LISTED_COLUMNS, _PERHAPS_LISTED), start=1):
        where, recording = f"{path}, row {number}", known.get(row["source"])
        if recording is not None and recording.split == "train":
            raise DataError(f"{where}: {row['source']} was trained on; list recordings that are held out")
        source = corpus.clip_path(recording) if recording else path.parent / row["source"]
        truth = path.parent / row["truth"] if row.get("truth") else None
        for file in (source, *([truth] if truth else [])):
            if not file.is_file():
                raise DataError(f"{where}: {file} is not there, nor is it the name of a recording of {corpus.folder}")
        if row["target"] not in corpus.singers:
            raise DataError(f"{where}: unknown singer {row['target']!r}; known are {', '.join(corpus.singers)}")
        singer = row.get("source_singer") or (recording.singer if recording else "")
        name = _name(row["source"], row["target"])
        if name in found:
            raise DataError(f"{where}: {row['source']} into {row['target']} stands there twice")
        found[name] = Pair(
            name,
            report.RECONSTRUCTION if singer == row["target"] else report.CONVERSION,
            source,
            row["source"],
            singer,
            row["target"],
            folder / f"{name}.flac",
            text=row.get("text") or texts.of(row["source"]),
            truth=truth,
        )
    if not found:
        raise DataError(f"{path}: lists no pair; expected rows below {', '.join(_LISTED_COLUMNS)}")
    return list(found.values())


def parallel(path: Path, singers: Sequence[str], per_pair: int, folder: Path, texts: Texts) -> list[Pair]:
    """Recordings of the same words by two singers, each converted into the other, and each target reconstructed.

    Args:
        path: a folder in which recordings of the same words have the same name, `<singer>/<name>.*`; or a CSV with the
            columns source, source_singer, target, target_singer, whose paths start at its folder.
        singers: that are known; others are left out.
        per_pair: how many of each pair of singers and direction, evenly spread.
        folder: where conversions are to be written.
        texts: what is sung.

    Raises:
        DataError: no pair is there, the table lacks a column, or a file that it names is not there.
    """
    takes = [take for take in _same_words(path) if {take.source_singer, take.target_singer} <= set(singers)]
    if not takes:
        raise DataError(
            f"{path}: no two of the singers {', '.join(singers)} have a recording of one name here; expected "
            "<singer>/<name>.*, or a CSV with the columns " + ", ".join(_PAIR_COLUMNS)
        )
    pairs: dict[str, Pair] = {}  # by name: a recording of three singers is reconstructed once

    def add(row: str, source: Path, singer: str, take: SameWords) -> None:
        recording = f"{singer}/{source.name}"
        name = f"same-{_name(recording, take.target_singer)}"
        text, conversion = texts.of(recording), folder / f"{name}.flac"
        if name not in pairs:
            pairs[name] = Pair(
                name, row, source, recording, singer, take.target_singer, conversion, 0.0, text, take.target
            )

    for ends in sorted({(take.source_singer, take.target_singer) for take in takes}):
        for take in evenly([take for take in takes if (take.source_singer, take.target_singer) == ends], per_pair):
            add(report.PARALLEL, take.source, take.source_singer, take)
            add(report.PARALLEL_RECONSTRUCTION, take.target, take.target_singer, take)
    return list(pairs.values())


def strangers(path: Path, singers: Sequence[str], folder: Path) -> list[Pair]:
    """Songs that nobody of the data sings, each into every singer.

    Args:
        path: a folder of songs, or one song. What is sung in `song.wav` may stand in `song.txt` beside it.
        singers: the targets.
        folder: where conversions are to be written.

    Raises:
        DataError: there is no song.
    """
    songs = [path] if path.is_file() else sorted(file for file in path.glob("*") if files.is_candidate(file))
    if not songs:
        raise DataError(f"{path}: no song is here; expected a folder of sound files, or a file")
    return [
        Pair(name, report.STRANGERS, song, song.name, "", target, folder / f"{name}.flac")
        for song in songs
        for target in singers
        for name in [f"stranger-{_name(song.name, target)}"]
    ]


def lyrics(song: Path) -> str | None:
    """What is sung, from the text file beside a song that has its name; None where there is none.

    Raises:
        DataError: it is there and cannot be read as UTF-8.
    """
    path = song.with_suffix(".txt")
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8-sig").strip() or None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as lyrics ({error}); expected plain text in UTF-8") from None


def from_table(folder: Path, corpus: Corpus, texts: Texts) -> tuple[list[Pair], list[str]]:
    """Conversions of others, named in the one CSV of their folder.

    The columns conversion, source and target must be there; source_singer, transpose (semitones asked for), text (the
    syllables) and truth (the target's own recording of the same words) may be. Paths start at the folder; a source may
    also be the name of a recording of the corpus, and its singer is then known.

    Returns:
        The pairs, and a line for each row that cannot be one: what is wrong with it.

    Raises:
        DataError: no CSV there or several, a column that is missing or unknown, or no row that can be judged.
    """
    tables = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    if len(tables) != 1:
        raise DataError(
            f"{folder}: found {len(tables)} CSV files; expected a folder of conversions with one, whose columns are "
            f"{', '.join(_TABLE_COLUMNS)} and perhaps {', '.join(_OPTIONAL_COLUMNS)}"
        )
    table = rows.read(tables[0], _TABLE_COLUMNS, _OPTIONAL_COLUMNS)
    known = {recording.source: recording for recording in corpus.recordings}
    pairs, refused = [], []
    for number, row in enumerate(table, start=1):
        try:
            pairs.append(_row_pair(number, row, folder, corpus, known, texts))
        except DataError as error:
            refused.append(f"{tables[0].name}, row {number}: {error}")
    if not pairs:
        raise DataError(f"{tables[0]}: no row can be judged; the first: {refused[0] if refused else 'there is none'}")
    return pairs, refused


class SameWords(NamedTuple):
    """Recordings of the same words by two singers."""

    source: Path
    source_singer: str
    target: Path
    target_singer: str


class Texts:
    """What is sung in which recording, from a table."""

    def __init__(self, by_recording: Mapping[str, str]) -> None:
        self._by_recording = {_ending(name): text for name, text in by_recording.items()}

    @classmethod
    def load(cls, path: Path | None) -> Texts:
        """Read a CSV, or a TSV by its suffix, with the columns file and text (or original_file: a name that tells it).

        A row holds for the recording whose folder and name are those of `file`. None is an empty table.

        Raises:
            DataError: it cannot be read, or lacks a column.
        """
        if path is None:
            return cls({})
        table = rows.read(path, ("file",), ("text", "original_file"), is_open=True)
        if table and not {"text", "original_file"} & table[0].keys():
            raise DataError(f"{path}: no column text (or original_file); expected the columns file and text")
        return cls({row["file"]: row.get("text") or _text_in(row.get("original_file", "")) for row in table})

    def of(self, recording: str) -> str | None:
        """The text of a recording, by the posix path whose last two parts are `<singer>/<name>`; None if unknown."""
        return self._by_recording.get(_ending(recording)) or None

    def __bool__(self) -> bool:
        return bool(self._by_recording)


def _same_words(path: Path) -> list[SameWords]:
    """Both directions for a folder, as written for a table."""
    if path.is_file():
        return [_take(path, row) for row in rows.read(path, _PAIR_COLUMNS, ())]
    found = sorted(file for file in path.glob("*/*") if file.is_file() and files.is_candidate(file))
    return [
        SameWords(source, source.parent.name, target, target.parent.name)
        for source in found
        for target in found
        if source.stem == target.stem and source.parent != target.parent
    ]


def _take(table: Path, row: Mapping[str, str]) -> SameWords:
    source, target = table.parent / row["source"], table.parent / row["target"]
    for file in (source, target):
        if not file.is_file():
            raise DataError(f"{table}: {file} is not there")
    return SameWords(source, row["source_singer"], target, row["target_singer"])


def _row_pair(
    number: int,
    row: Mapping[str, str],
    folder: Path,
    corpus: Corpus,
    known: Mapping[str, Recording],
    texts: Texts,
) -> Pair:
    recording = known.get(row["source"])
    source = corpus.clip_path(recording) if recording else folder / row["source"]
    conversion = folder / row["conversion"]
    if not conversion.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"the conversion {row['conversion']!r} lies outside of the folder")
    truth = folder / row["truth"] if row.get("truth") else None
    for file in (source, conversion, *([truth] if truth else [])):
        if not file.is_file():
            raise DataError(f"{file} is not there")
    if row["target"] not in corpus.singers:
        raise DataError(f"the judges don't know {row['target']!r}; they know {', '.join(corpus.singers)}")
    singer = row.get("source_singer") or (recording.singer if recording else "")
    try:
        transpose_semitones = float(row.get("transpose") or 0)
    except ValueError:
        transpose_semitones = math.nan
    if not math.isfinite(transpose_semitones):
        raise DataError(f"transpose is {row['transpose']!r}; expected semitones")
    return Pair(
        f"{number:04d}-{_name(row['source'], row['target'])}",
        report.RECONSTRUCTION if singer == row["target"] else report.CONVERSION,
        source,
        recording.source if recording else row["source"],
        singer,
        row["target"],
        conversion,
        transpose_semitones,
        row.get("text") or texts.of(row["source"]),
        truth,
    )


def _name(recording: str, target: str) -> str:
    """A name that tells what it is, made of letters, digits, - and _ whatever recordings and singers are called.

    It depends on nothing else, so that a conversion is found again; two hardly ever share a name.
    """
    checksum = zlib.crc32(f"{recording}\0{target}".encode())
    return f"{_slug(PurePosixPath(recording).stem)}-to-{_slug(target)}-{checksum:08x}"


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in text)[:40]


def _ending(name: str) -> str:
    return "/".join(PurePosixPath(name).parts[-2:])


def _text_in(original_file: str) -> str:
    return PurePosixPath(original_file).stem
