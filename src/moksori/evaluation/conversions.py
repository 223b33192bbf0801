"""Conversion runner: a model converts the recordings of an evaluation, as many at once as are fast.

What lies in the folder already is kept if the same voice made it in the same way, so an evaluation that was interrupted
goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moksori import atomic, documents, ownership
from moksori.audio import files
from moksori.conversion import ConvertOptions, SongFile, Voice
from moksori.conversion.catalogue import FilesConverter
from moksori.errors import DataError, UserError
from moksori.evaluation.pairs import Pair
from moksori.evaluation.report import data as report
from moksori.generation import generator
from moksori.generation.songs.chunks import UNCUT
from moksori.progress import OnProgress, summed

NOBODY = "none"
_MADE_BY = "made-by.json"


@dataclass(frozen=True)
class Options:
    """How much is converted, and how."""

    per_singer: int | None = None  # held-out recordings of each singer, each into every singer; None: see `runner`
    split: str = "test"
    per_pair: int = 10  # recordings of the same words for each pair of singers and direction
    cycles: int = 1  # recordings of each singer that are also converted back, to see what gets lost
    seed: int = 0
    temperature: float = 1.0
    backend: str = generator.AUTO  # what computes the codes of a voice that samples them
    transpose: float | str = "auto"  # see `conversion.ConvertOptions`
    tracker: str = "auto"  # of the pitch; "auto": another one than the voice's own, if there is one
    whisper: str = NOBODY  # who judges words, see `whisper.load`; `NOBODY` spares the time, and DistillMOS's
    language: str | None = None  # that is sung, such as "ko"; None: detected in each source


def convert(
    voice: Voice,
    chosen: Sequence[Pair],
    folder: Path,
    options: Options,
    progress: OnProgress,
    data: str = "",
    convert_files: FilesConverter | None = None,
) -> None:
    """Write the conversion of every pair.

    Args:
        voice: the model.
        chosen: what is to be converted.
        folder: of all the conversions; those of another voice, or made in another way, are thrown away.
        options: how.
        progress: called with what is done.
        data: fingerprint of the recordings; conversions of others are thrown away, too.
        convert_files: who does it; None for the voice itself, on this machine.

    Raises:
        AudioFileError: a source cannot be read.
        DataError: the folder holds files that no evaluation made, or one of its own was changed.
        UserError: the voice does not know a target, or cannot be computed by the backend.
    """
    made_by = {"voice": voice.fingerprint, "data": data, "seed": options.seed, "temperature": options.temperature}
    if voice.is_pitch_conditioned:
        made_by["transpose"] = options.transpose
    if backend := voice.backend_name(options.backend):
        made_by["backend"] = backend
    if claim(folder) != made_by:
        begin(folder, made_by)
    jobs = [(pair.source, pair.target_singer, pair.transpose_semitones, pair.conversion) for pair in chosen]
    _convert(convert_files or voice.convert_files, jobs, options, progress)


def transposed(voice: Voice, chosen: Sequence[Pair], options: Options) -> list[Pair]:
    """The pairs with the semitones that each will be moved by; reconstructions stay where they are."""
    if not voice.is_pitch_conditioned:
        return list(chosen)
    moved = {}
    for source in {pair.source for pair in chosen}:  # one recording at a time is in memory, and its pitch tracked once
        own = [pair for pair in chosen if pair.source == source and pair.source_singer != pair.target_singer]
        targets = [pair.target_singer for pair in own]
        for pair, semitones in zip(
            own, voice.transpositions(files.read(source), targets, how_to(options)), strict=True
        ):
            moved[pair] = replace(pair, transpose_semitones=semitones)
    return [moved.get(pair, pair) for pair in chosen]


def convert_back(
    voice: Voice,
    chosen: Sequence[Pair],
    options: Options,
    progress: OnProgress,
    convert_files: FilesConverter | None = None,
) -> list[Pair]:
    """Convert some of the conversions back to the singers of their sources, and return their pairs.

    Taken are each singer's first `options.cycles` recordings, into every other singer. See `cycle_path`.
    """
    first: dict[str, list[str]] = defaultdict(list)
    for pair in chosen:
        if pair.recording not in first[pair.source_singer]:
            first[pair.source_singer].append(pair.recording)
    cycled = [
        pair
        for pair in chosen
        if pair.row == report.CONVERSION and pair.recording in first[pair.source_singer][: options.cycles]
    ]
    jobs = [(t.conversion, t.source_singer, -t.transpose_semitones, cycle_path(t)) for t in cycled]
    _convert(convert_files or voice.convert_files, jobs, options, progress)
    return cycled


def claim(folder: Path) -> dict[str, object] | None:
    """By what the sounds in a folder were made; None if there is nothing yet.

    Raises:
        DataError: files lie there that no evaluation made. They stay where they are.
    """
    record = folder / _MADE_BY
    try:
        return dict(documents.from_json(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        if record.exists() or ownership.others_in(folder):
            raise DataError(
                f"{folder}: holds files that no evaluation made; choose another folder for the report"
            ) from None
        return None


def begin(folder: Path, made_by: dict[str, object]) -> None:
    """Throw away the sounds of an earlier evaluation, and note by what the next ones are made.

    What somebody else put beside them stays, and so does what was changed since.
    """
    if claim(folder) is not None:
        ownership.throw_away(folder)
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write(folder / _MADE_BY, json.dumps(made_by, indent=1).encode())


@contextlib.contextmanager
def own_sounds(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """While files of these names are written into a folder of sounds; in the end they are noted as ours.

    Raises:
        DataError: something that no evaluation made, or that was changed since, lies under one of the names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        ownership.announce(folder, names)
    except FileExistsError as error:
        raise DataError(
            f"{error.filename}: no evaluation made it as it is; move it away, or choose another folder for the report"
        ) from None
    yield
    ownership.vouch(folder, [name for name in names if (folder / name).is_file()])


def how_to(options: Options) -> ConvertOptions:
    """How an evaluation converts."""
    return ConvertOptions(options.seed, options.transpose, temperature=options.temperature, backend=options.backend)


def cycle_path(pair: Pair) -> Path:
    """Where the conversion of a conversion, back to its source's singer, lies."""
    return pair.conversion.with_name(f"back-{pair.conversion.name}")


Job = tuple[Path, str, float, Path]
"""What is to be converted, into whom, moved by how many semitones, and where to."""


def _convert(convert_files: FilesConverter, jobs: Sequence[Job], options: Options, progress: OnProgress) -> None:
    """Write the conversions that are not there yet, uncut: a recording is one stream, and has no seams."""
    missing = [job for job in jobs if not job[3].exists()]
    songs = [SongFile(source, path, target, semitones) for source, target, semitones, path in missing]
    tell = summed(progress, len(missing), len(jobs) - len(missing))
    if not jobs:
        return
    with own_sounds(jobs[0][3].parent, [path.name for *_, path in jobs]):
        for _, outcome in convert_files(songs, options=replace(how_to(options), chunks=UNCUT), progress=tell):
            if isinstance(outcome, UserError):
                raise outcome
