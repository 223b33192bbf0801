"""Layouts of data sets that people have: who sings a file, by its path.

A layout looks at a file's path below the folder that was given, at any depth, so that it does not matter whether the
data set's own top folder is in it. What a layout knows to be no singing (readings, or the same sound once more) is left
out with the reason.

Sources: the trees that the data sets' own pages and Amphion's `egs/datasets/README.md` show.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from moksori.errors import UserError

Parts = tuple[str, ...]
"""A path below the folder that was given: folders, then the file's name."""


@dataclass(frozen=True)
class Left:
    """Why a file is left out."""

    reason: str


@dataclass(frozen=True)
class Layout:
    """One way in which recordings of singers are laid out."""

    name: str
    tree: str  # as it is shown to a person
    whose: Callable[[Parts, frozenset[Parts]], str | Left]  # path, and all folders there are -> the singer


def named(name: str) -> Layout:
    """A layout by its name.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    if name not in LAYOUTS:
        raise UserError(f"no layout named {name!r}; known ones are {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def _elsewhere(tree: str) -> Left:
    return Left(f"lies where this layout has no singing; expected {tree}")


def _nus48e(parts: Parts, _: frozenset[Parts]) -> str | Left:
    """`ADIZ/sing/01.wav`, and `ADIZ/read/01.wav`, the same words spoken."""
    folders = parts[:-1]
    if "read" in folders:
        return Left("spoken, not sung")
    at = _last(folders, "sing")
    return folders[at - 1] if at > 0 else _elsewhere(_NUS48E)


def _opensinger(parts: Parts, _: frozenset[Parts]) -> str | Left:
    """`WomanRaw/3_song/3_song_0.wav`: numbers begin anew for men and women."""
    for folder, below in itertools.pairwise(parts):
        number = re.match(r"(\d+)_", below)
        if folder in ("ManRaw", "WomanRaw") and number:
            return f"{folder.removesuffix('Raw').lower()}{number[1]}"
    return _elsewhere(_OPENSINGER)


def _m4singer(parts: Parts, _: frozenset[Parts]) -> str | Left:
    """`Alto-1#song/0000.wav`."""
    singers = [folder.split("#", 1)[0] for folder in parts[:-1] if "#" in folder]
    return singers[-1] if singers and singers[-1] else _elsewhere(_M4SINGER)


def _vocalset(parts: Parts, _: frozenset[Parts]) -> str | Left:
    """`female1/long_tones/straight/f1_long_straight_a.wav`; the same files once more by technique and by vowel."""
    if any(folder in ("data_by_technique", "data_by_vowel") for folder in parts[:-1]):
        return Left("the same sound as in the singers' own folders")
    if "spoken" in parts[:-1]:
        return Left("spoken, not sung")
    singers = [folder for folder in parts[:-1] if re.fullmatch(r"(fe)?male\d+", folder)]
    return singers[-1] if singers else _elsewhere(_VOCALSET)


def _csd(parts: Parts, _: frozenset[Parts]) -> str | Left:
    """`korean/wav/kr001a.wav`: one singer, each song in two keys."""
    if any(language in parts[:-1] for language in ("english", "korean")) and "wav" in parts[:-1]:
        return "csd"
    if "utterances" in parts[:-1]:
        return Left("pieces of the songs in english and korean")
    return _elsewhere(_CSD)


def _opencpop(parts: Parts, folders: frozenset[Parts]) -> str | Left:
    """`wavs/2001.wav`, and `segments/wavs/2001000001.wav`, the same songs in pieces."""
    if "wavs" not in parts[:-1]:
        return _elsewhere(_OPENCPOP)
    has_songs = any(folder[-1] == "wavs" and "segments" not in folder for folder in folders)
    if "segments" in parts[:-1] and has_songs:
        return Left("pieces of the songs in wavs")
    return "opencpop"


def _rvc(parts: Parts, _: frozenset[Parts]) -> str | Left:
    """`Name_ID_Repeat/take.wav`: a singer, the number it has in a model, and how often its files are repeated."""
    found = re.fullmatch(r"(.+?)_(\d+)(_\d+)?", parts[0]) if len(parts) > 1 else None
    return found[1] if found else _elsewhere(_RVC)


def _sovits(parts: Parts, _: frozenset[Parts]) -> str | Left:
    """`dataset_raw/mina/take.wav`, or `mina/wavs/take.wav`."""
    folders = parts[:-1]
    at = _last(folders, "wavs")
    if at > 0:
        return folders[at - 1]
    below = folders[_last(folders, "dataset_raw") + 1 :]
    return below[0] if below else _elsewhere(_SOVITS)


def _last(folders: Parts, name: str) -> int:
    """Where the last folder of a name stands; -1 where none does."""
    return max((place for place, folder in enumerate(folders) if folder == name), default=-1)


_NUS48E = "SINGER/sing/01.wav"
_OPENSINGER = "ManRaw/NUMBER_SONG/*.wav and WomanRaw/NUMBER_SONG/*.wav"
_M4SINGER = "SINGER#SONG/0000.wav"
_VOCALSET = "female1/SONG/TECHNIQUE/*.wav and male1/SONG/TECHNIQUE/*.wav"
_CSD = "english/wav/*.wav and korean/wav/*.wav"
_OPENCPOP = "wavs/*.wav, or segments/wavs/*.wav"
_RVC = "NAME_ID_REPEAT/*.wav"
_SOVITS = "dataset_raw/SINGER/*.wav, or SINGER/wavs/*.wav"

LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("nus48e", _NUS48E, _nus48e),
        Layout("opensinger", _OPENSINGER, _opensinger),
        Layout("m4singer", _M4SINGER, _m4singer),
        Layout("vocalset", _VOCALSET, _vocalset),
        Layout("csd", _CSD, _csd),
        Layout("opencpop", _OPENCPOP, _opencpop),
        Layout("rvc", _RVC, _rvc),
        Layout("sovits", _SOVITS, _sovits),
    )
}
