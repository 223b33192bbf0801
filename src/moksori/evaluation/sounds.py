"""Sounds that lie beside a report, to be listened to: source, conversion and target of every pair that was scored."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from moksori.audio import files
from moksori.data.corpus import Corpus
from moksori.errors import AudioFileError
from moksori.evaluation.conversions import own_sounds
from moksori.evaluation.pairs import Pair
from moksori.evaluation.report.data import Item

FOLDER = "audio"  # below the folder of a report


def keep(items: Sequence[Item], pairs: Sequence[Pair], corpus: Corpus, folder: Path) -> list[Item]:
    """Copy the sounds of scored pairs into a report's folder, and name them in their items.

    Args:
        items: of some of the pairs, by their names.
        pairs: what was scored, whose sources and conversions can be read.
        corpus: of which a real recording of the target is taken where there is none of the same words.
        folder: of the report.

    Raises:
        DataError: something that no evaluation made lies in one of the places.
    """
    by_name = {pair.name: pair for pair in pairs}
    wanted = [_sounds(by_name[item.name], corpus) for item in items]
    names = [PurePosixPath(place).name for sounds in wanted for _, place in sounds.values()]
    with own_sounds(folder / FOLDER, list(dict.fromkeys(names))):
        return [
            replace(
                item,
                files={kind: place for kind, (sound, place) in sounds.items() if _is_there(sound, folder / place)},
            )
            for item, sounds in zip(items, wanted, strict=True)
        ]


def _sounds(pair: Pair, corpus: Corpus) -> dict[str, tuple[Path, str]]:
    """What there is to listen to, and its path below the report's folder, by what it is."""
    sounds = {
        "source": (pair.source, f"{FOLDER}/source-{_plain(pair.recording)}.flac"),
        "conversion": (pair.conversion, f"{FOLDER}/{pair.name}.flac"),
    }
    if pair.truth:
        name = _plain(f"{pair.target_singer}/{pair.truth.name}")
        sounds["target"] = (pair.truth, f"{FOLDER}/target-{name}.flac")
    elif real := corpus.of("test", pair.target_singer) or corpus.of("train", pair.target_singer):
        sounds["target"] = (corpus.clip_path(real[0]), f"{FOLDER}/target-{_plain(pair.target_singer)}.flac")
    return sounds


def _is_there(sound: Path, path: Path) -> bool:
    """Copy a sound if it is not there yet; not if it cannot be read."""
    if not path.exists():
        try:
            files.write(path, files.read(sound))
        except AudioFileError:
            return False  # only heard beside the figures; that it cannot be read stands in the notes where it counts
    return True


def _plain(name: str) -> str:
    """A recording's name as part of a file name; two names hardly ever become one."""
    letters = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    return f"{letters[-60:]}-{zlib.crc32(name.encode()):08x}"
