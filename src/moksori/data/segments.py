"""Dataset of fixed-length segments of codes, each a function of (singer, generator), from a cache of the corpus.

The first run at a model's rate turns every clip into 8-bit codes, in flat files for all splits (see `flat_cache`):

    DATA/cache/codes-<rate>-<fingerprint>.u8     all clips one after the other, in manifest order
    DATA/cache/codes-<rate>-<fingerprint>.json   written last: its presence says that the codes are complete

Codes of sub-bands (`audio.bands`) have files of their own, `bands-<rate>-...`; a segment of them begins with a step.

An hour of singing at 16 kHz is 58 MB there, mapped into memory and never read as a whole. A table keeps some numbers a
recording, and none a region: those are carried to its rate when a segment of the recording is drawn.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch

from moksori import atomic
from moksori.audio import bands, features, files, frames, mulaw
from moksori.audio.features import FeatureConfig
from moksori.audio.resample import StreamResampler
from moksori.data import feature_cache, flat_cache, splits
from moksori.data.corpus import SPLITS, Corpus, Recording, check_split
from moksori.data.feature_cache import Stretch
from moksori.data.flat_cache import Described, FlatCache, Joined, Shard
from moksori.data.index import Integers
from moksori.data.threads import map_in_order
from moksori.errors import DataError
from moksori.progress import OnProgress, Progress

VERSION = 1  # of the cached codes; a cache of another version is built anew
BLOCK_SAMPLES = 1 << 18  # read at a time, about 10 s: keeps memory flat for hour-long clips
_COUNTED = 4096  # recordings whose regions are looked at together


@dataclass(frozen=True)
class Segment:
    """A segment with the place that it came from."""

    clip: torch.Tensor  # codes, int64 [segment_samples]; codes with conditioning rows; or features, see `excerpts`
    singer: int  # position in the corpus's singers
    source: str  # of the recording
    start: int  # first sample, at the table's rate


@dataclass(frozen=True)
class _Region:
    """A sung region of one recording, in samples of the codes of all clips."""

    recording: int  # its number in the manifest
    clip_start: int  # where the clip begins among the codes
    clip_length: int
    start: int  # of the region, within the clip
    end: int


class SegmentTable:
    """Draws segments of one split of a corpus, as codes at a model's sample rate.

    Args:
        corpus: what `prepare` made.
        split: "train", "validation" or "test".
        sample_rate: of the model, in Hz; clips are resampled once, into the cache.
        segment_samples: length of every segment, at that rate.
        melody_hop_samples: if not 0, segments tell pitch and loudness, too, known so often; see `item`.
        mel_window_samples: if not 0, they also tell the log-mel of this window of `features.WINDOWS`, as often.
        n_bands: 1 for codes of the waveform, 4 for those of its bands.
        workers: threads that build the cache, 0 for one each core; they do not change its content.
        progress: called during the building of the cache.

    Raises:
        ValueError: unknown split, or a rate or length below 1.
        AudioFileError: a clip is missing or damaged.
        DataError: a clip does not have the length that the manifest states.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        sample_rate: int,
        segment_samples: int,
        *,
        melody_hop_samples: int = 0,
        mel_window_samples: int = 0,
        n_bands: int = 1,
        workers: int = 0,
        progress: OnProgress | None = None,
    ) -> None:
        if sample_rate < 1 or segment_samples < 1:
            raise ValueError(f"segments of {segment_samples} samples at {sample_rate} Hz; both must be at least 1")
        check_split(split)
        self.corpus = corpus
        self.split = split
        self.sample_rate = sample_rate
        self.segment_samples = segment_samples
        self._codes = open_codes(corpus, sample_rate, n_bands, workers=workers, progress=progress)
        self._step = melody_hop_samples or n_bands
        self._melody_hop, self._mel_window = melody_hop_samples, mel_window_samples
        self._melodies: Sequence[Stretch] = ()  # of all recordings, in manifest order
        if melody_hop_samples:
            config = FeatureConfig(sample_rate, melody_hop_samples)
            self._melodies = feature_cache.open_features(corpus, config, 0, workers=workers, progress=progress)
        self._lengths = _lengths(corpus, sample_rate, n_bands)  # of all clips [R]
        self._clip_starts = _starts(self._lengths)
        columns = corpus.columns
        own = np.flatnonzero(columns.split == SPLITS.index(split))
        # The recordings of this split, singer by singer; singer s has those from _first[s] up to _first[s + 1].
        self._recordings = own[np.argsort(columns.singer[own], kind="stable")]
        singers = range(len(corpus.singers) + 1)
        self._first = np.searchsorted(columns.singer[self._recordings], singers).tolist()
        self._sung_starts = _starts(self._sung_lengths()[self._recordings])  # sung samples before each of them

    @property
    def singers(self) -> tuple[str, ...]:
        """Names of all singers of the corpus, also of those without a recording in this split."""
        return self.corpus.singers

    def sung_length(self, singer: int) -> int:
        """Count the sung samples of a singer in this split, at the table's rate; 0 when there is no recording."""
        first, last = self._first[singer : singer + 2]
        return int(self._sung_starts[last] - self._sung_starts[first])

    def item(self, singer: int, generator: np.random.Generator) -> torch.Tensor:
        """Draw one segment of a singer.

        A sung region is drawn by its length, then a start within it, so every second of singing has its share and the
        silence between regions is never drawn. Around a region shorter than the segment, the clip is taken as it is;
        where the whole clip is shorter, silence follows.

        Args:
            singer: position in `singers`.
            generator: two numbers are drawn from it.

        Returns:
            int64 `[segment_samples]`, codes 0..255. With melody float32 `[3, segment_samples]`: codes, f0 in Hz (0
            where unvoiced) and level in dBFS, the latter two held for the hop. With log-mel `[3 + M, segment_samples]`:
            its bands follow.

        Raises:
            ValueError: no such singer, or the singer has no recording in this split.
        """
        return self.draw(singer, generator)()

    def draw(self, singer: int, generator: np.random.Generator) -> Callable[[], torch.Tensor]:
        """The same, read when what comes back is called; the numbers are drawn now."""
        position = int(generator.integers(self._checked_length(singer)))
        region, _ = self._at(singer, position)
        first, last = self._starts(region)
        start = self._on_a_frame(int(generator.integers(first, last + 1)))
        return lambda: self._cut(region, start)

    def fixed_items(self, per_singer: int, most_singers: int = 0) -> list[Segment]:
        """Lay segments evenly over the singing of every singer: the same list at every call.

        Args:
            per_singer: segments for each singer, at least 1. Where there is less singing than that, they overlap.
            most_singers: if not 0, so many singers at most, evenly spread over those who have a recording.

        Returns:
            Segments sorted by singer, then place. Singers without a recording in this split have none.
        """
        if per_singer < 1:
            raise ValueError(f"{per_singer} segments for each singer; expected at least 1")
        there = [singer for singer in range(len(self.singers)) if self.sung_length(singer)]
        chosen = splits.evenly(there, most_singers or len(there))
        return [segment for singer in chosen for segment in self._fixed(singer, per_singer)]

    def _fixed(self, singer: int, n: int) -> Iterator[Segment]:
        for position in splits.middles(self.sung_length(singer), n):
            region, place = self._at(singer, position)
            first, last = self._starts(region)
            start = self._on_a_frame(min(max(place - self.segment_samples // 2, first), last))
            yield Segment(self._cut(region, start), singer, self.corpus.source(region.recording), start)

    def _checked_length(self, singer: int) -> int:
        if not 0 <= singer < len(self.singers):
            raise ValueError(f"singer {singer} does not exist; there are {len(self.singers)}")
        if not self.sung_length(singer):
            raise ValueError(f"singer {self.singers[singer]!r} has no recording in the {self.split} split")
        return self.sung_length(singer)

    def _at(self, singer: int, position: int) -> tuple[_Region, int]:
        """Find the position-th sung sample of a singer: its region, and its place in the clip."""
        place = int(self._sung_starts[self._first[singer]]) + position
        row = int(np.searchsorted(self._sung_starts, place, side="right")) - 1
        number = int(self._recordings[row])
        starts, ends = self._regions(number, number + 1)
        until = np.cumsum(ends - starts)
        inside = place - int(self._sung_starts[row])
        i = int(np.searchsorted(until, inside, side="right"))
        end = int(ends[i])
        region = _Region(number, int(self._clip_starts[number]), int(self._lengths[number]), int(starts[i]), end)
        return region, end - (int(until[i]) - inside)

    def _regions(self, first: int, last: int) -> tuple[Integers, Integers]:
        """Starts and ends of the sung regions of recordings that follow each other, carried to the table's rate."""
        columns = self.corpus.columns
        ends_of = columns.first_region[first : last + 1]
        lengths = np.repeat(self._lengths[first:last], np.diff(ends_of))

        def scaled(positions: Integers) -> Integers:
            return np.minimum(lengths, -(-positions * self.sample_rate // self.corpus.sample_rate))

        starts, ends = (scaled(edge) for edge in columns.regions[ends_of[0] : ends_of[-1]].T)
        return starts, np.maximum(starts + 1, ends)

    def _sung_lengths(self) -> Integers:
        """The sung samples of every recording `[R]`, at the table's rate."""
        first_region = self.corpus.columns.first_region
        found = np.empty(len(self._lengths), np.int64)
        for first in range(0, len(found), _COUNTED):
            last = min(first + _COUNTED, len(found))
            starts, ends = self._regions(first, last)
            found[first:last] = np.add.reduceat(ends - starts, first_region[first:last] - first_region[first])
        return found

    def _starts(self, region: _Region) -> tuple[int, int]:
        """First and last start of a segment inside the region, or, for a short one, around it."""
        a, b = sorted((region.start, region.end - self.segment_samples))
        latest = max(0, region.clip_length - self.segment_samples)
        return min(max(a, 0), latest), min(max(b, 0), latest)

    def _on_a_frame(self, start: int) -> int:
        """The start of a segment, moved to the melody's frame before it, or to a step of bands.

        Else the melody would be early or late, and a band be taken for another.
        """
        return start - start % self._step

    def _cut(self, region: _Region, start: int) -> torch.Tensor:
        begin = region.clip_start + start
        end = min(begin + self.segment_samples, region.clip_start + region.clip_length)
        segment = np.full(self.segment_samples, mulaw.SILENCE, np.int64)
        segment[: end - begin] = self._codes[begin:end]
        codes = torch.from_numpy(segment)
        return self._with_melody(region, start, codes) if self._melody_hop else codes

    def _with_melody(self, region: _Region, start: int, codes: torch.Tensor) -> torch.Tensor:
        hop = self._melody_hop
        first, n_frames = start // hop, frames.n_frames(self.segment_samples, hop)
        excerpt = self._melodies[region.recording].cut(first, n_frames)
        rows = torch.stack([features.f0_hz(excerpt), features.levels_dbfs(excerpt)])  # [2, n_frames]
        if self._mel_window:
            rows = torch.cat([rows, features.mels(excerpt)[self._mel_window]])
        held = rows.repeat_interleave(hop, dim=1)[:, : self.segment_samples]
        return torch.cat([codes.float()[None], held])


def layout(corpus: Corpus, sample_rate: int, n_bands: int = 1) -> list[tuple[Recording, int, int]]:
    """Say where each clip lies among the codes of all.

    Returns:
        `(recording, start, length)` in samples at `sample_rate`, in manifest order, without gaps; of bands whole steps.
    """
    lengths = _lengths(corpus, sample_rate, n_bands)
    return list(zip(corpus.recordings, _starts(lengths).tolist(), lengths.tolist(), strict=False))


def _lengths(corpus: Corpus, sample_rate: int, n_bands: int) -> Integers:
    """Codes of every clip `[R]`; see `frames.rescaled_length` and `frames.padded_length`."""
    rescaled = -(-corpus.columns.n_samples * sample_rate // corpus.sample_rate)
    padded: Integers = -(-rescaled // n_bands) * n_bands
    return padded


def _starts(lengths: Integers) -> Integers:
    """Where each of several things begins that follow each other, and where the last one ends: `[R] -> [R + 1]`."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def open_codes(
    corpus: Corpus, sample_rate: int, n_bands: int = 1, *, workers: int = 0, progress: OnProgress | None = None
) -> Joined:
    """Map the cached codes of a corpus into memory, building them first where they are missing or stale.

    Returns:
        Read-only uint8 `[samples of all clips]`, ordered as `layout` says.

    Raises:
        AudioFileError: a clip is missing or damaged.
        DataError: a clip does not have the length that the manifest states.
    """
    lengths = _lengths(corpus, sample_rate, n_bands)
    kind = "codes" if n_bands == 1 else "bands"

    def opened(shard: Shard) -> npt.NDArray[np.uint8]:
        own = lengths[shard.clips.start : shard.clips.stop]
        header = {"version": VERSION, "sample_rate": sample_rate, "n_codes": int(own.sum())}
        cache = FlatCache(corpus, f"{kind}-{sample_rate}", ".u8", header, shard)

        def build(path: Path) -> Described:
            recordings = corpus.recordings[shard.clips.start : shard.clips.stop]
            rows = list(zip(recordings, _starts(own).tolist(), own.tolist(), strict=False))
            _build(path, corpus, rows, sample_rate, n_bands, workers, flat_cache.in_all(progress, shard, len(lengths)))
            return {}

        cache.opened(build, lambda _: header["n_codes"], f"it needs {header['n_codes'] / 1e6:.0f} MB")
        return np.memmap(cache.path, np.uint8, mode="r")

    return Joined([opened(shard) for shard in flat_cache.shards(len(lengths))])


def _build(
    path: Path,
    corpus: Corpus,
    rows: Sequence[tuple[Recording, int, int]],
    sample_rate: int,
    n_bands: int,
    workers: int,
    progress: OnProgress,
) -> None:
    """Encode clips, each to its place, into a temporary file that takes its name when it is complete."""
    with atomic.replacing(path) as temporary, open(temporary, "xb") as whole:

        def encode(row: tuple[Recording, int, int]) -> str:
            recording, start, length = row
            # Each thread writes through a handle of its own. (A full disk kills a process that writes through a map.)
            with open(temporary, "r+b") as file:
                file.seek(start)
                _encode(file, corpus, recording, sample_rate, n_bands, length)
            return recording.source

        for n_done, source in enumerate(map_in_order(encode, rows, workers), start=1):
            progress(Progress(n_done, len(rows), source))
        os.fsync(whole.fileno())


def _encode(file: IO[bytes], corpus: Corpus, recording: Recording, sample_rate: int, n_bands: int, length: int) -> None:
    """Read a clip in blocks, resample it, and write exactly `length` codes."""
    path = corpus.clip_path(recording)
    stream = StreamResampler(corpus.sample_rate, sample_rate)
    blocks = (stream.push(block) for block in files.read_mono_blocks(path, BLOCK_SAMPLES))
    n_written = 0
    resampled = itertools.chain(blocks, (stream.flush() for _ in range(1)))  # flushed when the blocks are through
    for codes in bands.encode_blocks(resampled, n_bands):
        n_written += len(codes)
        if n_written > length:
            raise _changed(path, recording)
        file.write(codes.tobytes())
    if n_written < length:
        raise _changed(path, recording)


def _changed(path: Path, recording: Recording) -> DataError:
    return DataError(
        f"{path}: the clip does not have the {recording.n_samples} samples that the manifest states; "
        "delete it and run `moksori prepare` again"
    )
