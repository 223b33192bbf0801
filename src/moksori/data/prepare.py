"""A folder of songs in, a corpus out: mono clips at one rate and one level, ends trimmed, measured, split.

Each recording goes this way, in blocks, so that hours fit into little memory:

    decode -> mono (see `mixdown`) -> resample -> spool    measured on the way: levels, clipping, checksum
    spool -> sung stretch, at its gain            pitch range, then clip file, then sidecar

The sidecar (JSON beside the clip) is written last. A run that finds it, with the same settings and an unchanged source,
does not decode again: that is how an interrupted run resumes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from moksori.audio import files, level, pitch
from moksori.audio.clip import Samples
from moksori.audio.highpass import StreamHighPass
from moksori.audio.resample import StreamResampler
from moksori.data import sources, splits
from moksori.data.corpus import (
    CACHE,
    CLIPS,
    MANIFEST,
    SAME_SOUND,
    SPLITS,
    Corpus,
    Recording,
    Skipped,
    recording_from_dict,
    write_json,
)
from moksori.data.sources import Source
from moksori.data.threads import Progress, map_in_order
from moksori.errors import AudioFileError, DataError, UserError

VERSION = 3  # of what is measured and how; raise it, and every clip is made again
BLOCK_SAMPLES = 1 << 17  # decoded at a time
SPLITS_FILE = "splits.json"  # of every sound that was ever in the folder
SPOOL_BYTES = 32 << 20  # of resampled sound held in memory, 6 minutes at 24 kHz; longer recordings spool to disk


@dataclass(frozen=True)
class PrepareConfig:
    """How recordings become clips."""

    sample_rate: int = 24000  # Hz, of the clips
    level_dbfs: float = -23.0  # sung level that every recording is brought to
    ceiling_dbfs: float = -1.0  # no peak passes this; a recording with high peaks stays quieter
    min_seconds: float = 0.5  # of singing; a recording with less is skipped
    trim: level.TrimConfig = field(default_factory=level.TrimConfig)  # what counts as singing
    validation_share: float = 0.1  # of a singer's recordings
    test_share: float = 0.1
    split_seed: int = 0
    workers: int = 0  # threads; 0 is one for each core. The result does not depend on it

    def __post_init__(self) -> None:
        """Refuse settings that no corpus can have."""
        if not files.MIN_RATE <= self.sample_rate <= files.MAX_RATE:
            raise ValueError(f"sample_rate is {self.sample_rate}; expected {files.MIN_RATE}..{files.MAX_RATE} Hz")
        if self.level_dbfs > 0 or self.ceiling_dbfs > 0 or self.min_seconds < 0 or self.workers < 0:
            raise ValueError("level_dbfs and ceiling_dbfs should be 0 or less, min_seconds and workers 0 or more")
        if min(self.validation_share, self.test_share) < 0 or self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share should be 0 or more and leave something for training")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what a clip depends on: rate, levels and trimming, not splits or workers."""
        kept = (self.sample_rate, self.level_dbfs, self.ceiling_dbfs, self.min_seconds, dataclasses.astuple(self.trim))
        return hashlib.sha256(json.dumps([VERSION, kept]).encode()).hexdigest()


def prepare(songs: Path, out: Path, config: PrepareConfig | None = None, progress: Progress | None = None) -> Corpus:
    """Make a corpus of a folder of songs, or bring an earlier one up to date.

    Files that cannot be used are listed in `Corpus.skipped`, with the reason; they stop nothing. The same sound
    twice is kept once. Recordings of an earlier manifest keep their split; clips whose source is gone are deleted.

    Args:
        songs: one folder for each singer (see `sources`).
        out: the data folder; made when missing.
        config: the settings; the defaults when None.
        progress: told about each recording, in order.

    Returns:
        The corpus that `Corpus.load(out)` gives from now on. It is the same for any number of workers. A corpus of one
        singer is legal.

    Raises:
        DataError: the songs folder has another layout, lies within the data folder or around it, no file in it has
            sound, or the old manifest is damaged.
        AudioFileError: a clip cannot be written.
    """
    config = config or PrepareConfig()
    _check_apart(songs, out)
    _refuse_foreign(out)
    found, skipped = sources.find_sources(songs)
    kept = _kept_splits(out)
    try:
        (out / CLIPS).mkdir(parents=True, exist_ok=True)
        recordings, unfit = _make_clips(found, out, config, progress)
        recordings, doubles = _without_doubles(recordings)
        skipped = sorted(skipped + unfit + doubles, key=lambda skip: (skip.source, skip.reason))
        if not recordings:
            raise DataError(f"{songs}: no recording with singing in it; {_examples(skipped)}")
        corpus = Corpus(
            folder=out,
            sample_rate=config.sample_rate,
            level_dbfs=config.level_dbfs,
            singers=tuple(sorted({recording.singer for recording in recordings})),
            recordings=tuple(_split(recordings, kept, config)),
            skipped=tuple(skipped),
        )
        # First, and for ever: a recording that is away for a while comes back to its split.
        _remember_splits(out, kept | {(r.singer, r.audio_sha256): r.split for r in corpus.recordings})
        corpus.save()
        _clean(corpus)
    except OSError as error:  # of writing: an OSError of reading has become a reason to skip
        raise DataError(
            f"{out}: cannot be written ({error.strerror}); free some space or choose another one"
        ) from error
    return corpus


