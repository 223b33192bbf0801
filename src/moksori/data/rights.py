"""Consent and licence: what a singer agreed to, in their words, from the recordings into every model made of them.

A file CONSENT (or CONSENT.txt, CONSENT.md) in a singer's folder is that singer's; one beside the folders, or the words
of `moksori prepare --rights`, is for all who have none of their own. Nothing is done with the words but to carry them
along.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from moksori.errors import DataError

NAMES = ("CONSENT", "CONSENT.txt", "CONSENT.md")
_LONGEST = 10_000  # bytes: a statement, not a book; it is carried in the head of every model file


def of_singers(songs: Path, singers: Iterable[str], for_all: str = "") -> tuple[tuple[str, str], ...]:
    """What is stated for each singer, as pairs of name and words; nobody for whom nothing is.

    Args:
        songs: the folder with a folder for each singer.
        singers: their names.
        for_all: words for those who have none of their own.

    Raises:
        DataError: a statement that cannot be read, is no text, or is too long.
    """
    common = for_all.strip() or _stated(songs)
    found = ((name, _stated(songs / name) or common) for name in singers)
    return tuple((name, words) for name, words in found if words)


def _stated(folder: Path) -> str:
    for path in (folder / name for name in NAMES):
        if not path.is_file():
            continue
        try:
            with open(path, "rb") as file:
                content = file.read(_LONGEST + 1)
            words = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as text ({error}); save it as UTF-8") from error
        if len(content) > _LONGEST:
            raise DataError(f"{path}: is longer than {_LONGEST} bytes; state what was agreed, and keep the contract")
        return words.strip()
    return ""
