"""A folder of songs in, a corpus out: mono clips at one rate and one level, ends trimmed, measured, split.

Each recording goes this way, in blocks, so that hours fit into little memory:

    decode -> mono (see `mixdown`) -> resample -> spool    measured on the way: levels, clipping, checksum
    spool -> what is sung, at its gain            pitch range, then clip file, then sidecar

A take longer than two minutes becomes several clips, each in a split of its own (see `stretches`).

The sidecar (JSON beside the clip) is written last. A run that finds it, with the same settings and an unchanged source,
does not decode again: that is how an interrupted run resumes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from moksori import atomic, documents, ownership
from moksori.audio import files, level, pitch
from moksori.audio.clip import Samples
from moksori.audio.highpass import StreamHighPass
from moksori.audio.resample import StreamResampler
from moksori.audio.traces import TraceSurvey
from moksori.data import layouts, rights, sources, splits, stretches
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
    write_rows,
)
from moksori.data.sources import Source
from moksori.data.splits import KnownSplits, Listed
from moksori.data.spool import Entry, Spool, Spooled, Take
from moksori.data.threads import map_in_order
from moksori.errors import AudioFileError, DataError, UserError
from moksori.progress import OnProgress, Progress
from moksori.workers.places import Place
from moksori.workers.pool import Lost, Pool

VERSION = 4  # of what is measured and how; raise it, and every clip is made again
BLOCK_SAMPLES = 1 << 17  # decoded at a time
SPLITS_FILE = "splits.json"  # of every sound that was ever in the folder
BUSY = "another preparation or training is at work with this folder; wait until it is done"
SPOOL_BYTES = 32 << 20  # of resampled sound held in memory, 6 minutes at 24 kHz; longer recordings spool to disk

_OWN = (CLIPS, CACHE, SPLITS_FILE)  # what a preparation that was interrupted leaves


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
    stretches: stretches.StretchConfig = field(default_factory=stretches.StretchConfig)  # how long takes are cut
    singer: str = ""  # whose recordings lie right in the folder; "" for the folder's own name
    workers: int = 0  # threads; 0 is one for each core. The result does not depend on it
    rights: str = ""  # what singers agreed to who have no CONSENT file of their own, see `rights`
    layout: str = ""  # a name of `layouts`, where paths say who sings; "": a folder for each singer

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


def prepare(
    songs: Path | Place,
    out: Path,
    config: PrepareConfig | None = None,
    progress: OnProgress | None = None,
    *,
    listed: Listed | None = None,
    pool: Pool | None = None,
) -> Corpus:
    """Make a corpus of a folder of songs, or bring an earlier one up to date.

    Files that cannot be used are listed in `Corpus.skipped`, with the reason; they stop nothing. The same sound
    twice is kept once. Recordings of an earlier manifest keep their split; clips whose source is gone are deleted.
    A take that an earlier preparation kept whole stays whole.

    Args:
        songs: one folder for each singer, or the recordings of one (see `sources`); a place may be a URL, whose files
            are fetched one by one.
        out: the data folder; made when missing.
        config: the settings; the defaults when None.
        progress: called for each recording, in order; by a pool, as they are done.
        listed: which recordings are for what, where somebody else has said so.
        pool: who makes the clips; None for the threads of the settings.

    Returns:
        The corpus that `Corpus.load(out)` gives from now on. It is the same for any number of workers. A corpus of one
        singer is legal.

    Raises:
        DataError: the songs folder has another layout, lies within the data folder or around it, no file in it has
            sound, the old manifest is damaged, or it says otherwise than the list or the settings do.
        AudioFileError: a clip cannot be written.
    """
    config = config or PrepareConfig()
    layout = layouts.named(config.layout) if config.layout else None
    place = songs if isinstance(songs, Place) and songs.is_url else None
    if place is None:
        folder = Path(str(songs))
        _check_apart(folder, out)
        ownership.refuse_foreign(out, MANIFEST, "a data folder", _OWN, DataError)
        found, skipped = sources.find_sources(folder, layout, config.singer)
    else:
        ownership.refuse_foreign(out, MANIFEST, "a data folder", _OWN, DataError)
        found, skipped = sources.find_below(place, layout)
    kept = _kept_splits(out)
    _refuse_to_join(out, config)
    if listed:
        listed.check([source.name for source in found])
    try:
        (out / CLIPS).mkdir(parents=True, exist_ok=True)
        with ownership.lock(out, BUSY):
            kit = _Kit(out.absolute(), config, kept, listed, place)
            with Spool(out) as spool:
                takes, unfit = _make_clips(found, kit, spool, progress, pool)
                takes, doubles = _without_doubles(takes, found, spool)
                skipped = sorted(skipped + unfit + doubles, key=lambda skip: (skip.source, skip.reason))
                entries = _split(takes, found, kept, config, listed)
                if not entries:
                    raise DataError(f"{songs}: no recording with singing in it; {_examples(skipped)}")
                singers = tuple(sorted({entry.singer for entry in entries}))
                corpus = Corpus(
                    folder=out,
                    sample_rate=config.sample_rate,
                    level_dbfs=config.level_dbfs,
                    singers=singers,
                    recordings=Spooled(spool, entries),
                    skipped=tuple(skipped),
                    rights=_rights(songs, singers, config.rights, place),
                )
                # First, and for ever: a recording that is away for a while comes back to its split.
                for entry in entries:
                    kept.put(entry.singer, entry.sound, entry.split)
                _remember_splits(out, kept)
                corpus.save()
                _clean(corpus)
                if not corpus.is_large:
                    return dataclasses.replace(corpus, recordings=tuple(corpus.recordings))
            return Corpus.load(out)
    except OSError as error:  # of writing: an OSError of reading has become a reason to skip
        raise DataError(
            f"{out}: cannot be written ({error.strerror}); free some space or choose another one"
        ) from error


def _rights(
    songs: Path | Place, singers: tuple[str, ...], for_all: str, place: Place | None
) -> tuple[tuple[str, str], ...]:
    """What is stated for each singer; of a URL, only what was said in so many words."""
    if place is None:
        return rights.of_singers(Path(str(songs)), singers, for_all)
    return tuple((name, for_all.strip()) for name in singers if for_all.strip())


@dataclass(frozen=True)
class _Kit:
    """What makes clips is made of this; plain data, so that it can travel."""

    out: Path
    config: PrepareConfig
    kept: KnownSplits  # of sounds that were ever here
    listed: Listed | None
    place: Place | None  # where sources are fetched from; None where they are files of this machine

    def __call__(self) -> Callable[[Source], _Clips | Skipped]:
        """A worker.

        Raises:
            DataError: the data folder is not seen from here.
        """
        if not self.out.is_dir():
            raise DataError(f"{self.out}: no such folder on a worker's machine; prepare into one that all share")
        worker, place = _Worker(self.out, self.config, self.kept, self.listed), self.place

        def fetched(source: Source) -> _Clips | Skipped:
            assert place is not None
            try:
                with place.fetched(source.name) as path:
                    return worker.run(dataclasses.replace(source, path=path))
            except UserError as error:
                return Skipped(source.name, str(error))

        return worker.run if place is None else fetched


@dataclass(frozen=True)
class Difference:
    """How the recordings below a folder of songs differ from those of a corpus: by sound, whatever their names."""

    gone: tuple[str, ...]  # sources of the corpus whose sound is not there
    new: tuple[str, ...]  # sources whose sound the corpus does not have

    def __str__(self) -> str:
        parts = [
            f"{len(names)} {what}, such as {names[0]}" if len(names) > 1 else f"{names[0]} {what}"
            for what, names in (("gone or changed", self.gone), ("new or changed", self.new))
            if names
        ]
        return "; ".join(parts)


def difference(songs: Path, corpus: Corpus, singer: str = "") -> Difference:
    """Compare a folder of songs with the corpus that was made of it; nothing is written.

    Only recordings whose bytes the corpus does not know are decoded. The singer is as in `PrepareConfig`.

    Raises:
        DataError: see `prepare`.
    """
    found, _ = sources.find_sources(songs, singer=singer)
    takes = {(r.singer, stretches.file_of(r.source)): r for r in corpus.recordings}
    known = {take: (r.source_sha256, (take[0], _sound_of_take(corpus, r))) for take, r in takes.items()}
    sounds = {sound: name for (_, name), (_, sound) in known.items()}
    worker = _Worker(corpus.folder, PrepareConfig(corpus.sample_rate, corpus.level_dbfs), KnownSplits(), None)
    here: dict[tuple[str, str], str] = {}
    for source in found:
        source_sha256, sound = known.get((source.singer, source.name), ("", None))
        if sound is None or source_sha256 != worker.source_sha256(source):
            sound = worker.sound_of(source)
        if sound is not None:
            here[sound] = source.name
    others = {sound for _, sound in sounds}
    gone = sorted(name for sound, name in sounds.items() if sound not in here)
    new = sorted(name for sound, name in here.items() if sound not in sounds and sound[1] not in others)  # no doubles
    return Difference(tuple(gone), tuple(new))


def _sound_of_take(corpus: Corpus, recording: Recording) -> str:
    """SHA-256 of the sound of the whole take that a recording is, or was cut of; "" if nobody knows any more."""
    file = stretches.file_of(recording.source)
    if file == recording.source:
        return recording.audio_sha256
    try:
        path = _sidecar(corpus.folder, Source(recording.singer, Path(file), file))
        return str(documents.from_json(path.read_text(encoding="utf-8"))["audio_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _make_clips(
    found: list[Source], kit: _Kit, spool: Spool, progress: OnProgress | None, pool: Pool | None
) -> tuple[dict[int, Take], list[Skipped]]:
    """The takes by number of their source, in that order, and what was not made, with its reason."""
    takes: dict[int, Take] = {}
    unfit: dict[int, Skipped] = {}
    done = pool.each(kit, found) if pool else enumerate(map_in_order(kit(), found, kit.config.workers))
    for n_done, (number, result) in enumerate(done, start=1):
        source = found[number].name
        if isinstance(result, Skipped):
            unfit[number] = result
        elif isinstance(result, Lost):
            unfit[number] = Skipped(source, f"given up: {result.reason}")
        else:
            takes[number] = spool.add(result.recordings, result.audio_sha256, is_cut=result.is_cut)
        if progress:
            progress(Progress(n_done, len(found), source))
    return {number: takes[number] for number in sorted(takes)}, [unfit[number] for number in sorted(unfit)]


@dataclass(frozen=True)
class _Clips:
    """What became of a source: one clip, or those of its stretches."""

    source: str
    audio_sha256: str  # of the whole take
    recordings: tuple[Recording, ...]

    @property
    def is_cut(self) -> bool:
        """Whether these are stretches, whose splits have been drawn."""
        return any(recording.source != self.source for recording in self.recordings)


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
    number: int | None = None  # of the stretch, where this is one

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

    def part(self, number: int, regions: list[tuple[int, int]]) -> _Take:
        """A stretch of it, at the gain of the whole."""
        hop, (start, end) = self.measured.hop_samples, (regions[0][0], regions[-1][1])
        self.spool.seek(4 * start)
        samples = np.frombuffer(self.spool.read(4 * (end - start)), np.float32)
        measured = dataclasses.replace(
            self.measured,
            frame_dbfs=self.measured.frame_dbfs[start // hop : -(-end // hop)],
            n_samples=end - start,
            peak_dbfs=level.peak_dbfs(samples),
        )
        return dataclasses.replace(
            self, measured=measured, regions=regions, audio_sha256=_sound_sha256(samples), number=number
        )


class _Worker:
    """Turns one source into a clip; shared by all threads, and never changed."""

    def __init__(self, out: Path, config: PrepareConfig, kept: KnownSplits, listed: Listed | None) -> None:
        self._out = out
        self._config = config
        self._kept = kept
        self._listed = listed
        self._tracker = pitch.PitchTracker()

    def run(self, source: Source) -> _Clips | Skipped:
        """Make the clips of a source, or find them made already, or say why there are none."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(self._out)) as spool:
            # What goes wrong in reading concerns this source; what goes wrong in writing would concern every source.
            try:
                source_sha256 = _file_sha256(source.path)
                if finished := self._finished(source, source_sha256):
                    return finished
                take = self._take(source.path, spool)
            except UserError as error:
                return Skipped(source.name, str(error).removeprefix(f"{source.path}: "))
            parts = self._stretches(source, take)
            made = [self._recording(source, source_sha256, part, split) for part, split in parts]
            clips = _Clips(source.name, take.audio_sha256, tuple(made))
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
                return source.singer, self._take(source.path, spool).audio_sha256
            except UserError:
                return None

    def _finished(self, source: Source, source_sha256: str) -> _Clips | None:
        """What an earlier run measured, if its clips are there and neither source nor settings have changed."""
        path = _sidecar(self._out, source)
        try:
            sidecar = documents.from_json(path.read_text(encoding="utf-8"))
            recordings = tuple(recording_from_dict(row, path.name) for row in sidecar["recordings"])
            n_bytes = [(self._out / recording.path).stat().st_size for recording in recordings]
            is_current = sidecar["settings"] == self._settings(len(recordings)) and sidecar["n_bytes"] == n_bytes
            clips = _Clips(source.name, str(sidecar["audio_sha256"]), recordings)
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

    def _is_cut_as_wanted(self, clips: _Clips, singer: str) -> bool:
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

    def _stretches(self, source: Source, take: _Take) -> list[tuple[_Take, str]]:
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
        survey = TraceSurvey(info.sample_rate, info.n_channels)
        sound = hashlib.sha256()
        n_values = n_clipped = 0
        for block in files.blocks(path, BLOCK_SAMPLES):  # [n, channels]
            n_values += block.size
            cleaned = down.cleaned(block)
            n_clipped += int(np.count_nonzero(np.abs(cleaned) >= level.CLIPPED_AMPLITUDE))
            survey.push(cleaned)
            mono = down.mono(block)
            sound.update(_as_16_bit(mono))
            resampled = resampler.push(mono)
            meter.push(resampled)
            above.push(low_cut.push(resampled))
            spool.write(resampled.tobytes())
        rest = resampler.flush()
        meter.push(rest)
        for last in (low_cut.push(rest), low_cut.flush()):
            above.push(last)
        spool.write(rest.tobytes())
        traces, clipped_fraction = survey.result(), n_clipped / n_values
        if traces.clipped_fraction < 2 * clipped_fraction:  # at full scale, where its number tells
            traces = dataclasses.replace(traces, clipped_fraction=0.0)
        clipped_fraction = max(clipped_fraction, traces.clipped_fraction)
        wanted_hz = min(info.sample_rate, config.sample_rate) / 2
        measured, remarks = meter.result(), (*info.remarks, *down.remarks, *traces.remarks(wanted_hz))
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
        return _Take(spool, measured, regions, round(gain_db, 3), sound.hexdigest(), clipped_fraction, remarks)

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

    def _recording(self, source: Source, source_sha256: str, take: _Take, split: str) -> Recording:
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

    def _store(self, source: Source, clips: _Clips, parts: list[_Take]) -> None:
        """Write the clips, then the sidecar that vouches for them."""
        sidecar = _sidecar(self._out, source)
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


