"""Which songs become which files: a result for each song and voice, and what stands in a result's way."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from moksori import atomic, ownership
from moksori.cli import console
from moksori.errors import AudioFileError, UserError

_SLACK_SECONDS = 0.1  # by which a lossy result may be shorter than its song


class Job(NamedTuple):
    """A song, the place of its result, and who sings it."""

    source: Path
    destination: Path
    shares: Mapping[str, float]  # of singers; one alone, or a mix


def planned(
    songs: list[Path], output: Path | None, voices: Sequence[Mapping[str, float]], *, is_preview: bool = False
) -> list[Job]:
    """The jobs of a call, voice by voice.

    Args:
        songs: files, or folders, which are searched through.
        output: a file for one song in one voice, a folder for several; beside the songs where None.
        voices: who shall sing each song.
        is_preview: names say that a result is of a part alone.

    Raises:
        UserError: one file cannot take the results, or there is no song in a folder.
    """
    if len(voices) > 1 and output is not None and not os.path.isdir(output) and output.suffix:
        raise UserError(f"{output}: one file cannot take the songs of {len(voices)} singers; give a folder with -o")
    found = []
    for shares in voices:
        name = f"{label(shares)}.preview" if is_preview else label(shares)
        found += [Job(*files, shares) for files in files_of(songs, output, name, is_single=len(voices) == 1)]
    return found


def label(shares: Mapping[str, float]) -> str:
    """How the voice is called in a file's name; never a path."""
    return console.file_label(
        "+".join(name if len(shares) == 1 else f"{name}{share:g}" for name, share in shares.items())
    )


def files_of(songs: list[Path], output: Path | None, label: str, *, is_single: bool) -> Iterator[tuple[Path, Path]]:
    """Pairs of source and destination; a folder is searched through, and its tree is kept."""
    from moksori.audio import files

    is_single = is_single and len(songs) == 1 and not os.path.isdir(songs[0])
    for song in songs:
        if os.path.isdir(song):
            named = song if song.name not in ("", "..") else song.resolve()  # `.` and `..` have names, too
            target = output or named.parent / f"{named.name}.{label}"
            below, closed = _below(song)
            found = [path for path in below if files.is_candidate(path) and not path.is_dir()]
            found = [path for path in found if not _is_no_song(path, song, target, label)]
            yield from ((path, result_name(target / path.relative_to(song), label)) for path in closed)
            if closed and not found:
                continue
            if not found and len(songs) > 1:  # the others go on
                yield song, result_name(target / song.name, label)
                continue
            if not found:
                known = ", ".join(sorted(files.SUFFIXES))
                raise UserError(f"{song}: no sound file in this folder; known suffixes are {known}")
            yield from ((path, result_name(target / path.relative_to(song), label)) for path in found)
        elif is_single and output is not None and not os.path.isdir(output):
            yield song, output
        else:
            yield song, result_name((output or song.parent) / song.name, label)


def _below(folder: Path) -> tuple[list[Path], list[Path]]:
    """What lies in a folder, at any depth; and folders of it that may not be listed, of which the reader will tell."""
    closed: list[Path] = []

    def refused(error: OSError) -> None:
        closed.append(Path(error.filename))

    walked = os.walk(folder, onerror=refused)
    found = [Path(above, name) for above, folders, names in walked for name in [*folders, *names]]
    return sorted(found), sorted(closed)


_NOT_SONGS = ("run.json", "manifest.json", "report.json")  # files that tell a folder of a run, of data, of a report


def _is_no_song(path: Path, folder: Path, target: Path, label: str) -> bool:
    """Whether a sound file is a result of an earlier call, or lies in a folder that this program made."""
    above = [parent for parent in path.parents if parent != folder and folder in parent.parents]
    is_ours = any((parent / name).is_file() for parent in above for name in _NOT_SONGS)
    label = label.removesuffix(".preview")
    is_result = path.stem.endswith((f".{label}", f".{label}.preview")) or any(
        parent.name.endswith(f".{label}") for parent in above
    )
    return is_ours or is_result or target in path.parents


def result_name(path: Path, label: str) -> Path:
    """`song.mp3` -> `song.kumi.mp3`; formats that are only read become FLAC."""
    from moksori.audio import files

    suffix = path.suffix if files.is_writable(path) else ".flac"
    end = f".{label}{suffix}"
    stem = os.fsencode(path.stem)[: max(1, atomic.LONGEST_NAME - len(os.fsencode(end)))]
    # A letter that was cut through is left out, in so far as the name is text at all.
    whole = (
        stem.decode(errors="ignore")
        if os.fsencode(path.stem).decode(errors="ignore") == path.stem
        else os.fsdecode(stem)
    )
    return path.with_name(f"{whole}{end}")


