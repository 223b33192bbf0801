"""A song with its backing: the voice is taken out, converted, and put back where it was.

song --> voice --> converted --level and place of the voice--(+)--> song in another voice
   '---> backing, untouched -----------------------------------'
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from moksori.audio import files, level, pitch, polyphony, reverberation
from moksori.audio.clip import Samples
from moksori.audio.level import LevelMeter
from moksori.audio.pitch import PitchTracker
from moksori.conversion import many, separation
from moksori.conversion.many import SongFile
from moksori.conversion.options import ConvertOptions, Report
from moksori.errors import UserError
from moksori.progress import OnProgress, ignored, numbered, part

if TYPE_CHECKING:
    from moksori.conversion.voice import Voice
    from moksori.models.separator import Separator

MOST_GAIN_DB = 24.0
STEMS = ("voice", "backing", "sung")
_SOUGHT_SECONDS = 120.0  # of the voice that is looked at for other voices and a room
_CHECK_HOP_SECONDS = 0.04
_MANY_SHARE = 0.25  # of the frames with a second pitch, from which on it is said
_REVERB_SECONDS = 0.9
_SEPARATION_SHARE = 0.5  # of the work


@dataclass(frozen=True)
class Mixing:
    """How a song is taken apart and put together."""

    separator: str = "spleeter"  # or the name of a program
    gain_db: float = 0.0  # of the new voice, over the level that the old one had
    stems: Path | None = None  # folder for voice, backing and what is sung

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
        """The nets, or the program's name; nets that are not there are told before any work."""
        return separation.load() if self.separator == separation.PROGRAMS[0] else self.separator


@dataclass
class _Measured:
    """A stem's level, as a whole and by channel."""

    sung_dbfs: float
    channels: npt.NDArray[np.float64] = field(default_factory=lambda: np.ones(1))  # [channels], beside their mean


def convert_file(
    voice: Voice,
    song: SongFile,
    options: ConvertOptions,
    mixing: Mixing,
    separator: Separator | str,
    progress: OnProgress | None = None,
) -> Report:
    """Convert the voice of a song in its mix; rate, channels, length and format stay as they are.

    Args:
        voice: who sings.
        song: the mix, and where the result goes.
        options: as for a voice alone.
        mixing: how it is put together.
        separator: see `Mixing.loaded`.
        progress: told how far it is.

    Raises:
        AudioFileError: the song cannot be read, or the result cannot be written.
        UserError: as `Voice.convert_file`; or a stem is there already.
    """
    info, encoding = many.planned(song)
    start, stop = 0, info.n_samples
    if song.stretch_seconds is not None:
        start, stop = (min(round(seconds * info.sample_rate), info.n_samples) for seconds in song.stretch_seconds)
    tell = progress or ignored
    with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
        places = {name: Path(scratch) / f"{name}.wav" for name in STEMS}
        separation.stems(
            song.source,
            places["voice"],
            places["backing"],
            separator,
            (start, stop),
            part(tell, 0.0, _SEPARATION_SHARE),
        )
        alone = replace(song, source=places["voice"], destination=places["sung"], stretch_seconds=None)
        report = voice.convert_file(
            alone.source,
            alone.destination,
            singer=song.singer,
            options=options if song.transpose is None else replace(options, transpose=song.transpose),
            progress=part(tell, _SEPARATION_SHARE, 1.0),
            melody=song.melody,
        )
        before, after = _measured(places["voice"]), _measured(places["sung"])
        is_sung = min(before.sung_dbfs, after.sung_dbfs) > level.FLOOR_DBFS
        gain_db = mixing.gain_db + (before.sung_dbfs - after.sung_dbfs if is_sung else 0.0)
        with files.Writer(song.destination, info.sample_rate, info.n_channels, encoding) as writer:
            for block in _together(places["backing"], places["sung"], gain_db, before.channels):
                writer.write(block)
        if mixing.stems is not None:
            _keep(places, mixing.stems, song.destination)
        report.remarks = [*info.remarks, *_remarks(places["voice"], is_sung), *report.remarks]
        report.n_clipped, report.note = writer.n_clipped, encoding.note
        return report


def _together(backing: Path, sung: Path, gain_db: float, channels: npt.NDArray[np.float64]) -> Iterator[Samples]:
    """Backing and voice, `[n, channels]`: the voice in each channel as loud as it was there, beside the others."""
    factors = (level.db_to_amplitude(gain_db) * channels).astype(np.float32)
    for rest, own in zip(files.blocks(backing), files.blocks(sung), strict=True):
        yield rest + own.mean(axis=1, keepdims=True) * factors


def _measured(path: Path) -> _Measured:
    info = files.probe(path)
    meter, squares = LevelMeter(info.sample_rate), np.zeros(info.n_channels)
    whole = 0.0
    for block in files.blocks(path):
        mono = block.mean(axis=1)
        meter.push(mono)
        squares += np.square(block, dtype=np.float64).sum(axis=0)
        whole += float(np.square(mono, dtype=np.float64).sum())
    channels = np.sqrt(squares / whole) if whole else np.ones(info.n_channels)
    # A voice that was wide has less in its mean than in its channels: together they shall not be louder than they were.
    return _Measured(level.sung_level_dbfs(meter.result().frame_dbfs), np.minimum(channels, 2.0))


def convert_files(
    voice: Voice, songs: Sequence[SongFile], options: ConvertOptions, mixing: Mixing, progress: OnProgress | None
) -> Iterator[tuple[int, Report | UserError]]:
    """Convert the voices of several mixes, one after the other; see `convert_file` and `Voice.convert_files`.

    Raises:
        UserError: the separator is not there.
    """
    separator = mixing.loaded()
    for number, song in enumerate(songs):
        told = None if progress is None else numbered(progress, number)
        try:
            yield number, convert_file(voice, song, options, mixing, separator, told)
        except UserError as error:
            yield number, error


def stem_file(folder: Path, destination: Path, name: str) -> Path:
    """Where a stem of a song is kept, `name` being one of `STEMS`."""
    return folder / f"{destination.stem}.{name}.wav"


def _keep(places: dict[str, Path], folder: Path, destination: Path) -> None:
    """Stems as WAV of floats, which add up to the song, beside what is sung."""
    for name, place in places.items():
        info = files.probe(place)
        with files.Writer(
            stem_file(folder, destination, name), info.sample_rate, info.n_channels, files.writable_like(info)
        ) as writer:
            for block in files.blocks(place):
                writer.write(block)


def _remarks(voice: Path, is_sung: bool) -> list[str]:
    """What is unusual about a separated voice."""
    if not is_sung:
        return ["no voice was found in the mix; what is written is the backing"]
    clip = files.read_stretch(voice, 0.0, _SOUGHT_SECONDS)
    found = []
    track = PitchTracker().track(clip)
    hop = round(_CHECK_HOP_SECONDS * clip.sample_rate)
    n_frames = clip.n_samples // hop + 1

    f0_hz = pitch.at_times(track, np.arange(n_frames, dtype=np.float64) * (hop / clip.sample_rate))
    share = polyphony.second_pitch_share(clip.samples, f0_hz, hop, clip.sample_rate)
    if share > _MANY_SHARE:
        found.append(
            f"a second pitch is heard in {share:.0%} of the singing: several voices at once, or instruments that "
            "were left in; only one of them can be followed"
        )
    seconds = reverberation.decay_seconds(clip.samples, clip.sample_rate)
    if seconds is not None and seconds > _REVERB_SECONDS:
        found.append(
            f"the voice is in a room that takes {seconds:.1f} s to fall silent: its tails are sung, too, or stay in "
            "the backing"
        )
    return found