def _clip_path(source: Source, number: int | None = None) -> str:
    """Posix path of a clip below the data folder; another source, or stretch of it, never has the same."""
    stem = sources.safe_name(Path(source.name).stem)
    stretch = "" if number is None else f"-{number:03d}"
    return f"{CLIPS}/{sources.safe_name(source.singer)}/{stem}-{sources.short_hash(source.name)}{stretch}.flac"


def _sidecar(out: Path, source: Source) -> Path:
    return (out / _clip_path(source)).with_suffix(".json")


def _as_16_bit(samples: Samples) -> bytes:
    return np.round(samples.clip(-1, 1) * 32767).astype("<i2").tobytes()


def _sound_sha256(samples: Samples) -> str:
    return hashlib.sha256(_as_16_bit(samples)).hexdigest()


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


def _remember_splits(out: Path, kept: KnownSplits) -> None:
    with atomic.writing(out / SPLITS_FILE) as file:
        write_rows(file, sorted(kept))


def _remembered_splits(out: Path) -> KnownSplits:
    """Splits of all sounds that were ever here.

    Raises:
        DataError: the file is damaged.
    """
    path, found = out / SPLITS_FILE, KnownSplits()
    try:
        for singer, sound, split in documents.from_json(path.read_text(encoding="utf-8")):
            found.put(str(singer), str(sound), str(split))
    except (FileNotFoundError, NotADirectoryError):
        return KnownSplits()
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); take it from a copy, or prepare another folder") from None
    if not found.names <= set(SPLITS):
        raise DataError(f"{path}: names unknown splits; take it from a copy, or prepare another folder")
    return found


