"""The worker as the server knows it: started when it is needed, asked without waiting, started again if it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from moksori import documents
from moksori.errors import UserError
from moksori.studio.words import StudioError

_LONGEST_LINE = 1 << 26  # bytes of one answer
Told = Callable[[float], None]


class Cancelled(UserError):
    """An errand that was called off."""


class Errand:
    """Something that the worker is doing."""

    def __init__(self, number: int, told: Told | None) -> None:
        self.number, self.told = number, told
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()


class Crew:
    """One worker process, and the errands it is on."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._errands: dict[int, Errand] = {}
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the worker, if it is not running."""
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return
            environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONIOENCODING": "utf-8"}
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing is imported from the working folder
                "-m",
                "moksori.studio.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the server, which then ends it
            )
            self._reader = asyncio.create_task(self._read(self._process))

    async def send(self, errand: str, lane: str = "now", told: Told | None = None, **given: Any) -> Errand:
        """Send the worker on an errand; its answer is a future."""
        await self.start()
        asked = Errand(next(self._numbers), told)
        self._errands[asked.number] = asked
        await self._write({"number": asked.number, "errand": errand, "lane": lane, "with": given})
        return asked

    async def ask(self, errand: str, lane: str = "now", told: Told | None = None, **given: Any) -> dict[str, Any]:
        """Send the worker on an errand, and wait for the answer.

        Raises:
            UserError: what the library says is wrong.
            StudioError: the worker died on the way.
        """
        asked = await self.send(errand, lane, told, **given)
        return await asked.answer

    async def cancel(self, errand: Errand) -> None:
        """Call an errand off; its answer is then `Cancelled`, at the next moment at which it looks up."""
        if errand.number in self._errands:
            await self._write({"cancel": errand.number})

    async def stop(self) -> None:
        """End the worker, whatever it does."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    async def _write(self, what: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it died: the reader tells everybody
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            await self._process.stdin.drain()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand answers out, until the worker ends; whoever still waits is told so."""
        assert process.stdout is not None
        async for line in process.stdout:
            said = documents.from_json(line)
            errand = self._errands.get(said["number"])
            if errand is None:
                continue
            if "share" in said:
                if errand.told is not None:
                    errand.told(said["share"])
                continue
            del self._errands[errand.number]
            if errand.answer.done():
                continue
            if "answer" in said:
                errand.answer.set_result(said["answer"])
            else:
                error = Cancelled("cancelled") if "cancelled" in said else UserError(said["error"])
                errand.answer.set_exception(error)
        await process.wait()
        left, self._errands = self._errands, {}
        for errand in left.values():
            if not errand.answer.done():
                errand.answer.set_exception(StudioError("error.worker", 503))
