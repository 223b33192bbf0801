"""Songs of one call: sung side by side where that is faster, and each becomes what it becomes alone.

Those of a model that samples codes share the streams of a backend (`generation/songs/scheduler.py`); those of a model
of the source-filter kind go each on a core of its own.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TypeVar

import numpy as np

from moksori import arguments, checkpoint, ownership
from moksori.audio import files, traces
from moksori.audio.clip import Clip, Samples
from moksori.audio.files import AudioInfo, Encoding
from moksori.conversion import acoustics, analysis
from moksori.conversion.analysis import GivenMelody, Recording
from moksori.conversion.options import ConvertOptions, Report
from moksori.conversion.song import Session, Song
from moksori.data import threads
from moksori.errors import AudioFileError, UserError
from moksori.generation.songs import scheduler
from moksori.generation.songs.chunks import Codes
from moksori.generation.songs.scheduler import Opener, Slot
from moksori.progress import OnProgress, numbered, summed

R = TypeVar("R")


@dataclass(frozen=True)
class SongFile:
    """A sound file to be converted, where to, and by whom."""

    source: Path
    destination: Path
    singer: str | Mapping[str, float]
    transpose: float | str | None = None  # in place of what the options say
    melody: GivenMelody | None = None  # in the place of the one that is tracked; of the stretch, if there is one
    stretch_seconds: tuple[float, float] | None = None  # only what lies between two times, see `preview`
    is_separated: bool = False  # a voice that was taken out of a mix
    gain_db: float | None = None  # over the song's own level, in place of what the options say of loudness
    is_new: bool = False  # nothing is written over, not even what another program wrote while it was sung

    def __post_init__(self) -> None:
        """Take paths as text, too."""
        object.__setattr__(self, "source", arguments.path(self.source, "source"))
        object.__setattr__(self, "destination", arguments.path(self.destination, "destination"))
        analysis.check_melody(self.melody)


Singing = tuple[Slot[Song], Iterator[Codes]]
"""A song's slot, and the codes of its parts; see `scheduler.sing`."""

_Numbered = tuple[int, Singing]
"""The same, with the song's number among those of the call."""

Outcome = tuple[int, Report | UserError]
"""The number of a song that is done with, and its report, or why it failed."""


class Outcomes(Iterator[Outcome]):
    """What becomes of songs, one after the other; nothing is done before the first is asked for."""

    def __init__(self, outcomes: Iterator[Outcome], n_songs: int) -> None:
        self._outcomes, self._n_songs, self._has_begun = outcomes, n_songs, False

    def __next__(self) -> Outcome:
        """Work until another song is done."""
        self._has_begun = True
        with checkpoint.in_float32():
            return next(self._outcomes)

    def __del__(self) -> None:
        """Say so if nobody ever asked: then nothing was converted."""
        if not self._has_begun and self._n_songs:
            warnings.warn(
                f"none of {self._n_songs} songs was converted, since what convert_files gave was never iterated; write "
                "for number, outcome in voice.convert_files(...)",
                RuntimeWarning,
                stacklevel=2,
            )


def sing(openers: Iterable[Opener[Song]], session: Session, temperature: float) -> Iterator[Singing]:
    """Songs in order with the codes of their parts; see `scheduler.sing`."""
    if session.backend is None:
        return ((Slot(opener), iter(())) for opener in openers)
    return scheduler.sing(openers, session.backend, temperature)


def whole(slot: Slot[Song], codes: Iterator[Codes]) -> Samples:
    """A song's sound in one piece, `[T]`."""
    return np.concatenate(list(slot.song.sound(codes)))


def convert_files(
    session: Session, songs: Sequence[SongFile], options: ConvertOptions, progress: OnProgress | None
) -> Iterator[tuple[int, Report | UserError]]:
    """Sound files, side by side; see `Voice.convert_files`."""
    plans: dict[int, tuple[AudioInfo, Encoding]] = {}
    for number, song in enumerate(songs):
        try:
            plans[number] = planned(song)
        except UserError as error:
            yield number, error
    order = sorted(plans, key=lambda number: plans[number][0].seconds)
    stop = Event()

    def opener(number: int) -> Opener[Song]:
        song, rate = songs[number], plans[number][0].sample_rate
        how = options if song.transpose is None else replace(options, transpose=song.transpose)
        own = None if progress is None else numbered(progress, number)
        recording = Recording(lambda: _until(stop, _blocks_of(song, rate)), rate, plans[number][1].is_float)
        return functools.partial(Song, session, recording, song.singer, how, own, song.melody, song.gain_db)

    def outcome(numbered: _Numbered) -> tuple[int, Report | UserError]:
        number, singing = numbered
        try:
            report = _write(*singing, songs[number], *plans[number])
            report.remarks += _beside_a_voice(songs[number], singing[0].song, plans[number][0])
            return number, report
        except UserError as error:
            return number, error

    openers = [opener(number) for number in order]
    slots = zip(order, sing(openers, session, options.temperature), strict=True)
    try:
        yield from _each(outcome, slots, len(order), session, stop)
    finally:
        stop.set()  # songs that were being opened beside are of no use any more


