"""The batch scheduler: parts of many songs fill the streams of a backend together.

A weight that is read serves all streams of a group, so no stream should stand idle. A long song fills groups by itself;
of short ones several share a group:

    songs      a a a a a    b    c c    d ...          a letter is a part, sung in a stream of its own
    groups    [a a a a] [a b c c] [d ...               of four streams

A part is sung the same in any company: its scores depend on its own codes and condition, its numbers are its song's.
Songs are opened, and their parts made, only when there is soon room for them: memory holds one group, what is known of
its songs and of the next few, and what has been sung for songs whose slot has not come yet, a byte a sample.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from moksori.data import threads
from moksori.generation import generator, priming
from moksori.generation.songs.base import Part, Scheduled
from moksori.generation.songs.chunks import Codes
from moksori.models.conditions import Conditioning
from moksori.progress import Progress

_STREAM_SAMPLES = 2**20  # that a stream of a group may have on the average: 65 s at 16 kHz, 16 MB


S = TypeVar("S", bound=Scheduled)

Opener = Callable[[], S]
"""Makes a song ready to be sung; what hinders it, it raises."""


class Slot(Generic[S]):
    """A song among others: opened, and sung, when it is asked for or when there is room for it."""

    def __init__(self, opener: Opener[S]) -> None:
        self._opener = opener
        self._song: S | None = None
        self._error: Exception | None = None  # why there is no song, or why it has no more parts
        self._sung: deque[Codes] = deque()  # parts that nobody has taken yet
        self.is_over = False  # its parts are not wanted any more

    def prepare(self) -> None:
        """Make the song ready to be sung, if it is not; what hinders that, `song` raises."""
        if self._song is None and self._error is None:
            try:
                self._song = self._opener()
            except Exception as error:
                self._error = error

    @property
    def song(self) -> S:
        """The song, opened; or what hinders that is raised."""
        self.prepare()
        if self._song is None:
            assert self._error is not None
            raise self._error
        return self._song

    def parts(self) -> Iterator[Part]:
        """The song's parts, for as long as somebody is to take what becomes of them. Nothing is raised here."""
        try:
            for part in self.song.parts():
                yield part
                if self.is_over:
                    break
        except Exception as error:  # raised again by `song`, or where the part's codes are asked for
            self._error = error

    def push(self, codes: Codes) -> None:
        """Lay by what became of the next part."""
        self._sung.append(codes)

    def take(self) -> Codes | None:
        """What became of the next part; None if it is not sung yet. What hindered its making is raised."""
        if self._sung:
            return self._sung.popleft()
        if self._error is not None:
            raise self._error
        return None


def sing(
    openers: Iterable[Opener[S]], backend: generator.Backend, temperature: float = 1.0, n_streams: int | None = None
) -> Iterator[tuple[Slot[S], Iterator[Codes]]]:
    """Sing songs, in their order.

    Args:
        openers: of songs of one model.
        backend: of that model.
        temperature: see `sampling.pick`.
        n_streams: at most so many parts side by side; None for as many as keep every core busy.

    Yields:
        Every song's slot, and the codes `[T]` of its parts, which are sung as they are asked for. Whoever goes on to
        the next slot leaves the rest of this song unsung. What hinders a song is raised where the song, or the codes of
        the part that could not be made, are asked for; the other songs do not notice.

    Raises:
        NonFiniteError: the scores of the model are not finite.
    """
    waiting, n_at_once = _Waiting(openers), n_streams or generator.lockstep_streams(backend)

    def codes_of(slot: Slot[S]) -> Iterator[Codes]:
        for _ in range(slot.song.n_parts):
            while (codes := slot.take()) is None:
                _sing_group(_group(waiting, n_at_once), backend, temperature)
            yield codes

    while (slot := waiting.next_slot()) is not None:
        yield slot, codes_of(slot)
        slot.is_over = True


