"""A catalogue: any number of songs, by many workers, into a folder or behind a URL; an interrupted one goes on.

    songs below places -> plan (what is there already, what cannot be) -> tasks -> a pool of workers -> outcomes
                                                                            each: fetch, convert, publish whole

What says that a result is done is that it is there: results appear whole or not at all, and `catalogue.json` beside
them says by what voice and how they were made, so a folder never mixes results of two ways under one name.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import torch

from moksori import documents, settings
from moksori.audio import files
from moksori.conversion import voice as voices
from moksori.conversion.many import SongFile
from moksori.conversion.options import ConvertOptions, Report
from moksori.conversion.voice import Voice
from moksori.errors import UserError
from moksori.generation import generator
from moksori.progress import OnProgress, Progress
from moksori.workers.places import Place
from moksori.workers.pool import Lost, Pool

RECORD = "catalogue.json"  # what the results of a folder were made by
FAILED = "failed.jsonl"  # what could not be converted by the last call, and why
VERSION = 1

_TOGETHER = 8  # songs of one task where a voice samples codes: they share the passes through its weights

Shares = Mapping[str, float]


class FilesConverter(Protocol):
    """Converts sound files; see `Voice.convert_files`, which is one."""

    def __call__(
        self, songs: Sequence[SongFile], *, options: ConvertOptions | None = None, progress: OnProgress | None = None
    ) -> Iterator[tuple[int, Report | UserError]]:
        """Convert, and tell what became of each as it ends."""
        ...


@dataclass(frozen=True)
class Job:
    """A song, who shall sing it, and the name of the result."""

    place: Place
    source: str  # posix name below the place
    shares: tuple[tuple[str, float], ...]  # singers and their shares
    result: str  # posix name below where results go
    n_bytes: int = 0  # of the source
    transpose: float | str | None = None  # in place of what the options say

    @property
    def where(self) -> str:
        """The source, for people."""
        return self.place.where(self.source)


@dataclass(frozen=True)
class Kit:
    """What a worker is made of: the model file itself travels, once, so that no other machine needs to have it."""

    model: bytes
    device: str
    out: Place
    options: ConvertOptions
    shared: tuple[str, ...] = ()  # folders that a worker must see

    def __call__(self) -> Callable[[Sequence[Job]], list[Report | UserError]]:
        """Load the voice; what comes back converts the songs of a task.

        Raises:
            UserError: the model cannot be loaded there, or a folder is not seen from there.
        """
        for folder in self.shared:
            if not Path(folder).is_dir():
                raise UserError(
                    f"{folder}: no such folder on a worker's machine; give a folder that all machines share, or a URL"
                )
        with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
            path = Path(scratch, "voice.safetensors")
            path.write_bytes(self.model)
            voice = voices.load(path, self.device)
        if voice.backend_name(self.options.backend) not in generator.ENGINE:
            torch.set_num_threads(1)  # as on one machine: the steps of one sample are too small to share
        return _Converter(voice, self.out, self.options)


class _Converter:
    """A voice at work on tasks."""

    def __init__(self, voice: Voice, out: Place, options: ConvertOptions) -> None:
        self._voice, self._out, self._options = voice, out, options

    def __call__(self, jobs: Sequence[Job]) -> list[Report | UserError]:
        """Fetch songs, convert them side by side and publish the results; what became of each, in order."""
        outcomes: dict[int, Report | UserError] = {}
        with contextlib.ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moksori-")))
            songs: dict[int, SongFile] = {}
            for number, job in enumerate(jobs):
                try:
                    source = stack.enter_context(job.place.fetched(job.source))
                    songs[number] = SongFile(
                        source, self._out.target(job.result, scratch), dict(job.shares), job.transpose
                    )
                except UserError as error:
                    outcomes[number] = error
            numbers = list(songs)
            for index, outcome in self._voice.convert_files(list(songs.values()), options=self._options):
                number = numbers[index]
                song, job = songs[number], jobs[number]
                if isinstance(outcome, UserError):
                    outcomes[number] = _as_seen_from_afar(outcome, song, job, self._out)
                else:
                    self._out.publish(song.destination, job.result)
                    outcomes[number] = outcome
        return [outcomes[number] for number in range(len(jobs))]


def _as_seen_from_afar(error: UserError, song: SongFile, job: Job, out: Place) -> UserError:
    """An error that names the song and the result, not where they lay for a moment."""
    text = str(error).replace(str(song.source), job.where).replace(str(song.destination), out.where(job.result))
    return type(error)(text)


@dataclass(frozen=True)
class Plan:
    """What is to be done of a catalogue."""

    todo: list[Job]
    n_done: int  # results that are there already
    refused: list[tuple[str, str]]  # songs that cannot be, and why


def jobs_for(
    places: Sequence[Place], out: Place, label_of: Mapping[str, Shares], rename: Callable[[PurePosixPath, str], str]
) -> tuple[list[Job], list[tuple[str, str]]]:
    """Every song of some places into every voice.

    Args:
        places: folders or URLs, searched through, or single songs.
        out: where results go; what lies below it is no song.
        label_of: voices as shares of singers, by the label that tells their results apart.
        rename: the name of a result, of the song's name and a label.

    Returns:
        Jobs, and what cannot be one with the reason: names that lead out of a folder, and second songs of one result.

    Raises:
        UserError: a place without a song.
    """
    jobs: list[Job] = []
    refused: list[tuple[str, str]] = []
    taken: dict[str, str] = {}
    for given in places:
        if given.is_file():
            place, only = given.split()
            listing = {only: 0}
        else:
            place, found = given, given.listing()
            refused += [(place.where(name), "the name leads out of its folder; rename it") for name in found.refused]
            own = f"{out.root.removeprefix(place.root).strip('/')}/" if out.root.startswith(f"{place.root}/") else None
            listing = {
                name: size
                for name, size in found.n_bytes.items()
                if files.is_candidate(Path(name)) and not (own and name.startswith(own))
            }
        if not listing:
            known = ", ".join(sorted(files.SUFFIXES))
            raise UserError(f"{place}: no sound file there; known suffixes are {known}")
        for name, size in listing.items():
            path = PurePosixPath(name)
            if any(path.stem.endswith(f".{label}") for label in label_of):
                continue  # a result of an earlier call
            for label, shares in label_of.items():
                job = Job(place, name, tuple(shares.items()), rename(path, label), size)
                if (other := taken.setdefault(job.result, job.where)) != job.where:
                    refused.append((job.where, f"its result would be written where that of {other} is; rename it"))
                else:
                    jobs.append(job)
    return jobs, refused


def plan(jobs: Sequence[Job], out: Place, made_by: Mapping[str, Mapping[str, object]], *, force: bool) -> Plan:
    """Find out what is left to do, and claim the place of the results.

    Args:
        jobs: everything.
        out: where results go.
        made_by: by label, what results depend on besides the song: voice, singers, options.
        force: do everything again.

    Raises:
        UserError: results lie there that were made otherwise, or by nobody who says how.
    """
    there = out.listing().n_bytes
    known = _known(out)
    present = {job.result for job in jobs if job.result in there}
    others = {label: known[label] for label, made in made_by.items() if label in known and known[label] != made}
    if present and not force:
        first = min(present)
        if not known:
            raise UserError(
                f"{out.where(first)}: exists already, and no {RECORD} says how it was made; use --force to overwrite "
                "what is there, or choose another place with -o"
            )
        if others:
            label, before = next(iter(others.items()))
            changed = sorted(key for key in {*before, *made_by[label]} if before.get(key) != made_by[label].get(key))
            raise UserError(
                f"{out}: holds results of {label} that were made otherwise (differs in {', '.join(changed)}); use "
                "--force to make them anew, or choose another place with -o"
            )
    if force and present:
        out.remove(sorted(present))  # so that what is there was always made as the record says
        present = set()
    record = {"version": VERSION, "voices": {**known, **made_by}}
    out.write(RECORD, json.dumps(record, ensure_ascii=False, indent=1).encode())
    todo = [job for job in jobs if job.result not in present]
    # The longest first: the last worker to end then ends soon after the others.
    todo.sort(key=lambda job: (-job.n_bytes, job.where, job.result))
    return Plan(todo, len(present), [])


def made_by(fingerprint: str, shares: Shares, options: ConvertOptions, backend: str) -> dict[str, object]:
    """What a result depends on, as the record keeps it."""
    how = settings.plain(options) | {"backend": backend}
    return {"voice": fingerprint, "singers": dict(shares), **documents.from_json(json.dumps(how))}


def _known(out: Place) -> dict[str, dict[str, object]]:
    content = out.read(RECORD)
    if content is None:
        return {}
    try:
        found = documents.from_json(content)
        if found["version"] != VERSION:
            raise ValueError(f"version {found['version']}")
        return {str(label): dict(made) for label, made in found["voices"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{out.where(RECORD)}: cannot be read ({error}); choose another place with -o, or delete it and use --force"
        ) from None


def convert(
    pool: Pool, kit: Kit, jobs: Sequence[Job], *, together: int = 1
) -> Iterator[tuple[Job, Report | UserError]]:
    """Convert songs, and tell what became of each as it ends.

    Args:
        pool: who does it.
        kit: what its workers are made of.
        jobs: in the order in which they are begun.
        together: songs of one task; see `songs_together`.

    A worker that dies over a task takes nobody along: its songs are tried again one by one, a few times.
    """
    tasks = [list(jobs[first : first + together]) for first in range(0, len(jobs), together)]
    alone: list[list[Job]] = []
    for number, outcomes in pool.each(kit, tasks):
        if isinstance(outcomes, Lost):
            if len(tasks[number]) > 1:
                alone += [[job] for job in tasks[number]]
            else:
                yield tasks[number][0], UserError(f"{tasks[number][0].where}: given up: {outcomes.reason}")
        else:
            yield from zip(tasks[number], outcomes, strict=True)
    if alone:
        yield from convert(pool, kit, [job for (job,) in alone])


def files_by(pool: Pool, model: bytes, device: str, folders: Sequence[Path], *, together: int = 1) -> FilesConverter:
    """A way to convert files that lie in folders which all workers see, with the contract of `Voice.convert_files`.

    Args:
        pool: who does it.
        model: content of the model file.
        device: where each worker computes.
        folders: that workers must see.
        together: songs of one task; see `songs_together`.
    """
    here = Place("")

    def convert_files(
        songs: Sequence[SongFile], *, options: ConvertOptions | None = None, progress: OnProgress | None = None
    ) -> Iterator[tuple[int, Report | UserError]]:
        kit = Kit(model, device, here, options or ConvertOptions(), tuple(str(f.absolute()) for f in folders))
        jobs = [_job(here, song) for song in songs]
        numbers = {job.result: number for number, job in enumerate(jobs)}
        for job, outcome in convert(pool, kit, jobs, together=together):
            if progress is not None:
                progress(Progress(1.0, number=numbers[job.result]))
            yield numbers[job.result], outcome

    return convert_files


def _job(root: Place, song: SongFile) -> Job:
    """A song of this machine, by its absolute path."""
    shares = {song.singer: 1.0} if isinstance(song.singer, str) else song.singer
    source, result = (os.path.abspath(path).removeprefix("/") for path in (song.source, song.destination))
    return Job(root, source, tuple(shares.items()), result, transpose=song.transpose)


def songs_together(voice: Voice) -> int:
    """How many songs one task should have: a voice that samples codes is faster at several."""
    return _TOGETHER if voice.backend_name() else 1
