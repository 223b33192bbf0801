"""Client of the worker process: starts it when it is needed, sends it tasks, and starts it again if it dies."""

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
OnShare = Callable[[float], None]
"""A progress callback: called with the share of a task that is done, 0 to 1."""


class Cancelled(UserError):
    """A task that was cancelled."""


class Task:
    """A task that the worker was given; its answer is a future."""

    def __init__(self, number: int, on_share: OnShare | None) -> None:
        self.number, self.on_share = number, on_share
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()


class WorkerClient:
    """One worker process, and the tasks that it has not answered yet."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._pending: dict[int, Task] = {}
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

    async def submit(self, name: str, queue: str = "now", on_share: OnShare | None = None, **arguments: Any) -> Task:
        """Put a task into one of the worker's queues, and do not wait for it.

        Args:
            name: a key of `tasks.TASKS`.
            queue: one of `worker.QUEUES`.
            on_share: is called with the share that is done, as it grows.
            **arguments: of the task; JSON.
        """
        await self.start()
        task = Task(next(self._numbers), on_share)
        self._pending[task.number] = task
        await self._write({"number": task.number, "task": name, "queue": queue, "arguments": arguments})
        return task

    async def call(
        self, name: str, queue: str = "now", on_share: OnShare | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Submit a task, and wait for its answer.

        Raises:
            UserError: what the library says is wrong.
            StudioError: the worker died on the way.
        """
        task = await self.submit(name, queue, on_share, **arguments)
        return await task.answer

    async def cancel(self, task: Task) -> None:
        """Cancel a task: its answer is `Cancelled` from the next time that it reports progress."""
        if task.number in self._pending:
            await self._write({"cancel": task.number})

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

    async def _write(self, message: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it died: `_read` fails every task
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Resolve tasks by the worker's messages, until it ends; then fail those that are left."""
        assert process.stdout is not None
        async for line in process.stdout:
            message = documents.from_json(line)
            task = self._pending.get(message["number"])
            if task is None:
                continue
            if "share" in message:
                if task.on_share is not None:
                    task.on_share(message["share"])
                continue
            del self._pending[task.number]
            if task.answer.done():
                continue
            if "answer" in message:
                task.answer.set_result(message["answer"])
            else:
                error = Cancelled("cancelled") if "cancelled" in message else UserError(message["error"])
                task.answer.set_exception(error)
        await process.wait()
        left, self._pending = self._pending, {}
        for task in left.values():
            if not task.answer.done():
                task.answer.set_exception(StudioError("error.worker", 503))
