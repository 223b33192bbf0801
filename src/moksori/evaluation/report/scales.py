"""Scales: beside each figure what guessing, real recordings and known systems reach, and what others call it."""

from __future__ import annotations

from dataclasses import dataclass

from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data
from moksori.evaluation.report.data import Report

# Which column of other people's tables a figure may be put beside, and where the two differ.
OTHER_NAMES = {
    "identified": "speaker identification accuracy, as Nachmani and Wolf (2019) report it",
    "identified_public": "speaker identification accuracy; not SECS, which is the cosine of the same vectors",
    "raw_pitch_accuracy": "raw pitch accuracy (RPA), within 50 cents",
    "raw_chroma_accuracy": "raw chroma accuracy (RCA)",
    "pitch_correlation": "F0 correlation (FPC, F0CORR), of log F0",
    "pitch_rmse_cents": "F0 RMSE, in cents; often in Hz elsewhere",
    "voicing_f1": "in place of V/UV error",
    "vowel_accuracy": "in place of CER or WER, for vowels alone",
    "character_error_rate": "CER, by Whisper",
    "truth_distance_db": "MCD, aligned by dynamic time warping",
    "source_frame_distance_db": "MCD to the source, frame by frame",
    "distill_mos": "in place of UTMOS or DNSMOS; nobody listened",
}

# Figures of others, and of ours that have their command in docs/log.md, docs/evaluation.md or voices/first.md.
KNOWN = {
    "identified": "95 %: recipe swift after 2,000 steps, eight singers",
    "leak": "4 %: recipe swift after 2,000 steps, eight singers",
    "identified_public": "68 %: recipe swift after 2,000 steps, eight singers; 59 %: the shipped voice",
    "raw_pitch_accuracy": "62 to 72 %: the first system of this kind, trained by others; 99 %: recipe swift",
    "vowel_accuracy": "73 %: recipe swift after half an hour, eight singers",
    "character_error_rate": "15 %: the shipped voice, songs by strangers",
    "distill_mos": "3.37: the shipped voice, songs by strangers, whose sources have 3.62",
}


@dataclass(frozen=True)
class Scale:
    """A figure of the conversions with what it could be at worst and at best."""

    metric: str  # key of `data.METRICS`
    here: Figure
    guess: Figure | None  # see `_guess`
    real: Figure | None  # of real recordings; else of sources moved in pitch only, or through the model's codes
    known: str  # in words; "" where we know none
    others: str  # its name elsewhere; "" where it has none


def of(report: Report) -> list[Scale]:
    """The figures of a report's conversions that have a scale, in the order of the metrics."""
    converted = report.row(data.CONVERSION)
    if converted is None:
        return []

    def first(metric: str, *rows: str) -> Figure | None:
        found = (row.figures.get(metric) for name in rows if (row := report.row(name)) is not None)
        return next((figure for figure in found if figure is not None), None)

    return [
        Scale(
            metric,
            converted.figures[metric],
            first(metric, *_guess(metric)),
            first(metric, data.TRUTH, data.MOVED, data.COPY_SYNTHESIS),
            KNOWN.get(metric, ""),
            OTHER_NAMES.get(metric, ""),
        )
        for metric in data.METRICS
        if metric in converted.figures and (metric in KNOWN or metric in OTHER_NAMES)
    ]


def _guess(metric: str) -> tuple[str, ...]:
    """Rows whose figure is what guessing reaches, the first that has it.

    Who sings is guessed by chance. Of melody and words, another recording of the target has nothing right; but it is
    a real one, so its sound is no guess.
    """
    group = data.METRICS[metric].group
    if group == "singer":
        return (data.CHANCE,)
    return (data.CHANCE, data.SWAPPED, data.COPY) if group in ("melody", "words") else ()
