"""Discovery of recordings below a folder of singers: who sings what.

SONGS/
  mina/              an immediate sub-folder is a singer
    song.wav
    1998/live.mp3    at any depth
  jun/
    take 1.flac

Or the takes of one singer, right in the folder:

TAKES/
  take 1.wav
  take 2.wav
"""

from __future__ import annotations

import hashlib
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moksori.audio import files
from moksori.data import rights
from moksori.data.corpus import Skipped
from moksori.data.layouts import Layout, Left
from moksori.errors import DataError
from moksori.workers.places import Place

LAYOUT = (
    "expected one folder for each singer, for example {songs}/mina/song.wav and {songs}/jun/take.wav; or recordings "
    "of a single singer, right in it"
)
RESERVED = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}  # on Windows
MAX_NAME_BYTES = 100  # leaves room for "-01234567.flac" under the 255 bytes of common file systems


@dataclass(frozen=True, slots=True)
class Source:
    """A file that looks like sound, and whose it is."""

    singer: str  # NFC
    path: Path
    name: str  # posix path below the songs folder


def find_sources(songs: Path, layout: Layout | None = None, singer: str = "") -> tuple[list[Source], list[Skipped]]:
    """List the recordings of all singers; nothing is opened. With a layout, its paths say who sings.

    Links are followed, unless they lead back to a folder above. Hidden names are left out. Without folders in it, the
    folder itself is a singer's.

    Args:
        songs: the folder.
        layout: how its paths say who sings; None for a folder a singer.
        singer: name of the one singer whose recordings lie right in it; "" for the folder's own name.

    Returns:
        Sources sorted by (singer, name), and what was left out with the reason; files without an audio suffix are
        counted in one entry for each singer.

    Raises:
        DataError: not a folder; no singer's folder in it; a singer's name that is blank, not Unicode or holds control
            characters; two names that differ only in case or in Unicode form.
    """
    try:
        entries = sorted(songs.iterdir())
    except OSError as error:
        raise DataError(f"{songs}: cannot be listed ({error.strerror}); {LAYOUT.format(songs=songs)}") from None
    if layout is not None:
        return _by_layout(songs, layout)
    folders = [path for path in entries if path.is_dir() and not path.name.startswith(".")]
    if not folders and any(files.is_candidate(path) for path in entries):
        return _of_singer(songs, songs, _checked_name(songs, singer or songs.resolve().name))
    if not folders:
        raise DataError(f"{songs}: no singer's folder in it; {LAYOUT.format(songs=songs)}")
    if singer:
        raise DataError(
            f"{songs}: holds folders, and each is a singer by its own name; leave the name {singer!r} out, or choose "
            "the folder whose recordings it is for"
        )
    singers = _singer_names(songs, folders)
    sources: list[Source] = []
    skipped = [Skipped(_printable(path.name), _top_level_reason(path)) for path in entries if path not in folders]
    for folder in folders:
        of_singer, left_out = _of_singer(songs, folder, singers[folder])
        sources += of_singer
        skipped += left_out
    return sorted(sources, key=lambda source: (source.singer, source.name)), skipped


def find_below(place: Place, layout: Layout | None = None) -> tuple[list[Source], list[Skipped]]:
    """The same below a URL: a tree of empty files of the same names, so that the same rules decide.

    Returns:
        Sources whose `path` is not there: they are fetched by `name`; and what was left out with the reason.

    Raises:
        DataError: as `find_sources`.
    """
    found = place.listing()
    skipped = [Skipped(_printable(name), "the name leads out of its folder; rename it") for name in found.refused]
    with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
        for name in found.n_bytes:
            path = Path(scratch, *name.split("/"))
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            except OSError as error:  # too long a name, or a file where another name has a folder
                skipped.append(Skipped(_printable(name), f"the name fits no folder ({error.strerror}); rename it"))
        try:
            sources, left_out = find_sources(Path(scratch), layout)
        except DataError as error:
            raise DataError(str(error).replace(scratch, place.root)) from None
    return sources, left_out + skipped


