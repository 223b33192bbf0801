"""Every clip of a corpus as frames of features, computed once.

The first run turns every clip into frames of features (`audio.features`), and every clip for training into some more,
at other and moving pitches (`repitch`); a flat file for the clips, and one for each copy of them:

    DATA/cache/features-<settings>-<copy>-<fingerprint>.f16     clip after clip, frame after frame, half precision
    DATA/cache/features-<settings>-<copy>-<fingerprint>.levels  their levels alone, which tell what is sung
    DATA/cache/features-<settings>-<copy>-<fingerprint>.json    how many frames each clip has, and its mean shape; last

Half precision holds a pitch to a cent. A minute of singing is 4.4 MB there, a copy as much again; the files are mapped
into memory and never read as a whole.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori import atomic
from moksori.audio import envelopes, features, files, resample
from moksori.audio.features import FeatureConfig
from moksori.audio.pitch import PitchTracker
from moksori.data import repitch
from moksori.data.corpus import Corpus, Recording
from moksori.data.flat_cache import Described, FlatCache
from moksori.data.threads import Progress, map_in_order

VERSION = 3  # of the cached features; a cache of another version is built anew

Values = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Stretch:
    """The frames of one clip, or of a copy of it."""

    recording: Recording
    values: Values  # the flat file's
    start: int  # in that file
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


def open_features(
    corpus: Corpus, config: FeatureConfig, copy: int, *, workers: int = 0, progress: Progress | None = None
) -> list[Stretch]:
    """Map cached features into memory, computing them first where they are missing or stale.

    Args:
        corpus: what `prepare` made.
        config: of the features.
        copy: 0 for the clips themselves, of all splits; from 1 on, the so-many-th copy of the clips for training.
        workers: threads, 0 for one each core.
        progress: told about the work.
    """
    header: dict[str, Any] = {
        "version": VERSION,
        "sample_rate": config.sample_rate,
        "hop_samples": config.hop_samples,
        "copy": copy,
        "n_values": features.N_VALUES,
    }
    recordings = corpus.recordings if copy == 0 else [r for r in corpus.recordings if r.split == "train"]
    cache = FlatCache(corpus, f"features-{config.sample_rate}-{config.hop_samples}-{copy}", ".f16", header)

    def build(path: Path) -> Described:
        work = _Work(corpus, copy, config, PitchTracker())
        clips = _build(path, work, recordings, workers, progress or (lambda done, total, what: None))
        path.with_suffix(".levels").unlink(missing_ok=True)  # of a cache that this one replaces
        return {"clips": clips}

    path = cache.path
    clips = cache.opened(build, lambda described: _n_bytes(described, len(recordings)), "is the disk full?")["clips"]
    starts = np.cumsum([0, *(clip["n_frames"] for clip in clips)]).tolist()
    values = np.memmap(path, np.float16, mode="r", shape=(starts[-1], features.N_VALUES))
    levels = _levels(path.with_suffix(".levels"), values)
    found = zip(recordings, starts, clips, strict=False)
    return [_stretch(recording, values, levels, start, clip) for recording, start, clip in found]


def _stretch(recording: Recording, values: Values, levels: Values, start: int, clip: dict[str, Any]) -> Stretch:
    """A clip in the flat files, as the header tells it."""
    n_frames, mean = clip["n_frames"], torch.tensor(clip["mean"], dtype=torch.float64)
    return Stretch(recording, values, start, n_frames, levels[start : start + n_frames], mean, clip["n_loud"])


def _levels(path: Path, values: Values) -> Values:
    """The levels of all frames, from a file of its own; written where it is not there yet."""
    size = len(values) * values.itemsize
    try:
        found = path.read_bytes()
    except OSError:
        found = b""
    if len(found) == size:
        return np.frombuffer(found, np.float16)
    levels = np.ascontiguousarray(values[:, features.LEVEL])
    with contextlib.suppress(OSError):  # what cannot be kept is read again
        atomic.write(path, levels.tobytes())
    return levels


def _n_bytes(described: Described, n_jobs: int) -> int:
    """How long a file of so many clips is that are described so.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: they are not.
    """
    clips = described["clips"]
    if len(clips) != n_jobs or not all(len(c["mean"]) == 2 * features.N_BANDS and c["n_loud"] >= 0 for c in clips):
        raise ValueError(f"{len(clips)} clips")
    n_frames: int = sum(clip["n_frames"] for clip in clips)
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
    path: Path, work: _Work, recordings: Sequence[Recording], workers: int, progress: Progress
) -> list[dict[str, Any]]:
    """Compute features into a temporary file that takes its name when it is complete; what there is to tell of each."""
    clips = []
    with atomic.replacing(path) as temporary, open(temporary, "xb") as file:
        for recording, (rows, clip) in zip(recordings, map_in_order(work.rows, recordings, workers), strict=True):
            file.write(rows.tobytes())
            clips.append(clip)
            progress(len(clips), len(recordings), recording.source)
        file.flush()
        os.fsync(file.fileno())
    return clips
