"""Songs side by side: streams are filled across songs, each song gets its own codes, and nobody pays for another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from moksori.data import threads
from moksori.generation import generator
from moksori.generation.songs import scheduler
from moksori.generation.songs.base import Part
from moksori.generation.songs.scheduler import Slot
from moksori.models.conditions import Conditioning

HOP = 4


class Echo:
    """A backend that sings what it is told: code t of a stream is its frame there plus its number drawn."""

    is_parallel = False
    worker_streams = 3

    def __init__(self) -> None:
        self.groups: list[tuple[int, int]] = []  # streams and samples

    def start(self, conditioning: Conditioning) -> tuple[Tensor, int]:
        self.groups.append((conditioning.frames.shape[0], conditioning.n_samples))
        return conditioning.frames[:, 0].repeat_interleave(conditioning.hop_samples, dim=1), 0

    def step(self, state: Any, previous: Tensor | None) -> tuple[Tensor, Any]:
        raise NotImplementedError

    def sample(self, state: Any, previous: Tensor | None, uniforms: Tensor, temperature: float) -> tuple[Tensor, Any]:
        local, place = state
        n_samples = uniforms.shape[1]
        return (local[:, place : place + n_samples] + 10 * uniforms).long(), (local, place + n_samples)

    def narrow(self, state: Any, n_streams: int) -> Any:
        local, place = state
        return local[:n_streams], place

    def call_samples(self, n_streams: int) -> int:
        return 2


@dataclass
class Tune:
    """Parts of given lengths, told apart by what they are told; it may fail at one of them."""

    number: int
    lengths: tuple[int, ...]
    fails_at: int = -1
    made: int = 0
    sung: list[int] = field(default_factory=list)

    @property
    def n_parts(self) -> int:
        return len(self.lengths)

    def part(self, index: int) -> Part:
        n_samples = self.lengths[index]
        frames = torch.full((1, 1, -(-n_samples // HOP)), float(20 * self.number + 3 * index))
        return Part(Conditioning(frames, HOP), torch.arange(n_samples) % 2 / 10)

    def parts(self) -> Iterator[Part]:
        for index in range(self.n_parts):
            if index == self.fails_at:
                raise OSError(f"tune {self.number} breaks off")
            self.made += 1
            yield self.part(index)

    def codes(self, index: int) -> np.ndarray:
        return 20 * self.number + 3 * index + np.arange(self.lengths[index]) % 2

    def progressed(self, n_samples: int) -> None:
        self.sung.append(n_samples)


def opener(tune: Tune) -> Callable[[], Tune]:
    return lambda: tune


tunes = st.lists(st.lists(st.integers(1, 30), max_size=6).map(tuple), max_size=8)


@given(lengths=tunes)
def test_every_part_of_every_song_is_sung_once_and_in_order(lengths: list[tuple[int, ...]]) -> None:
    given, backend = [Tune(*one) for one in enumerate(lengths)], Echo()
    found = [(slot.song, list(codes)) for slot, codes in scheduler.sing(map(opener, given), backend)]
    assert [song for song, _ in found] == given
    for song, codes in found:
        assert len(codes) == song.n_parts
        for index, own in enumerate(codes):
            assert own.dtype == np.uint8
            np.testing.assert_array_equal(own, song.codes(index))
        assert sum(song.sung) == sum(song.lengths)


@given(lengths=tunes)
def test_streams_stand_idle_in_the_last_group_only(lengths: list[tuple[int, ...]]) -> None:
    backend = Echo()
    for _, codes in scheduler.sing(map(opener, [Tune(*one) for one in enumerate(lengths)]), backend):
        list(codes)
    assert all(n_streams == Echo.worker_streams for n_streams, _ in backend.groups[:-1])
    assert sum(n_streams for n_streams, _ in backend.groups) == sum(map(len, lengths))


def test_songs_are_opened_and_their_parts_made_when_there_is_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "n_cores", lambda: 2)
    opened = []

    def noted(tune: Tune) -> Callable[[], Tune]:
        def open_it() -> Tune:
            opened.append(tune.number)
            return tune

        return open_it

    given = [Tune(0, (5, 5)), Tune(1, (5,) * 7), *(Tune(number, (5,)) for number in range(2, 9))]
    seen = []
    for _, codes in scheduler.sing(map(noted, given), Echo()):
        for _ in codes:
            seen.append((set(opened), [tune.made for tune in given]))
    # Three streams: two parts of one song, and one of the next. Opened ahead of that one are two at most.
    assert {0, 1} <= seen[0][0] <= {0, 1, 2, 3}
    assert [made[:3] for _, made in seen[:4]] == [[2, 1, 0], [2, 1, 0], [2, 1, 0], [2, 4, 0]]
    assert max(sum(made) - place for place, (_, made) in enumerate(seen)) <= 3
    assert seen[-1] == (set(range(9)), [tune.n_parts for tune in given])


def test_the_next_songs_are_opened_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two songs whose openers wait for each other: alone, neither would be opened."""
    monkeypatch.setattr(threads, "n_cores", lambda: 2)
    meeting = threading.Barrier(2, timeout=20)

    def waits(tune: Tune) -> Callable[[], Tune]:
        def open_it() -> Tune:
            meeting.wait()
            return tune

        return open_it

    openers = [opener(Tune(0, (5,))), waits(Tune(1, (5,))), waits(Tune(2, (5,)))]
    assert [len(list(codes)) for _, codes in scheduler.sing(openers, Echo())] == [1, 1, 1]


