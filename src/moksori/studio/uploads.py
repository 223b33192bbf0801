"""Uploads: request bodies streamed to the disk, within limits."""

from __future__ import annotations

import shutil
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from moksori import atomic
from moksori.audio import files
from moksori.studio.words import StudioError

SONG_BYTES = 2 << 30  # of one upload: four hours of 24-bit stereo WAV
MELODY_BYTES = 64 << 20
JSON_BYTES = 1 << 20
_SPARE_BYTES = 256 << 20  # of the disk that stay free
_BUFFER_BYTES = 1 << 20


async def receive(request: Request, destination: Path, most_bytes: int) -> int:
    """Write what a request carries to the disk as it comes; whole or not at all.

    Returns:
        How many bytes there were.

    Raises:
        StudioError: nothing, more than allowed, more than the disk has room for, or it broke off.
    """
    declared = request.headers.get("content-length", "")
    announced = int(declared) if declared.isdigit() else 0
    if announced > most_bytes:
        raise StudioError("error.too_large", 413, limit=_megabytes(most_bytes))
    if shutil.disk_usage(destination.parent).free < announced + _SPARE_BYTES:
        raise StudioError("error.disk", 507)
    n_bytes, buffer = 0, bytearray()
    try:
        with atomic.replacing(destination) as part, open(part, "wb") as file:
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > most_bytes:
                    raise StudioError("error.too_large", 413, limit=_megabytes(most_bytes))
                buffer += chunk
                if len(buffer) >= _BUFFER_BYTES:
                    await run_in_threadpool(file.write, bytes(buffer))
                    buffer.clear()
            file.write(buffer)
            if not n_bytes or (declared and n_bytes != announced):
                raise StudioError("error.empty_upload")
    except ClientDisconnect as error:
        raise StudioError("error.broken_off") from error
    except OSError as error:
        raise StudioError("error.disk", 507) from error
    return n_bytes


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes >> 30} GB" if n_bytes >= 1 << 30 else f"{n_bytes >> 20} MB"


def checked_suffix(name: str) -> str:
    """The suffix of a sound file's name, `.mp3`.

    Raises:
        StudioError: none that sound files have.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in files.SUFFIXES:
        raise StudioError("error.suffix", name=name, known=" ".join(sorted(files.SUFFIXES)))
    return suffix
