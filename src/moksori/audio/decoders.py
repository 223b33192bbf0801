"""Decoders of sound files, libsndfile and PyAV, and of several spans of a file, with one face: see `Decoder`.

Only ordinary files are opened: a pipe or a device would block for ever, or worse. Which bytes are sound, `parts` finds;
what they hold is told by themselves, and not by the suffix.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from moksori.audio import containers, parts
from moksori.audio.clip import Samples
from moksori.audio.parts import Layout, Span
from moksori.errors import AudioFileError

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; anything outside is a damaged header
MAX_CHANNELS = 64

_CONTAINERS = ("m4a or mp4", "webm or mkv", "wma", "aac")  # see `parts.looks_like`


class Decoder(Protocol):
    """A sound file that is read from start to end once."""

    sample_rate: int  # Hz
    n_channels: int
    n_samples: int  # per channel, as the header claims; 0 where it only estimates
    format: str  # in the words of libsndfile
    subtype: str
    remarks: tuple[str, ...]  # what is unusual about the file

    def close(self) -> None:
        """Let go of the file."""

    def has_true_length(self) -> bool:
        """Whether the last sample that the header claims exists."""

    def blocks(self, block_samples: int) -> Iterator[Samples]:
        """All samples, float32 `[n, n_channels]`, n of them at a time.

        Raises:
            AudioFileError: decoding fails.
        """


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Decoder]:
    """Open a sound file for as long as the context lasts.

    Raises:
        AudioFileError: there is no such file, it is no ordinary one, or cannot be read as sound.
    """
    _check_source(path)
    try:
        status = os.stat(path)
        layout = _layout(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise AudioFileError(f"{path}: cannot be read ({error.strerror})") from error
    source: Decoder
    if layout.spans:
        source = _JoinedDecoder(path, layout)
    else:
        source = _open_span(path)
        source.remarks = layout.remarks
    with contextlib.closing(source):
        if not MIN_RATE <= source.sample_rate <= MAX_RATE:
            raise AudioFileError(f"{path}: claims {source.sample_rate} Hz; expected {MIN_RATE}..{MAX_RATE} Hz")
        if not 1 <= source.n_channels <= MAX_CHANNELS:
            raise AudioFileError(f"{path}: claims {source.n_channels} channels; expected 1..{MAX_CHANNELS}")
        yield source


def status_of(path: Path) -> os.stat_result | None:
    """What the path leads to, through links; None when there is nothing."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise AudioFileError(f"{path}: is a link that leads back to itself; remove it") from error
        raise AudioFileError(f"{path}: cannot be reached ({error.strerror})") from error
    except ValueError as error:  # a zero byte, or a letter that the locale cannot express
        raise AudioFileError(f"{str(path)!r}: is not a file name here ({error})") from error


