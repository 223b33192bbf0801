"""The part of a song that is still needed, read on as it is asked for: memory does not grow with the song."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from moksori.audio.clip import Samples


class Window:
    """Samples of a song that comes in blocks, by their place; silence stands before its beginning and after its end."""

    def __init__(self, source: Iterator[Samples]) -> None:
        self._source = source
        self._samples = np.zeros(0, np.float32)
        self._start = 0  # place of the first sample kept

    def read(self, start: int, stop: int) -> Samples:
        """Samples of `[start, stop)`; starts never go back, and may be negative."""
        parts, end = [self._samples], self._start + len(self._samples)
        while end < stop and (block := next(self._source, None)) is not None:
            parts.append(np.asarray(block, np.float32))
            end += len(block)
        begin = max(0, start)
        self._samples, self._start = np.concatenate(parts)[begin - self._start :], min(begin, end)
        found = self._samples[: max(0, stop - begin)]
        return np.pad(found, (begin - start, stop - begin - len(found)))
