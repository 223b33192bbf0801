"""An F0 contour (the melody of a recording) as a text file, so that any editor may change it.

    time_seconds,f0_hz,is_voiced
    0.000,0.000,0
    0.016,220.113,1

A line is a point: its time, its pitch, and whether it is voiced (1) or not (0). What is written has a point for every
frame of the tracker; what is read may have its points anywhere, closer or further apart, as long as times rise. The
header and the third column may be missing, as in files of Sonic Visualiser: then a pitch of 0 or below is unvoiced.

A file whose name ends in .json holds the same as three lists, of which the last may be missing:

    {"time_seconds": [0.0, 0.016], "f0_hz": [0.0, 220.113], "is_voiced": [false, true]}
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from moksori import atomic, documents
from moksori.audio import pitch
from moksori.audio.pitch import PitchTrack
from moksori.errors import UserError

SUFFIX, JSON = ".f0.csv", ".json"
HEADER = "time_seconds,f0_hz,is_voiced"
LONGEST_SECONDS = 24 * 3600.0  # of a melody: a mistaken unit must not ask for all memory
_MAX_BYTES = 256 << 20
_VOICING = {"0": False, "1": True}

Point = tuple[float, float, bool]
"""Time in s, pitch in Hz (0 where unvoiced), voicing."""


def write(path: Path, track: PitchTrack) -> None:
    """Write a melody, whole or not at all; as JSON if the name ends so.

    Raises:
        UserError: the disk refused.
    """
    try:
        content = json_text(track) if path.suffix.lower() == JSON else text(track)
        atomic.write(path, content.encode())
    except OSError as error:
        raise UserError(f"{path}: the melody cannot be written ({error.strerror}); choose another place") from error


def text(track: PitchTrack) -> str:
    """A melody as the text of its file: times to the millisecond, pitches to 0.001 Hz (0.04 cents at 46.9 Hz).

    >>> print(text(PitchTrack(np.array([0.0, 220.0]), np.ones(2), np.array([False, True]), 0.016)), end="")
    time_seconds,f0_hz,is_voiced
    0.000,0.000,0
    0.016,220.000,1
    """
    points = zip(track.times_seconds, track.f0_hz, track.is_voiced, strict=True)
    return "\n".join([HEADER, *(f"{time:.3f},{f0:.3f},{int(voiced)}" for time, f0, voiced in points)]) + "\n"


def json_text(track: PitchTrack) -> str:
    """The same as JSON.

    >>> print(json_text(PitchTrack(np.array([0.0, 220.0]), np.ones(2), np.array([False, True]), 0.016)), end="")
    {"time_seconds": [0.0, 0.016], "f0_hz": [0.0, 220.0], "is_voiced": [false, true]}
    """
    columns = (np.round(track.times_seconds, 3), np.round(track.f0_hz, 3), track.is_voiced)
    return json.dumps({name: column.tolist() for name, column in zip(HEADER.split(","), columns, strict=True)}) + "\n"


def read(path: Path) -> PitchTrack:
    """Read a melody, at the tracker's frames.

    Returns:
        A track with `pitch.HOP_SECONDS` from frame to frame, from 0 to the last point. Between points pitch moves in a
        straight line on the scale of notes, and the nearer point says whether there is any; before the first point it
        is unvoiced. The confidence is 1 where it is voiced, else 0.

    Raises:
        UserError: the file cannot be read, or a line is none of the kind above; the message names the line.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path}: larger than {_MAX_BYTES >> 20} MB; a melody of a day is smaller")
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: the melody cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8; expected lines such as 0.016,220.113,1") from error
    return parse_json(content, str(path)) if path.suffix.lower() == JSON else parse(content, str(path))


