"""Songs that were brought: received in a stream, kept under our names, heard once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from moksori import atomic
from moksori.audio import f0_file, files
from moksori.errors import UserError
from moksori.studio.crew import Crew
from moksori.studio.store import SONGS, Record, Store, shown_name
from moksori.studio.words import StudioError

SONG_BYTES = 2 << 30  # of one upload: four hours of 24-bit stereo WAV
MELODY_BYTES = 64 << 20
JSON_BYTES = 1 << 20
_SPARE_BYTES = 256 << 20  # of the disk that stay free
_BUFFER_BYTES = 1 << 20

Tell = Callable[[str, Record], None]
"""Told the kind of a thing that has changed, and what is known of it now."""


class Hub:
    """Passes on what has changed to every page that is open."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str]] = set()

    def tell(self, kind: str, record: Record) -> None:
        """Tell every page; one that has not read for long is told to begin anew."""
        said = json.dumps({"kind": kind, "record": record}, ensure_ascii=False)
        for queue in self._queues:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(said)

    @contextlib.contextmanager
    def listen(self) -> Any:
        """A queue of what changes from now on."""
        queue: asyncio.Queue[str] = asyncio.Queue(1000)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)


async def receive(request: Request, destination: Path, most_bytes: int) -> int:
    """Write what a request carries to the disk as it comes; whole or not at all.

    Returns:
        How many bytes there were.

    Raises:
        StudioError: nothing, more than allowed, more than the disk has room for, or it broke off.
    """
    declared = request.headers.get("content-length", "")
    announced = int(declared) if declared.isdigit() else 0
    if announced > most_bytes:
        raise StudioError("error.too_large", 413, limit=_megabytes(most_bytes))
    if shutil.disk_usage(destination.parent).free < announced + _SPARE_BYTES:
        raise StudioError("error.disk", 507)
    n_bytes, buffer = 0, bytearray()
    try:
        with atomic.replacing(destination) as part, open(part, "wb") as file:
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > most_bytes:
                    raise StudioError("error.too_large", 413, limit=_megabytes(most_bytes))
                buffer += chunk
                if len(buffer) >= _BUFFER_BYTES:
                    await run_in_threadpool(file.write, bytes(buffer))
                    buffer.clear()
            file.write(buffer)
            if not n_bytes or (declared and n_bytes != announced):
                raise StudioError("error.empty_upload")
    except ClientDisconnect as error:
        raise StudioError("error.broken_off") from error
    except OSError as error:
        raise StudioError("error.disk", 507) from error
    return n_bytes


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes >> 30} GB" if n_bytes >= 1 << 30 else f"{n_bytes >> 20} MB"