def test_long_parts_share_a_group_only_as_far_as_memory_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_STREAM_SAMPLES", 10)  # 30 for three streams
    backend = Echo()
    given = [Tune(number, (length,)) for number, length in enumerate((4, 4, 12, 12, 16, 100, 4))]
    for slot, codes in scheduler.sing(map(opener, given), backend):
        np.testing.assert_array_equal(next(codes), slot.song.codes(0))
    assert backend.groups == [(2, 4), (2, 12), (1, 16), (1, 100), (1, 4)]


@pytest.mark.parametrize("fails_at", [0, 1, 3])
def test_a_song_that_fails_gives_what_it_has_and_then_its_error(fails_at: int) -> None:
    given = [Tune(0, (5, 7)), Tune(1, (6,) * 5, fails_at), Tune(2, (8, 3))]
    for slot, codes in scheduler.sing(map(opener, given), Echo()):
        song = slot.song
        for index in range(song.n_parts if song.number != 1 else fails_at):
            np.testing.assert_array_equal(next(codes), song.codes(index))
        if song.number == 1:
            with pytest.raises(OSError, match="tune 1 breaks off"):
                next(codes)


def test_a_song_that_cannot_be_opened_says_so_when_it_is_its_turn() -> None:
    def refuse() -> Tune:
        raise OSError("no such tune")

    openers = [opener(Tune(0, (5,))), refuse, opener(Tune(2, (5,))), refuse]
    found = []
    for slot, codes in scheduler.sing(openers, Echo()):
        try:
            found.append((slot.song.number, len(list(codes))))
        except OSError as error:
            assert str(error) == "no such tune"
            found.append((-1, 0))
    assert found == [(0, 1), (-1, 0), (2, 1), (-1, 0)]


def test_what_nobody_waits_for_is_not_sung() -> None:
    """A song whose result cannot be written: its later parts are no work for anybody."""
    given, backend = [Tune(0, (5,) * 20), Tune(1, (5, 5))], Echo()
    for slot, codes in scheduler.sing(map(opener, given), backend):
        if slot.song.number == 0:
            next(codes)
        else:
            assert [list(own) for own in codes] == [list(slot.song.codes(index)) for index in range(2)]
    assert given[0].made <= 3 + 1
    assert [n_streams for n_streams, _ in backend.groups] == [3, 2]


def test_an_exception_in_progress_ends_everything() -> None:
    class Cancelled(Tune):
        def progressed(self, n_samples: int) -> None:
            raise KeyboardInterrupt

    given = [Tune(0, (5,)), Cancelled(1, (5,)), Tune(2, (5,))]
    with pytest.raises(KeyboardInterrupt):
        for _, codes in scheduler.sing(map(opener, given), Echo()):
            list(codes)


def test_a_song_is_told_when_a_part_is_made_and_how_much_is_sung() -> None:
    local: list[int] = []

    class Noted(Tune):
        def progressed(self, n_samples: int) -> None:
            local.append(n_samples)

    for _, codes in scheduler.sing([opener(Noted(0, (5, 5)))], Echo()):
        list(codes)
    assert local[:2] == [0, 0] and sum(local) == 10


def test_a_turn_by_itself_opens_its_song_once() -> None:
    opened = []
    slot = Slot(lambda: opened.append(1) or Tune(0, ()))  # type: ignore[func-returns-value]
    assert slot.song is slot.song and opened == [1]


def test_no_songs_are_no_work() -> None:
    assert list(scheduler.sing([], Echo())) == []
    assert generator.lockstep_streams(Echo()) == 3
