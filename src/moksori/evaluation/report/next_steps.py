"""Recommendations: what to do next to get a better voice, out of the figures of a report."""

from __future__ import annotations

from moksori.audio import pitch
from moksori.data.doctor import CLIPPED_FRACTION, ENOUGH_MINUTES, NARROW_SEMITONES, NOISE_DBFS
from moksori.errors import UserError
from moksori.evaluation.report import data, verdict
from moksori.evaluation.report.data import Report, SingerData
from moksori.language import ENGLISH, Words
from moksori.training import horizon, recipe

_HARDLY_ANY_STEPS = 0.02  # of those that are needed: its speed tells little yet


def write(report: Report, say: Words = ENGLISH) -> list[str]:
    """Say what would help, the most useful first.

    Args:
        report: the report.
        say: in the reader's language.

    Returns:
        Sentences; at least one.
    """
    found = [*_train_on(report, say), *_record(report, say), *_judge_more(report, say)]
    return found or [
        say("Nothing stands out. Convert a song of your own, and listen where it leaves a singer's range.")
    ]


def _train_on(report: Report, say: Words) -> list[str]:
    """Whether more training helps, and until when, where the recipe knows."""
    name, steps, seconds = (report.model.get(key) for key in ("recipe", "steps", "training_seconds"))
    if not (isinstance(name, str) and isinstance(steps, int) and isinstance(seconds, int | float) and steps):
        return []
    try:
        loop = recipe.load(name).loop if name in recipe.shipped() else None
    except UserError:
        return []
    if loop is None or not loop.usable_steps:
        return []
    wanted = loop.usable_steps if steps < loop.usable_steps else loop.good_steps
    if steps >= wanted:
        return [
            say(
                "More training alone will hardly help: {steps} steps are as many as recipe {recipe} had for the "
                "figures that are shown of it. Record more instead.",
                steps=f"{steps:,}",
                recipe=name,
            )
        ]
    whole = seconds * wanted / steps
    values = {"recipe": name, "wanted": f"{wanted:,}", "steps": f"{steps:,}"}
    if not seconds or steps < _HARDLY_ANY_STEPS * wanted:
        when = ""
    else:
        when = say(
            " At the speed it had that is about {time} in all: the same command with --for {budget} goes on.",
            time=_time(whole, say),
            budget=horizon.budget_text(whole),
        )
    if wanted == loop.usable_steps:
        advice = say(
            "Train on: recipe {recipe} needs about {wanted} steps until it is usable, this voice has {steps}.", **values
        )
    else:
        advice = say(
            "Train on: recipe {recipe} had about {wanted} steps for the figures that are shown of it, this voice has "
            "{steps}.",
            **values,
        )
    return [advice + when]


def _record(report: Report, say: Words) -> list[str]:
    """What to record of whom, how much of it, and in which way better; the neediest singer first."""
    by_need = sorted(report.singers, key=lambda singer: singer.train_minutes)
    return [advice for singer in by_need if (advice := _advice_for(singer, report, say))]


def _advice_for(singer: SingerData, report: Report, say: Words) -> str:
    advice = []
    missing = ENOUGH_MINUTES - singer.train_minutes
    if missing > 0:
        advice.append(
            say(
                "record {missing} more minutes of singing ({minutes} to learn from so far)",
                missing=f"{max(missing, 0.1):.1f}",
                minutes=f"{singer.train_minutes:.1f}",
            )
        )
    reach = verdict.beyond(singer, report.items)
    if reach is not None and reach.cents > verdict.BEYOND_CENTS:
        advice.append(
            say(
                "sing {asked}, which songs ask for (so far {sang})",
                asked=verdict.span(reach.asked_hz, say),
                sang=verdict.span(reach.sang_hz, say),
            )
        )
    elif _is_narrow(singer):
        advice.append(say("sing other pitches too, an octave or more"))
    if singer.noise_dbfs is not None and singer.noise_dbfs > NOISE_DBFS:
        advice.append(
            say(
                "record in a quieter room or closer to the microphone (pauses are at {noise} dBFS, {limit} is fine)",
                noise=f"{singer.noise_dbfs:.0f}",
                limit=f"{NOISE_DBFS:.0f}",
            )
        )
    if singer.clipped_fraction > CLIPPED_FRACTION:
        advice.append(
            say("turn the gain down ({share} of the samples are clipped)", share=f"{singer.clipped_fraction:.2%}")
        )
    return f"{singer.name}: {'; '.join(advice)}." if advice else ""


def _is_narrow(singer: SingerData) -> bool:
    if not singer.f0_low_hz or not singer.f0_high_hz:
        return False
    return float(pitch.cents_between(singer.f0_high_hz, singer.f0_low_hz)) < 100 * NARROW_SEMITONES


def _judge_more(report: Report, say: Words) -> list[str]:
    if len(report.singers) == 1:
        if report.row(data.STRANGERS):
            return []
        return [say("Judge songs: evaluate again with --songs FOLDER, songs by others, as you mean to convert.")]
    converted = report.row(data.CONVERSION)
    n = converted.n if converted else 0
    if n >= verdict.FEW_CLIPS:
        return []
    if n >= sum(singer.n_test for singer in report.singers) * (len(report.singers) - 1):
        return [
            say(
                "Record more takes: all {n} conversions of what is held out were judged, and {wanted} tell one clip in "
                "ten from one in five. A tenth of what you record is held out.",
                n=n,
                wanted=verdict.FEW_CLIPS,
            )
        ]
    return [
        say(
            "Judge more: {n} conversions were, and {wanted} tell one clip in ten from one in five. Ask for more with "
            "--clips, or record more takes, of which a tenth is held out.",
            n=n,
            wanted=verdict.FEW_CLIPS,
        )
    ]


def _time(seconds: float, say: Words) -> str:
    if seconds < 90 * 60:
        return say("{n} min", n=max(1, round(seconds / 60)))
    return say("{n} h", n=f"{seconds / 3600:.1f}".removesuffix(".0"))
