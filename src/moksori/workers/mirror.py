"""Local mirror of a remote folder (URL): for work that reads and writes a whole folder.

a folder   is itself
a URL      is fetched into a temporary folder (TMPDIR says where), worked on there, and what is new or changed is
           published when the work ends, however it ends; so interrupted work goes on the next time
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from moksori import atomic
from moksori.errors import UserError
from moksori.progress import OnProgress, Progress, ignored
from moksori.workers.places import Place

T = TypeVar("T")

_AT_ONCE = 8  # files under way: a store answers slowly, and many at a time
_LOCK = ".lock"  # of a folder, by whoever is at work there: of this machine only

_Stamp = tuple[int, int, int]  # what changes when a file is written again


@contextlib.contextmanager
def mirrored(
    place: Place, *, record: str, without: Collection[str] = (), progress: OnProgress = ignored
) -> Iterator[Path]:
    """Work with a place as with a folder.

    Args:
        place: a folder, or a URL; need not exist.
        record: name of the file that says what the others are; it is published last, so that a reader of the place
            finds what was there before, or all that is new.
        without: names right below the place that are neither fetched nor published.
        progress: called for each file that is fetched.

    Raises:
        UserError: the store could not be reached, or the block raised it; of a URL, its message names the URL and not
            the temporary folder.
    """
    if not place.is_url:
        yield Path(place.root)
        return
    with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
        folder = Path(scratch, "folder")
        folder.mkdir()
        try:
            before = _fetch(place, folder, without, progress)
            try:
                yield folder
            finally:
                _publish(place, folder, before, record, without)
        except UserError as error:
            raise type(error)(str(error).replace(str(folder), place.root)) from error


def _fetch(place: Place, folder: Path, without: Collection[str], progress: OnProgress) -> dict[str, _Stamp]:
    """Bring all files of a place into an empty folder; their stamps by name."""
    names = [name for name in place.listing().n_bytes if _is_wanted(name, without)]

    def fetch(name: str) -> str:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with place.fetched(name) as path:
            os.replace(path, target)
        return name

    for n_done, name in enumerate(_each(fetch, names, place), start=1):
        progress(Progress(n_done, len(names), name))
    return _stamps(folder, without)


def _publish(place: Place, folder: Path, before: dict[str, _Stamp], record: str, without: Collection[str]) -> None:
    """Bring what is new or changed in a folder to its place, the record last, and delete there what is gone."""
    now = _stamps(folder, without)
    changed = [name for name, stamp in now.items() if before.get(name) != stamp]

    def publish(name: str) -> None:
        place.publish(folder / name, name)

    for names in ([name for name in changed if name != record], [name for name in changed if name == record]):
        for _ in _each(publish, names, place):
            pass
    try:
        place.remove(sorted(before.keys() - now.keys()))
    except OSError as error:
        raise _unreachable(place, error) from error


def _each(work: Callable[[str], T], names: list[str], place: Place) -> Iterator[T]:
    """Do the same for many files, some at a time, in their order.

    Raises:
        UserError: the store could not be reached.
    """
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        try:
            for start in range(0, len(names), 4 * _AT_ONCE):
                yield from threads.map(work, names[start : start + 4 * _AT_ONCE])
        except OSError as error:
            raise _unreachable(place, error) from error


def _unreachable(place: Place, error: OSError) -> UserError:
    return UserError(f"{place}: cannot be read or written ({error}); what was done before is kept, try again")


def _stamps(folder: Path, without: Collection[str]) -> dict[str, _Stamp]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and _is_wanted(name, without):
            status = path.stat()
            found[name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def _is_wanted(name: str, without: Collection[str]) -> bool:
    first, last = name.partition("/")[0], name.rpartition("/")[2]
    return first not in without and last != _LOCK and not atomic.is_part(last)
