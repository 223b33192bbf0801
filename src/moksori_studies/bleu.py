"""BLEU by sacrebleu, and how sure a difference of BLEU is.

Source: Papineni et al. 2002; Post 2018 (sacrebleu); Koehn 2004 (bootstrap by sentence).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moksori.errors import UserError

Counts = NDArray[np.float64]


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU, 0 to 100, of lower-cased text, one reference each."""
    return float(_metric().corpus_score(list(translations), [list(references)]).score)


def signature() -> str:
    """How sacrebleu was set, as is customary to report."""
    metric = _metric()
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())


def counts(translations: Sequence[str], references: Sequence[str]) -> Counts:
    """What BLEU adds up over sentences: [n, 10], matches and totals of 1 to 4 words, length, reference length."""
    metric = _metric()
    metric.effective_order = True  # changes the score of a sentence, not what is counted; sacrebleu warns otherwise
    rows = []
    for translation, reference in zip(translations, references, strict=True):
        score = metric.sentence_score(translation, [reference])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return np.array(rows, dtype=np.float64)


def bleu_of_sums(sums: Counts) -> Counts:
    """BLEU from sums of `counts`: [..., 10] -> [...]; 0 without a match of four words, where sacrebleu smooths."""
    matches, totals, length, reference = sums[..., :4], sums[..., 4:8], sums[..., 8], sums[..., 9]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(matches > 0, np.log(matches / totals), -np.inf).mean(-1)
        brevity = np.minimum(0.0, 1.0 - reference / length)
    return np.asarray(100.0 * np.exp(np.where(length > 0, precision + brevity, -np.inf)))


def paired_interval(
    systems: Sequence[Counts], baselines: Sequence[Counts], rng: np.random.Generator, n_samples: int = 1000
) -> tuple[float, float, float]:
    """Difference of BLEU between two systems, and its 95 % interval, from several trainings of each.

    Sentences are drawn anew, the same ones for every training of both systems: a sentence that is hard for one training
    is hard for the others, so three trainings do not make three times as many sentences. What other seeds would have
    given is not in the interval: look at the spread of the trainings beside it.

    Args:
        systems: `counts` of each training of the one.
        baselines: of the other, for the same sentences.
        rng: draws the sentences.
        n_samples: how often to draw.

    Returns:
        Difference of the mean BLEU over trainings; lower and upper end.
    """
    n = len(systems[0])
    stacked = np.stack([*systems, *baselines])  # [trainings, n, 10]
    sign = np.array([1 / len(systems)] * len(systems) + [-1 / len(baselines)] * len(baselines))
    draws = rng.multinomial(n, np.full(n, 1 / n), size=n_samples).astype(np.float64)  # how often each sentence is drawn
    sampled = bleu_of_sums(np.einsum("dn,tnc->dtc", draws, stacked, optimize=True)) @ sign
    low, high = np.percentile(sampled, [2.5, 97.5])
    return float(bleu_of_sums(stacked.sum(1)) @ sign), float(low), float(high)


def refuse_missing() -> None:
    """Refuse to begin where BLEU cannot be had in the end.

    Raises:
        UserError: sacrebleu is not installed.
    """
    _metric()


def _metric() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise UserError("BLEU needs sacrebleu: pip install 'moksori[studies]'") from None
    return BLEU(lowercase=True)