def native_name(path: Path) -> str | bytes:
    """A name that soundfile opens: bytes keep file names that are not valid UTF-8."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def reason_of(error: Exception) -> str:
    """What libsndfile says of a file, without a full stop."""
    reason = str(getattr(error, "error_string", error)).rstrip(".")
    # libsndfile's words for an mp3 without a single frame; that the file is a regular one was checked before.
    return "no sound in it" if "not a regular file" in reason else reason


def forbid_seeking(file: Any) -> None:
    """Keep soundfile from seeking after every block.

    It does so to move the position, but an mp3 decoder starts afresh after a seek and loses what the frames before
    left in its bit reservoir: blocks would not join to the sound of the file (error 0.25 of full scale).
    """
    file.seekable = lambda: False


class _SoundFileDecoder:
    """A file opened by libsndfile, read from start to end once."""

    def __init__(self, path: Path, span: Span | None = None) -> None:
        self._path, self._span = path, span
        self._file = self._opened()
        forbid_seeking(self._file)
        self.remarks: tuple[str, ...] = ()
        self.sample_rate: int = self._file.samplerate
        self.n_channels: int = self._file.channels
        self.n_samples: int = self._file.frames  # as the header claims
        self.format: str = self._file.format
        self.subtype: str = self._file.subtype

    def _opened(self) -> Any:
        if self._span is None:
            return soundfile.SoundFile(native_name(self._path))
        view, raw = _View(self._path, self._span), self._span.raw
        if raw is None:
            return soundfile.SoundFile(view)
        return soundfile.SoundFile(
            view, "r", raw.sample_rate, raw.n_channels, raw.subtype, endian=raw.endian, format="RAW"
        )

    def close(self) -> None:
        self._file.close()

    def has_true_length(self) -> bool:
        """Whether the last sample that the header claims exists."""
        if self.format == "MP3" or not self.n_samples:
            return False
        with self._opened() as file:
            try:
                file.seek(self.n_samples - 1)
                return len(file.read(1)) == 1
            except soundfile.SoundFileError:
                return False

    def blocks(self, block_samples: int) -> Iterator[Samples]:
        n_read = 0
        while True:
            try:
                block: Samples = self._file.read(block_samples, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioFileError(
                    f"{self._path}: damaged or cut short, decoding fails somewhere after "
                    f"{n_read / self.sample_rate:.1f} s; copy it again from its source"
                ) from error
            if not len(block):
                return
            n_read += len(block)
            yield block


class _ContainerDecoder:
    """A file opened by PyAV, with the face of `_SoundFileDecoder`."""

    n_samples = 0  # the header only estimates

    def __init__(self, path: Path, span: Span | None = None) -> None:
        self.remarks: tuple[str, ...] = ()
        self._container = containers.Container(path, None if span is None else _View(path, span))
        self.sample_rate, self.n_channels = self._container.sample_rate, self._container.n_channels
        self.format, self.subtype = self._container.format, self._container.subtype

    def close(self) -> None:
        self._container.close()

    def has_true_length(self) -> bool:
        return False

    def blocks(self, block_samples: int) -> Iterator[Samples]:
        return _regrouped(self._container.blocks(), block_samples)


class _JoinedDecoder:
    """Several spans of a file, one behind the other, with the face of `_SoundFileDecoder`."""

    n_samples = 0  # is counted

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path, self._spans = path, layout.spans
        with contextlib.closing(_open_span(path, self._spans[0])) as first:
            self.sample_rate, self.n_channels = first.sample_rate, first.n_channels
            self.format, self.subtype = first.format, first.subtype
        if self._spans[0].raw is not None:
            self.format = "WAV"
        self.remarks = layout.remarks + tuple(note for span in self._spans[1:] for note in self._unfit(span))

    def close(self) -> None:
        """Every span is closed as soon as it was read."""

    def has_true_length(self) -> bool:
        return False

    def blocks(self, block_samples: int) -> Iterator[Samples]:
        return _regrouped(self._all(block_samples), block_samples)

    def _all(self, block_samples: int) -> Iterator[Samples]:
        for span in self._spans:
            if span is not self._spans[0] and self._unfit(span):
                continue
            with contextlib.closing(_open_span(self._path, span)) as source:
                for block in source.blocks(block_samples):
                    if source.n_channels != self.n_channels:
                        block = np.repeat(block.mean(axis=1, keepdims=True), self.n_channels, axis=1)
                    yield block

    def _unfit(self, span: Span) -> tuple[str, ...]:
        """Why a later span is left out."""
        try:
            with contextlib.closing(_open_span(self._path, span)) as source:
                rate = source.sample_rate
        except (AudioFileError, soundfile.SoundFileError):
            return (f"{span.end - span.start} bytes behind the first sound cannot be decoded; they are not heard",)
        if rate != self.sample_rate:
            return (
                f"behind the first sound of {self.sample_rate} Hz, {span.end - span.start} bytes at {rate} Hz follow; "
                "they are not heard",
            )
        return ()


class _View(io.RawIOBase):
    """Some bytes of a file, as if they were a file."""

    def __init__(self, path: Path, span: Span) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed with the view
        self._start, self._length, self._at = span.start, span.end - span.start, 0
        self._patches = span.patches

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        n_wanted = max(0, min(len(buffer), self._length - self._at))
        self._file.seek(self._start + self._at)
        content = self._file.read(n_wanted)
        buffer[: len(content)] = content
        for place, patch in self._patches:
            first, last = max(place, self._at), min(place + len(patch), self._at + len(content))
            if first < last:
                buffer[first - self._at : last - self._at] = patch[first - place : last - place]
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def _regrouped(blocks: Iterator[Samples], block_samples: int) -> Iterator[Samples]:
    """Blocks of any length `[n, channels]`, regrouped to the length that is wanted."""
    waiting: list[Samples] = []
    n_waiting = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        if n_waiting >= block_samples:
            joined = np.concatenate(waiting)
            n_whole = n_waiting // block_samples * block_samples
            yield from np.split(joined[:n_whole], n_whole // block_samples)
            waiting, n_waiting = [joined[n_whole:]], n_waiting - n_whole
    if n_waiting:
        yield np.concatenate(waiting)


def _open_span(path: Path, span: Span | None = None) -> _SoundFileDecoder | _ContainerDecoder:
    """Open a file, or some bytes of it, with the first decoder that can."""
    looks = parts.looks_like(path)
    is_container = looks in _CONTAINERS or (not looks and path.suffix.lower() in containers.SUFFIXES)
    if is_container:  # libsndfile may take such bytes for something else, noise of MPEG for one
        return _ContainerDecoder(path, span)
    try:
        return _SoundFileDecoder(path, span)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: `.raw` has no header at all
        # A decoder that knows more kinds of content may be there; what it says about nonsense helps nobody.
        with contextlib.suppress(AudioFileError):
            return _ContainerDecoder(path, span)
        seen = f"; it looks like {looks}" if looks else ""
        raise AudioFileError(
            f"{path}: not a sound file that can be read ({reason_of(error)}){seen}; expected wav, flac, mp3, ogg, "
            "m4a, ..."
        ) from error


@functools.lru_cache(maxsize=256)
def _layout(path: Path, mtime_ns: int, n_bytes: int) -> Layout:
    return parts.layout(path)


def _check_source(path: Path) -> None:
    status = status_of(path)
    if status is None:
        raise AudioFileError(f"{path}: no such file; check the spelling and the folder")
    if stat.S_ISDIR(status.st_mode) and not os.access(path, os.R_OK | os.X_OK):
        raise AudioFileError(f"{path}: is a folder that may not be listed; change its permissions")
    if stat.S_ISDIR(status.st_mode):
        raise AudioFileError(f"{path}: is a folder; expected a sound file")
    if not stat.S_ISREG(status.st_mode):
        raise AudioFileError(f"{path}: is a pipe or a device; expected an ordinary sound file")
    if not status.st_size:
        raise AudioFileError(f"{path}: is empty (0 bytes); copy it again from its source")
    if not os.access(path, os.R_OK):
        raise AudioFileError(f"{path}: may not be read; change its permissions")
