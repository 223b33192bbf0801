"""Places of many files: a folder, or a URL that fsspec knows (`s3://bucket/songs`, `gs://...`, `sftp://...`).

A worker on another machine is sent a place and a name, never a sound. What lies behind a URL is fetched into a
temporary folder, worked on there, and published whole: a reader of the place sees the old file or the new one, never
half. fsspec comes with torch; what speaks to a store is a package of its own (`s3fs`, `gcsfs`, `adlfs`, ...), which
takes its credentials and settings from the environment, as that package says.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moksori import atomic
from moksori.errors import UserError

# Stores in which an object appears when its upload is complete; elsewhere it is moved into its place.
_WHOLE_AT_ONCE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "memory"}
_PART = ".part"


def is_url(text: str) -> bool:
    """Whether a text names something that fsspec opens, not a path of this machine.

    >>> is_url("s3://bucket/songs"), is_url("songs/mina"), is_url("C:/songs")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:(//|:)", text) is not None


@dataclass(frozen=True)
class Listing:
    """Files below a place."""

    n_bytes: dict[str, int]  # posix name below the place -> size; sorted by name
    refused: tuple[str, ...] = ()  # names that would lead out of a folder: an object store allows any


@dataclass(frozen=True)
class Place:
    """A folder or a URL, and the files below it by their posix names; plain data, so that it can travel."""

    root: str  # without a slash at its end; "" is the root of this machine

    @classmethod
    def of(cls, text: str | Path) -> Place:
        """The place that a command line names; a folder by its absolute path, so that other processes find it."""
        plain = str(text)
        # Of `memory://` the slashes belong to the name.
        return cls(re.sub(r"(?<![:/])/+$", "", plain) if is_url(plain) else os.path.abspath(plain).rstrip("/"))

    def __str__(self) -> str:
        """As people write it."""
        return self.root

    @property
    def is_url(self) -> bool:
        """Whether files have to be fetched."""
        return is_url(self.root)

    def where(self, name: str) -> str:
        """Path or URL of a file, for people."""
        return f"{self.root}/{name}" if name else self.root

    def is_file(self) -> bool:
        """Whether the place is a single file.

        Raises:
            UserError: the store cannot be reached.
        """
        if not self.is_url:
            return os.path.isfile(self.root)
        store, root = self._store()
        with self._reached():
            return bool(store.isfile(root))

    def split(self) -> tuple[Place, str]:
        """The place around a single file, and its name there."""
        folder, _, name = self.root.rpartition("/")
        return Place(folder), name

    def listing(self) -> Listing:
        """All files below; nothing is opened. A place that does not exist (yet) has none.

        Raises:
            UserError: the store cannot be reached.
        """
        found, refused = {}, []
        for name, size in self._entries():
            if _is_plain(name):
                found[name] = size
            else:
                refused.append(name)
        return Listing(dict(sorted(found.items())), tuple(sorted(refused)))

    def _entries(self) -> Iterator[tuple[str, int]]:
        if not self.is_url:
            for folder, _, files in os.walk(self.root or os.sep):
                for file in files:
                    path = os.path.join(folder, file)
                    with contextlib.suppress(OSError):  # a link to nowhere, or gone since
                        yield os.path.relpath(path, self.root or os.sep).replace(os.sep, "/"), os.stat(path).st_size
            return
        store, root = self._store()
        with self._reached():
            try:
                found = store.find(root, detail=True)
            except FileNotFoundError:
                return
        for path, info in found.items():
            name = path[len(root) :].lstrip("/") if root else path
            if name and not name.endswith("/"):  # some stores mark a folder by an empty object
                yield name, int(info.get("size") or 0)

    @contextlib.contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """The path of a file, on this machine while the `with` block lasts.

        Raises:
            UserError: behind a URL, no such file. (Of a path, whoever opens it says so.)
            OSError: the store could not be reached, or whatever its package raises.
        """
        if not self.is_url:
            yield self._path(name)
            return
        store, root = self._store()
        with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
            path = Path(scratch, _short(name))
            try:
                store.get_file(f"{root}/{name}" if root else name, str(path))
            except FileNotFoundError:
                raise UserError(f"{self.where(name)}: no such file; it may have been moved since") from None
            yield path

    def target(self, name: str, scratch: Path) -> Path:
        """Where to write a file that is then published: in its place, or in a folder for the while.

        Raises:
            UserError: the folder cannot be made.
        """
        if self.is_url:
            folder = scratch / secrets.token_hex(4)
            folder.mkdir()
            return folder / _short(name)
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{path.parent}: cannot be made ({error.strerror}); choose another place") from error
        return path

    def publish(self, path: Path, name: str) -> None:
        """Bring a whole file from where `target` had it written to its place; a folder has it there already.

        Raises:
            OSError: the store could not be reached, or whatever its package raises; the place is as it was.
        """
        if not self.is_url:
            return
        store, root = self._store()
        place = f"{root}/{name}" if root else name
        if _protocols(store) & _WHOLE_AT_ONCE:
            store.put_file(str(path), place)
        else:
            folder = place.rpartition("/")[0]
            part = f"{folder}/.{secrets.token_hex(8)}{_PART}"
            store.makedirs(folder, exist_ok=True)
            store.put_file(str(path), part)
            store.mv(part, place)

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None if it is not there."""
        try:
            with self.fetched(name) as path:
                return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, UserError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Put a small file in its place, whole.

        Raises:
            UserError: it cannot be written.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="moksori-") as scratch:
                path = self.target(name, Path(scratch))
                atomic.write(path, content)
                self.publish(path, name)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{self.where(name)}: cannot be written ({reason}); choose another place") from error

    def remove(self, names: Iterable[str]) -> None:
        """Delete files."""
        if not self.is_url:
            for name in names:
                self._path(name).unlink(missing_ok=True)
            return
        store, root = self._store()
        if paths := [f"{root}/{name}" if root else name for name in names]:
            store.rm(paths)

    def remove_parts(self) -> None:
        """Delete what killed workers left half-written; only for who knows that nobody is writing here.

        Hidden files of that suffix which others made, as browsers do, stay.
        """
        if self.is_url:
            return
        for path in Path(self.root).rglob(f".*{_PART}"):
            if atomic.is_part(path.name):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Say in a line what a package says in pages where a store does not answer, or lets nobody in."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # each package has its own
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(
                f"{self.root}: cannot be reached ({reason}); look at the address, the network, and the credentials in "
                "the environment"
            ) from error

    def _path(self, name: str) -> Path:
        return Path(self.root or "/", *name.split("/"))

    def _store(self) -> tuple[Any, str]:
        """The file system behind a URL, and the root within it.

        Raises:
            UserError: fsspec does not know the URL, or the package that speaks to it is not installed.
        """
        import fsspec

        try:
            store, root = fsspec.core.url_to_fs(self.root)
        except (ValueError, ImportError) as error:
            raise UserError(
                f"{self.root}: cannot be opened ({error}); s3:// needs `pip install s3fs`, gs:// gcsfs, az:// adlfs"
            ) from None
        return store, str(root).rstrip("/")


def _protocols(store: Any) -> set[str]:
    return {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)


def _is_plain(name: str) -> bool:
    """Whether a name stays below the folder that it is joined to, on every system: `C:x` leaves it on Windows.

    >>> _is_plain("a/song.wav"), _is_plain("a/../song.wav"), _is_plain("C:song.wav"), _is_plain("12:30.wav")
    (True, False, False, True)
    """
    parts = name.split("/")
    if "\\" in name or "\0" in name or any(re.match("[A-Za-z]:", part) for part in parts):
        return False
    return not any(part in ("", ".", "..") for part in parts)


def _short(name: str) -> str:
    """The last part of a name, no longer than a file's name may be; its suffix stays."""
    last = name.rpartition("/")[2]
    return last if len(last.encode()) <= 200 else last.encode()[-200:].decode(errors="ignore")
