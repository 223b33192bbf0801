"""Feature cache: every clip of a corpus as frames of features, computed once.

The first run turns every clip into frames of features (`audio.features`), and every clip for training into some more,
at other and moving pitches (`repitch`); flat files for the clips, and some for each copy of them (see `flat_cache`):

    DATA/cache/features-<settings>-<copy>-<fingerprint>.f16     clip after clip, frame after frame, half precision
    DATA/cache/features-<settings>-<copy>-<fingerprint>.levels  their levels alone, which tell what is sung
    DATA/cache/features-<settings>-<copy>-<fingerprint>.clips   of each clip its number of frames, how many of them
                                                                are loud and voiced, and its mean shape
    DATA/cache/features-<settings>-<copy>-<fingerprint>.sung    how many of its frames are sung
    DATA/cache/features-<settings>-<copy>-<fingerprint>.json    what they were made by; last

Half precision holds a pitch to a cent. A minute of singing is 4.4 MB there, a copy as much again; the files are mapped
into memory and never read as a whole. The second and the fourth are made of the first where they are not there.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori import atomic
from moksori.audio import envelopes, features, files, resample
from moksori.audio.features import FeatureConfig
from moksori.audio.pitch import PitchTracker
from moksori.data import flat_cache, repitch
from moksori.data.corpus import SPLITS, Corpus, Recording
from moksori.data.flat_cache import CLIPS_A_SHARD, Described, FlatCache, Joined, Shard
from moksori.data.index import Integers
from moksori.data.threads import map_in_order
from moksori.progress import OnProgress, Progress

VERSION = 3  # of the cached features; a cache of another version is built anew

Values = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Stretch:
    """The frames of one clip, or of a copy of it."""

    recording: int  # its number in the manifest
    values: Values | Joined  # of all clips
    start: int  # among them
    n_frames: int
    levels_dbfs: Values  # of its frames, from a file of their own
    mean_shape: Tensor  # float64 [2 N_BANDS], of its loud voiced frames; see `audio.shapes`
    n_loud: int  # how many those are

    def inside(self, start: int, n_frames: int) -> int:
        """The start of an excerpt, moved so that it lies within the stretch if it can."""
        return max(0, min(start, self.n_frames - n_frames))

    def cut(self, start: int, n_frames: int) -> Tensor:
        """`[N_VALUES, n_frames]` from a frame of the stretch on; after its end follows silence."""
        rows = self.values[self.start + start : self.start + min(start + n_frames, self.n_frames)].astype(np.float32)
        excerpt = silence(n_frames)
        excerpt[:, : len(rows)] = torch.from_numpy(rows.T)
        return excerpt


def silence(n_frames: int) -> Tensor:
    """Features of nothing, `[N_VALUES, n_frames]`."""
    quiet = torch.full((features.N_VALUES, n_frames), float(np.log(features.FLOOR)))
    quiet[features.N_MELS], quiet[features.LEVEL] = 0.0, features.FLOOR_DBFS
    quiet[features.LEVEL + 1 :] = float(np.log(envelopes.FLOOR))
    return quiet


class Stretches(Sequence[Stretch]):
    """The clips of a cache, each looked up when it is asked for.

    Args:
        numbers: `[n]`, of the recordings that are here, in the manifest.
        values: `[frames of all, N_VALUES]`.
        levels: `[frames of all]`, dBFS.
        counts: `[n, 2]`, frames of each clip, and how many of them are loud and voiced.
        means: `[n, 2 N_BANDS]`, their mean shapes.
        sung: counts the sung frames of every clip, `[n]`, above a level in dBFS.
    """

    def __init__(
        self,
        numbers: Integers,
        values: Joined,
        levels: Joined,
        counts: Integers,
        means: Joined,
        sung: Callable[[float], Integers],
    ) -> None:
        self.numbers, self.n_sung = numbers, sung
        self._values, self._levels, self._means = values, levels, means
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[:, 0])])
        self._n_loud = np.ascontiguousarray(counts[:, 1])

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Stretch: ...
    @overload
    def __getitem__(self, place: slice) -> list[Stretch]: ...
    def __getitem__(self, place: int | slice) -> Stretch | list[Stretch]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        i = range(len(self))[place]
        start, end = int(self._starts[i]), int(self._starts[i + 1])
        mean = torch.from_numpy(self._means[i : i + 1][0].copy())
        recording = int(self.numbers[i])
        return Stretch(recording, self._values, start, end - start, self.levels(i), mean, int(self._n_loud[i]))

    def levels(self, place: int) -> Values:
        """The levels of a clip's frames."""
        return self._levels[int(self._starts[place]) : int(self._starts[place + 1])]

    def sums(self, places: Integers, groups: Integers, n_groups: int) -> tuple[Tensor, Tensor]:
        """Mean shapes of some clips, each as often as it has loud frames, added up by group.

        Returns:
            float64 `[n_groups, 2 N_BANDS]`, and how many frames that are, `[n_groups]`.
        """
        sums, n = np.zeros((n_groups, 2 * features.N_BANDS)), np.zeros(n_groups, np.int64)
        for first in range(0, len(places), CLIPS_A_SHARD):
            own, into = places[first : first + CLIPS_A_SHARD], groups[first : first + CLIPS_A_SHARD]
            means = self._means[int(own.min()) : int(own.max()) + 1][own - own.min()]
            np.add.at(sums, into, self._n_loud[own, None] * means)
            np.add.at(n, into, self._n_loud[own])
        return torch.from_numpy(sums), torch.from_numpy(n)