def _make_clips(
    found: list[Source], out: Path, config: PrepareConfig, progress: Progress | None
) -> tuple[list[Recording], list[Skipped]]:
    worker = _Worker(out, config)
    made: list[Recording] = []
    unfit: list[Skipped] = []
    results = map_in_order(worker.run, found, config.workers)
    for n_done, (source, result) in enumerate(zip(found, results, strict=True), start=1):
        if isinstance(result, Recording):
            made.append(result)
        else:
            unfit.append(result)
        if progress:
            progress(n_done, len(found), source.name)
    return made, unfit


@dataclass(frozen=True)
class _Take:
    """A recording decoded, resampled and measured; not yet a clip."""

    spool: IO[bytes]  # float32 samples at the corpus rate, the whole recording
    measured: level.Measurement
    regions: list[tuple[int, int]]  # sung, in samples of the spool
    gain_db: float
    audio_sha256: str
    clipped_fraction: float
    remarks: tuple[str, ...]  # what is unusual about it, and what was done

    @property
    def n_samples(self) -> int:
        """Length of the clip: from the first sung region to the last."""
        return self.regions[-1][1] - self.regions[0][0]

    def blocks(self) -> Iterator[Samples]:
        """The samples of the clip, [n] at a time, at their gain."""
        self.spool.seek(4 * self.regions[0][0])
        remaining = self.n_samples
        while remaining:
            block = np.frombuffer(self.spool.read(4 * min(BLOCK_SAMPLES, remaining)), np.float32)
            remaining -= len(block)
            yield level.apply_gain(block, self.gain_db)


