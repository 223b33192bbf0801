"""Languages of our own making."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from moksori_studies import toy


def test_letters_change_length_and_order() -> None:
    assert toy.translate_letters("abc") == "qrp"
    assert toy.translate_letters("dab") == "pqst"
    assert toy.translate_letters("hf") == "vwyz"


def test_no_source_to_train_on_is_tested_with() -> None:
    train, test = toy.letters(300, 100, random.Random(0))
    assert (len(train), len(test)) == (300, 100)
    assert not {source for source, _ in train} & {source for source, _ in test}
    assert all(target == toy.translate_letters(source) for source, target in train + test)


def test_more_letters_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="60 \\+ 20 of 64 strings of 2 to 2 letters"):
        toy.letters(60, 20, random.Random(0), longest=2)


def test_sentences_end_with_the_verb_and_adjectives_follow_their_noun() -> None:
    rng = random.Random(0)
    language = toy.Language(random.Random(1))
    by_length: Counter[int] = Counter()
    for _ in range(200):
        ours, theirs = (sentence.split() for sentence in language.pair(rng))
        by_length[len(ours)] += 1
        assert len(ours) == len(theirs)
        if len(ours) == 5:  # the noun verb the noun
            assert language._theirs[ours[2]] == theirs[4]  # the verb
            assert [language._theirs[ours[i]] for i in (1, 4)] == [theirs[1], theirs[3]]
        if len(ours) == 7:  # the adjective noun verb the adjective noun
            said = [language._theirs[ours[i]] for i in (2, 1, 6, 5, 3)]
            assert said == [theirs[i] for i in (1, 2, 4, 5, 6)]
    assert set(by_length) == {5, 6, 7}


def test_an_article_belongs_to_its_noun() -> None:
    language, rng = toy.Language(random.Random(1)), random.Random(0)
    seen: dict[str, set[str]] = {}
    for _ in range(500):
        words = language.pair(rng)[1].split()
        seen.setdefault(words[1], set()).add(words[0])
    assert all(len(articles) == 1 for articles in seen.values())
    assert set.union(*seen.values()) == {"der", "die", "das"}


def test_most_words_are_rare() -> None:
    language, rng = toy.Language(random.Random(1)), random.Random(0)
    counts = Counter(language.pair(rng)[0].split()[-1] for _ in range(2000))  # nouns
    often = counts.most_common()
    assert often[0][1] > 5 * often[len(often) // 4][1]


def test_a_corpus_has_no_sentence_twice_and_is_the_same_again() -> None:
    first, second = (toy.Language(random.Random(1)).corpus(200, 50, random.Random(2)) for _ in range(2))
    assert first == second
    assert len({*first.train, *first.dev, *first.test}) == 300
