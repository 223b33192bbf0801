"""Conversion of a catalogue by a pool of workers (`--ray`): the pool, its progress, and what has failed in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TextIO

import typer

from moksori import run_files
from moksori.cli import console
from moksori.errors import UserError
from moksori.progress import Progress
from moksori.workers.places import Place

if TYPE_CHECKING:
    from moksori.conversion import ConvertOptions, Voice
    from moksori.conversion.catalogue import FilesConverter
    from moksori.workers.pool import Pool

OFF, LOCAL = "off", "local"
SOME_FAILED = 7


@dataclass(frozen=True)
class Request:
    """Options of a catalogue on the command line, besides how to convert."""

    output: str | None
    ray: str  # auto, local, off, or a cluster's address
    workers: int  # 0: one each core, or each GPU
    force: bool
    as_json: bool


def refuse(given: Mapping[str, object]) -> None:
    """Refuse options that are of single songs.

    Raises:
        UserError: one of them was given.
    """
    for name, value in given.items():
        if value is not None:
            raise UserError(f"{name} is for single songs, not for a catalogue; leave it out, or leave out --ray")


@contextlib.contextmanager
def pool(ray: str, workers: int, *, is_on_gpu: bool = False) -> Iterator[Pool]:
    """Who works: Ray's actors, or threads of this process.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    from moksori.workers import actors
    from moksori.workers.pool import ThreadPool

    if ray == OFF or (ray == LOCAL and not actors.is_installed()):
        if ray == LOCAL:
            console.say("Ray is not installed (pip install 'moksori[ray]'): the cores of this machine do the same work")
        yield ThreadPool(1 if is_on_gpu else workers)
        return
    with actors.connected(ray, workers, gpus=1.0 if is_on_gpu else 0.0) as found:
        yield found


@contextlib.contextmanager
def folder(text: str, ray: str | None, *, record: str, without: Sequence[str] = ()) -> Iterator[Path]:
    """A folder to work with: the one that is named, or a copy of what lies behind a URL; what is new goes back there.

    Args:
        text: folder or URL.
        ray: as on the command line.
        record: name of the file that is published last.
        without: names right below it that stay where they are.

    Raises:
        UserError: the store could not be reached, or workers on other machines would have to see the copy.
    """
    place = Place.of(text)
    if not place.is_url:
        yield Path(text)
        return
    if ray not in (None, OFF, LOCAL):
        raise UserError(
            f"{text}: is copied to this machine, where workers of other machines cannot see it; with --ray {ray} name "
            f"a folder that all of them share, or take --ray {LOCAL}"
        )
    from moksori.workers.mirror import mirrored

    def tell(progress: Progress) -> None:
        if progress.done == 1:
            console.say(f"fetching {text}: {progress.total:,.0f} files")

    with mirrored(place, record=record, without=without, progress=tell) as found:
        yield found


@contextlib.contextmanager
def files_converter(
    ray: str | None, model: Path, voice: Voice, folders: Sequence[Path], workers: int = 0
) -> Iterator[FilesConverter | None]:
    """Who converts files for somebody else: Ray's actors, or None for the voice itself.

    Raises:
        UserError: Ray is not installed, no cluster answers, or a folder cannot be made.
    """
    from moksori.conversion import catalogue

    if ray in (None, OFF):
        yield None
        return
    for folder in folders:
        console.make_folder(folder)
    with pool(str(ray), workers) as who:
        together = catalogue.songs_together(voice)
        yield catalogue.files_by(who, _content(model), "cpu", folders, together=together)


def convert(
    given: Sequence[Place],
    voice: Voice,
    model: Path | None,
    voices: Mapping[str, Mapping[str, float]],
    options: ConvertOptions,
    request: Request,
    device: str,
) -> None:
    """Convert every song below some places into every voice.

    Raises:
        UserError: no place for the results, nothing to convert, or results there that were made otherwise.
        typer.Exit: some songs failed; they are named, and listed in `failed.jsonl` beside the results.
    """
    from moksori.conversion import catalogue

    if request.output is None:
        raise UserError("a catalogue needs -o OUT, the folder or the URL for the results")
    out, is_here = Place.of(request.output), request.ray == OFF
    if out.is_file():
        raise UserError(f"{out}: is a file; name a folder, or a URL to put results below")
    jobs, refused = catalogue.jobs_for(given, out, voices, _renamed)
    backend = voice.backend_name(options.backend)
    made = {label: catalogue.made_by(voice.fingerprint, shares, options, backend) for label, shares in voices.items()}
    plan = catalogue.plan(jobs, out, made, force=request.force)
    out.remove_parts()
    if plan.n_done:
        console.say(f"{plan.n_done} of {len(jobs)} are there already")
    folders = [place.root for place in [*given, out] if not place.is_url and Path(place.root).is_dir()]
    kit = catalogue.Kit(_content(model), device, out, options, tuple(folders) if not is_here else ())
    # Threads of one process share its voice: one that samples codes spreads its streams over the cores by itself.
    workers = 1 if is_here and backend and not request.workers else request.workers
    failures, results = [*refused], sys.stdout  # Ray has it while it works
    with pool(request.ray, workers, is_on_gpu=device.startswith("cuda")) as who, console.counted("converting") as tell:
        n_done, together = plan.n_done, catalogue.songs_together(voice)
        for job, outcome in catalogue.convert(who, kit, plan.todo, together=together):
            n_done += 1
            tell(Progress(n_done, len(jobs), job.source))
            if isinstance(outcome, UserError):
                failures.append((job.where, str(outcome)))
                _print(
                    results,
                    request.as_json,
                    {"source": job.where, "error": str(outcome)},
                    f"failed: {outcome}",
                    err=True,
                )
                continue
            seconds = outcome.n_samples / outcome.sample_rate
            row = {"source": job.where, "result": out.where(job.result), **dataclasses.asdict(outcome)}
            text = f"{job.where} -> {out.where(job.result)} ({console.duration_text(seconds)} of sound)"
            _print(results, request.as_json, row, text)
    out.remove_parts()  # of workers that were killed
    rows = [json.dumps({"source": source, "error": error}, ensure_ascii=False) for source, error in failures]
    if rows:
        out.write(catalogue.FAILED, ("\n".join(rows) + "\n").encode())
        console.say(
            f"{len(jobs) + len(refused) - len(failures)} of {len(jobs) + len(refused)} songs are converted; "
            f"{len(failures)} failed, see {out.where(catalogue.FAILED)}"
        )
        raise typer.Exit(SOME_FAILED)
    out.remove([catalogue.FAILED] if out.read(catalogue.FAILED) is not None else [])  # of an earlier call


def _print(results: TextIO, as_json: bool, row: Mapping[str, object], text: str, *, err: bool = False) -> None:
    typer.echo(json.dumps(row) if as_json else text, file=sys.stderr if err and not as_json else results)


def _renamed(name: PurePosixPath, label: str) -> str:
    """`a/song.mp3` -> `a/song.kumi.mp3`; formats that are only read become FLAC."""
    from moksori.audio import files

    suffix = name.suffix if files.is_writable(Path(name)) else ".flac"
    return str(name.with_name(f"{name.stem}.{label}{suffix}"))


def _content(model: Path | None) -> bytes:
    """The model file, as it is."""
    return (run_files.shipped_voice() if model is None else run_files.model_file(model)).read_bytes()
