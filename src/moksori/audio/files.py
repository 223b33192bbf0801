"""Sound files: what they are, their samples block by block, and writing that leaves no half-written file behind.

Whatever is wrong with a file ends as an `AudioFileError` that names the file, the reason and what to do. Only ordinary
files are opened: a pipe or a device would block for ever, or worse. A length in a header is a claim; what can be
decoded is the truth (`parts` finds where it lies). A suffix is a claim, too: the bytes say what a file is.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import stat
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from moksori import atomic
from moksori.audio import containers, parts
from moksori.audio.clip import Clip, Samples
from moksori.audio.mixdown import Mixdown, of_blocks
from moksori.audio.parts import Layout, Span
from moksori.errors import AudioFileError

BLOCK_SAMPLES = 1 << 16  # default block: about a second, 16 MB even with 64 channels
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; anything outside is a damaged header
MAX_CHANNELS = 64
_MOST_SAMPLES = 1 << 40  # of any recording
_LONGEST_NAME = 255  # bytes of a file's name, on nearly every file system

_OUTPUTS = {  # suffix -> what it is written as unless a source says otherwise
    ".wav": ("WAV", "PCM_16"),
    ".wave": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".aif": ("AIFF", "PCM_16"),
    ".aiff": ("AIFF", "PCM_16"),
    ".aifc": ("AIFF", "PCM_16"),
    ".au": ("AU", "PCM_16"),
    ".snd": ("AU", "PCM_16"),
    ".caf": ("CAF", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
    ".rf64": ("RF64", "PCM_16"),
}
SUFFIXES = frozenset(_OUTPUTS) | containers.SUFFIXES
_CONTAINERS = ("m4a or mp4", "webm or mkv", "wma", "aac")  # see `parts.looks_like`

_FLOATS = ("FLOAT", "DOUBLE")
_LOSSY = {"MPEG_LAYER_III", "VORBIS", "OPUS"}
_FINEST = 0.0  # libsndfile's scale: a result that is mixed and coded again should not have lost much before
_ENCODER_SAMPLES = 1 << 14  # libsndfile's Vorbis encoder overflows its stack when it is given minutes at once


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file is, without its samples."""

    path: Path
    sample_rate: int  # Hz
    n_channels: int
    n_samples: int  # per channel; checked against what can be decoded
    format: str  # "WAV", "FLAC", "MP3", "MOV", ...
    subtype: str  # "PCM_16", "VORBIS", "AAC", ...
    remarks: tuple[str, ...] = ()  # where header and content differ, and what was done

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate


@dataclass(frozen=True)
class Encoding:
    """How a sound file is written."""

    suffix: str  # ".flac"
    format: str  # libsndfile's name of the container
    subtype: str  # libsndfile's name of the sample coding
    note: str = ""  # why this differs from the source; empty when it does not

    @property
    def is_float(self) -> bool:
        """Whether samples outside [-1, 1] survive."""
        return self.subtype in _FLOATS


def is_candidate(path: Path) -> bool:
    """Whether the name looks like a sound file: a known suffix, and not hidden (`._take.wav` is macOS clutter).

    >>> is_candidate(Path("songs/Arirang.FLAC")), is_candidate(Path("lyrics.txt")), is_candidate(Path("._take.wav"))
    (True, False, False)
    """
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_writable(path: Path) -> bool:
    """Whether a file of this name can be written; some formats are only read."""
    return path.suffix.lower() in _OUTPUTS


def probe(path: Path) -> AudioInfo:
    """Say what a sound file is.

    Reading the last sample that the header claims tells whether its length is true. Where it is not, and for mp3 and
    containers, whose headers only estimate, the file is decoded once to count.

    Raises:
        AudioFileError: the file cannot be read as sound, or holds none.
    """
    with _open(path) as source:
        n_samples = source.n_samples if source.has_true_length() else sum(map(len, source.blocks(BLOCK_SAMPLES)))
        if not n_samples:
            raise AudioFileError(_no_sound(path))
        remarks = source.remarks
        is_claim = source.n_samples < _MOST_SAMPLES  # a header may leave it out
        if not remarks and source.format != "MP3" and n_samples < source.n_samples and is_claim:
            claimed, found = source.n_samples / source.sample_rate, n_samples / source.sample_rate
            remarks = (f"its header claims {claimed:.1f} s, {found:.1f} s are there; it was cut short",)
        return AudioInfo(path, source.sample_rate, source.n_channels, n_samples, source.format, source.subtype, remarks)