def _kept_splits(out: Path) -> KnownSplits:
    """Splits of all sounds that were ever here; the manifest has the last word."""
    if not (out / MANIFEST).exists():
        return _remembered_splits(out)
    try:
        corpus, found = Corpus.load(out), _remembered_splits(out)
        for recording in corpus.recordings:
            found.put(recording.singer, recording.audio_sha256, recording.split)
        return found
    except DataError as error:
        raise DataError(f"{error} (to give up its splits and draw new ones, delete {out / MANIFEST})") from None


def _refuse_to_join(out: Path, config: PrepareConfig) -> None:
    """Refuse to make whole again what was cut: what was held out would be trained on.

    Raises:
        DataError: so it would be.
    """
    if config.stretches.long_seconds or not (out / MANIFEST).exists():
        return
    for recording in Corpus.load(out).recordings:
        if (file := stretches.file_of(recording.source)) != recording.source:
            raise DataError(
                f"{out}: holds stretches of long takes ({file}), some of which are held out; prepare whole takes into "
                "another folder"
            )


def _without_doubles(
    takes: dict[int, Take], found: list[Source], spool: Spool
) -> tuple[dict[int, Take], list[Skipped]]:
    """Keep the first of the takes, and of the recordings, that sound the same, also across singers."""
    first: dict[str, int | Entry] = {}  # by sound: the number of a take, or a stretch of one
    kept, doubles = {}, []

    def name_of(same: int | Entry) -> str:
        return found[same].name if isinstance(same, int) else str(spool.read(same)["source"])

    for number, take in takes.items():
        whole = first.setdefault(take.sound, number)
        if whole != number:
            doubles.append(Skipped(found[number].name, f"{SAME_SOUND} {name_of(whole)}"))
            continue
        own = []
        for entry in take.entries:
            same = first.setdefault(entry.sound, entry)
            if same is entry or same == number:
                own.append(entry)
            else:
                doubles.append(Skipped(name_of(entry), f"{SAME_SOUND} {name_of(same)}"))
        kept[number] = take if len(own) == len(take.entries) else dataclasses.replace(take, entries=tuple(own))
    return kept, doubles


