"""Sub-words: frequent pieces of words, found by byte pair encoding, so that no word is unknown.

Begin with single letters and join, again and again, the two neighbours that stand side by side most often. Frequent
words become one piece, rare ones stay several. Pieces carry their spaces ("▁dog"), so that text comes back as it was.

Source: Sennrich, Haddow and Birch 2016, "Neural machine translation of rare words with subword units", section 3.2.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

PAD, START, END, UNKNOWN, NULL = range(5)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>", "<null>")

_SPACE = "▁"
_WORDS = re.compile(r" ?\w+| ?[^\w\s]")

Piece = tuple[str, str]


def words(sentence: str) -> list[str]:
    """Split at spaces and punctuation; a word keeps the space before it, as "▁".

    >>> words("A dog, running.")
    ['▁A', '▁dog', ',', '▁running', '.']
    """
    return [word.replace(" ", _SPACE) for word in _WORDS.findall(" " + " ".join(sentence.split()))]


def learn_merges(sentences: Iterable[str], n_merges: int) -> list[Piece]:
    """The `n_merges` most useful joins, the most frequent first; fewer if no pair is left that occurs twice.

    Ties are broken by the alphabet, so that the result depends on the sentences only.
    """
    counts = Counter(word for sentence in sentences for word in words(sentence))
    spelled = {word: list(word) for word in counts}
    pairs: Counter[Piece] = Counter()
    homes: defaultdict[Piece, set[str]] = defaultdict(set)  # in which words a pair may stand
    for word, letters in spelled.items():
        for pair in itertools.pairwise(letters):
            pairs[pair] += counts[word]
            homes[pair].add(word)

    merges: list[Piece] = []
    while len(merges) < n_merges and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        for word in homes.pop(best):
            before = spelled[word]
            after = _joined(before, best)
            spelled[word] = after
            for pair in itertools.pairwise(before):
                pairs[pair] -= counts[word]
                if not pairs[pair]:
                    del pairs[pair]
            for pair in itertools.pairwise(after):
                pairs[pair] += counts[word]
                homes[pair].add(word)
    return merges


def _joined(pieces: Sequence[str], pair: Piece) -> list[str]:
    """Join each occurrence of the pair, from the left."""
    result: list[str] = []
    i = 0
    while i < len(pieces):
        is_here = tuple(pieces[i : i + 2]) == pair
        result.append(pieces[i] + pieces[i + 1] if is_here else pieces[i])
        i += 2 if is_here else 1
    return result


class Subwords:
    """A vocabulary of sub-words: text to numbers and back."""

    def __init__(self, sentences: Sequence[str], n_merges: int) -> None:
        """Learn from sentences of one language."""
        self._rank = {pair: i for i, pair in enumerate(learn_merges(sentences, n_merges))}
        letters = sorted({letter for sentence in sentences for word in words(sentence) for letter in word})
        joined = [left + right for left, right in self._rank]
        self.pieces: list[str] = list(dict.fromkeys([*SPECIAL, *letters, *joined]))
        self._number = {piece: i for i, piece in enumerate(self.pieces)}
        self._known: dict[str, list[int]] = {}

    def __len__(self) -> int:
        """How many pieces there are, the special ones counted."""
        return len(self.pieces)

    def encode(self, sentence: str) -> list[int]:
        """Numbers of the pieces, without start and end; a letter never seen is `UNKNOWN`."""
        return [number for word in words(sentence) for number in self._encode_word(word)]

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._known:
            pieces = list(word)
            while len(pieces) > 1:
                best = min(itertools.pairwise(pieces), key=lambda p: self._rank.get(p, len(self._rank)))
                if best not in self._rank:
                    break
                pieces = _joined(pieces, best)
            self._known[word] = [self._number.get(piece, UNKNOWN) for piece in pieces]
        return self._known[word]

    def decode(self, numbers: Iterable[int]) -> str:
        """Text; special pieces are left out."""
        pieces = [self.pieces[number] for number in numbers if number >= len(SPECIAL)]
        return "".join(pieces).replace(_SPACE, " ").strip()
