"""Clip files of a source: one, or those of the stretches of a long take, with the record that vouches for them.

    what is sung of a take, at its gain -> pitch range -> clip file -> sidecar

The sidecar (JSON beside the clip) is written last. A run that finds it, with the same settings and an unchanged source,
does not decode again: that is how an interrupted run resumes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from moksori import documents
from moksori.audio import files, level, pitch
from moksori.data import sources, stretches, takes
from moksori.data.corpus import CLIPS, Recording, Skipped, recording_from_dict, write_json
from moksori.data.prepare_config import PrepareConfig
from moksori.data.sources import Source
from moksori.data.splits import KnownSplits, Listed
from moksori.data.takes import DecodedTake
from moksori.errors import AudioFileError, DataError, UserError

SPOOL_BYTES = 32 << 20  # of resampled sound held in memory, 6 minutes at 24 kHz; longer recordings spool to disk


@dataclass(frozen=True)
class Clips:
    """What became of a source: one clip, or those of its stretches."""

    source: str
    audio_sha256: str  # of the whole take
    recordings: tuple[Recording, ...]

    @property
    def is_cut(self) -> bool:
        """Whether these are stretches, whose splits have been drawn."""
        return any(recording.source != self.source for recording in self.recordings)


class ClipMaker:
    """Turns one source into a clip; shared by all threads, and never changed."""

    def __init__(self, out: Path, config: PrepareConfig, kept: KnownSplits, listed: Listed | None) -> None:
        self._out = out
        self._config = config
        self._kept = kept
        self._listed = listed
        self._tracker = pitch.PitchTracker()

    def run(self, source: Source) -> Clips | Skipped:
        """Make the clips of a source, or find them made already, or say why there are none."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(self._out)) as spool:
            # What goes wrong in reading concerns this source; what goes wrong in writing would concern every source.
            try:
                source_sha256 = _file_sha256(source.path)
                if finished := self._finished(source, source_sha256):
                    return finished
                take = takes.decode(source.path, spool, self._config)
            except UserError as error:
                return Skipped(source.name, str(error).removeprefix(f"{source.path}: "))
            parts = self._stretches(source, take)
            made = [self._recording(source, source_sha256, part, split) for part, split in parts]
            clips = Clips(source.name, take.audio_sha256, tuple(made))
            self._store(source, clips, [part for part, _ in parts])
            return clips

    def source_sha256(self, source: Source) -> str:
        """SHA-256 of a source's bytes; "" if it cannot be read."""
        try:
            return _file_sha256(source.path)
        except UserError:
            return ""

    def sound_of(self, source: Source) -> tuple[str, str] | None:
        """Singer and sound of a source, as the manifest names them; None if it would be skipped."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            try:
                return source.singer, takes.decode(source.path, spool, self._config).audio_sha256
            except UserError:
                return None

    def _finished(self, source: Source, source_sha256: str) -> Clips | None:
        """What an earlier run measured, if its clips are there and neither source nor settings have changed."""
        path = sidecar_path(self._out, source)
        try:
            sidecar = documents.from_json(path.read_text(encoding="utf-8"))
            recordings = tuple(recording_from_dict(row, path.name) for row in sidecar["recordings"])
            n_bytes = [(self._out / recording.path).stat().st_size for recording in recordings]
            is_current = sidecar["settings"] == self._settings(len(recordings)) and sidecar["n_bytes"] == n_bytes
            clips = Clips(source.name, str(sidecar["audio_sha256"]), recordings)
        except (OSError, ValueError, KeyError, TypeError, DataError):
            return None  # no sidecar, or a damaged one: the clips are made again
        expected = (source_sha256, source.name, source.singer)
        is_same = {(r.source_sha256, stretches.file_of(r.source), r.singer) for r in recordings} == {expected}
        if not (is_current and is_same and self._is_cut_as_wanted(clips, source.singer)):
            return None
        return clips

    def _settings(self, n_clips: int) -> list[object]:
        """What the clips of a source depend on besides its sound; several are stretches, whose splits are drawn."""
        config = self._config
        drawn = (config.split_seed, config.validation_share, config.test_share, *dataclasses.astuple(config.stretches))
        return [config.fingerprint, *(drawn if n_clips > 1 else ())]

    def _is_cut_as_wanted(self, clips: Clips, singer: str) -> bool:
        """Whether a take would be cut, and its stretches placed, as they were."""
        if not clips.is_cut:
            (only,) = clips.recordings
            is_long = stretches.is_long([(0, only.n_samples)], self._config.sample_rate, self._config.stretches)
            return not is_long or self._stays_whole(clips.source, singer, clips.audio_sha256)
        placed = [self._kept.of(singer, r.audio_sha256) in (None, r.split) for r in clips.recordings]
        is_wanted = self._config.stretches.long_seconds > 0
        return is_wanted and all(placed) and not self._stays_whole(clips.source, singer, clips.audio_sha256)

    def _stays_whole(self, source: str, singer: str, audio_sha256: str) -> bool:
        is_listed = self._listed is not None and source in self._listed.splits
        return is_listed or self._kept.of(singer, audio_sha256) is not None

    def _stretches(self, source: Source, take: DecodedTake) -> list[tuple[DecodedTake, str]]:
        """A take as it is, or as stretches, each with its split; that of a whole take is drawn later."""
        config, rate = self._config, self._config.sample_rate
        if self._stays_whole(source.name, source.singer, take.audio_sha256) or not stretches.is_long(
            take.regions, rate, config.stretches
        ):
            return [(take, "train")]
        pieces = stretches.cut(take.regions, take.measured, config.stretches)
        parts = [take.part(number, piece) for number, piece in enumerate(pieces)]
        sounds = [part.audio_sha256 for part in parts]
        placed = stretches.place(
            sounds,
            self._kept.among(source.singer, sounds),
            seed=config.split_seed,
            validation_share=config.validation_share,
            test_share=config.test_share,
        )
        left = stretches.apart(pieces, placed, round(config.stretches.gap_seconds * rate))
        found = []
        for part, split, regions in zip(parts, placed, left, strict=True):
            if sum(end - start for start, end in regions) >= config.min_seconds * rate:
                # Its sum is of the stretch before the gap was taken out, so that it stays what it is.
                found.append((dataclasses.replace(part, regions=regions), split))
        return found

    def _recording(self, source: Source, source_sha256: str, take: DecodedTake, split: str) -> Recording:
        begin = take.regions[0][0]
        regions = tuple((start - begin, end - begin) for start, end in take.regions)
        notes = pitch.histogram(self._tracker.track_blocks(take.blocks(), self._config.sample_rate))
        voice = pitch.range_of(notes)
        span = None if voice is None else voice.rounded()
        return Recording(
            singer=source.singer,
            source=source.name
            if take.number is None
            else stretches.name_of(source.name, take.regions, self._config.sample_rate),
            path=_clip_path(source, take.number),
            split=split,
            n_samples=take.n_samples,
            seconds=round(take.n_samples / self._config.sample_rate, 4),
            sung_seconds=round(sum(end - start for start, end in regions) / self._config.sample_rate, 4),
            regions=regions,
            source_sha256=source_sha256,
            audio_sha256=take.audio_sha256,
            gain_db=take.gain_db,
            peak_dbfs=round(min(0.0, take.measured.peak_dbfs + take.gain_db), 3),
            clipped_fraction=round(take.clipped_fraction, 8),
            noise_dbfs=round(level.noise_dbfs(take.measured.frame_dbfs) + take.gain_db, 3),
            f0_low_hz=None if span is None else span.low_hz,
            f0_median_hz=None if span is None else span.median_hz,
            f0_high_hz=None if span is None else span.high_hz,
            remarks=take.remarks,
            notes=tuple((pitched, round(100 * notes[pitched])) for pitched in sorted(notes)),
        )

    def _store(self, source: Source, clips: Clips, parts: list[DecodedTake]) -> None:
        """Write the clips, then the sidecar that vouches for them."""
        sidecar = sidecar_path(self._out, source)
        sidecar.parent.mkdir(parents=True, exist_ok=True)
        sidecar.unlink(missing_ok=True)
        n_bytes = []
        for recording, part in zip(clips.recordings, parts, strict=True):
            path = self._out / recording.path
            with files.Writer(path, self._config.sample_rate, 1) as writer:
                for block in part.blocks():
                    writer.write(block[:, None])
            n_bytes.append(path.stat().st_size)
        header = {"settings": self._settings(len(parts)), "audio_sha256": clips.audio_sha256, "n_bytes": n_bytes}
        write_json(sidecar, header | {"recordings": [dataclasses.asdict(recording) for recording in clips.recordings]})


def _clip_path(source: Source, number: int | None = None) -> str:
    """Posix path of a clip below the data folder; another source, or stretch of it, never has the same."""
    stem = sources.safe_name(Path(source.name).stem)
    stretch = "" if number is None else f"-{number:03d}"
    return f"{CLIPS}/{sources.safe_name(source.singer)}/{stem}-{sources.short_hash(source.name)}{stretch}.flac"


def sidecar_path(out: Path, source: Source) -> Path:
    """Place of the record that vouches for a source's clips."""
    return (out / _clip_path(source)).with_suffix(".json")


def _file_sha256(path: Path) -> str:
    if not path.is_file():
        files.probe(path)  # says what it is instead; a pipe must not be opened
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AudioFileError(f"{path}: cannot be read ({error.strerror})") from None