def checked_suffix(name: str) -> str:
    """The suffix of a sound file's name, `.mp3`.

    Raises:
        StudioError: none that sound files have.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in files.SUFFIXES:
        raise StudioError("error.suffix", name=name, known=" ".join(sorted(files.SUFFIXES)))
    return suffix


class Songs:
    """The songs of a studio."""

    def __init__(self, store: Store, crew: Crew, tell: Tell) -> None:
        self._store, self._crew, self._tell = store, crew, tell
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Go on hearing what was not heard when the server ended."""
        for record in self._store.all(SONGS):
            if record["state"] == "hearing":
                self._hear_soon(record)

    async def add(self, request: Request, name: str) -> Record:
        """Take a song that is uploaded; it is heard afterwards."""
        name = shown_name(name)
        suffix = checked_suffix(name)
        record = self._store.new(SONGS, {"name": name, "suffix": suffix, "state": "hearing", "error": ""})
        try:
            record["n_bytes"] = await receive(request, self.source(record), SONG_BYTES)
        except BaseException:
            self._store.remove(SONGS, record["id"])
            raise
        self._changed(record)
        self._hear_soon(record)
        return record

    def get(self, number: str) -> Record:
        """What is known of a song.

        Raises:
            StudioError: no such song.
        """
        return self._store.known(SONGS, number)

    def ready(self, number: str) -> Record:
        """A song that was heard; raises as `get` does, or when it was not."""
        record = self.get(number)
        if record["state"] != "ready":
            raise StudioError("error.not_heard", 409)
        return record

    def folder(self, record: Record) -> Path:
        """Where a song lies."""
        return self._store.folder(SONGS, record["id"])

    def source(self, record: Record) -> Path:
        """The file that was uploaded."""
        return self.folder(record) / f"source{record['suffix']}"

    def listen(self, record: Record) -> Path:
        """The file that a browser plays."""
        return self.source(record) if record["is_playable"] else self.folder(record) / "listen.flac"

    def edited(self, record: Record) -> Path | None:
        """The melody that was edited by hand, if it was."""
        path = self.folder(record) / f"melody{f0_file.SUFFIX}"
        return path if path.is_file() else None

    def melody(self, record: Record) -> Path:
        """The melody that would be sung."""
        return self.edited(record) or self.folder(record) / f"heard{f0_file.SUFFIX}"

    def outline(self, record: Record) -> Path:
        """The outline of the waveform, JSON."""
        return self.folder(record) / "outline.json"

    async def take_melody(self, record: Record, request: Request) -> Record:
        """Take a melody that was edited, if it is one."""
        given = self.folder(record) / "given.f0.csv"
        kept = self.folder(record) / f"melody{f0_file.SUFFIX}"
        try:
            await receive(request, given, MELODY_BYTES)
            await self._crew.ask("take_melody", given=str(given), kept=str(kept), seconds=record["seconds"])
        except StudioError:
            raise
        except UserError as error:
            raise UserError(str(error).replace(f"{given}: ", "").replace(f"{given}, ", "")) from error
        finally:
            given.unlink(missing_ok=True)
        return self._mark_edited(record, is_edited=True)

    async def repair_melody(self, record: Record) -> Record:
        """Bring notes back that the tracker took an octave off; tells how many there were."""
        kept = self.folder(record) / f"melody{f0_file.SUFFIX}"
        answer = await self._crew.ask("repair", melody=str(self.melody(record)), kept=str(kept))
        is_edited = self.edited(record) is not None
        return {**self._mark_edited(record, is_edited=is_edited), **answer}

    def forget_melody(self, record: Record) -> Record:
        """Go back to the melody that was heard."""
        (self.folder(record) / f"melody{f0_file.SUFFIX}").unlink(missing_ok=True)
        return self._mark_edited(record, is_edited=False)

    def _mark_edited(self, record: Record, *, is_edited: bool) -> Record:
        record = {**record, "is_edited": is_edited}
        self._changed(record)
        return record

    def remove(self, record: Record) -> None:
        """Remove a song."""
        self._store.remove(SONGS, record["id"])
        self._tell("song", {"id": record["id"], "state": "removed"})

    def _hear_soon(self, record: Record) -> None:
        task = asyncio.create_task(self._hear(record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hear(self, record: Record) -> None:
        source = self.source(record)
        try:
            heard = await self._crew.ask("hear", "hear", source=str(source), folder=str(self.folder(record)))
            outline = json.dumps(heard.pop("outline"))
            atomic.write(self.outline(record), outline.encode())
            record = {**record, **heard, "state": "ready", "is_edited": False}
        except StudioError as error:
            record = {**record, "state": "failed", "error": str(error)}
        except UserError as error:
            record = {**record, "state": "failed", "error": in_users_words(error, source, record["name"])}
        if self._store.get(SONGS, record["id"]) is not None:  # it may have been removed meanwhile
            self._changed(record)

    def _changed(self, record: Record) -> None:
        self._store.put(SONGS, record)
        self._tell("song", record)


def in_users_words(error: UserError, path: Path, name: str) -> str:
    """What is wrong with a file, under the name that its owner gave it."""
    return str(error).replace(str(path), name)
