"""Character error rate (CER): how much of a text has to be changed to make another of it.

    edit distance (Levenshtein 1966) between the letters / number of letters that should be there

Letters are compared as a reader would: case, punctuation, spaces and the width of characters play no part, so the
figure means the same in languages that write no spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_STAGE_DIRECTION = re.compile(r"\[[^\]]*\]|\([^)]*\)|♪")  # "[Music]", "(singing)": what is not sung


def letters(text: str) -> str:
    """What of a text counts: letters, digits and their accents, in one case and one width.

    >>> letters("Don't stop, [Music] Ｎｏｗ!")
    'dontstopnow'
    >>> letters("아리랑, 아라리요")
    '아리랑아라리요'
    """
    plain = unicodedata.normalize("NFKC", _STAGE_DIRECTION.sub(" ", text)).casefold()
    return "".join(letter for letter in plain if unicodedata.category(letter)[0] in "LNM")


def error_rate(transcript: str, expected: str) -> float | None:
    """Share of the expected letters that are wrong, missing or too many, at most 1; None if nothing is expected.

    A recogniser that loses itself repeats a word for ever: that is all wrong, not more than all.

    >>> error_rate("the sun rows", "The sun rose.")
    0.2
    >>> error_rate("", "la"), error_rate("la", "...")
    (1.0, None)
    """
    wanted = letters(expected)
    if not wanted:
        return None
    return min(1.0, edit_distance(letters(transcript), wanted) / len(wanted))


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """The fewest insertions, deletions and replacements that make the second of the first.

    >>> edit_distance("kitten", "sitting")
    3
    """
    best = list(range(len(second) + 1))  # from what is read of the first to each beginning of the second
    for n_read, letter in enumerate(first, start=1):
        corner, best[0] = best[0], n_read
        for place, other in enumerate(second, start=1):
            corner, best[place] = best[place], min(best[place] + 1, best[place - 1] + 1, corner + (letter != other))
    return best[-1]
