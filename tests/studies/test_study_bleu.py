"""BLEU from sums is sacrebleu's, and intervals contain what they should."""

from __future__ import annotations

import random

import numpy as np
import pytest

from moksori_studies.bleu import bleu, bleu_of_sums, counts, paired_interval, signature

pytest.importorskip("sacrebleu", reason="pip install 'moksori[studies]'")

WORDS = ["a", "the", "dog", "cat", "runs", "sleeps", "in", "on", "grass", "red", "house", "big", "small", "."]


def texts(n: int, rng: random.Random) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=rng.randint(6, 14))) for _ in range(n)]


def spoilt(references: list[str], share: float, rng: random.Random) -> list[str]:
    """Each word is another one with this probability."""
    return [
        " ".join(rng.choice(WORDS) if rng.random() < share else word for word in line.split()) for line in references
    ]


def test_a_perfect_translation_has_100_and_an_alien_one_nearly_none() -> None:
    references = texts(50, random.Random(0))
    assert bleu(references, references) == pytest.approx(100.0)
    assert bleu(["x y z w v"] * 50, references) < 1.0


def test_capital_letters_do_not_count() -> None:
    assert bleu(["A Dog runs in the house"], ["a dog RUNS in the house"]) == pytest.approx(100.0)
    assert "case:lc" in signature()


def test_one_example_worked_by_hand() -> None:
    # "the dog runs in the grass" for "the dog runs on the grass": of 6 words 5 match, of 5 pairs 3, of 4 triples 1, of
    # 3 fours none; a second sentence, perfect, adds 5, 4, 3, 2 to both. The lengths are equal: nothing is taken off.
    said = ["the dog runs in the grass", "a red cat sleeps ."]
    wanted = ["the dog runs on the grass", "a red cat sleeps ."]
    by_hand = 100 * (10 / 11 * 7 / 9 * 4 / 7 * 2 / 5) ** 0.25
    assert bleu(said, wanted) == pytest.approx(by_hand)
    assert float(bleu_of_sums(counts(said, wanted).sum(0))) == pytest.approx(by_hand)


def test_sums_give_the_bleu_of_sacrebleu_short_translations_too() -> None:
    rng = random.Random(1)
    references = texts(80, rng)
    for said in (spoilt(references, 0.3, rng), [" ".join(line.split()[:-3]) for line in references]):
        assert float(bleu_of_sums(counts(said, references).sum(0))) == pytest.approx(bleu(said, references))


def test_without_a_match_of_four_words_bleu_of_sums_is_zero() -> None:
    assert float(bleu_of_sums(counts(["a dog"], ["a dog runs"]).sum(0))) == 0.0
    assert float(bleu_of_sums(np.zeros(10))) == 0.0


def test_the_interval_is_that_of_sacrebleu_s_own_paired_bootstrap() -> None:
    from sacrebleu.metrics import BLEU
    from sacrebleu.significance import PairedTest

    rng = random.Random(2)
    references = texts(300, rng)
    worse, better = spoilt(references, 0.30, rng), spoilt(references, 0.25, rng)
    scored = {"worse": counts(worse, references), "better": counts(better, references)}
    test = PairedTest(
        [("worse", worse), ("better", better)], {"BLEU": BLEU(lowercase=True)}, [references], "bs", n_samples=500
    )
    theirs = dict(zip(scored, test()[1]["BLEU"], strict=True))
    mean, low, high = paired_interval([scored["better"]], [scored["worse"]], np.random.default_rng(0), 500)
    assert mean == pytest.approx(theirs["better"].score - theirs["worse"].score, abs=1e-4)
    assert theirs["better"].p_value < 0.05 and low > 0
    # Against a system that says nothing, whose BLEU is 0, the interval is that of the one; theirs is half of it.
    # From 500 draws an end is known to some 8 % of its distance.
    for name, one in scored.items():
        _, low, high = paired_interval([one], [np.zeros_like(one)], np.random.default_rng(0), 500)
        assert (high - low) / 2 == pytest.approx(theirs[name].ci, rel=0.2)


def test_the_interval_of_a_difference_covers_it_as_often_as_promised() -> None:
    # Systems of equal quality: of 60 intervals of 95 %, few may miss 0.
    n_missed = 0
    for trial in range(60):
        rng = random.Random(trial)
        references = texts(100, rng)
        one, other = (counts(spoilt(references, 0.3, rng), references) for _ in range(2))
        _, low, high = paired_interval([one], [other], np.random.default_rng(trial), 200)
        n_missed += not low <= 0 <= high
    assert n_missed <= 9  # expected 3; 9 or fewer with a probability of 0.999


def test_three_trainings_that_say_the_same_make_the_interval_of_one() -> None:
    rng = random.Random(3)
    references = texts(200, rng)
    one, other = (counts(spoilt(references, share, rng), references) for share in (0.2, 0.3))
    single = paired_interval([one], [other], np.random.default_rng(0))
    triple = paired_interval([one] * 3, [other] * 3, np.random.default_rng(0))
    assert triple == pytest.approx(single)
