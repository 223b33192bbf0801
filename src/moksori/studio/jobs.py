"""Job queue of conversions: each has a state on the disk, so that a reload and a restart lose none.

waiting -> running -> done | failed | cancelled;  failed or cancelled -> waiting, on retry
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import Any

from moksori import atomic, settings
from moksori.audio import f0_file, files
from moksori.errors import UserError
from moksori.studio.client import Cancelled, Task, WorkerClient
from moksori.studio.events import Publish
from moksori.studio.schemas import ConversionRequest
from moksori.studio.songs import Songs, in_users_words
from moksori.studio.store import JOBS, Record, Store
from moksori.studio.words import StudioError

_PATIENCE_SECONDS = 5.0  # for a cancelled task, before its process is ended
_SURE_SHARE = 0.04  # of the work, from which the time left is worth showing


class Jobs:
    """The conversions of a studio, one after the other."""

    def __init__(self, store: Store, worker: WorkerClient, songs: Songs, voice_path: Any, publish: Publish) -> None:
        self._store, self._worker, self._songs, self._publish = store, worker, songs, publish
        self._voice_path = voice_path
        self._shares: dict[str, float] = {}  # of what is running
        self._running: dict[str, Task] = {}
        self._unwanted: set[str] = set()  # running ones that were called off
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; a job that was running when the server ended begins anew."""
        for record in self._store.all(JOBS):
            if record["state"] == "running":
                self._store.put(JOBS, {**record, "state": "waiting"})
        self._loop = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop working; what is running stays so on the disk, for the next start."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    def add(self, request: ConversionRequest) -> Record:
        """Ask for a conversion.

        Raises:
            StudioError: no such song, or it was not analysed yet.
        """
        song = self._songs.ready(request.song)
        source = self._songs.source(song)
        suffix = song["suffix"] if files.is_writable(source) else ".flac"
        label = _label(request.shares)
        record = self._store.new(
            JOBS,
            {
                "song": song["id"],
                "song_name": song["name"],
                "name": f"{Path(song['name']).stem}.{label}{suffix}",
                "label": label,
                "suffix": suffix,
                "request": settings.plain(request),
                "state": "waiting",
                "error": "",
            },
        )
        if (edited := self._songs.edited(song)) is not None:
            shutil.copyfile(edited, self._melody(record))  # later strokes are for later jobs
        self._changed(record)
        self._wake.set()
        return record

    def get(self, number: str) -> Record:
        """What is known of a job.

        Raises:
            StudioError: no such job.
        """
        return self._with_progress(self._store.known(JOBS, number))

    def all(self) -> list[Record]:
        """All jobs, the newest first."""
        return [self._with_progress(record) for record in self._store.all(JOBS)]

    def folder(self, record: Record) -> Path:
        """Where a job lies."""
        return self._store.folder(JOBS, record["id"])

    def result(self, record: Record) -> Path:
        """What became of the song."""
        return self.folder(record) / f"result{record['suffix']}"

    def listen(self, record: Record) -> Path:
        """The file that a browser plays."""
        return self.result(record) if record["is_playable"] else self.folder(record) / "listen.flac"

    def done(self, number: str) -> Record:
        """A job with a result; raises as `get` does, or when there is none."""
        record = self.get(number)
        if record["state"] != "done":
            raise StudioError("error.no_result", 409)
        return record

    async def cancel(self, number: str) -> Record:
        """Call a job off."""
        record = self.get(number)
        if record["state"] == "waiting":
            self._changed({**_plain(record), "state": "cancelled"})
        elif (task := self._running.get(number)) is not None:
            self._unwanted.add(number)
            await self._worker.cancel(task)
            asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._insist, task)
        return self.get(number)

    def _insist(self, task: Task) -> None:
        if not task.answer.done():
            self._stubborn = asyncio.create_task(self._worker.stop())

    def retry(self, number: str) -> Record:
        """Put a job that failed or was called off back into the row."""
        record = self.get(number)
        if record["state"] in ("failed", "cancelled"):
            self._changed({**_plain(record), "state": "waiting", "error": ""})
            self._wake.set()
        return self.get(number)

    def remove(self, number: str) -> None:
        """Remove a job and its result.

        Raises:
            StudioError: it is running; cancel it first.
        """
        record = self.get(number)
        if record["state"] == "running":
            raise StudioError("error.running", 409)
        self._store.remove(JOBS, number)
        self._publish("job", {"id": number, "state": "removed"})

    def of_song(self, song: str) -> list[Record]:
        """The jobs of a song."""
        return [record for record in self.all() if record["song"] == song]

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            waiting = [record for record in self._store.all(JOBS) if record["state"] == "waiting"]
            if waiting:
                await self._do(waiting[-1])  # the oldest
            else:
                await self._wake.wait()

    async def _do(self, record: Record) -> None:
        number, source = record["id"], Path()
        record = {**record, "state": "running", "started": round(time.time(), 3)}
        self._changed(record)
        try:
            source = self._songs.source(self._songs.get(record["song"]))
            melody = self._melody(record)
            task = await self._worker.submit(
                "convert",
                "songs",
                lambda share: self._progressed(record, share),
                source=str(source),
                destination=str(self.result(record)),
                voice=self._voice_path(record["request"]["voice"]),
                request=record["request"],
                melody=str(melody) if melody.is_file() else None,
            )
            self._running[number] = task
            answer = await task.answer
            result = answer["result"]
            atomic.write(self.folder(record) / "outline.json", json.dumps(result.pop("outline")).encode())
            record = {**record, **answer["report"], "is_playable": result["is_playable"], "seconds": result["seconds"]}
            record |= {"state": "done", "ended": round(time.time(), 3)}
        except Cancelled:
            record |= {"state": "cancelled"}
        except UserError as error:
            is_unwanted = number in self._unwanted
            words = in_users_words(error, source, record["song_name"])
            record |= {"state": "cancelled"} if is_unwanted else {"state": "failed", "error": words}
            if isinstance(error, StudioError) and not is_unwanted:
                record |= {"error_key": error.key}
        finally:
            self._unwanted.discard(number)
            self._running.pop(number, None)
            self._shares.pop(number, None)
        self._changed(record)

    def _progressed(self, record: Record, share: float) -> None:
        self._shares[record["id"]] = share
        self._publish("job", self._with_progress(record))

    def _with_progress(self, record: Record) -> Record:
        """A job with how far it is and how long it will take, if it is running."""
        share = self._shares.get(record["id"], 0.0)
        if record["state"] != "running":
            return record
        passed = time.time() - record["started"]
        left = passed * (1 - share) / share if share > _SURE_SHARE else None
        return {**record, "share": share, "seconds_left": left}

    def _melody(self, record: Record) -> Path:
        return self.folder(record) / f"melody{f0_file.SUFFIX}"

    def _changed(self, record: Record) -> None:
        self._store.put(JOBS, record)
        self._publish("job", self._with_progress(record))


def _plain(record: Record) -> Record:
    """A job without what is only true for the moment."""
    return {key: value for key, value in record.items() if key not in ("share", "seconds_left")}


def _label(shares: dict[str, float]) -> str:
    """Who sings, for the name of a result.

    >>> _label({"kumi": 1.0}), _label({"a": 0.75, "b": 0.25})
    ('kumi', 'a75+b25')
    """
    total = sum(shares.values()) or 1.0
    names = {name.replace("/", "_").replace("\\", "_")[:40]: share / total for name, share in shares.items()}
    return next(iter(names)) if len(names) == 1 else "+".join(f"{name}{round(100 * s)}" for name, s in names.items())