def _split(
    takes: dict[int, Take], found: list[Source], kept: KnownSplits, config: PrepareConfig, listed: Listed | None
) -> list[Entry]:
    """All recordings with their splits: as listed; else as drawn, of whole takes here, of stretches before."""
    listed_splits = listed.splits if listed else {}
    free: dict[str, dict[str, Entry]] = {}  # by singer, and sound: those whose splits are drawn here
    entries: list[Entry] = []
    for number, take in takes.items():
        entries += take.entries
        said = listed_splits.get(found[number].name)
        for entry in take.entries:
            if said is not None:
                entry.split = said
            elif not take.is_cut:
                free.setdefault(entry.singer, {})[entry.sound] = entry
    validation_share, test_share = config.validation_share, config.test_share
    if listed:
        validation_share, test_share = listed.shares(validation_share, test_share)
    for singer, own in free.items():
        drawn = splits.split_singer(
            list(own),
            kept.among(singer, own),
            seed=config.split_seed,
            validation_share=validation_share,
            test_share=test_share,
        )
        for sound, split in drawn.items():
            own[sound].split = split
    if listed:
        listed.check_kept({(entry.singer, entry.sound): entry.split for entry in entries}, kept)
        trained = {entry.singer for entry in entries if entry.split == "train"}
        for singer in sorted({entry.singer for entry in entries} - trained):
            raise DataError(f"{listed.path}: leaves nothing of {singer} to train on; list a recording of {singer}")
    return entries