def convert_clips(
    session: Session,
    clips: Sequence[Clip],
    singers: Sequence[str | Mapping[str, float]],
    options: Sequence[ConvertOptions],
    progress: OnProgress | None,
) -> list[Clip]:
    """Short clips, side by side; see `Voice.convert_clips`.

    Args:
        session: what to sing them with.
        clips: N sounds.
        singers: who sings each.
        options: how to convert each; of one temperature.
        progress: called with how many are done, with shares of those under way.
    """
    in_all = None if progress is None else summed(progress, len(clips))

    def opener(clip: Clip, singer: str | Mapping[str, float], how: ConvertOptions, number: int) -> Opener[Song]:
        own = None if in_all is None else numbered(in_all, number)
        recording = Recording(lambda: iter([clip.samples]), clip.sample_rate)
        return functools.partial(Song, session, recording, singer, how, own)

    openers = [opener(*job) for job in zip(clips, singers, options, range(len(clips)), strict=True)]
    order = sorted(range(len(clips)), key=lambda number: clips[number].seconds)  # as in `convert_files`
    temperature = options[0].temperature if options else 1.0
    slots = zip(order, sing([openers[number] for number in order], session, temperature), strict=True)
    sung = dict(_each(lambda slot: (slot[0], whole(*slot[1])), slots, len(order), session))
    return [Clip(sung[number], clip.sample_rate) for number, clip in enumerate(clips)]


def _each(
    work: Callable[[_Numbered], R],
    slots: Iterable[_Numbered],
    n_songs: int,
    session: Session,
    stop: Event | None = None,
) -> Iterator[R]:
    """Do the same with every song's slot, in order; where songs share no streams, each on a core of its own."""
    if session.backend is None and n_songs > 1:
        return threads.map_in_order(work, slots, workers=0, stop=stop)
    return map(work, slots)


def _beside_a_voice(song: SongFile, sung: Song, info: AudioInfo) -> list[str]:
    """What was in a song beside one dry voice, in words."""
    if sung.source_track is None or not sung.source_track.is_voiced.any():
        return []
    try:
        found = acoustics.estimate(_blocks_of(song, info.sample_rate), info.sample_rate, sung.source_track)
    except AudioFileError:
        return []  # the song is gone, or another, since it was sung: its result is there all the same
    return acoustics.remarks(found, is_separated=song.is_separated)


def _blocks_of(song: SongFile, sample_rate: int) -> Iterator[Samples]:
    """The song as mono blocks, or the stretch of it that is wanted."""
    blocks = files.read_mono_blocks(song.source)
    if song.stretch_seconds is None:
        return blocks
    start, stop = (round(seconds * sample_rate) for seconds in song.stretch_seconds)
    return files.stretch_of_blocks(blocks, start, stop)


def stretch_of(song: SongFile, info: AudioInfo) -> tuple[int, int]:
    """The samples of a song that are wanted, `[start, stop)`."""
    if song.stretch_seconds is None:
        return 0, info.n_samples
    start, stop = (min(round(seconds * info.sample_rate), info.n_samples) for seconds in song.stretch_seconds)
    return start, stop


def _until(stop: Event, blocks: Iterator[Samples]) -> Iterator[Samples]:
    """The blocks, until nobody wants them any more."""
    for block in blocks:
        if stop.is_set():
            raise CancelledError
        yield block


def planned(song: SongFile) -> tuple[AudioInfo, Encoding]:
    """What a song's file is, and how its result will be written."""
    if ownership.is_same(song.source, song.destination):
        raise UserError(f"{song.destination}: is itself the song; choose another place for what becomes of it")
    info = files.probe(song.source)
    like = files.writable_like(info)
    return info, like if song.destination.suffix.lower() == like.suffix else files.encoding_for(song.destination)


def _write(slot: Slot[Song], codes: Iterator[Codes], file: SongFile, info: AudioInfo, encoding: Encoding) -> Report:
    """Write what becomes of a song; it appears under its name when it is complete."""
    song, rate, before = slot.song, info.sample_rate, _stamp(info.path)
    down = files.mixdown(info.path)
    with files.Writer(file.destination, rate, info.n_channels, encoding, song.credit, is_new=file.is_new) as writer:
        for block in song.sound(codes):
            writer.write(np.repeat(block[:, None], info.n_channels, axis=1))
        if _stamp(info.path) != before:
            raise AudioFileError(f"{info.path}: was replaced while it was converted; convert it again")
    song.report.n_clipped += writer.n_clipped
    song.report.note = encoding.note
    clipped = [traces.FLAT] if down.is_clipped else []  # in one channel, which their mean hides
    song.report.remarks = list(dict.fromkeys([*info.remarks, *down.remarks, *clipped, *song.report.remarks]))
    return song.report


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes when another file takes the name, or it is written again; None where it is gone, as it may be."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
