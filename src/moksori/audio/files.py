"""Sound files: what they are, their samples block by block, and writing that leaves no half-written file behind.

Whatever is wrong with a file ends as an `AudioFileError` that names the file, the reason and what to do. A length in a
header is a claim; what can be decoded is the truth (`parts` finds where it lies, `decoders` reads it). A suffix is a
claim, too: the bytes say what a file is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from moksori import atomic
from moksori.audio import containers, decoders
from moksori.audio.clip import Clip, Samples
from moksori.audio.mixdown import Mixdown, of_blocks
from moksori.errors import AudioFileError

BLOCK_SAMPLES = 1 << 16  # default block: about a second, 16 MB even with 64 channels
_MOST_SAMPLES = 1 << 40  # of any recording

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
    with decoders.opened(path) as source:
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
    with decoders.opened(path) as source:
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
    with decoders.opened(path) as source:
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
    with decoders.opened(path) as source:
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
    with decoders.opened(path) as source:
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
        with soundfile.SoundFile(decoders.native_name(path)) as file:
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
                decoders.native_name(self._part),
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
                f"{self._sample_rate} Hz ({decoders.reason_of(error)}); wav and flac take nearly every rate"
            ) from error
        if self._comment:
            with contextlib.suppress(soundfile.SoundFileError):  # a format without room for words
                self._file.comment = self._comment
        decoders.forbid_seeking(self._file)

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
            try:
                self._file.close()
            except soundfile.SoundFileError as failure:
                raise AudioFileError(self._not_written()) from failure
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


def _check_destination(path: Path) -> None:
    if len(os.fsencode(path.name)) > atomic.LONGEST_NAME:
        raise AudioFileError(f"{path}: a name of more than {atomic.LONGEST_NAME} bytes; choose a shorter one with -o")
    status = decoders.status_of(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise AudioFileError(f"{path}: exists and is not an ordinary file; choose another name")
    if not path.parent.is_dir():
        raise AudioFileError(f"{path}: the folder {path.parent} does not exist; create it first")


def _no_sound(path: Path) -> str:
    return (
        f"{path}: holds no samples, only a header ({os.path.getsize(path)} bytes in all); "
        "if it was recorded, the recorder was stopped before it finished the file"
    )


def _writable() -> str:
    return ", ".join(sorted(_OUTPUTS))
