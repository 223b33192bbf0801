"""Sound inside m4a, mp4, webm and other containers, decoded by PyAV (the extra `av`).

Only `files` opens these; it hands over ordinary files, already checked. The demuxers are listed by name, so that a
playlist renamed to `.m4a` cannot make the decoder open further files or the network.
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from moksori.audio.clip import Samples
from moksori.errors import AudioFileError

SUFFIXES = frozenset({".m4a", ".m4b", ".mp4", ".m4v", ".aac", ".mov", ".mkv", ".mka", ".webm", ".wma", ".3gp"})

_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,asf,ogg,flac,wav,w64,aiff,au,caf"
_MOST_PADDING = 4096  # samples behind the end, that an encoder filled its last frames with


class Container:
    """An opened container: what its first sound track is, and its samples once through.

    A part of the file may be given as a file of its own.

    Rate and channels are those of the first decoded frame, not of the header: a high-efficiency AAC track (HE-AAC)
    may decode to twice the rate and to more channels than its header names.

    Raises:
        AudioFileError: PyAV is missing, the file is no known container, or no sound in it can be decoded.
    """

    def __init__(self, path: Path, bytes_of_it: IO[bytes] | io.RawIOBase | None = None) -> None:
        self._path = path
        self._av = _import_av(path)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(bytes_of_it or path.open("rb"))
            options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
            try:
                container = stack.enter_context(self._av.open(file, options=options))
                tracks = [track for track in container.streams.audio if track.codec_context]  # None: unknown codec
                if not tracks:
                    raise AudioFileError(f"{path}: holds no sound track that can be decoded; convert it to wav or flac")
                self._frames = container.decode(tracks[0])
                self._first = next(self._frames, None)
            # OSError: a header sends FFmpeg to a place before the file, and the file itself refuses.
            except (self._av.FFmpegError, OSError, ValueError) as error:
                raise AudioFileError(f"{path}: not a sound file that can be read ({_reason(error)})") from error
            if self._first is None:
                raise AudioFileError(f"{path}: holds a sound track without a sample; copy it again from its source")
            self._stack = stack.pop_all()
        track = tracks[0]
        self._seconds = float(track.duration * track.time_base) if track.duration and track.time_base else 0.0
        self.sample_rate: int = self._first.sample_rate  # Hz
        self.n_channels: int = len(self._first.layout.channels)
        self.format: str = container.format.name.split(",")[0].upper()
        self.subtype: str = tracks[0].codec_context.name.upper()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def blocks(self) -> Iterator[Samples]:
        """Decode the track, as float32 `[n, channels]` of whatever length the codec gives; no padding behind its end.

        Raises:
            AudioFileError: the decoder stumbles, or rate or channels change on the way.
        """
        n_wanted = round(self._seconds * self.sample_rate) if self.format == "MOV" else 0
        return _unpadded(self._decoded(), n_wanted) if n_wanted else self._decoded()

    def _decoded(self) -> Iterator[Samples]:
        assert self._first is not None
        resampler = self._av.AudioResampler(format="flt", layout=self._first.layout, rate=self.sample_rate)
        try:
            for frame in itertools.chain([self._first], self._frames, [None]):  # None empties the resampler
                for converted in resampler.resample(frame):
                    # [1, n * C] -> [n, C]
                    yield np.asarray(converted.to_ndarray(), np.float32).reshape(-1, self.n_channels)
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise AudioFileError(f"{self._path}: damaged ({_reason(error)}); copy it again from its source") from error


def _unpadded(blocks: Iterator[Samples], n_wanted: int) -> Iterator[Samples]:
    """The blocks without what the last frames hold behind the end that the track tells of."""
    held: list[Samples] = []
    n_given, n_held = 0, 0
    for block in blocks:
        held.append(block)
        n_held += len(block)
        while held and n_held - len(held[0]) >= _MOST_PADDING:
            n_given, n_held = n_given + len(held[0]), n_held - len(held[0])
            yield held.pop(0)
    n_padding = n_given + n_held - n_wanted
    for block in held:
        left = n_held - n_padding if 0 < n_padding < _MOST_PADDING else n_held
        kept = block[: max(0, left)]
        n_held -= len(block)
        if len(kept):
            yield kept


def _import_av(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise AudioFileError(
            f'{path}: reading {path.suffix} needs PyAV; pip install "moksori[av]", or convert the file to wav or flac'
        ) from error
    return av


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
