"""Files that are whole or not there: written beside their place, flushed to the disk, then moved."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def part_beside(path: Path) -> Path:
    """A new hidden name in the same folder, for a file that is to take the place of `path` when it is whole."""
    return path.with_name(f".{secrets.token_hex(8)}.part")


def write(path: Path, content: bytes) -> None:
    """Put bytes under a name, so that no reader and no crash meets half a file; the old one stays until then.

    Raises:
        OSError: the disk refused; nothing is left behind.
    """
    part = part_beside(path)
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
