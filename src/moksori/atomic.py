"""Files that are whole or not there: written beside their place, flushed to the disk, then moved."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LONGEST_NAME = 255  # bytes of a file's name, on nearly every file system


def part_beside(path: Path) -> Path:
    """A new hidden name in the same folder, for a file that is to take the place of `path` when it is whole."""
    return path.with_name(f".{secrets.token_hex(8)}.part")


def is_part(name: str) -> bool:
    """Whether a name is one of `part_beside`: what a killed process left half-written."""
    return re.fullmatch(r"\.[0-9a-f]{16}\.part", name) is not None


def publish(part: Path, path: Path, *, is_new: bool = False) -> None:
    """Move a file that is whole to its name.

    Args:
        part: see `part_beside`.
        path: its name.
        is_new: nothing may lie there, not even what another program wrote since somebody looked.

    Raises:
        FileExistsError: something does.
        OSError: the disk refused.
    """
    if not is_new:
        os.replace(part, path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: look, and move
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(part, path)
    else:
        part.unlink()


@contextlib.contextmanager
def replacing(path: Path, *, is_new: bool = False) -> Iterator[Path]:
    """Give a name beside `path`; what is written under it takes the place of `path` when the `with` block ends well.

    Raises:
        FileExistsError: it was to be new, and something lies there by then.
        OSError: the disk refused; the old file stays, and nothing is left behind.
    """
    part = part_beside(path)
    try:
        yield part
        publish(part, path, is_new=is_new)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def writing(path: Path, *, is_new: bool = False) -> Iterator[IO[bytes]]:
    """A file to write into, which takes the place of `path` when the `with` block ends well.

    Raises:
        FileExistsError: it was to be new, and something lies there by then.
        OSError: the disk refused; nothing is left behind.
    """
    with replacing(path, is_new=is_new) as part, open(part, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, content: bytes, *, is_new: bool = False) -> None:
    """Put bytes under a name, so that no reader and no crash meets half a file; the old one stays until then.

    Raises:
        FileExistsError: it was to be new, and something lies there by then.
        OSError: the disk refused; nothing is left behind.
    """
    with writing(path, is_new=is_new) as file:
        file.write(content)
