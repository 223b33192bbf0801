"""A song with its backing: the voice is taken out, converted, and put back where it was.

song --> voice --> converted --level and place of the voice--(+)--> song in another voice
   '---> backing, untouched -----------------------------------'
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from moksori.audio import f0_file, files, level
from moksori.audio.clip import Samples
from moksori.audio.files import AudioInfo
from moksori.audio.level import LevelMeter
from moksori.conversion import many, separation
from moksori.conversion import song as single
from moksori.conversion.many import SongFile
from moksori.conversion.options import ConvertOptions, Report
from moksori.errors import UserError
from moksori.progress import OnProgress, Progress, ignored, numbered, part

if TYPE_CHECKING:
    from moksori.conversion.voice import Voice
    from moksori.models.separator import Separator

MOST_GAIN_DB = 24.0
STEMS = ("voice", "backing", "sung")
_APART = 0.5  # of the work


@dataclass(frozen=True)
class Mixing:
    """How a song is taken apart and put together."""

    separator: str = "spleeter"  # or the name of a program
    gain_db: float = 0.0  # of the new voice, over the level that the old one had
    stems: Path | None = None  # folder for voice, backing and what is sung
    preview_seconds: float | None = None  # only the loudest of the voice, see `preview`
    melodies: Mapping[Path, Path] = field(default_factory=dict)  # song -> where the melody that is heard goes

    def __post_init__(self) -> None:
        if self.separator not in separation.PROGRAMS:
            raise UserError(f"unknown separator {self.separator!r}; expected {' or '.join(separation.PROGRAMS)}")
        if not abs(self.gain_db) <= MOST_GAIN_DB:
            raise UserError(f"a gain of {self.gain_db:g} dB; expected {-MOST_GAIN_DB:g} to {MOST_GAIN_DB:g}")

    def check(self) -> None:
        """Refuse nets that have not been fetched; see `separation.load`."""
        if self.separator == separation.PROGRAMS[0]:
            separation.check(separation.weights_file())

    def loaded(self) -> Separator | str:
        """The nets, or the program's name; missing nets are an error before any work."""
        return separation.load() if self.separator == separation.PROGRAMS[0] else self.separator


@dataclass
class _Measured:
    """A stem's level, as a whole and by channel."""

    sung_dbfs: float
    channels: npt.NDArray[np.float64] = field(default_factory=lambda: np.ones(1))  # [channels], beside their mean


def convert_files(
    voice: Voice, songs: Sequence[SongFile], options: ConvertOptions, mixing: Mixing, progress: OnProgress | None = None
) -> Iterator[tuple[int, Report | UserError]]:
    """Convert the voices of mixes, one after the other; rate, channels, length and format stay as they are.

    A mix that several shall sing is taken apart once.

    Args:
        voice: who sings.
        songs: N mixes, and where the results go.
        options: as for a voice alone.
        mixing: how they are taken apart and put together.
        progress: called with how far each is, by its number.

    Yields:
        The number of a song that is done with, and its report, or why it failed.

    Raises:
        UserError: the separator is not there.
    """
    separator, tell = mixing.loaded(), progress or ignored
    of_source: dict[Path, list[int]] = {}
    for number, song in enumerate(songs):
        of_source.setdefault(song.source, []).append(number)
    for source, numbers in of_source.items():
        tells = [numbered(tell, number) for number in numbers]
        with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
            places = {name: Path(scratch) / f"{name}.wav" for name in STEMS}
            failure: UserError | None = None
            try:
                _take_apart(source, places, separator, tells)
                if source in mixing.melodies:
                    f0_file.write(mixing.melodies[source], voice.melody_of(places["voice"], options))
            except UserError as error:
                failure = error
            for number, own in zip(numbers, tells, strict=True):
                try:
                    if failure is not None:
                        raise failure
                    yield number, _converted(voice, songs[number], places, options, mixing, part(own, _APART, 1.0))
                except UserError as error:
                    yield number, error


def convert_file(voice: Voice, song: SongFile, options: ConvertOptions, mixing: Mixing) -> Report:
    """Convert the voice of one mix; see `convert_files`.

    Raises:
        AudioFileError: the song cannot be read, or the result cannot be written.
        UserError: as `Voice.convert_file`; or the separator is not there.
    """
    ((_, outcome),) = convert_files(voice, [song], options, mixing)
    if isinstance(outcome, UserError):
        raise outcome
    return outcome


