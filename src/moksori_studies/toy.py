"""Languages of our own making, to see quickly whether a translator learns: no text of anybody is needed.

Letters: each of eight becomes one or two others, and the first goes last, so that length and order change:

>>> translate_letters("abc")
'qrp'
>>> translate_letters("dbc")  # d is said in two letters
'qrst'

Sentences: invented words, with articles that depend on the noun, adjectives that follow it, and the verb at the end.
Most words are rare, as in life: there is something to learn from more text.
"""

from __future__ import annotations

import itertools
import random

from moksori_studies.corpora import Corpus, SentencePair

_LETTERS = {"a": "p", "b": "q", "c": "r", "d": "st", "e": "u", "f": "vw", "g": "x", "h": "yz"}


def translate_letters(source: str) -> str:
    """The first letter goes last; then each becomes its one or two."""
    return "".join(_LETTERS[letter] for letter in source[1:] + source[:1])


def letters(
    n_train: int, n_test: int, rng: random.Random, longest: int = 7
) -> tuple[list[SentencePair], list[SentencePair]]:
    """Pairs of 2 to `longest` letters, to train on and to test with; no source stands in both.

    Raises:
        ValueError: there are not so many strings; a quarter more must exist, so that drawing does not take for ever.
    """
    n_strings = sum(len(_LETTERS) ** length for length in range(2, longest + 1))
    if n_strings < 1.25 * (n_train + n_test):
        raise ValueError(f"{n_train} + {n_test} of {n_strings} strings of 2 to {longest} letters: ask for fewer")
    found: dict[str, None] = {}
    while len(found) < n_train + n_test:
        found["".join(rng.choices("abcdefgh", k=rng.randint(2, longest)))] = None
    pairs = [(source, translate_letters(source)) for source in found]
    return pairs[n_test:], pairs[:n_test]


class Language:
    """Invented words and their translations."""

    def __init__(self, rng: random.Random, n_nouns: int = 200, n_verbs: int = 80, n_adjectives: int = 80) -> None:
        """Invent the words of both sides."""
        n = n_nouns + n_verbs + n_adjectives
        ours, theirs = _words("bdgklmn", "aiou", n, rng), _words("fhprstw", "aeiu", n, rng)
        self._theirs = dict(zip(ours, theirs, strict=True))
        self._nouns, self._verbs = ours[:n_nouns], ours[n_nouns : n_nouns + n_verbs]
        self._adjectives = ours[n_nouns + n_verbs :]
        self._shares = list(itertools.accumulate(1 / (k + 1) for k in range(max(n_nouns, n_verbs, n_adjectives))))
        self._article = {noun: rng.choice(("der", "die", "das")) for noun in self._nouns}

    def pair(self, rng: random.Random) -> SentencePair:
        """A sentence "the (adjective) noun verb the (adjective) noun" and its translation."""
        (ours_who, theirs_who), (ours_whom, theirs_whom) = self._phrase(rng), self._phrase(rng)
        verb = self._often_the_first(self._verbs, rng)
        return f"{ours_who} {verb} {ours_whom}", f"{theirs_who} {theirs_whom} {self._theirs[verb]}"

    def _phrase(self, rng: random.Random) -> tuple[str, str]:
        noun = self._often_the_first(self._nouns, rng)
        article, said = self._article[noun], self._theirs[noun]
        if rng.random() < 0.5:
            return f"the {noun}", f"{article} {said}"
        adjective = self._often_the_first(self._adjectives, rng)
        return f"the {adjective} {noun}", f"{article} {said} {self._theirs[adjective]}"

    def _often_the_first(self, those: list[str], rng: random.Random) -> str:
        """Draw the k-th word in proportion to 1/k, as Zipf found of real ones."""
        return rng.choices(those, cum_weights=self._shares[: len(those)])[0]

    def corpus(self, n_train: int, n_test: int, rng: random.Random) -> Corpus:
        """Different pairs: to train on, a dev and a test set of `n_test` each."""
        found: dict[SentencePair, None] = {}
        while len(found) < n_train + 2 * n_test:
            found[self.pair(rng)] = None
        pairs = list(found)
        return Corpus("an invented language", pairs[2 * n_test :], pairs[:n_test], pairs[n_test : 2 * n_test])


def _words(consonants: str, vowels: str, n: int, rng: random.Random) -> list[str]:
    """`n` different words of two syllables, shuffled."""
    syllables = ["".join(pair) for pair in itertools.product(consonants, vowels)]
    return rng.sample(["".join(pair) for pair in itertools.product(syllables, repeat=2)], n)