class _Worker:
    """Turns one source into a clip; shared by all threads, and never changed."""

    def __init__(self, out: Path, config: PrepareConfig) -> None:
        self._out = out
        self._config = config
        self._tracker = pitch.PitchTracker()

    def run(self, source: Source) -> Recording | Skipped:
        """Make the clip of a source, or find it made already, or say why there is none."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(self._out)) as spool:
            # What goes wrong in reading concerns this source; what goes wrong in writing would concern every source.
            try:
                source_sha256 = _file_sha256(source.path)
                if finished := self._finished(source, source_sha256):
                    return finished
                take = self._take(source.path, spool)
            except UserError as error:
                return Skipped(source.name, str(error).removeprefix(f"{source.path}: "))
            recording = self._recording(source, source_sha256, take)
            self._store(recording, take)
            return recording

    def _finished(self, source: Source, source_sha256: str) -> Recording | None:
        """What an earlier run measured, if its clip is there and neither source nor settings have changed."""
        clip = self._out / _clip_path(source)
        try:
            sidecar = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))
            recording = recording_from_dict(sidecar["recording"], clip.name)
            is_current = sidecar["settings"] == self._config.fingerprint and sidecar["n_bytes"] == clip.stat().st_size
        except (OSError, ValueError, KeyError, TypeError, DataError):
            return None  # no sidecar, or a damaged one: the clip is made again
        is_same = (recording.source_sha256, recording.source, recording.singer) == (
            source_sha256,
            source.name,
            source.singer,
        )
        return recording if is_current and is_same else None

    def _take(self, path: Path, spool: IO[bytes]) -> _Take:
        """Decode a file once, into the spool.

        Raises:
            AudioFileError: the file cannot be read as sound.
            DataError: there is too little singing in it.
        """
        config = self._config
        info, down = files.probe(path), files.mixdown(path)
        resampler = StreamResampler(info.sample_rate, config.sample_rate)
        meter, above = level.LevelMeter(config.sample_rate), level.LevelMeter(config.sample_rate)
        low_cut = StreamHighPass(config.sample_rate)
        sound = hashlib.sha256()
        n_values = n_clipped = 0
        for block in files.blocks(path, BLOCK_SAMPLES):  # [n, channels]
            n_values += block.size
            n_clipped += int(np.count_nonzero(np.abs(block) * down.scale >= level.CLIPPED_AMPLITUDE))
            mono = down.mono(block)
            sound.update(np.round(mono.clip(-1, 1) * 32767).astype("<i2").tobytes())
            resampled = resampler.push(mono)
            meter.push(resampled)
            above.push(low_cut.push(resampled))
            spool.write(resampled.tobytes())
        rest = resampler.flush()
        meter.push(rest)
        for last in (low_cut.push(rest), low_cut.flush()):
            above.push(last)
        spool.write(rest.tobytes())
        measured, remarks = meter.result(), (*info.remarks, *down.remarks)
        if level.is_lower_than_a_voice(measured, above.result()):
            measured = above.result()
            remarks += ("an offset or a rumble below every voice was taken out",)
            self._take_out_the_lowest(spool)
        if measured.gain_peak_dbfs < measured.peak_dbfs:
            remarks += ("clicks stand out above the voice; they were left out of account when its level was set",)
        gain_db = level.gain_to(
            level.sung_level_dbfs(measured.frame_dbfs, config.trim),
            measured.gain_peak_dbfs,
            target_dbfs=config.level_dbfs,
            ceiling_dbfs=config.ceiling_dbfs,
        )
        _check_singing(measured, config)
        regions = level.sung_regions(measured, config.trim)
        return _Take(spool, measured, regions, round(gain_db, 3), sound.hexdigest(), n_clipped / n_values, remarks)

    def _take_out_the_lowest(self, spool: IO[bytes]) -> None:
        """Put a recording without its lowest frequencies in its place; what comes back is as long as what was read."""
        low_cut = StreamHighPass(self._config.sample_rate)
        read, written = 0, 0
        while True:
            spool.seek(read)
            content = spool.read(4 * BLOCK_SAMPLES)
            read += len(content)
            ready = (low_cut.push(np.frombuffer(content, np.float32)) if content else low_cut.flush()).tobytes()
            spool.seek(written)  # behind what was read, since the filter holds some back
            spool.write(ready)
            written += len(ready)
            if not content:
                return

    def _recording(self, source: Source, source_sha256: str, take: _Take) -> Recording:
        begin = take.regions[0][0]
        regions = tuple((start - begin, end - begin) for start, end in take.regions)
        heard = pitch.histogram(self._tracker.track_blocks(take.blocks(), self._config.sample_rate))
        voice = pitch.range_of(heard)
        span = None if voice is None else voice.rounded()
        return Recording(
            singer=source.singer,
            source=source.name,
            path=_clip_path(source),
            split="train",  # for now: splits need all recordings
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
            notes=tuple((pitched, round(100 * heard[pitched])) for pitched in sorted(heard)),
        )

    def _store(self, recording: Recording, take: _Take) -> None:
        """Write the clip, then the sidecar that vouches for it."""
        path = self._out / recording.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        with files.Writer(path, self._config.sample_rate, 1) as writer:
            for block in take.blocks():
                writer.write(block[:, None])
        sidecar = {"settings": self._config.fingerprint, "n_bytes": path.stat().st_size}
        write_json(path.with_suffix(".json"), sidecar | {"recording": dataclasses.asdict(recording)})


def _examples(skipped: list[Skipped]) -> str:
    return "; ".join(f"{skip.source}: {skip.reason}" for skip in skipped[:3])


def _check_singing(measured: level.Measurement, config: PrepareConfig) -> None:
    n_sung = int(np.count_nonzero(measured.frame_dbfs > level.gate_dbfs(measured.frame_dbfs, config.trim)))
    sung_seconds = n_sung * measured.hop_samples / measured.sample_rate
    if not n_sung or sung_seconds < config.min_seconds:
        raise DataError(
            f"{sung_seconds:.2f} s of singing in {measured.n_samples / measured.sample_rate:.2f} s; "
            f"expected at least {config.min_seconds:g} s above {config.trim.absolute_gate_dbfs:g} dBFS"
        )


def _clip_path(source: Source) -> str:
    """Posix path of the clip below the data folder; another source never has the same."""
    stem = sources.safe_name(Path(source.name).stem)
    return f"{CLIPS}/{sources.safe_name(source.singer)}/{stem}-{sources.short_hash(source.name)}.flac"


def _file_sha256(path: Path) -> str:
    if not path.is_file():
        files.probe(path)  # says what it is instead; a pipe must not be opened
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AudioFileError(f"{path}: cannot be read ({error.strerror})") from None


def _check_apart(songs: Path, out: Path) -> None:
    inner, outer = out.resolve(), songs.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise DataError(f"{out}: the data folder and the songs folder {songs} lie in each other; choose another one")


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds anything and has no manifest of ours; an interrupted run leaves only its clips.

    Raises:
        DataError: so it does.
    """
    if not out.is_dir() or (out / MANIFEST).exists():
        return
    own = (CLIPS, CACHE, SPLITS_FILE)
    others = sorted(path.name for path in out.iterdir() if path.name not in own and not path.name.endswith(".part"))
    if others:
        raise DataError(
            f"{out}: holds {', '.join(others[:3])} and no {MANIFEST}, so prepare did not make it; choose another folder"
        )


