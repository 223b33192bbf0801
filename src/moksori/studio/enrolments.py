"""Enrolments: takes of a singer whom a copy of a voice is to take up; the takes go when the singer is in.

new -> running -> (a voice) | failed | cancelled;  failed, cancelled -> running
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

from starlette.requests import Request

from moksori.errors import UserError
from moksori.studio.client import Cancelled, Task, WorkerClient
from moksori.studio.events import Publish
from moksori.studio.schemas import EnrolmentRequest
from moksori.studio.store import ENROLMENTS, Record, Store, shown_name, singer_name
from moksori.studio.uploads import SONG_BYTES, checked_suffix, receive
from moksori.studio.voices import Voices
from moksori.studio.words import StudioError


class Enrolments:
    """The enrolments of a studio, done by the worker, one after the other."""

    def __init__(self, store: Store, worker: WorkerClient, voices: Voices, publish: Publish) -> None:
        self._store, self._worker, self._voices, self._publish = store, worker, voices, publish
        self._background: set[asyncio.Task[None]] = set()
        self._running: dict[str, Task] = {}
        self._shares: dict[str, float] = {}

    def resume(self) -> None:
        """Begin anew what was under way when the server ended."""
        for record in self._store.all(ENROLMENTS):
            if record["state"] == "running":
                self._begin(record)

    async def stop(self) -> None:
        """Leave what is under way as it is on the disk, for the next start."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def all(self) -> list[Record]:
        """All enrolments that are not done, the newest first, with how far they are."""
        return [self._with_progress(record) for record in self._store.all(ENROLMENTS)]

    async def add(self, request: EnrolmentRequest) -> Record:
        """Ask for a singer to be taken up; takes and the start come afterwards.

        Raises:
            StudioError: no such voice, the singer's name cannot be one, or the voice has a singer of that name.
        """
        singer = singer_name(request.singer)
        if singer in (await self._voices.card(request.voice))["singers"]:
            raise StudioError("error.singer_there", name=singer)
        fields = {"voice": request.voice, "name": singer, "licence": request.licence[:400], "takes": [], "state": "new"}
        record = self._store.new(ENROLMENTS, {**fields, "error": ""})
        self._takes(record).mkdir()
        self._changed(record)
        return record

    async def add_take(self, number: str, request: Request, name: str) -> Record:
        """Take a recording of the singer."""
        record = self._idle(number)
        name = shown_name(name)
        file = f"{secrets.token_hex(6)}{checked_suffix(name)}"
        n_bytes = await receive(request, self._takes(record) / file, SONG_BYTES)
        record = self._idle(number)  # others may have brought theirs meanwhile
        record["takes"] = [*record["takes"], {"file": file, "name": name, "n_bytes": n_bytes}]
        self._changed(record)
        return self._with_progress(record)

    def start(self, number: str) -> Record:
        """Begin, or begin again.

        Raises:
            StudioError: it runs, or there is no recording.
        """
        record = self._idle(number)
        if not record["takes"]:
            raise StudioError("error.no_takes")
        self._begin(record)
        return self._with_progress(self._store.known(ENROLMENTS, number))

    async def cancel(self, number: str) -> Record:
        """Call an enrolment off."""
        record = self._store.known(ENROLMENTS, number)
        if (task := self._running.get(number)) is not None:
            await self._worker.cancel(task)
        return self._with_progress(record)

    def remove(self, number: str) -> None:
        """Remove an enrolment and its takes.

        Raises:
            StudioError: it is running; cancel it first.
        """
        self._idle(number)
        self._removed(number)

    def _idle(self, number: str) -> Record:
        record = self._store.known(ENROLMENTS, number)
        if record["state"] == "running":
            raise StudioError("error.running", 409)
        return record

    def _begin(self, record: Record) -> None:
        self._changed({**record, "state": "running", "error": ""})
        task = asyncio.create_task(self._do(record))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _do(self, record: Record) -> None:
        number, folder = record["id"], self._store.folder(ENROLMENTS, record["id"])
        try:
            voice = self._voices.path(record["voice"])
            with self._voices.new(record["voice"], "enrolled", record["name"]) as destination:
                task = await self._worker.submit(
                    "enrol",
                    "data",
                    lambda share: self._progressed(record, share),
                    voice=voice,
                    takes=str(self._takes(record)),
                    data=str(folder / "data"),
                    destination=str(destination),
                    singer=record["name"],
                    licence=record["licence"],
                )
                self._running[number] = task
                await task.answer
        except Cancelled:
            self._changed({**record, "state": "cancelled"})
        except StudioError as error:
            self._changed({**record, "state": "failed", "error": str(error), "error_key": error.key})
        except UserError as error:
            self._changed({**record, "state": "failed", "error": self._in_their_words(record, error)})
        else:
            self._removed(number)
        finally:
            self._running.pop(number, None)
            self._shares.pop(number, None)

    def _in_their_words(self, record: Record, error: UserError) -> str:
        """What is wrong, with recordings by the names that they had."""
        words = str(error)
        for take in record["takes"]:
            words = words.replace(take["file"], take["name"])
        takes = self._takes(record)
        return words.replace(f"{takes}/", "").replace(f"{takes}: ", "")

    def _progressed(self, record: Record, share: float) -> None:
        self._shares[record["id"]] = share
        self._publish("enrolment", self._with_progress({**record, "state": "running"}))

    def _removed(self, number: str) -> None:
        self._store.remove(ENROLMENTS, number)
        self._publish("enrolment", {"id": number, "state": "removed"})

    def _with_progress(self, record: Record) -> Record:
        return {**record, "share": self._shares.get(record["id"], 0.0)}

    def _takes(self, record: Record) -> Path:
        return self._store.folder(ENROLMENTS, record["id"]) / "takes"

    def _changed(self, record: dict[str, Any]) -> None:
        self._store.put(ENROLMENTS, record)
        self._publish("enrolment", self._with_progress(record))
