"""Melodies of `moksori convert` as files: the one that is given, and the places of those that are heard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from moksori.cli import console
from moksori.errors import UserError

if TYPE_CHECKING:
    from moksori.conversion import ConvertOptions, Voice
    from moksori.conversion.analysis import GivenMelody


def given(melody: Path | None, melody_out: Path | None, sources: list[Path]) -> GivenMelody | None:
    """The melody of a file, which is of one song alone."""
    from moksori.audio import f0_file, score

    if melody is None:
        return None
    if melody_out is not None:
        raise UserError("--melody gives a melody, --melody-out asks for the one that is heard; leave one of them out")
    if len(set(sources)) > 1:
        raise UserError(
            f"{melody}: is the melody of one song, and there are {len(set(sources))}; convert that one alone"
        )
    return score.read(melody) if melody.suffix.lower() in score.SUFFIXES else f0_file.read(melody)


def places_of(
    output: Path, sources: list[Path], used: list[Path], force: bool, *, is_left: bool
) -> tuple[dict[Path, Path], dict[Path, UserError]]:
    """Where the melody of each song goes: to a file, or into a folder; and why that of some cannot be written.

    What lies at one of the places `used` is never written over; what is there already may be left as it is.
    """
    from moksori.audio import f0_file

    songs = list(dict.fromkeys(sources))
    is_file = len(songs) == 1 and not os.path.isdir(output) and bool(output.suffix)
    wanted: dict[Path, Path] = {}
    refused: dict[Path, UserError] = {}
    for song in songs:
        place = output if is_file else output / f"{song.name}{f0_file.SUFFIX}"
        try:
            if place in wanted.values():
                raise UserError(
                    f"{place}: two songs of one name would leave their melodies here; convert them in two calls"
                )
            if not (is_left and place.is_file()):
                console.refuse_to_overwrite(place, force, used)
                console.make_folder(place.parent)
                wanted[song] = place
        except UserError as error:
            refused[song] = error
    return wanted, refused


def write_tracked(places: dict[Path, Path], voice: Voice, options: ConvertOptions) -> None:
    """Write the tracked melody of each song, before it is sung; one that cannot be read is left to the conversion."""
    from moksori.audio import f0_file
    from moksori.errors import AudioFileError

    for song, place in places.items():
        try:
            track = voice.melody_of(song, options)
        except AudioFileError:
            continue
        f0_file.write(place, track)
        console.say(f"melody: {place}")