def _by_layout(songs: Path, layout: Layout) -> tuple[list[Source], list[Skipped]]:
    """The recordings of a data set, see `layouts`."""
    found = [(path, reason, path.relative_to(songs)) for path, reason in _walk(songs, frozenset())]
    skipped = [Skipped(_printable(name.as_posix()), reason) for _, reason, name in found if reason]
    files_there = [(path, name) for path, reason, name in found if not reason and files.is_candidate(path)]
    folders = frozenset(name.parts[:depth] for _, name in files_there for depth in range(1, len(name.parts)))
    sources: list[Source] = []
    for path, name in files_there:
        whose, printable = layout.whose(name.parts, folders), _printable(name.as_posix())
        if printable != name.as_posix():
            skipped.append(Skipped(printable, "the name is not Unicode; rename it"))
        elif isinstance(whose, Left):
            skipped.append(Skipped(printable, whose.reason))
        else:
            sources.append(Source(unicodedata.normalize("NFC", whose), path, printable))
    if not sources:
        raise DataError(f"{songs}: no recording where layout {layout.name} has one; expected {layout.tree} below it")
    _refuse_twins(songs, {source.singer for source in sources})
    return sorted(sources, key=lambda source: (source.singer, source.name)), skipped


def _refuse_twins(songs: Path, singers: set[str]) -> None:
    """Refuse names that only differ in case: file systems hold them for one."""
    seen: dict[str, str] = {}
    for singer in sorted(singers):
        twin = seen.setdefault(singer.casefold(), singer)
        if twin != singer:
            raise DataError(f"{songs}: {twin!r} and {singer!r} differ only in case; rename one of the folders")


def safe_name(text: str) -> str:
    """Turn any name into one that every file system takes, readable where possible.

    Returns:
        At most 100 bytes of letters, digits, marks, `-`, `_` and inner spaces. Where that changed the name, 8 hex
        digits of its hash follow, so that different names stay different.

    >>> safe_name("Mina"), safe_name("../x")
    ('Mina', '___x-d6b96a97')
    """
    normal = unicodedata.normalize("NFC", text)
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" or c in "-_ " else "_" for c in normal)
    kept = kept.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(" -")
    if kept == normal and kept.casefold() not in RESERVED:
        return kept
    return f"{kept}-{short_hash(text)}"


def short_hash(text: str) -> str:
    """First 8 hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _singer_names(songs: Path, folders: list[Path]) -> dict[Path, str]:
    names: dict[Path, str] = {}
    seen: dict[str, str] = {}
    for folder in folders:
        name = _checked_name(songs, folder.name)
        twin = seen.setdefault(name.casefold(), folder.name)
        if twin != folder.name:
            raise DataError(
                f"{songs}: the folders {twin!r} and {folder.name!r} name one singer twice (they differ only in case or "
                "Unicode form); join or rename them"
            )
        names[folder] = name
    return names


def _checked_name(songs: Path, name: str) -> str:
    normal = unicodedata.normalize("NFC", name)
    if not normal.strip() or any(unicodedata.category(c) in ("Cc", "Cs") for c in normal):
        raise DataError(
            f"{songs}: {name!r} cannot be a singer's name (blank, control characters or not Unicode); rename the "
            "folder, or say another name"
        )
    return normal


def _of_singer(songs: Path, folder: Path, singer: str) -> tuple[list[Source], list[Skipped]]:
    sources: list[Source] = []
    skipped: list[Skipped] = []
    others: list[str] = []  # suffixes of files that are not sound
    for path, reason in _walk(folder, frozenset()):
        name = path.relative_to(songs).as_posix()
        if reason:
            skipped.append(Skipped(_printable(name), reason))
        elif path.name in rights.NAMES:
            continue
        elif not files.is_candidate(path):
            others.append("hidden" if path.name.startswith(".") else path.suffix or "no suffix")
        elif name != _printable(name):
            skipped.append(Skipped(_printable(name), "the name is not Unicode; rename it"))
        else:
            sources.append(Source(singer, path, name))
    if others:
        kinds = ", ".join(sorted(set(others)))
        skipped.append(Skipped(_printable(folder.name), f"not an audio suffix: {len(others)} file(s) ({kinds})"))
    if not sources:
        skipped.append(Skipped(_printable(folder.name), "no audio files in this folder"))
    return sources, skipped


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """Yield (file, "") at any depth, and (folder, reason) for folders that are not entered."""
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield folder, f"cannot be listed ({error.strerror})"
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        yield folder, "a link that leads back to a folder above it"
        return
    for path in entries:
        # A folder named like a sound file goes to the reader, which says what is wrong with it.
        if path.is_dir() and not path.name.startswith(".") and not files.is_candidate(path):
            yield from _walk(path, above | {here})
        else:
            yield path, ""


def _top_level_reason(path: Path) -> str:
    if path.name.startswith("."):
        return "hidden"
    return "lies outside any singer's folder" if files.is_candidate(path) else "not a singer's folder"


def _printable(name: str) -> str:
    """The name as valid Unicode; bytes that are not show as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