def open_features(
    corpus: Corpus, config: FeatureConfig, copy: int, *, workers: int = 0, progress: OnProgress | None = None
) -> Stretches:
    """Map cached features into memory, computing them first where they are missing or stale.

    Args:
        corpus: what `prepare` made.
        config: of the features.
        copy: 0 for the clips themselves, of all splits; from 1 on, the so-many-th copy of the clips for training.
        workers: threads, 0 for one each core.
        progress: called during the work.
    """
    is_here = np.ones(len(corpus.recordings), bool) if copy == 0 else corpus.columns.split == SPLITS.index("train")
    numbers = np.flatnonzero(is_here)
    opened = [
        _opened(corpus, config, copy, numbers, shard, workers, flat_cache.in_all(progress, shard, len(numbers)))
        for shard in flat_cache.shards(len(numbers))
    ]
    return Stretches(
        numbers,
        Joined([part.values for part in opened]),
        Joined([part.levels for part in opened]),
        np.concatenate([part.counts for part in opened]),
        Joined([part.means for part in opened]),
        lambda above_dbfs: np.concatenate([_n_sung(part, above_dbfs) for part in opened]),
    )


@dataclass(frozen=True, eq=False)
class _Shard:
    """One shard of a cache, mapped into memory; see `Stretches`."""

    path: Path
    values: Values
    levels: Values
    counts: Integers
    means: npt.NDArray[np.float64]


def _opened(
    corpus: Corpus,
    config: FeatureConfig,
    copy: int,
    numbers: Integers,
    shard: Shard,
    workers: int,
    progress: OnProgress,
) -> _Shard:
    header: dict[str, Any] = {
        "version": VERSION,
        "sample_rate": config.sample_rate,
        "hop_samples": config.hop_samples,
        "copy": copy,
        "n_values": features.N_VALUES,
    }
    own = numbers[shard.clips.start : shard.clips.stop]
    name = f"features-{config.sample_rate}-{config.hop_samples}-{copy}"
    cache = FlatCache(corpus, name, ".f16", header, shard)

    def build(path: Path) -> Described:
        work = _Work(corpus, copy, config, PitchTracker())
        clips = _build(path, work, [corpus.recordings[int(number)] for number in own], workers, progress)
        for suffix in (".levels", ".sung"):  # of a cache that this one replaces
            path.with_suffix(suffix).unlink(missing_ok=True)
        return {"n_frames": _write_clips(path.with_suffix(".clips"), clips)}

    path = cache.path
    described = cache.opened(build, lambda found: _n_bytes(found, len(own), path), "is the disk full?")
    counts, means = _clips(path.with_suffix(".clips"), described, len(own))
    values = np.memmap(path, np.float16, mode="r", shape=(int(counts[:, 0].sum()), features.N_VALUES))
    return _Shard(path, values, _levels(path.with_suffix(".levels"), values), counts, means)


def _write_clips(path: Path, clips: list[dict[str, Any]]) -> int:
    """Write what there is to tell of each clip, counts and then means; how many frames all have."""
    counts = np.array([(clip["n_frames"], clip["n_loud"]) for clip in clips], np.int64)
    means = np.array([clip["mean"] for clip in clips], np.float64)
    atomic.write(path, counts.tobytes() + means.tobytes())
    return int(counts[:, 0].sum())


def _clips(path: Path, described: Described, n: int) -> tuple[Integers, npt.NDArray[np.float64]]:
    """Counts `[n, 2]` and means `[n, 2 N_BANDS]` of a shard's clips; headers of before hold them themselves."""
    if "clips" in described:
        clips = described["clips"]
        counts = np.array([(clip["n_frames"], clip["n_loud"]) for clip in clips], np.int64)
        return counts, np.array([clip["mean"] for clip in clips], np.float64)
    with open(path, "rb") as file:
        counts = np.frombuffer(file.read(16 * n), np.int64).reshape(n, 2)
    return counts, np.memmap(path, np.float64, mode="r", offset=counts.nbytes, shape=(n, 2 * features.N_BANDS))