def blocks(path: Path, block_samples: int = BLOCK_SAMPLES) -> Iterator[Samples]:
    """Decode a sound file piece by piece, in bounded memory.

    Args:
        path: an ordinary file in any format of `SUFFIXES`.
        block_samples: samples per channel in every block but the last.

    Yields:
        float32 `[n, channels]`, nominally in [-1, 1] (float and lossy files may exceed it); `n >= 1`.

    Raises:
        AudioFileError: at the first block when the file cannot be read as sound or holds none; later when it breaks
            off, is damaged, or holds NaN or infinity.
        ValueError: `block_samples` is less than 1.
    """
    if block_samples < 1:
        raise ValueError(f"block_samples is {block_samples}; expected at least 1")
    n_samples = 0
    with _open(path) as source:
        for block in source.blocks(block_samples):
            if not np.isfinite(block).all():
                raise AudioFileError(
                    f"{path}: NaN or infinite samples after {n_samples / source.sample_rate:.1f} s; "
                    "export it again as 16- or 24-bit"
                )
            n_samples += len(block)
            yield block
    if not n_samples:
        raise AudioFileError(_no_sound(path))


def mixdown(path: Path) -> Mixdown:
    """How a file becomes mono; one of several channels, or of floats, is decoded once to find out. Raises as `blocks`.

    The answer is remembered as long as the file is the same.
    """
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        return _mixdown(path, status.st_mtime_ns, status.st_size)
    return _mixdown(path, 0, 0)


@functools.lru_cache(maxsize=256)
def _mixdown(path: Path, mtime_ns: int, n_bytes: int) -> Mixdown:
    with _open(path) as source:
        sample_rate, n_channels, is_float = source.sample_rate, source.n_channels, source.subtype in _FLOATS
    if n_channels == 1 and not is_float:
        return Mixdown()
    return of_blocks(lambda: blocks(path), sample_rate, n_channels)


def read_mono_blocks(path: Path, block_samples: int = BLOCK_SAMPLES) -> Iterator[Samples]:
    """Decode piece by piece to mono, as `mixdown` says: float32 `[n]`. Raises as `blocks` does."""
    down = mixdown(path)
    for block in blocks(path, block_samples):
        yield down.mono(block)


def read(path: Path) -> Clip:
    """Read a whole sound file as mono, as `mixdown` says.

    Raises:
        AudioFileError: the file cannot be read as sound, holds none, is damaged, or holds NaN or infinity.
    """
    with _open(path) as source:
        sample_rate = source.sample_rate
    return Clip(np.concatenate(list(read_mono_blocks(path))), sample_rate)


def read_stretch(path: Path, start_seconds: float, seconds: float) -> Clip:
    """Read a part of a sound file as mono; what lies before it is decoded too, but not kept.

    Args:
        path: as for `read`.
        start_seconds: where it begins; beyond the end, nothing is left and that is an error.
        seconds: how long it is at most; at the end there may be less.

    Raises:
        AudioFileError: as `read`, or the file ends before.
    """
    with _open(path) as source:
        sample_rate = source.sample_rate
    start, n_wanted = round(start_seconds * sample_rate), round(seconds * sample_rate)
    parts: list[Samples] = []
    n_read, n_kept = 0, 0
    for block in read_mono_blocks(path):
        part = block[max(0, start - n_read) :][: n_wanted - n_kept]
        parts.append(part)
        n_read, n_kept = n_read + len(block), n_kept + len(part)
        if n_kept >= n_wanted:
            break
    if not n_kept:
        raise AudioFileError(f"{path}: ends after {n_read / sample_rate:.1f} s, before {start_seconds:g} s")
    return Clip(np.concatenate(parts), sample_rate)


