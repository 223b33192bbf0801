"""Server-sent events: what has changed, published to every page that is open."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator

from moksori.studio.store import Record

Publish = Callable[[str, Record], None]
"""Called with the kind of a thing that has changed ("song", "job", ...), and its record."""

_MOST_WAITING = 1000  # events of one page that does not read


class Events:
    """Publish and subscribe: one bounded queue a page."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str]] = set()

    def publish(self, kind: str, record: Record) -> None:
        """Put a change into every page's queue; a queue that is full drops it."""
        event = json.dumps({"kind": kind, "record": record}, ensure_ascii=False)
        for queue in self._queues:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(event)

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[str]]:
        """A queue of the changes from now on, as JSON."""
        queue: asyncio.Queue[str] = asyncio.Queue(_MOST_WAITING)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)
