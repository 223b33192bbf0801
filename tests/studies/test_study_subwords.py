"""Pieces of words."""

from __future__ import annotations

import itertools

from moksori_studies.subwords import NULL, SPECIAL, UNKNOWN, Subwords, learn_merges

# The example of Sennrich, Haddow and Birch 2016, figure 1, in our spelling; spaces are letters here.
LOW = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3


def test_the_most_frequent_neighbours_are_joined_first() -> None:
    merges = learn_merges(LOW, 3)
    assert merges[0] in {("e", "s"), ("s", "t")}  # each 9 times
    assert "".join(merges[1]) == "est"


def test_text_comes_back_as_it_was() -> None:
    subwords = Subwords(["a dog's life, really!", "the dogs are (not) here."], 20)
    for sentence in ("a dog's life, really!", "the real dogs", "(a) e.h."):
        assert subwords.decode(subwords.encode(sentence)) == sentence


def test_text_comes_back_whatever_the_number_of_merges() -> None:
    sentences = ["오늘 날씨가 좋네요.", "날씨가 나쁘네요!"]
    lengths = []
    for n_merges in (0, 2, 50):  # four pairs occur twice
        subwords = Subwords(sentences, n_merges)
        assert [subwords.decode(subwords.encode(sentence)) for sentence in sentences] == sentences
        lengths.append(len(subwords.encode(sentences[0])))
    assert lengths[0] > lengths[1] > lengths[2]


def test_encoding_joins_in_the_order_that_was_learnt() -> None:
    subwords = Subwords(LOW, 100)
    pieces = [subwords.pieces[i] for i in subwords.encode("lowest")]
    assert "est" in pieces


def test_a_letter_never_seen_is_unknown_and_left_out_of_the_text() -> None:
    subwords = Subwords(["abc"], 0)
    assert UNKNOWN in subwords.encode("axc")
    assert subwords.decode(subwords.encode("axc")) == "ac"


def test_special_pieces_have_their_places_and_no_sentence_can_contain_them() -> None:
    subwords = Subwords(["<null> <pad>"], 50)
    assert subwords.pieces[: len(SPECIAL)] == list(SPECIAL)
    assert NULL not in subwords.encode("<null>")


def test_nothing_that_occurs_once_is_joined() -> None:
    assert learn_merges(["abc"], 10) == []


def test_counts_kept_while_joining_are_those_of_counting_anew() -> None:
    # Joins found one by one, each by counting all pairs of the text as it is then spelled.
    text = ["banana bandana", "anabanana nab", "bad bananas"] * 2
    spelled = [list(word) for sentence in text for word in ("▁" + sentence.replace(" ", " ▁")).split()]
    slow = []
    for _ in range(12):
        counts: dict[tuple[str, str], int] = {}
        for word in spelled:
            for pair in itertools.pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda pair: (counts[pair], pair))
        if counts[best] < 2:
            break
        slow.append(best)
        for word in spelled:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = ["".join(best)]
                i += 1
    assert learn_merges(text, 12) == slow