def stretch_of_blocks(blocks: Iterator[Samples], start: int, stop: int) -> Iterator[Samples]:
    """The samples `[start, stop)` of a sound that comes in blocks `[n]` or `[n, channels]`; nothing beyond is read."""
    n_read = 0
    for block in blocks:
        part = block[max(0, start - n_read) : max(0, stop - n_read)]
        n_read += len(block)
        if len(part):
            yield part
        if n_read >= stop:
            return


def comment(path: Path) -> str:
    """What a sound file says of itself, such as how it was made; "" where it says nothing.

    Raises:
        AudioFileError: it cannot be read as sound.
    """
    probe(path)
    try:
        with soundfile.SoundFile(_name(path)) as file:
            return str(file.comment)
    except soundfile.SoundFileError:  # a container that only PyAV reads
        return ""


def write(path: Path, clip: Clip, encoding: Encoding | None = None) -> None:
    """Write a whole mono clip; see `Writer`."""
    with Writer(path, clip.sample_rate, 1, encoding) as writer:
        writer.write(clip.samples[:, None])


def encoding_for(path: Path) -> Encoding:
    """Return how a file of this name is written when nothing else is asked: 16 bits where the format has bits.

    Raises:
        AudioFileError: the suffix is none that can be written.
    """
    suffix = path.suffix.lower()
    if suffix not in _OUTPUTS:
        raise AudioFileError(f"{path}: cannot write {suffix or 'a file without suffix'}; use one of {_writable()}")
    return Encoding(suffix, *_OUTPUTS[suffix])


def writable_like(info: AudioInfo) -> Encoding:
    """Return the encoding nearest to a source: its own where it can be written, else 16-bit FLAC with a note."""
    suffix = info.path.suffix.lower()
    if suffix in _OUTPUTS and soundfile.check_format(info.format, info.subtype):
        return Encoding(suffix, info.format, info.subtype)
    return Encoding(
        ".flac", "FLAC", "PCM_16", f"{info.format}/{info.subtype} is read here but not written; writing 16-bit FLAC"
    )


