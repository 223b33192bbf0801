"""Notes of a melody that somebody wrote (MIDI), and a sung pitch brought onto them: what is out of tune is corrected.

    score    ____60____|____62____
    sung     ~~~59.7~~~~/~~62.4~~~      vibrato and glides
    tuned    ~~~60.0~~~~/~~62.0~~~      the same, each note moved as a whole

Where there is voice is the song's own business: a note says how high, not which consonants are unvoiced.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from moksori.audio import pitch
from moksori.audio.f0_file import LONGEST_SECONDS
from moksori.audio.pitch import PitchTrack
from moksori.errors import UserError

SUFFIXES = (".mid", ".midi")
_MAX_BYTES = 16 << 20
_DRUMS = 9  # channel, from 0
_TEMPO = 500_000  # microseconds a beat, until a file says otherwise
_MELODY = re.compile("melod|vocal|voice|lead|sing|보컬|멜로디|노래", re.IGNORECASE)  # names of the track that is meant
_EDGE_SECONDS = 0.03  # at both ends of a note: the glides from and to its neighbours
_FAR_SEMITONES = 1.5  # from what is sung; further off, a note is hardly a correction


@dataclass(frozen=True)
class Note:
    """One note."""

    start_seconds: float
    stop_seconds: float
    midi: float  # 69 is 440 Hz


@dataclass(frozen=True)
class Score:
    """Notes in order, none of them within another's time."""

    notes: tuple[Note, ...]

    @property
    def seconds(self) -> float:
        """Where the last note ends."""
        return self.notes[-1].stop_seconds if self.notes else 0.0

    def excerpt(self, start_seconds: float, seconds: float) -> Score:
        """What of it lies within a stretch, in time from there on."""
        stop_seconds = start_seconds + seconds
        inside = [
            note for note in self.notes if note.stop_seconds > start_seconds and note.start_seconds < stop_seconds
        ]
        return Score(
            tuple(
                Note(max(0.0, note.start_seconds - start_seconds), note.stop_seconds - start_seconds, note.midi)
                for note in inside
            )
        )


def tuned(track: PitchTrack, score: Score) -> tuple[PitchTrack, float]:
    """A sung pitch, moved note by note onto a score.

    Args:
        track: what is sung.
        score: what was meant. Whole octaves between the two do not count: a man's and a woman's tune are one.

    Returns:
        The track with the same voicing; and the share of its voiced frames that lay further than 1.5 semitones from
        their note, 0..1: near 1, the score is of another song, or begins at another time. Where no note is sung, the
        track itself and 1.
    """
    times, midi = track.times_seconds, 69.0 + 12.0 * np.log2(np.where(track.is_voiced, track.f0_hz, 440.0) / 440.0)
    points, n_sung, n_far = list[tuple[float, float, float]](), 0, 0
    octaves = _octaves_between(track, midi, score)
    for note in score.notes:
        edge = min(_EDGE_SECONDS, (note.stop_seconds - note.start_seconds) / 4.0)
        first, last = note.start_seconds + edge, note.stop_seconds - edge
        sung = midi[(times >= first) & (times <= last) & track.is_voiced]
        if not len(sung):
            continue
        offset = note.midi + octaves - float(np.median(sung))
        points.append((first, last, offset))
        n_sung, n_far = n_sung + len(sung), n_far + (len(sung) if abs(offset) > _FAR_SEMITONES else 0)
    if not points:
        return track, 1.0
    places = [place for first, last, _ in points for place in (first, last)]
    offsets = np.interp(times, places, [offset for _, _, offset in points for _ in range(2)])
    f0_hz = np.where(track.is_voiced, np.clip(track.f0_hz * 2.0 ** (offsets / 12.0), pitch.LOW_HZ, pitch.HIGH_HZ), 0.0)
    return replace(track, f0_hz=f0_hz), n_far / n_sung


