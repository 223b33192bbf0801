"""Every clip of a corpus as frames of features, computed once.

The first run turns every clip into frames of features (`audio.features`), and every clip for training into some more,
at other and moving pitches (`repitch`); a flat file for the clips, and one for each copy of them:

    DATA/cache/features-<settings>-<copy>-<fingerprint>.f16     clip after clip, frame after frame, half precision
    DATA/cache/features-<settings>-<copy>-<fingerprint>.levels  their levels alone, which tell what is sung
    DATA/cache/features-<settings>-<copy>-<fingerprint>.json    how many frames each clip has; written last

Half precision holds a pitch to a cent. A minute of singing is 2.9 MB there, a copy as much again; the files are mapped
into memory and never read as a whole.
"""

from __future__ import annotations

import contextlib
import json
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
from moksori.audio import features, files, resample
from moksori.audio.features import FeatureConfig
from moksori.audio.pitch import PitchTracker
from moksori.data import repitch
from moksori.data.corpus import CACHE, Corpus, Recording, write_json
from moksori.data.threads import Progress, map_in_order
from moksori.errors import DataError

VERSION = 1  # of the cached features; a cache of another version is built anew

Values = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Stretch:
    """The frames of one clip, or of a copy of it."""

    recording: Recording
    values: Values  # the flat file's
    start: int  # in that file
    n_frames: int
    levels_dbfs: Values  # of its frames, from a file of their own

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
    quiet[-2], quiet[-1] = 0.0, features.FLOOR_DBFS
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
        "fingerprint": corpus.fingerprint,
    }
    name = f"features-{config.sample_rate}-{config.hop_samples}-{copy}"
    stem = corpus.folder / CACHE / f"{name}-{corpus.fingerprint[:12]}"
    path, header_path = stem.with_suffix(".f16"), stem.with_suffix(".json")
    recordings = corpus.recordings if copy == 0 else [r for r in corpus.recordings if r.split == "train"]
    counts = _counts(path, header_path, header, len(recordings))
    if counts is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            work = _Work(corpus, copy, config, PitchTracker())
            counts = _build(path, work, recordings, workers, progress or (lambda done, total, what: None))
            path.with_suffix(".levels").unlink(missing_ok=True)  # of a cache that this one replaces
            write_json(header_path, {**header, "n_frames": counts})
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); is the disk full?") from error
        _remove_others(path, name)
    starts = np.cumsum([0, *counts]).tolist()
    values = np.memmap(path, np.float16, mode="r", shape=(starts[-1], features.N_VALUES))
    levels = _levels(path.with_suffix(".levels"), values)
    return [
        Stretch(r, values, start, n, levels[start : start + n])
        for r, start, n in zip(recordings, starts, counts, strict=False)
    ]


def _levels(path: Path, values: Values) -> Values:
    """The last column of all frames, from a file of its own; written where it is not there yet."""
    size = len(values) * values.itemsize
    try:
        found = path.read_bytes()
    except OSError:
        found = b""
    if len(found) == size:
        return np.frombuffer(found, np.float16)
    levels = np.ascontiguousarray(values[:, -1])
    with contextlib.suppress(OSError):  # what cannot be kept is read again
        atomic.write(path, levels.tobytes())
    return levels


def _counts(path: Path, header_path: Path, header: dict[str, Any], n_jobs: int) -> list[int] | None:
    """Frames of each clip, as a current cache tells; None where there is no such cache."""
    try:
        found = json.loads(header_path.read_text(encoding="utf-8"))
        counts: list[int] = found.pop("n_frames")
        is_whole = path.stat().st_size == sum(counts) * features.N_VALUES * np.dtype(np.float16).itemsize
        return counts if found == header and is_whole and len(counts) == n_jobs else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True)
class _Work:
    """How the features of a recording are computed."""

    corpus: Corpus
    copy: int
    config: FeatureConfig
    tracker: PitchTracker

    def rows(self, recording: Recording) -> Values:
        """Features of a clip, or of the copy of it, `[F, N_VALUES]`."""
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
        return np.asarray(found.T.numpy(), np.float16)


def _build(path: Path, work: _Work, recordings: Sequence[Recording], workers: int, progress: Progress) -> list[int]:
    """Compute features into a temporary file that takes its name when it is complete; frames of each clip."""
    counts = []
    with atomic.replacing(path) as temporary, open(temporary, "xb") as file:
        for recording, rows in zip(recordings, map_in_order(work.rows, recordings, workers), strict=True):
            file.write(rows.tobytes())
            counts.append(len(rows))
            progress(len(counts), len(recordings), recording.source)
        file.flush()
        os.fsync(file.fileno())
    return counts


def _remove_others(path: Path, name: str) -> None:
    """Delete caches of the same settings that belong to an earlier state of the corpus."""
    for other in path.parent.glob(f"{name}-*"):
        if other.stem != path.stem:
            with contextlib.suppress(OSError):  # another process may still have it mapped, and some systems refuse then
                other.unlink()