def _take_apart(
    source: Path, places: Mapping[str, Path], separator: Separator | str, tells: Sequence[OnProgress]
) -> None:
    """Write voice and backing of a mix, with the progress of everybody who waits for them."""

    def forwarded(progress: Progress) -> None:
        for tell in tells:
            part(tell, 0.0, _APART)(progress)

    separation.stems(source, places["voice"], places["backing"], separator, progress=forwarded)


def _converted(
    voice: Voice,
    song: SongFile,
    places: Mapping[str, Path],
    options: ConvertOptions,
    mixing: Mixing,
    progress: OnProgress,
) -> Report:
    """Convert the voice of a mix that was taken apart, and put it back."""
    info, encoding = many.planned(song)
    alone = replace(song, source=places["voice"], destination=places["sung"], is_separated=True, is_new=False)
    if mixing.preview_seconds is not None:
        alone = voice.part_of(alone, voice.loudest(alone.source, mixing.preview_seconds, options), options)
    ((_, report),) = voice.convert_files([alone], options=options, progress=progress)
    if isinstance(report, UserError):
        raise report
    start, stop = many.stretch_of(alone, info)
    before, after = (
        _measured(_stretch(places["voice"], start, stop), info),
        _measured(files.blocks(alone.destination), info),
    )
    is_sung = min(before.sung_dbfs, after.sung_dbfs) > level.FLOOR_DBFS
    gain_db = mixing.gain_db + (before.sung_dbfs - after.sung_dbfs if is_sung else 0.0)
    credit = single.credit(song.singer, voice.provenance, voice.fingerprint)
    with files.Writer(
        song.destination, info.sample_rate, info.n_channels, encoding, credit, is_new=song.is_new
    ) as writer:
        for block in _together(_stretch(places["backing"], start, stop), alone.destination, gain_db, before.channels):
            writer.write(block)
    if mixing.stems is not None:
        for name, place in places.items():
            kept = files.blocks(place) if name == "sung" else _stretch(place, start, stop)
            _keep(kept, stem_file(mixing.stems, song.destination, name), files.probe(place))
    nothing = [] if is_sung else ["no voice was found in the mix; what is written is the backing"]
    if is_sung and report.transpose_semitones % 12:
        report.remarks.append("the backing stays in its key, which the voice leaves: moved by whole octaves, it fits")
    report.remarks = [*info.remarks, *(nothing or report.remarks)]
    report.n_clipped, report.note = writer.n_clipped, encoding.note
    return report


def _stretch(place: Path, start: int, stop: int) -> Iterator[Samples]:
    return files.stretch_of_blocks(files.blocks(place), start, stop)


def _together(
    backing: Iterator[Samples], sung: Path, gain_db: float, channels: npt.NDArray[np.float64]
) -> Iterator[Samples]:
    """Backing and voice, `[n, channels]`: the voice in each channel as loud as it was there, beside the others."""
    factors = (level.db_to_amplitude(gain_db) * channels).astype(np.float32)
    rest = separation.BlockReader(backing)
    for own in files.blocks(sung):
        yield rest.read(len(own)) + own.mean(axis=1, keepdims=True) * factors


def _measured(blocks: Iterator[Samples], info: AudioInfo) -> _Measured:
    meter, squares = LevelMeter(info.sample_rate), np.zeros(info.n_channels)
    whole = 0.0
    for block in blocks:
        mono = block.mean(axis=1)
        meter.push(mono)
        squares += np.square(block, dtype=np.float64).sum(axis=0)
        whole += float(np.square(mono, dtype=np.float64).sum())
    channels = np.sqrt(squares / whole) if whole else np.ones(info.n_channels)
    # A voice that was wide has less in its mean than in its channels: together they shall not be louder than they were.
    return _Measured(level.sung_level_dbfs(meter.result().frame_dbfs), np.minimum(channels, 2.0))


def stem_file(folder: Path, destination: Path, name: str) -> Path:
    """Where a stem of a song is kept, `name` being one of `STEMS`."""
    return folder / f"{destination.stem}.{name}.wav"


def _keep(blocks: Iterator[Samples], place: Path, info: AudioInfo) -> None:
    """A stem as WAV of floats; voice and backing add up to the song."""
    with files.Writer(place, info.sample_rate, info.n_channels, files.writable_like(info)) as writer:
        for block in blocks:
            writer.write(block)