def parse_json(content: str, where: str) -> PitchTrack:
    """Read a melody from its JSON; see `read`.

    >>> parse_json('{"time_seconds": [0, 0.016], "f0_hz": [220, 0]}', "here").f0_hz.round(3).tolist()
    [220.0, 0.0]
    """
    try:
        columns_by_name = documents.from_json(content)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    names = HEADER.split(",")
    if not isinstance(columns_by_name, dict) or not {*names[:2]} <= columns_by_name.keys() <= {*names}:
        keys = ", ".join(columns_by_name) if isinstance(columns_by_name, dict) else type(columns_by_name).__name__
        raise UserError(f"{where}: holds {keys[:80]}; expected lists named {', '.join(names)}, the last if you like")
    columns = list(columns_by_name.values())
    if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) > 1:
        raise UserError(f"{where}: expected lists of one length, named {', '.join(columns_by_name)}")
    rows = zip(*(columns_by_name[name] for name in names if name in columns_by_name), strict=True)
    return _at_frames(
        _points([(f"{where}, entry {number}", list(map(_cell, row))) for number, row in enumerate(rows)], where)
    )


def _cell(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def parse(content: str, where: str) -> PitchTrack:
    """Read a melody from the text of its file; see `read`.

    >>> parse("0,220\\n0.016,0\\n0.032,440\\n", "here").f0_hz.round(3).tolist()
    [220.0, 0.0, 440.0]
    """
    rows = [
        (f"{where}, line {number}", [cell.strip() for cell in line.split(",")])
        for number, line in enumerate(content.splitlines(), start=1)
        if line.strip() and not (number == 1 and _is_header(line))
    ]
    return _at_frames(_points(rows, where))


def _points(rows: list[tuple[str, list[str]]], where: str) -> list[Point]:
    """Rows, each with its place, as points whose times rise."""
    points: list[Point] = []
    for place, cells in rows:
        point = _point(cells, place)
        if points and point[0] <= points[-1][0]:
            raise UserError(f"{place}: time {point[0]:g} s does not lie after {points[-1][0]:g} s; times must rise")
        points.append(point)
    if not points:
        raise UserError(f"{where}: holds no point of a melody; expected lines such as 0.016,220.113,1")
    return points


def _is_header(line: str) -> bool:
    """Words in the place of numbers; a first line of `abc,220` is refused, since its pitch is a number."""
    return not any(_is_number(cell) for cell in line.split(","))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _point(cells: list[str], where: str) -> Point:
    """One line, or why it is none."""
    if len(cells) not in (2, 3):
        raise UserError(f"{where}: {len(cells)} columns; expected time, pitch and voicing, such as 0.016,220.113,1")
    time_seconds, f0_hz = (_number(cell, name, where) for cell, name in zip(cells, ("time", "pitch"), strict=False))
    if not 0 <= time_seconds <= LONGEST_SECONDS:
        raise UserError(f"{where}: time {cells[0]} s; expected seconds from 0 to {LONGEST_SECONDS:g}")
    if len(cells) == 3 and cells[2] not in _VOICING:
        raise UserError(f"{where}: voicing {cells[2]!r}; expected 1 for voiced or 0 for unvoiced")
    is_voiced = _VOICING[cells[2]] if len(cells) == 3 else f0_hz > 0
    if is_voiced and not pitch.LOW_HZ <= f0_hz <= pitch.HIGH_HZ:
        raise UserError(
            f"{where}: pitch {cells[1]} Hz; expected {pitch.LOW_HZ:g} to {pitch.HIGH_HZ:g} Hz, or 0 where unvoiced"
        )
    return time_seconds, f0_hz if is_voiced else 0.0, is_voiced


def _number(cell: str, name: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {name} {cell[:40]!r} is not a number; write 0.016,220.113,1 with decimal points")
    return value


def _at_frames(points: list[Point]) -> PitchTrack:
    """Points anywhere, as a track of evenly spaced frames; exactly itself where they were that already."""
    times, f0_hz, is_voiced = (np.array(column) for column in zip(*points, strict=True))
    n_frames = round(float(times[-1]) / pitch.HOP_SECONDS) + 1
    frames = np.arange(n_frames, dtype=np.float64) * pitch.HOP_SECONDS
    found = pitch.interpolated(frames, times, f0_hz, is_voiced)
    found[frames < times[0] - pitch.HOP_SECONDS / 2] = 0.0
    voiced = found > 0
    return PitchTrack(found, voiced.astype(np.float64), voiced, pitch.HOP_SECONDS)
