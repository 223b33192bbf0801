"""The prepared data folder: its manifest, and the recordings that the manifest lists.

    DATA/
      manifest.json                    what this module reads and writes
      clips/<singer>/<stem>-<id>.flac  mono clips at one rate and one level, ends trimmed
      clips/<singer>/<stem>-<id>.json  what was measured, so that an interrupted run can resume
      cache/                           codes (`segments`) and features (`feature_cache`) at a model's rate; of a large
                                       manifest, its index (`index`)

Nothing in the manifest is absolute: the folder can be moved, and holds no user names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from moksori import atomic, documents, settings
from moksori.audio import pitch
from moksori.audio.pitch import PitchRange
from moksori.data import index
from moksori.data.index import Columns, Rows
from moksori.errors import DataError, UserError

VERSION = 1  # of the manifest; an older or newer one is refused, and `prepare` writes it again
CACHE = "cache"  # folder of what can be computed again
MANIFEST = "manifest.json"
CLIPS = "clips"
SPLITS = ("train", "validation", "test")
SAME_SOUND = "same sound as"  # begins the reason of a skipped double
LARGE_BYTES = 8_000_000  # of a manifest, some thousand clips: from here on an index saves a second of every start

T = TypeVar("T")


@dataclass(frozen=True)
class Recording:
    """One prepared clip: whose it is, where it lies, what was measured."""

    singer: str
    source: str  # posix path of the original below the songs folder
    path: str  # posix path of the clip below the data folder
    split: str  # "train", "validation" or "test"
    n_samples: int  # of the clip, at the corpus rate
    seconds: float
    sung_seconds: float  # total length of the regions
    regions: tuple[tuple[int, int], ...]  # [start, end) in samples of the clip; sorted, apart
    source_sha256: str  # of the original file's bytes
    audio_sha256: str  # of the decoded sound, mono, 16-bit, before any gain: equal for copies in other formats
    gain_db: float  # what was applied
    peak_dbfs: float  # of the clip
    clipped_fraction: float  # share of original samples at full scale, 0..1
    noise_dbfs: float  # level of the quietest frames, after the gain
    f0_low_hz: float | None  # 5th percentile of the notes, see `pitch.range_of`; None when nothing is voiced
    f0_median_hz: float | None
    f0_high_hz: float | None  # 95th percentile
    remarks: tuple[str, ...] = ()  # what is unusual about the original, and what was done
    notes: tuple[tuple[int, int], ...] = ()  # [bin, hundredths of a frame], see `pitch.histogram`; once, there was none

    def __post_init__(self) -> None:
        """Refuse what no preparation can have written.

        Raises:
            DataError: unknown split, no samples, or regions that are empty, overlap or leave the clip.
        """
        if self.split not in SPLITS:
            raise DataError(f"{self.source}: unknown split {self.split!r}; known are {', '.join(SPLITS)}")
        if self.n_samples < 1:
            raise DataError(f"{self.source}: a clip of {self.n_samples} samples")
        edges = [edge for region in self.regions for edge in region]
        is_sorted = all(start < end for start, end in self.regions) and edges == sorted(edges)
        if not edges or not is_sorted or edges[0] < 0 or edges[-1] > self.n_samples:
            raise DataError(f"{self.source}: sung regions {list(self.regions)} do not fit {self.n_samples} samples")


@dataclass(frozen=True)
class Skipped:
    """A source that gave no clip."""

    source: str  # posix path below the songs folder
    reason: str


@dataclass(frozen=True)
class Corpus:
    """All prepared recordings of all singers.

    A singer's number everywhere in the project is the position of the name in `singers`.
    """

    folder: Path
    sample_rate: int  # Hz, of every clip
    level_dbfs: float  # sung level every clip was brought to
    singers: tuple[str, ...]  # sorted
    recordings: Sequence[Recording]  # by singer, then source; a tuple, or rows on disk, see `index.Encoded`
    skipped: tuple[Skipped, ...] = ()
    rights: tuple[tuple[str, str], ...] = ()  # singer, and what they agreed to; nobody for whom nothing is stated

    def __post_init__(self) -> None:
        """Check names against recordings.

        Raises:
            DataError: no recording, a singer without one, a recording without a listed singer, or a path used twice.
        """
        where = self.folder / MANIFEST
        if self.sample_rate < 1:
            raise DataError(f"{where}: a sample rate of {self.sample_rate} Hz")
        if isinstance(self.recordings, Rows):
            return  # they were checked when their index was made
        names: set[str] = set()
        paths: set[str] = set()
        for recording in self.recordings:
            names.add(recording.singer)
            paths.add(recording.path)
        if list(self.singers) != sorted(names) or not self.singers:
            raise DataError(f"{where}: the singers listed are not those of the recordings; run `moksori prepare` again")
        if len(paths) < len(self.recordings):
            raise DataError(f"{where}: two recordings share one clip; run `moksori prepare` again")

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """Read the manifest of a prepared folder.

        Raises:
            DataError: no manifest, not JSON, another version, an unknown or missing key, a value of the wrong type, or
                a clip path that leaves the folder.
        """
        path = folder / MANIFEST
        try:
            key = _sha256(path) if path.stat().st_size >= LARGE_BYTES else ""
            if key and (found := cls._indexed(folder, key)):
                return found
            manifest = documents.from_json(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise DataError(f"{folder}: no {MANIFEST} here; make it with `moksori prepare SONGS -o {folder}`") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as a manifest: {error}") from None
        if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
            raise DataError(f"{path}: not a manifest of version {VERSION}; run `moksori prepare` again")
        del manifest["version"]
        corpus = _from_dict(cls, manifest, str(path), folder=folder)
        for recording in corpus.recordings:
            corpus.clip_path(recording)
        if key:
            corpus._write_index(key)
        return corpus

    @classmethod
    def _indexed(cls, folder: Path, key: str) -> Corpus | None:
        """The corpus of a manifest whose index is there."""
        where = str(folder / MANIFEST)
        rows = index.read(folder / CACHE, key, lambda row: recording_from_dict(row, where))
        if rows is None:
            return None
        values = {field.name: rows.facts.get(field.name) for field in dataclasses.fields(cls)}
        own = {name: value for name, value in values.items() if name not in ("folder", "recordings")}
        try:
            return _from_dict(cls, own, where, folder=folder, recordings=rows)
        except DataError:
            return None

    def _write_index(self, key: str) -> None:
        """Make the index of a manifest; where it cannot be kept, every start reads all of the manifest."""
        facts = {
            "sample_rate": self.sample_rate,
            "level_dbfs": self.level_dbfs,
            "singers": self.singers,
            "skipped": [settings.plain(one) for one in self.skipped],
            "rights": self.rights,
            "fingerprint": self.fingerprint,
            "training_ranges": {name: dataclasses.astuple(sung) for name, sung in self.training_ranges.items()},
        }
        rows = ((recording, settings.plain(recording)) for recording in self.recordings)
        with contextlib.suppress(OSError):
            index.write(self.folder / CACHE, key, rows, facts, splits=SPLITS)

    def save(self) -> None:
        """Write the manifest, one recording after the other; a reader sees the old one or the new one, never half."""
        manifest = {
            "version": VERSION,
            "sample_rate": self.sample_rate,
            "level_dbfs": self.level_dbfs,
            "singers": self.singers,
            "recordings": [],
            "skipped": [settings.plain(one) for one in self.skipped],
            "rights": self.rights,
        }
        before, mark, after = _json(manifest).partition('\n "recordings": []')  # inner lines have two spaces or more
        path = self.folder / MANIFEST
        with atomic.writing(path) as file:
            file.write((before + mark.removesuffix("[]")).encode())
            write_rows(file, map(settings.plain, self.recordings), depth=1)
            file.write(after.encode())
        if self.is_large:
            self._write_index(_sha256(path))

    @property
    def is_large(self) -> bool:
        """Whether the manifest that was saved has an index beside it."""
        return (self.folder / MANIFEST).stat().st_size >= LARGE_BYTES

    @functools.cached_property
    def columns(self) -> Columns:
        """The recordings as arrays, for those who look at all of them."""
        rows = self.recordings
        return rows.columns if isinstance(rows, Rows) else Columns.of(rows, self.singers, SPLITS)

    def clip_path(self, recording: Recording) -> Path:
        """Where the clip of a recording lies.

        Raises:
            DataError: the path would leave `clips` in the data folder, by itself or through a link.
        """
        relative = PurePosixPath(recording.path)
        is_plain = relative.parts[:1] == (CLIPS,) and ".." not in relative.parts and "\\" not in recording.path
        path = self.folder / relative
        if not is_plain or not path.resolve().is_relative_to(self.folder.resolve()):
            raise DataError(f"{self.folder / MANIFEST}: the clip path {recording.path!r} leads out of the data folder")
        return path

    def of(self, split: str, singer: str | None = None) -> tuple[Recording, ...]:
        """Recordings of one split, of all singers or one, in manifest order.

        Raises:
            ValueError: unknown split or singer.
        """
        check_split(split)
        if singer is not None and singer not in self.singers:
            raise ValueError(f"unknown singer {singer!r}; known are {', '.join(self.singers)}")
        columns = self.columns
        chosen = columns.split == SPLITS.index(split)
        if singer is not None:
            chosen = chosen & (columns.singer == self.singers.index(singer))
        return tuple(self.recordings[number] for number in chosen.nonzero()[0].tolist())

    def source(self, number: int) -> str:
        """The source of a recording, by its number in the manifest."""
        rows = self.recordings
        return str(rows.plain(number)["source"]) if isinstance(rows, Rows) else rows[number].source

    @functools.cached_property
    def training_ranges(self) -> Mapping[str, PitchRange]:
        """Where each singer sang in the recordings for training, see `sung_range`; nobody whose pitch is not known."""
        rows = self.recordings
        if isinstance(rows, Rows):
            return {name: PitchRange(*hz) for name, hz in rows.facts["training_ranges"].items()}
        names = [sys.intern(recording.singer) for recording in rows]
        found = {}
        for name, numbers in itertools.groupby(sorted(range(len(rows)), key=names.__getitem__), names.__getitem__):
            own = (rows[number] for number in numbers)
            found[name] = sung_range(recording for recording in own if recording.split == "train")
        return {name: sung for name in self.singers if (sung := found[name])}

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) of what training sees: sounds, singers, splits, gains, regions and rate.

        Moving the folder, renaming sources, or adding and removing skipped files does not change it.
        """
        if isinstance(self.recordings, Rows):
            return str(self.recordings.facts["fingerprint"])
        rows, whole = self.recordings, hashlib.sha256(json.dumps([self.sample_rate, []]).removesuffix("]]").encode())
        sounds = [recording.audio_sha256 for recording in rows]
        order = sorted(range(len(rows)), key=sounds.__getitem__)
        comma = ""
        for _, numbers in itertools.groupby(order, sounds.__getitem__):  # of one, unless sounds are there twice
            own = (rows[number] for number in numbers)
            for row in sorted((r.audio_sha256, r.singer, r.split, r.n_samples, r.gain_db, r.regions) for r in own):
                whole.update((comma + json.dumps(row)).encode())
                comma = ", "
        whole.update(b"]]")
        return whole.hexdigest()