def _clean(corpus: Corpus) -> None:
    """Delete clips that the manifest no longer lists, with their sidecars, and what a killed run left half-written."""
    clips = corpus.folder / CLIPS
    listed = {recording.path for recording in corpus.recordings}
    for folder in filter(Path.is_dir, clips.iterdir()):
        _clean_singer(folder, {path for path in folder.iterdir() if f"{CLIPS}/{folder.name}/{path.name}" in listed})
    for part in corpus.folder.rglob(".*.part"):
        if atomic.is_part(part.name):
            part.unlink(missing_ok=True)
    for folder in clips.iterdir():
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _clean_singer(folder: Path, listed: set[Path]) -> None:
    """Delete a singer's clips that are not listed, where a sidecar says that they are ours, and sidecars of none."""
    of_source: dict[str, list[Path]] = {}
    for path in folder.iterdir():
        if match := re.fullmatch(r"(.*-[0-9a-f]{8})(-\d{3,})?\.flac", path.name, re.DOTALL):
            of_source.setdefault(match[1], []).append(path)
    for sidecar in folder.glob("*.json"):
        if not re.search(r"-[0-9a-f]{8}$", sidecar.stem):
            continue
        own = of_source.get(sidecar.stem, [])
        for clip in set(own) - listed:
            clip.unlink()
        if not set(own) & listed:
            sidecar.unlink()
