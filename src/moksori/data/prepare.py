"""A folder of songs in, a corpus out: mono clips at one rate and one level, ends trimmed, measured, split.

Each recording goes this way, in blocks, so that hours fit into little memory:

    takes     decode -> mono -> resample -> spool     measured on the way: levels, clipping, checksum
    clips     spool -> what is sung, at its gain -> pitch range -> clip file -> sidecar
    here      without doubles -> splits -> manifest

A take longer than two minutes becomes several clips, each in a split of its own (see `stretches`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from moksori import atomic, documents, ownership
from moksori.data import layouts, rights, sources, splits, splits_file, stretches
from moksori.data.clips import ClipMaker, Clips, sidecar_path
from moksori.data.corpus import CACHE, CLIPS, MANIFEST, SAME_SOUND, Corpus, Recording, Skipped
from moksori.data.prepare_config import PrepareConfig
from moksori.data.sources import Source
from moksori.data.splits import KnownSplits, Listed
from moksori.data.splits_file import SPLITS_FILE
from moksori.data.spool import Entry, Spool, Spooled, Take
from moksori.data.threads import map_in_order
from moksori.errors import DataError, UserError
from moksori.progress import OnProgress, Progress
from moksori.workers.places import Place
from moksori.workers.pool import Lost, Pool

_BUSY = "another preparation or training is at work with this folder; wait until it is done"

_OWN = (CLIPS, CACHE, SPLITS_FILE)  # what a preparation that was interrupted leaves


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
    kept = splits_file.kept(out)
    _refuse_to_join(out, config)
    if listed:
        listed.check([source.name for source in found])
    try:
        (out / CLIPS).mkdir(parents=True, exist_ok=True)
        with ownership.lock(out, _BUSY):
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
                splits_file.write(out, kept)
                corpus.save()
                _clean(corpus)
                if not corpus.is_large:
                    return dataclasses.replace(corpus, recordings=tuple(corpus.recordings))
            return Corpus.load(out)
    except OSError as error:  # of writing: an OSError of reading has become a reason to skip
        raise DataError(
            f"{out}: cannot be written ({error.strerror}); free some space or choose another one"
        ) from error


def in_use(data: Path) -> AbstractContextManager[None]:
    """Keep a data folder as it is while it is read: no preparation begins, others may read it, too.

    Raises:
        UserError: a preparation is at work with it.
    """
    return ownership.lock(data, _BUSY, is_shared=True)


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

    def __call__(self) -> Callable[[Source], Clips | Skipped]:
        """A worker.

        Raises:
            DataError: the data folder is not seen from here.
        """
        if not self.out.is_dir():
            raise DataError(f"{self.out}: no such folder on a worker's machine; prepare into one that all share")
        worker, place = ClipMaker(self.out, self.config, self.kept, self.listed), self.place

        def fetched(source: Source) -> Clips | Skipped:
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
    worker = ClipMaker(corpus.folder, PrepareConfig(corpus.sample_rate, corpus.level_dbfs), KnownSplits(), None)
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
        path = sidecar_path(corpus.folder, Source(recording.singer, Path(file), file))
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


def _examples(skipped: list[Skipped]) -> str:
    return "; ".join(f"{skip.source}: {skip.reason}" for skip in skipped[:3])


def _check_apart(songs: Path, out: Path) -> None:
    inner, outer = out.resolve(), songs.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise DataError(f"{out}: the data folder and the songs folder {songs} lie in each other; choose another one")


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