class Clash(UserError):
    """A result that cannot be written to its place, because of what is there or will be."""

    def __init__(self, message: str, *, is_there: bool = False) -> None:
        super().__init__(message)
        self.is_there = is_there  # only: a result of that name exists


def clashes(jobs: Sequence[Job], force: bool, *, skips: bool = False, is_preview: bool = False) -> dict[int, Clash]:
    """Of which jobs, by number, the result would take the place of something; the others can be done.

    Args:
        jobs: N songs and the places of their results.
        force: what is there is replaced.
        skips: results that are there are left out; `force` is then for those alone that are not whole.
        is_preview: results are shorter than their songs.
    """
    sources = {os.path.realpath(source) for source, *_ in jobs}
    seen: set[str] = set()
    found: dict[int, Clash] = {}
    for number, (source, destination, _) in enumerate(jobs):
        real = os.path.realpath(destination)
        name = _folded(real)
        if real in sources or ownership.is_same(source, destination):
            found[number] = Clash(f"{destination}: is itself a song to convert; choose another place with -o")
        elif name in seen:
            found[number] = Clash(f"{destination}: two songs would be written here; convert them in two calls, with -o")
        elif skips and os.path.isfile(destination):
            reason = _unfinished(source, destination, is_preview=is_preview)
            if not reason:
                found[number] = Clash(f"{destination}: is there already", is_there=True)
            elif not force and os.path.getsize(destination):
                found[number] = Clash(
                    f"{destination}: {reason}, so it is no result that is done; remove it, or add --force, which with "
                    "--skip-existing replaces such files alone"
                )
        elif os.path.lexists(destination) and not force:
            found[number] = Clash(
                f"{destination}: exists already; use --force to overwrite it, --skip-existing to leave out what is "
                "there, or -o for another place"
            )
        seen.add(name)
    return found


def _unfinished(source: Path, destination: Path, *, is_preview: bool) -> str:
    """Why a file is not the whole result of a song, as it lies there; "" if it is, as far as anybody can tell."""
    from moksori.audio import files

    try:
        result = files.probe(destination)
    except AudioFileError:
        return "cannot be read as sound" if os.path.getsize(destination) else "is empty (0 bytes)"
    try:
        song = files.probe(source)
    except AudioFileError:
        return ""
    if is_preview or result.seconds > song.seconds - _SLACK_SECONDS:
        return ""
    return f"ends after {result.seconds:.1f} s, where its song has {song.seconds:.1f} s"


def _folded(path: str) -> str:
    """A path as its file system compares it: where that folds case, in one case and one form of Unicode."""
    there = next(folder for folder in Path(path).parents if os.path.lexists(folder))
    swapped = there.with_name(there.name.swapcase()) if there.name else there
    folds = swapped != there and ownership.is_same(there, swapped)
    return unicodedata.normalize("NFC", path).casefold() if folds else path


def without(jobs: list[Job], clashing: dict[int, Clash], done: list[int]) -> tuple[list[Job], dict[int, Clash]]:
    """Jobs, and what stands in their way, without those that are done."""
    left = [number for number in range(len(jobs)) if number not in done]
    return [jobs[number] for number in left], {
        new: clashing[number] for new, number in enumerate(left) if number in clashing
    }


def what_goes_where(jobs: list[Job]) -> str:
    """How many songs become how many files, and where: a slip such as `convert .` is seen before the work.

    >>> what_goes_where([Job(Path("in/a.wav"), Path("out/a.wav"), {}), Job(Path("in/b.wav"), Path("out/c/b.wav"), {})])
    '2 songs, 2 results, into out'
    """
    n_songs = len({source for source, *_ in jobs})
    folders = {destination.parent for _, destination, *_ in jobs}
    if all(destination.parent == source.parent for source, destination, *_ in jobs):
        place = "each beside its song"
    elif len({folder.is_absolute() for folder in folders}) > 1:
        place = f"into {len(folders)} folders"
    else:
        place = f"into {Path(os.path.commonpath(folders))}"
    return f"{n_songs} song{'s' * (n_songs > 1)}, {len(jobs)} results, {place}"
