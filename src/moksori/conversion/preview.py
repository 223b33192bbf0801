"""A preview: the loudest seconds of a song, converted where the whole of it would be sung.

The pitch of the whole song decides how far it is moved, so a preview is in the key of the result. Its loudness and the
mean shape of its envelopes are those of the seconds alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from moksori.audio import files, level, pitch, score
from moksori.audio.pitch import PitchRange, PitchTrack, Tracker
from moksori.audio.score import Score
from moksori.conversion import analysis
from moksori.conversion.analysis import GivenMelody, Recording
from moksori.conversion.many import SongFile
from moksori.conversion.options import ConvertOptions


@dataclass(frozen=True)
class Loudest:
    """Where a song is loudest."""

    start_seconds: float
    seconds: float  # less than was asked for, if the song is shorter
    track: PitchTrack | None  # of the whole song, where somebody asked


def loudest(path: Path, seconds: float, tracker: Tracker | None, *, repairs_octaves: bool = False) -> Loudest:
    """Find the stretch of a song with the highest mean power, in bounded memory.

    Args:
        path: the song.
        seconds: how long a stretch.
        tracker: hears the pitch of the whole song, if it is wanted.
        repairs_octaves: see `audio.octaves`.

    Raises:
        AudioFileError: the song cannot be read.
    """
    info = files.probe(path)
    recording = Recording(lambda: files.read_mono_blocks(path), info.sample_rate)
    analysed = analysis.analyse(recording, tracker, 0.0, repairs_octaves=repairs_octaves)
    measured = analysed.measured
    frame_seconds = measured.hop_samples / measured.sample_rate
    start = level.loudest_stretch(measured.frame_dbfs, max(1, round(seconds / frame_seconds))) * frame_seconds
    return Loudest(start, min(seconds, info.seconds - start), analysed.track)


def part_of(song: SongFile, found: Loudest, singer: PitchRange | None, options: ConvertOptions) -> SongFile:
    """The loudest seconds of a song as something to convert, moved as far as the whole.

    Args:
        song: the whole.
        found: see `loudest`; without a track, or where the song says so itself, nothing is said of how far it is moved.
        singer: where its singer sang in training, if that is known.
        options: how the whole would be converted.
    """
    transpose = song.transpose
    track = song.melody if isinstance(song.melody, PitchTrack) else found.track
    if track is not None and isinstance(song.melody, Score):
        track, _ = score.tuned(track, song.melody)
    if track is not None and transpose is None:
        transpose = analysis.transpose_semitones(track, singer, options)
    given: GivenMelody | None = None
    if isinstance(song.melody, Score):
        given = song.melody.excerpt(found.start_seconds, found.seconds)
    elif song.melody is not None:
        given = pitch.excerpt(song.melody, found.start_seconds, found.seconds)
    stretch = (found.start_seconds, found.start_seconds + found.seconds)
    return replace(song, transpose=transpose, melody=given, stretch_seconds=stretch)
