"""The splits of every sound that was ever in a data folder, remembered in a file beside the manifest."""

from __future__ import annotations

from pathlib import Path

from moksori import atomic, documents
from moksori.data.corpus import MANIFEST, SPLITS, Corpus, write_rows
from moksori.data.splits import KnownSplits
from moksori.errors import DataError

SPLITS_FILE = "splits.json"


def write(out: Path, splits: KnownSplits) -> None:
    with atomic.writing(out / SPLITS_FILE) as file:
        write_rows(file, sorted(splits))


def _read(out: Path) -> KnownSplits:
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


def kept(out: Path) -> KnownSplits:
    """Splits of all sounds that were ever here; the manifest has the last word."""
    if not (out / MANIFEST).exists():
        return _read(out)
    try:
        corpus, found = Corpus.load(out), _read(out)
        for recording in corpus.recordings:
            found.put(recording.singer, recording.audio_sha256, recording.split)
        return found
    except DataError as error:
        raise DataError(f"{error} (to give up its splits and draw new ones, delete {out / MANIFEST})") from None