class _Waiting(Generic[S]):
    """Songs whose slot has not come yet, and their parts that are not sung yet.

    The next few songs, one a core, are opened beside the work on those before them: listening to a short song may take
    as long as singing it.
    """

    def __init__(self, openers: Iterable[Opener[S]]) -> None:
        self._slots: deque[Slot[S]] = deque()
        self._parts = self._all_parts(openers)
        self._part: tuple[Slot[S], Part] | None = None  # was looked at, but not taken

    def next_slot(self) -> Slot[S] | None:
        """The next song's; None after the last one."""
        if not self._slots:
            self.peek()  # opens songs until one of them has a part
        return self._slots.popleft() if self._slots else None

    def peek(self) -> tuple[Slot[S], Part] | None:
        """The next part, which stays; None after the last one."""
        while self._part is None or self._part[0].is_over:
            self._part = next(self._parts, None)
            if self._part is None:
                break
        return self._part

    def take(self) -> None:
        """Take the part that was looked at."""
        self._part = None

    def _all_parts(self, openers: Iterable[Opener[S]]) -> Iterator[tuple[Slot[S], Part]]:
        pool = ThreadPoolExecutor(n_ahead := threads.n_cores())
        slots = map(Slot, openers)
        coming: deque[tuple[Slot[S], Future[None] | None]] = deque((slot, None) for slot in itertools.islice(slots, 1))
        try:
            while coming:
                for slot in itertools.islice(slots, n_ahead + 1 - len(coming)):
                    coming.append((slot, pool.submit(slot.prepare)))
                slot, opening = coming.popleft()
                if opening is not None:
                    opening.result()
                self._slots.append(slot)
                for part in slot.parts():
                    slot.song.progressed(0)
                    yield slot, part
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _group(waiting: _Waiting[S], n_streams: int) -> list[tuple[Slot[S], Part]]:
    """The next parts, as many as there are streams for and as fit into memory; at least one.

    Those of a group have equally many codes to go on from: in lockstep the first new code comes for all at once.
    """
    group: list[tuple[Slot[S], Part]] = []
    longest = 0
    while len(group) < n_streams and (following := waiting.peek()) is not None:
        longest = max(longest, following[1].n_samples)
        if group and (len(group) + 1) * longest > n_streams * _STREAM_SAMPLES:
            break
        if group and len(following[1].given) != len(group[0][1].given):
            break
        group.append(following)
        waiting.take()
    assert group, "a song has fewer parts than it says"
    return group


def _sing_group(group: list[tuple[Slot[S], Part]], backend: generator.Backend, temperature: float) -> None:
    """Sing parts side by side, and lay what was sung by for the songs."""
    lengths = [part.n_samples for _, part in group]
    n_samples = max(lengths)
    n_frames = max(part.conditioning.frames.shape[2] for _, part in group)

    def padded(values: Tensor, length: int) -> Tensor:
        return functional.pad(values, (0, length - values.shape[-1]))  # sung by nobody: it comes after the part's end

    frames = torch.cat([padded(part.conditioning.frames, n_frames) for _, part in group])  # [B, C, F]
    uniforms = torch.stack([padded(part.uniforms, n_samples) for _, part in group])  # [B, T]
    done = 0

    def progressed(progress: Progress) -> None:
        nonlocal done
        n_done = int(progress.done)
        for slot, part in group:
            slot.song.progressed(min(n_done, part.n_samples) - min(done, part.n_samples))
        done = n_done

    conditioning = Conditioning(frames, group[0][1].conditioning.hop_samples)
    given = torch.stack([part.given for _, part in group]).to(frames.device)  # [B, P]
    if given.shape[1]:
        codes = priming.go_on(backend, conditioning, given, uniforms, temperature, progressed)
    else:
        codes = generator.generate(backend, conditioning, uniforms, temperature, progressed, lengths=lengths)
    for (slot, part), row in zip(group, codes.cpu().numpy(), strict=True):
        slot.push(row[: part.n_samples].astype(np.uint8))