def _octaves_between(track: PitchTrack, midi: Any, score: Score) -> float:
    """Semitones, a multiple of 12, by which the score is to be moved to where it is sung."""
    away = [
        float(np.median(inside)) - note.midi
        for note in score.notes
        if len(
            inside := midi[
                (track.times_seconds >= note.start_seconds)
                & (track.times_seconds < note.stop_seconds)
                & track.is_voiced
            ]
        )
    ]
    return 12.0 * round(float(np.median(away)) / 12.0) if away else 0.0


def read(path: Path) -> Score:
    """Read a melody from a MIDI file, by mido.

    Of notes at one time the last begun counts, of those begun together the highest. Bends are not read: what a voice
    does around a note is sung already. Channel 10, drums, is left out.

    Raises:
        UserError: mido is not installed, the file cannot be read, has no notes, or has notes in several tracks of which
            none is named as the melody.
    """
    try:
        import mido
    except ImportError as error:
        raise UserError(f"{path}: MIDI needs mido; pip install 'moksori[midi]'") from error
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path}: larger than {_MAX_BYTES >> 20} MB; a melody is smaller")
        # Not the file itself: mido asks it for as many bytes as a header claims, and memory for them is taken first.
        file = mido.MidiFile(file=io.BytesIO(path.read_bytes()))
    except OSError as error:  # mido's own refusals are of this kind, too
        raise UserError(f"{path}: cannot be read as MIDI ({error.strerror or error})") from error
    except (EOFError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: not a MIDI file, or a damaged one ({error})") from error
    if file.ticks_per_beat <= 0:  # mido reads the two kinds of clock as one signed number
        raise UserError(f"{path}: counts time in frames of film; expected beats, so export it anew")
    seconds_at = _clock(file)
    tracks = [(str(track.name), found) for track in file.tracks if (found := _notes(track, seconds_at))]
    named = [(name, found) for name, found in tracks if _MELODY.search(name)]
    if len(tracks) > 1 and len(named) != 1:
        names = ", ".join(repr(name) for name, _ in tracks)
        raise UserError(
            f"{path}: notes in {len(tracks)} tracks, {names}; leave only the melody, or name its track melody"
        )
    if not tracks:
        raise UserError(f"{path}: no note in it; expected a melody")
    score = Score(tuple((named or tracks)[0][1]))
    if score.seconds > LONGEST_SECONDS:
        raise UserError(f"{path}: lasts {score.seconds:.0f} s; a melody of a day is shorter")
    return score


def _clock(file: Any) -> Any:
    """Tells the second of a tick, whatever changes of tempo there are, in any track."""
    changes = [(0, _TEMPO)]
    for track in file.tracks:
        ticks = 0
        for message in track:
            ticks += message.time
            if message.type == "set_tempo":
                changes.append((ticks, message.tempo))
    changes.sort(key=lambda change: change[0])
    places, tempos = np.array([place for place, _ in changes]), np.array([tempo for _, tempo in changes])
    a_tick = tempos / 1e6 / file.ticks_per_beat  # s
    starts = np.concatenate([[0.0], np.cumsum(np.diff(places) * a_tick[:-1])])

    def seconds_at(ticks: int) -> float:
        number = int(np.searchsorted(places, ticks, side="right")) - 1
        return float(starts[number] + (ticks - places[number]) * a_tick[number])

    return seconds_at


def _notes(track: Any, seconds_at: Any) -> list[Note]:
    """The notes of a track, one at a time."""
    begun: dict[tuple[int, int], int] = {}
    found, ticks = list[tuple[int, int, int]](), 0  # begin, number, end
    for message in track:
        ticks += message.time
        if message.type not in ("note_on", "note_off") or message.channel == _DRUMS:
            continue
        key = (message.channel, message.note)
        if key in begun:
            found.append((begun.pop(key), message.note, ticks))
        if message.type == "note_on" and message.velocity:
            begun[key] = ticks
    found += [(start, note, ticks) for (_, note), start in begun.items()]
    found.sort()  # of those begun together the highest is the last
    notes = []
    for number, (start, midi, stop) in enumerate(found):
        later = found[number + 1][0] if number + 1 < len(found) else stop
        end = min(stop, later)
        if end > start:
            notes.append(Note(seconds_at(start), seconds_at(end), float(midi)))
    return notes