def _levels(path: Path, values: Values) -> Values:
    """The levels of all frames, from a file of its own; written where it is not there yet."""
    size = len(values) * values.itemsize
    with contextlib.suppress(OSError):
        if path.stat().st_size == size:
            return np.memmap(path, np.float16, mode="r")
    levels = np.ascontiguousarray(values[:, features.LEVEL])
    with contextlib.suppress(OSError):  # what cannot be kept is read again
        atomic.write(path, levels.tobytes())
    return levels


def _n_sung(shard: _Shard, above_dbfs: float) -> Integers:
    """How many frames of every clip are louder, `[n]`; from a file of its own, written where it is not current."""
    path, levels = shard.path.with_suffix(".sung"), shard.path.with_suffix(".levels")
    made_by = np.array([0, 0, round(1000 * above_dbfs)], np.int64)
    with contextlib.suppress(OSError):
        stat = levels.stat()
        made_by[:2] = stat.st_size, stat.st_mtime_ns
    with contextlib.suppress(OSError, ValueError):
        found = np.frombuffer(path.read_bytes(), np.int64)
        if len(found) == len(made_by) + len(shard.counts) and np.array_equal(found[: len(made_by)], made_by):
            return found[len(made_by) :]
    ends = np.cumsum(shard.counts[:, 0])
    starts = ends - shard.counts[:, 0]
    counted = [np.count_nonzero(shard.levels[a:b] > above_dbfs) for a, b in zip(starts, ends, strict=True)]
    n_sung = np.array(counted, np.int64)
    with contextlib.suppress(OSError):
        atomic.write(path, np.concatenate([made_by, n_sung]).tobytes())
    return n_sung


def _n_bytes(described: Described, n_clips: int, path: Path) -> int:
    """How long a file of so many clips is that are described so.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: they are not.
        OSError: what they are described by is not there.
    """
    if "clips" in described:
        clips = described["clips"]
        if len(clips) != n_clips or not all(len(c["mean"]) == 2 * features.N_BANDS and c["n_loud"] >= 0 for c in clips):
            raise ValueError(f"{len(clips)} clips")
        n_frames: int = sum(clip["n_frames"] for clip in clips)
    else:
        if path.with_suffix(".clips").stat().st_size != n_clips * (2 + 2 * features.N_BANDS) * 8:
            raise ValueError("other clips")
        n_frames = described["n_frames"]
    return n_frames * features.N_VALUES * np.dtype(np.float16).itemsize


@dataclass(frozen=True)
class _Work:
    """How the features of a recording are computed."""

    corpus: Corpus
    copy: int
    config: FeatureConfig
    tracker: PitchTracker

    def rows(self, recording: Recording) -> tuple[Values, dict[str, Any]]:
        """Features of a clip, or of the copy of it, `[F, N_VALUES]`, and what the header tells of it."""
        config = self.config
        clip = resample.resample_clip(files.read(self.corpus.clip_path(recording)), config.sample_rate)
        track = self.tracker.track(clip)
        if self.copy == 0:
            found = features.of(clip.samples, track, config)
        else:
            # By name, not by place: a recording more or less does not change the copies of the others.
            rng = np.random.default_rng([zlib.crc32(recording.source.encode()), self.copy])
            n_frames = 2 * (1 + clip.n_samples // config.hop_samples)
            semitones = repitch.curve(n_frames, config.hop_samples / config.sample_rate, rng)
            found = repitch.moved(clip.samples, track, semitones, config)
        mean, n_loud = features.loud_mean(found, config)
        described = {"n_frames": found.shape[1], "n_loud": n_loud, "mean": [round(value, 4) for value in mean.tolist()]}
        return np.asarray(found.T.numpy(), np.float16), described


def _build(
    path: Path, work: _Work, recordings: Sequence[Recording], workers: int, progress: OnProgress
) -> list[dict[str, Any]]:
    """Compute features into a temporary file that takes its name when it is complete; what there is to tell of each."""
    clips = []
    with atomic.replacing(path) as temporary, open(temporary, "xb") as file:
        for recording, (rows, clip) in zip(recordings, map_in_order(work.rows, recordings, workers), strict=True):
            file.write(rows.tobytes())
            clips.append(clip)
            progress(Progress(len(clips), len(recordings), recording.source))
        file.flush()
        os.fsync(file.fileno())
    return clips