def _remember_splits(out: Path, splits_of: dict[tuple[str, str], str]) -> None:
    write_json(out / SPLITS_FILE, sorted([*sound, split] for sound, split in splits_of.items()))


def _remembered_splits(out: Path) -> dict[tuple[str, str], str]:
    """Splits of all sounds that were ever here, by singer and sound.

    Raises:
        DataError: the file is damaged.
    """
    path = out / SPLITS_FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        found = {(str(singer), str(sound)): str(split) for singer, sound, split in rows}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); take it from a copy, or prepare another folder") from None
    if not set(found.values()) <= set(SPLITS):
        raise DataError(f"{path}: names unknown splits; take it from a copy, or prepare another folder")
    return found


def _kept_splits(out: Path) -> dict[tuple[str, str], str]:
    """Splits of all sounds that were ever here, by singer and sound; the manifest has the last word."""
    if not (out / MANIFEST).exists():
        return _remembered_splits(out)
    try:
        found = {(r.singer, r.audio_sha256): r.split for r in Corpus.load(out).recordings}
        return _remembered_splits(out) | found
    except DataError as error:
        raise DataError(f"{error} (to give up its splits and draw new ones, delete {out / MANIFEST})") from None


def _without_doubles(recordings: list[Recording]) -> tuple[list[Recording], list[Skipped]]:
    """Keep the first of the recordings that sound the same, also across singers."""
    first: dict[str, Recording] = {}
    doubles = []
    for recording in recordings:
        same = first.setdefault(recording.audio_sha256, recording)
        if same is not recording:
            doubles.append(Skipped(recording.source, f"{SAME_SOUND} {same.source}"))
    return list(first.values()), doubles


def _split(recordings: list[Recording], kept: dict[tuple[str, str], str], config: PrepareConfig) -> list[Recording]:
    placed: dict[tuple[str, str], str] = {}
    for singer in {recording.singer for recording in recordings}:
        of_singer = splits.split_singer(
            [recording.audio_sha256 for recording in recordings if recording.singer == singer],
            {sound: split for (name, sound), split in kept.items() if name == singer},
            seed=config.split_seed,
            validation_share=config.validation_share,
            test_share=config.test_share,
        )
        placed |= {(singer, sound): split for sound, split in of_singer.items()}
    return [dataclasses.replace(r, split=placed[r.singer, r.audio_sha256]) for r in recordings]


def _clean(corpus: Corpus) -> None:
    """Delete clips that the manifest no longer lists, with their sidecars, and what a killed run left half-written."""
    clips = corpus.folder / CLIPS
    listed = {corpus.folder / recording.path for recording in corpus.recordings}
    for sidecar in clips.glob("*/*.json"):
        clip = sidecar.with_suffix(".flac")
        if re.search(r"-[0-9a-f]{8}$", sidecar.stem) and clip not in listed:
            clip.unlink(missing_ok=True)
            sidecar.unlink()
    for part in corpus.folder.rglob(".*.part"):
        part.unlink(missing_ok=True)
    for folder in clips.iterdir():
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