def check_split(split: str) -> None:
    """Refuse a split that there is not.

    Raises:
        ValueError: so it is.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known are {', '.join(SPLITS)}")


def sung_range(recordings: Iterable[Recording]) -> PitchRange | None:
    """Where somebody sang, over all frames of some recordings, see `pitch.range_of`; None when nothing is voiced.

    A recording that was prepared before histograms were kept is known by its three percentiles, as long as it is.
    """
    weights: Counter[int] = Counter()
    for recording in recordings:
        for pitched, weight in recording.notes or _notes_from_percentiles(recording):
            weights[pitched] += weight
    return pitch.range_of(weights)


def _notes_from_percentiles(recording: Recording) -> list[tuple[int, int]]:
    spread = ((recording.f0_low_hz, 0.1), (recording.f0_median_hz, 0.8), (recording.f0_high_hz, 0.1))
    n_frames = recording.sung_seconds / pitch.HOP_SECONDS
    per_semitone = 100.0 / pitch.BIN_CENTS
    return [(round(per_semitone * pitch.hz_to_midi(hz)), round(100 * share * n_frames)) for hz, share in spread if hz]


def recording_from_dict(row: object, where: str) -> Recording:
    """Build a recording from JSON, checking names and types of its keys.

    Args:
        row: what the reader of JSON gave.
        where: file named in the messages.

    Raises:
        DataError: an unknown or missing key, a wrong type, or a recording that contradicts itself.
    """
    return _from_dict(Recording, row, where)


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all; see `atomic.write`."""
    atomic.write(path, _json(value).encode())


def write_rows(file: IO[bytes], rows: Iterable[object], depth: int = 0) -> None:
    """Write a list as JSON, one row after the other: the bytes of `write_json`, where it stands so many levels deep."""
    before, inset = "[", "\n" + " " * (depth + 1)
    for row in rows:
        file.write(f"{before}{inset}{_json(row).replace(chr(10), inset)}".encode())  # no text of JSON breaks a line
        before = ","
    file.write(b"[]" if before == "[" else f"\n{' ' * depth}]".encode())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)


def _from_dict(kind: type[T], row: Any, where: str, **given: object) -> T:
    """Build a dataclass from a JSON table, strictly: every field but those given, and nothing else."""
    try:
        return settings.build(kind, row, where, given)
    except DataError:
        raise
    except UserError as error:
        raise DataError(f"{error}; run `moksori prepare` again") from None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
