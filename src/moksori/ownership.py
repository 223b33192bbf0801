"""Ownership of files and locks: nothing is replaced, deleted or built upon that no record of ours vouches for.

    a folder   is ours if it holds our record (run.json, manifest.json, report.json), or nothing but what an
               interrupted beginning leaves; else nothing in it is touched
    a file     written beside others of ours is ours as long as it is as it was written (`announce`, `vouch`, `is_ours`)
    a moment   is ours while we hold the folder's lock; the system lets go of it when the process ends, however it ends

Whatever a user names goes past `refuse_foreign` or `refuse_to_overwrite` before anything is written.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from moksori import atomic, documents
from moksori.errors import UserError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_VOUCHED = ".written.json"  # SHA-256 of files by name, as they were written


def others_in(folder: Path, own: Sequence[str] = ()) -> list[str]:
    """What lies in a folder besides locks, half-written files of ours and names of `own`; nothing where there is none.

    Raises:
        OSError: it is no folder, or cannot be listed.
    """
    try:
        found = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [name for name in found if name not in (LOCK, _VOUCHED, *own) and not atomic.is_part(name)]


def refuse_foreign(
    folder: Path, record: str, what: str, own: Sequence[str] = (), error: type[UserError] = UserError
) -> None:
    """Refuse a folder that holds anything but is none of ours.

    Args:
        folder: need not exist.
        record: name of the file that says that it is ours.
        what: the folder would be, "a run".
        own: names that may lie there before the record does.
        error: to be raised.

    Raises:
        UserError: so it is, or it is no folder, or cannot be listed.
    """
    if os.path.lexists(folder / record):
        return
    try:
        others = others_in(folder, own)
    except OSError as problem:
        raise error(
            f"{folder}: cannot be used as {what} ({problem.strerror}); choose another folder with -o"
        ) from problem
    if others:
        raise error(
            f"{folder}: holds {', '.join(others[:3])} but no {record}, so it is not {what}; nothing in it is replaced, "
            "choose another folder with -o"
        )


def refuse_to_overwrite(path: Path, force: bool, others: Iterable[Path] = ()) -> None:
    """Refuse to write over what is there, or where something else of the same call is read or written.

    Nor is a device or a pipe ever replaced, and a place that cannot be written is told before any work.

    Raises:
        UserError: so it would be.
    """
    if any(is_same(path, other) for other in others):
        raise UserError(f"{path}: is itself read or written by this call; choose another place")
    if len(os.fsencode(path.name)) > atomic.LONGEST_NAME:
        raise UserError(f"{path}: a name of more than {atomic.LONGEST_NAME} bytes; choose a shorter one")
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder; name a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{path}: is a device or a pipe, which a file would take the place of; name a file")
    if os.path.lexists(path) and not force:
        raise UserError(f"{path}: exists already; use --force to overwrite it, or choose another place")
    there = next(folder for folder in Path(os.path.abspath(path)).parents if os.path.lexists(folder))
    if not os.path.isdir(there):
        raise UserError(f"{path}: {there} is no folder; choose another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{path}: cannot be written into {there} (no permission, or read-only); choose another place")


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file: through links, by another spelling, or as two names of it."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def announce(folder: Path, names: Iterable[str]) -> None:
    """Note names under which files are about to be written; what lies there until `vouch` is called for it is ours.

    So a process may be killed in between.

    Raises:
        FileExistsError: something that is not ours lies under one of the names; named by its path.
        OSError: the disk refused.
    """
    known, new = _vouched(folder), {name: "" for name in names if not os.path.lexists(folder / name)}
    for name in names:
        if name not in new and not is_ours(folder / name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder / name))
    if not new.items() <= known.items():
        _note(folder, known | new)


def vouch(folder: Path, names: Iterable[str]) -> None:
    """Note how files look that were just written into a folder, see `is_ours`.

    Raises:
        OSError: the disk refused.
    """
    _note(folder, _vouched(folder) | {name: _sum(folder / name) for name in names})


def is_ours(path: Path) -> bool:
    """Whether a file is as it was when `vouch` was called for it, or was announced and nothing is known of it since."""
    try:
        return _vouched(path.parent).get(path.name) in ("", _sum(path))
    except OSError:
        return False


def throw_away(folder: Path) -> None:
    """Delete the files of a folder that are ours, and forget them; what others put there, or changed, stays.

    Raises:
        OSError: the disk refused.
    """
    known = _vouched(folder)
    for name in known:
        if os.path.basename(name) == name and is_ours(folder / name):
            (folder / name).unlink()
    if known:
        _note(folder, {})


def _note(folder: Path, sums: dict[str, str]) -> None:
    atomic.write(folder / _VOUCHED, json.dumps(sums, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass"))


def _vouched(folder: Path) -> dict[str, str]:
    try:
        found = documents.from_json((folder / _VOUCHED).read_bytes().decode("utf-8", "surrogatepass"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _sum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def lock(folder: Path, refusal: str, *, is_shared: bool = False) -> Iterator[None]:
    """Keep others out of a folder, which has to exist.

    A file system that knows no locks, or lets nothing be written, has none; nor has Windows.

    Args:
        folder: whose lock is taken.
        refusal: what is said where somebody else has it.
        is_shared: others may have it too, if they share it.

    Raises:
        UserError: somebody else has it.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            try:
                stack.enter_context(lock_file(folder / LOCK, is_shared=is_shared))
            except BlockingIOError:
                raise UserError(f"{folder}: {refusal}") from None
        yield


@contextlib.contextmanager
def held(folder: Path, refusal: str) -> Iterator[None]:
    """Make a folder and hold its lock; one that stays empty goes again.

    Args:
        folder: need not exist.
        refusal: see `lock`.

    Raises:
        UserError: it cannot be made, or somebody else has its lock.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another place with -o") from error
    try:
        with lock(folder, refusal):
            yield
    finally:
        if is_new and os.listdir(folder) in ([], [LOCK]):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until nobody else is in the midst of reading a file of a folder and writing it anew.

    Nothing is left behind. A file system that knows no locks has no turns; nor has Windows.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, number)
            if fcntl is not None:
                fcntl.flock(number, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def lock_file(path: Path, *, is_shared: bool = False) -> Iterator[int]:
    """Hold a file's lock; whoever inherits the number that is given holds it, too, until its end.

    Raises:
        BlockingIOError: somebody else has it.
        OSError: the file cannot be made, or its file system knows no locks.
    """
    with _opened(path) as file:
        if fcntl is not None:
            fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        yield file.fileno()


def _opened(path: Path) -> IO[str]:
    """A file to be locked; of a folder that somebody else made, and that may only be read, the one that is there."""
    try:
        return open(path, "a", encoding="utf-8")
    except OSError:
        return open(path, encoding="utf-8")
