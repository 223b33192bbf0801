"""Songs that were uploaded: kept under ids, analysed once (outline, melody, loudest stretch)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from starlette.requests import Request

from moksori import atomic
from moksori.audio import f0_file
from moksori.errors import UserError
from moksori.studio.client import WorkerClient
from moksori.studio.events import Publish
from moksori.studio.store import SONGS, TRACKED, Record, Store, shown_name
from moksori.studio.uploads import MELODY_BYTES, SONG_BYTES, checked_suffix, receive
from moksori.studio.words import StudioError


class Songs:
    """The songs of a studio."""

    def __init__(self, store: Store, worker: WorkerClient, publish: Publish) -> None:
        self._store, self._worker, self._publish = store, worker, publish
        self._background: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Go on with analyses that were under way when the server ended."""
        for record in self._store.all(SONGS):
            if record["state"] == "analysing":
                self._analyse_soon(record)

    async def add(self, request: Request, name: str) -> Record:
        """Take a song that is uploaded; it is analysed afterwards."""
        name = shown_name(name)
        suffix = checked_suffix(name)
        record = self._store.new(SONGS, {"name": name, "suffix": suffix, "state": "analysing", "error": ""})
        try:
            record["n_bytes"] = await receive(request, self.source(record), SONG_BYTES)
        except BaseException:
            self._store.remove(SONGS, record["id"])
            raise
        self._changed(record)
        self._analyse_soon(record)
        return record

    def get(self, number: str) -> Record:
        """What is known of a song.

        Raises:
            StudioError: no such song.
        """
        return self._store.known(SONGS, number)

    def ready(self, number: str) -> Record:
        """A song that was analysed; raises as `get` does, or when it was not."""
        record = self.get(number)
        if record["state"] != "ready":
            raise StudioError("error.not_analysed", 409)
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
        return self.edited(record) or self.folder(record) / TRACKED

    def outline(self, record: Record) -> Path:
        """The outline of the waveform, JSON."""
        return self.folder(record) / "outline.json"

    async def take_melody(self, record: Record, request: Request) -> Record:
        """Take a melody that was edited, if it is one."""
        given = self.folder(record) / "given.f0.csv"
        kept = self.folder(record) / f"melody{f0_file.SUFFIX}"
        try:
            await receive(request, given, MELODY_BYTES)
            await self._worker.call("take_melody", given=str(given), kept=str(kept), seconds=record["seconds"])
        except StudioError:
            raise
        except UserError as error:
            raise UserError(str(error).replace(f"{given}: ", "").replace(f"{given}, ", "")) from error
        finally:
            given.unlink(missing_ok=True)
        return self._mark_edited(record, is_edited=True)

    async def repair_melody(self, record: Record) -> Record:
        """Bring notes back that the tracker took an octave off; the answer counts them."""
        kept = self.folder(record) / f"melody{f0_file.SUFFIX}"
        answer = await self._worker.call("repair", melody=str(self.melody(record)), kept=str(kept))
        is_edited = self.edited(record) is not None
        return {**self._mark_edited(record, is_edited=is_edited), **answer}

    def forget_melody(self, record: Record) -> Record:
        """Go back to the melody that the tracker found."""
        (self.folder(record) / f"melody{f0_file.SUFFIX}").unlink(missing_ok=True)
        return self._mark_edited(record, is_edited=False)

    def _mark_edited(self, record: Record, *, is_edited: bool) -> Record:
        record = {**record, "is_edited": is_edited}
        self._changed(record)
        return record

    def remove(self, record: Record) -> None:
        """Remove a song."""
        self._store.remove(SONGS, record["id"])
        self._publish("song", {"id": record["id"], "state": "removed"})

    def _analyse_soon(self, record: Record) -> None:
        task = asyncio.create_task(self._analyse(record))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _analyse(self, record: Record) -> None:
        source = self.source(record)
        try:
            found = await self._worker.call("analyse", "analyses", source=str(source), folder=str(self.folder(record)))
            outline = json.dumps(found.pop("outline"))
            atomic.write(self.outline(record), outline.encode())
            record = {**record, **found, "state": "ready", "is_edited": False}
        except StudioError as error:
            record = {**record, "state": "failed", "error": str(error)}
        except UserError as error:
            record = {**record, "state": "failed", "error": in_users_words(error, source, record["name"])}
        if self._store.get(SONGS, record["id"]) is not None:  # it may have been removed meanwhile
            self._changed(record)

    def _changed(self, record: Record) -> None:
        self._store.put(SONGS, record)
        self._publish("song", record)


def in_users_words(error: UserError, path: Path, name: str) -> str:
    """What is wrong with a file, under the name that its owner gave it."""
    return str(error).replace(str(path), name)
