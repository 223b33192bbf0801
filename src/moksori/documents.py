"""JSON, TOML and zips that anybody may have made: read, or refused by a ValueError, whatever stands in them.

The readers of Python leave by a RecursionError where brackets stand in brackets too deeply, tomllib by a bare
ValueError, not its own error, at a number of thousands of digits, zipfile by the errors of all that unpacks for it.
Whoever catches ValueError here has caught them all.
"""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PIECE_BYTES = 1 << 20
_OF_ZIPS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError)


def from_json(content: str | bytes | bytearray) -> Any:
    """The value that stands in JSON.

    Raises:
        ValueError: it is none, no text, or nested too deeply.

    >>> from_json("[" * 100_000)
    Traceback (most recent call last):
    ...
    ValueError: brackets within brackets, too deeply to be read
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("brackets within brackets, too deeply to be read") from None


def from_toml(text: str) -> dict[str, Any]:
    """The tables that stand in TOML.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("brackets within brackets, too deeply to be read") from None


@contextlib.contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip to read from; `unpacked` reads from it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, or a damaged one, which may show while reading from it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _OF_ZIPS as error:
        raise ValueError(str(error)) from error


def unpacked(archive: zipfile.ZipFile, name: str, longest: int) -> bytes:
    """An entry of a zip, of no more than so many bytes and one: what a header says of its size is a claim.

    Raises:
        KeyError: there is none of that name.
    """
    found = io.BytesIO()
    with archive.open(name) as file:  # by pieces: room is made for what was asked for, before it is known to be there
        while found.tell() <= longest and (piece := file.read(min(_PIECE_BYTES, longest + 1 - found.tell()))):
            found.write(piece)
    return found.getvalue()