class Writer:
    """Write a sound file block by block; it appears under its name only when it is whole.

    The samples go to a hidden file in the same folder, which takes the place of `path` when the `with` block ends
    well, and is removed when it ends in an exception. Outside float formats samples are clipped to [-1, 1]; how many
    were is in `n_clipped`.

        with Writer(Path("song.flac"), 24000, 1) as writer:
            writer.write(block)  # [n, 1]

    Where it `is_new`, what another program wrote under its name meanwhile is not replaced.

    Raises:
        AudioFileError: the folder is missing, the name belongs to something that is not an ordinary file, the format
            does not exist or cannot hold this rate or number of channels, the disk is full, nothing was written, or
            the file is no more new.
        ValueError: a block is not finite float32 `[n, n_channels]`.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        n_channels: int,
        encoding: Encoding | None = None,
        comment: str = "",
        *,
        is_new: bool = False,
    ) -> None:
        self.path, self._comment = path, comment  # the comment goes into formats that have room for one
        self._is_new = is_new
        self.n_samples = 0  # written so far, per channel
        self.n_clipped = 0  # samples that lay outside [-1, 1] and were clipped, over all channels
        self._sample_rate, self._n_channels = sample_rate, n_channels
        self._encoding = encoding or encoding_for(path)
        self._part = atomic.part_beside(path)

    def __enter__(self) -> Writer:
        _check_destination(self.path)
        try:
            self._open(self._encoding)
        except BaseException:  # Ctrl-C in here as well
            self._part.unlink(missing_ok=True)
            raise
        return self

    def _open(self, encoding: Encoding) -> None:
        try:
            open(self._part, "xb").close()  # libsndfile would only say "System error"
        except OSError as error:
            raise AudioFileError(
                f"{self.path}: cannot be written into {self.path.parent} ({error.strerror}); choose another place with "
                "-o"
            ) from error
        try:
            self._file = soundfile.SoundFile(
                _name(self._part),
                "w",
                self._sample_rate,
                self._n_channels,
                encoding.subtype,
                format=encoding.format,
                compression_level=_FINEST if encoding.subtype in _LOSSY else None,
            )
        except (soundfile.SoundFileError, ValueError) as error:
            raise AudioFileError(
                f"{self.path}: cannot write {encoding.format}/{encoding.subtype} with {self._n_channels} channel(s) at "
                f"{self._sample_rate} Hz ({_reason(error)}); wav and flac take nearly every rate"
            ) from error
        if self._comment:
            with contextlib.suppress(soundfile.SoundFileError):  # a format without room for words
                self._file.comment = self._comment
        _forbid_seeking(self._file)

    def write(self, block: Samples) -> None:
        """Append samples, float32 `[n, n_channels]`."""
        if block.dtype != np.float32 or block.ndim != 2 or block.shape[1] != self._n_channels:
            raise ValueError(
                f"block is {block.dtype} {list(block.shape)}; {self.path} takes float32 [n, {self._n_channels}]"
            )
        if not np.isfinite(block).all():
            raise ValueError(f"block for {self.path} holds NaN or infinity")
        if not self._encoding.is_float:
            self.n_clipped += int(np.count_nonzero(np.abs(block) > 1.0))
            block = np.clip(block, -1.0, 1.0)
        for start in range(0, len(block), _ENCODER_SAMPLES):
            self._write_some(np.ascontiguousarray(block[start : start + _ENCODER_SAMPLES]))

    def _write_some(self, block: Samples) -> None:
        try:
            self._file.write(block)
        except (soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts that all was written
            raise AudioFileError(self._not_written()) from error
        self.n_samples += len(block)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            self._file.close()
            if error is None:
                self._publish()
        finally:
            self._part.unlink(missing_ok=True)  # gone already when it was published

    def _publish(self) -> None:
        if not self.n_samples:
            raise AudioFileError(f"{self.path}: nothing to write, the sound is empty")
        # A disk that fills up while the encoder empties its last buffer tells nobody: look whether the end is there.
        try:
            n_found = probe(self._part).n_samples
        except AudioFileError as error:
            raise AudioFileError(self._not_written()) from error
        if n_found < self.n_samples:
            raise AudioFileError(self._not_written())
        try:
            atomic.publish(self._part, self.path, is_new=self._is_new)
        except FileExistsError as error:
            raise AudioFileError(
                f"{self.path}: was written by another program meanwhile, and is not replaced; use --force to overwrite "
                "it, or choose another place with -o"
            ) from error
        except OSError as error:
            raise AudioFileError(f"{self.path}: cannot be written ({error.strerror})") from error

    def _not_written(self) -> str:
        return f"{self.path}: writing failed after {self.n_samples / self._sample_rate:.1f} s; is the disk full?"


class _SoundFile:
    """A file opened by libsndfile, read from start to end once."""

    def __init__(self, path: Path, span: Span | None = None) -> None:
        self._path, self._span = path, span
        self._file = self._opened()
        _forbid_seeking(self._file)
        self.remarks: tuple[str, ...] = ()
        self.sample_rate: int = self._file.samplerate
        self.n_channels: int = self._file.channels
        self.n_samples: int = self._file.frames  # as the header claims
        self.format: str = self._file.format
        self.subtype: str = self._file.subtype

    def _opened(self) -> Any:
        if self._span is None:
            return soundfile.SoundFile(_name(self._path))
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


class _ContainerFile:
    """A file opened by PyAV, with the face of `_SoundFile`."""

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


class _JoinedFile:
    """Several spans of a file, one behind the other, with the face of `_SoundFile`."""

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


def _open_span(path: Path, span: Span | None = None) -> _SoundFile | _ContainerFile:
    """Open a file, or some bytes of it, with the first decoder that can."""
    looks = parts.looks_like(path)
    is_container = looks in _CONTAINERS or (not looks and path.suffix.lower() in containers.SUFFIXES)
    if is_container:  # libsndfile may take such bytes for something else, noise of MPEG for one
        return _ContainerFile(path, span)
    try:
        return _SoundFile(path, span)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: `.raw` has no header at all
        # A decoder that knows more kinds of content may be there; what it says about nonsense helps nobody.
        with contextlib.suppress(AudioFileError):
            return _ContainerFile(path, span)
        seen = f"; it looks like {looks}" if looks else ""
        raise AudioFileError(
            f"{path}: not a sound file that can be read ({_reason(error)}){seen}; expected wav, flac, mp3, ogg, "
            "m4a, ..."
        ) from error


@functools.lru_cache(maxsize=256)
def _layout(path: Path, mtime_ns: int, n_bytes: int) -> Layout:
    return parts.layout(path)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[_SoundFile | _ContainerFile | _JoinedFile]:
    _check_source(path)
    try:
        status = os.stat(path)
        layout = _layout(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise AudioFileError(f"{path}: cannot be read ({error.strerror})") from error
    source: _SoundFile | _ContainerFile | _JoinedFile
    if layout.spans:
        source = _JoinedFile(path, layout)
    else:
        source = _open_span(path)
        source.remarks = layout.remarks
    with contextlib.closing(source):
        if not MIN_RATE <= source.sample_rate <= MAX_RATE:
            raise AudioFileError(f"{path}: claims {source.sample_rate} Hz; expected {MIN_RATE}..{MAX_RATE} Hz")
        if not 1 <= source.n_channels <= MAX_CHANNELS:
            raise AudioFileError(f"{path}: claims {source.n_channels} channels; expected 1..{MAX_CHANNELS}")
        yield source


def _check_source(path: Path) -> None:
    status = _status(path)
    if status is None:
        raise AudioFileError(f"{path}: no such file; check the spelling and the folder")
    if stat.S_ISDIR(status.st_mode):
        raise AudioFileError(f"{path}: is a folder; expected a sound file")
    if not stat.S_ISREG(status.st_mode):
        raise AudioFileError(f"{path}: is a pipe or a device; expected an ordinary sound file")
    if not status.st_size:
        raise AudioFileError(f"{path}: is empty (0 bytes); copy it again from its source")
    if not os.access(path, os.R_OK):
        raise AudioFileError(f"{path}: may not be read; change its permissions")


def _check_destination(path: Path) -> None:
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise AudioFileError(f"{path}: a name of more than {_LONGEST_NAME} bytes; choose a shorter one with -o")
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise AudioFileError(f"{path}: exists and is not an ordinary file; choose another name")
    if not path.parent.is_dir():
        raise AudioFileError(f"{path}: the folder {path.parent} does not exist; create it first")


def _status(path: Path) -> os.stat_result | None:
    """Return what the path leads to, through links; None when there is nothing."""
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


def _no_sound(path: Path) -> str:
    return (
        f"{path}: holds no samples, only a header ({os.path.getsize(path)} bytes in all); "
        "if it was recorded, the recorder was stopped before it finished the file"
    )


def _forbid_seeking(file: Any) -> None:
    """Keep soundfile from seeking after every block.

    It does so to move the position, but an mp3 decoder starts afresh after a seek and loses what the frames before
    left in its bit reservoir: blocks would not join to the sound of the file (error 0.25 of full scale).
    """
    file.seekable = lambda: False


def _name(path: Path) -> str | bytes:
    """Return a name that soundfile opens: bytes keep file names that are not valid UTF-8."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _reason(error: Exception) -> str:
    reason = str(getattr(error, "error_string", error)).rstrip(".")
    # libsndfile's words for an mp3 without a single frame; that the file is a regular one was checked before.
    return "no sound in it" if "not a regular file" in reason else reason


def _writable() -> str:
    return ", ".join(sorted(_OUTPUTS))
