"""The process beside the server that calls the library: requests in, answers out, a JSON object a line.

    {"number": 7, "task": "analyse", "queue": "now", "arguments": {...}}     {"cancel": 7}
    {"number": 7, "share": 0.25}    {"number": 7, "answer": {...}}    {"number": 7, "error": "..."}

Each queue does one task after another, and queues run side by side: a preview need not wait for an album. When
the server goes away, so does the worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, TextIO

from moksori import documents
from moksori.errors import UserError
from moksori.progress import Progress

QUEUES = ("now", "analyses", "songs", "data")
_PROGRESS_SECONDS = 0.1  # between two words on how far an task is


class Worker:
    """Does tasks on threads, and writes answers."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._lock = out, threading.Lock()
        self._queues = {queue: ThreadPoolExecutor(1, thread_name_prefix=queue) for queue in QUEUES}
        self._cancelled: set[int] = set()

    def take(self, line: str) -> None:
        """Take a request."""
        message = documents.from_json(line)
        if "cancel" in message:
            self._cancelled.add(message["cancel"])
        else:
            self._queues[message["queue"]].submit(self._do, message["number"], message["task"], message["arguments"])

    def _do(self, number: int, task: str, given: dict[str, Any]) -> None:
        from moksori.studio import tasks

        last = [0.0]

        def progress(now: Progress) -> None:
            if number in self._cancelled:
                raise CancelledError
            if time.monotonic() - last[0] >= _PROGRESS_SECONDS:
                last[0] = time.monotonic()
                self._say(number=number, share=round(now.share, 4))

        try:
            progress(Progress(0.0))
            if task in tasks.WITH_PROGRESS:
                given = {**given, "progress": progress}
            self._say(number=number, answer=tasks.TASKS[task](**given))
        except CancelledError:
            self._say(number=number, cancelled=True)
        except UserError as error:
            self._say(number=number, error=str(error))
        except MemoryError:
            self._say(number=number, error="not enough memory; close other programs, or take a shorter song")
        except Exception as error:  # a bug of ours: the page says so, the log has the rest
            traceback.print_exc()
            self._say(number=number, error=f"something went wrong that should not ({error!r})")
        finally:
            self._cancelled.discard(number)

    def _say(self, **what: Any) -> None:
        with self._lock:
            self._out.write(json.dumps(what) + "\n")
            self._out.flush()


def main() -> None:
    """Serve the process that started this one, until it goes away."""
    # What libraries print must not get between the answers.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(AttributeError, OSError):
        os.nice(5)  # the page comes first
    worker = Worker(out)
    threading.Thread(target=_warm_up, daemon=True).start()
    for line in sys.stdin:
        worker.take(line)
    os._exit(0)  # the server is gone, and nobody waits for what is being done


def _warm_up() -> None:
    """Load what every task needs before the first one comes."""
    with contextlib.suppress(UserError):
        from moksori.studio import tasks

        tasks.load(None)


if __name__ == "__main__":
    main()
