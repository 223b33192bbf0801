"""The figures of a report in words, for a musician: the most important first, and nothing that they do not carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moksori.audio import pitch
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data as report
from moksori.evaluation.report.data import Item, Judge, Row, SingerData
from moksori.language import ENGLISH, Words

# A judge that is wrong about a tenth of real recordings cannot tell a good voice from a fair one.
_RELIABLE_JUDGE = 0.9
# Of real recordings nearly all are named rightly; a voice that is heard in nine of ten clips is there.
_IDENTIFIED, _PARTLY_IDENTIFIED = 0.9, 0.5
# Published figures: .71 for the first system of this kind, .97 for one that is conditioned on the pitch.
_IN_TUNE, _PARTLY_IN_TUNE = 0.95, 0.7
_WORDS_KEPT_POINTS = 0.1  # vowels found as well as in real recordings, but for ten of a hundred
_RELIABLE_RECOGNISER = 0.6  # one that misses more of real vowels says little of others
_LETTERS_KEPT = 0.05  # more letters wrong than where only the pitch was moved
_UNREADABLE = 0.5  # of letters wrong where only the pitch was moved: nonsense, or no language that Whisper knows
_SLOPPY_RESTS_DB = -30.0  # real rests lie 40 dB and more below the singing
_CLIPPED = 1e-4  # of the samples: two a second at 24 kHz, which begins to be heard
FEW_CLIPS = 30  # fewer cannot tell one clip in ten from one in five
_FEWEST_CLIPS = 10  # fewer carry no headline: of ten without a fault three may be wrong the next time (rule of three)
_WIDE_INTERVAL = 0.2  # from "often" to "reliably": the verdict would be another one
_FEW_OF_A_TARGET = 10  # conversions, of which a percentage would promise too much
_LITTLE_MINUTES = 3.0  # of training, for a singer
_MOST_NAMED = 3  # targets in one sentence
BEYOND_CENTS = 200.0  # a whole tone outside of what was sung in training is still near it


def write(
    rows: Sequence[Row],
    confusion: Mapping[str, Sequence[Sequence[int]]],
    judges: Sequence[Judge],
    items: Sequence[Item],
    singers: Sequence[SingerData],
    say: Words = ENGLISH,
) -> list[str]:
    """Say what a report found.

    Args:
        rows: its figures.
        confusion: judge -> conversions, target x predicted.
        judges: our own first.
        items: what was judged.
        singers: in the order of the confusion tables.
        say: in the reader's language.

    Returns:
        Sentences, the most important first; at least one.
    """
    by_name = {row.name: row for row in rows}
    if len(singers) == 1:
        return _of_one_singer(by_name, items, singers, say)
    converted = by_name.get(report.CONVERSION)
    if converted is None or "identified" not in converted.figures:
        return [say("There is nothing to judge: no recording was converted into another singer.")]
    truth = by_name.get(report.TRUTH)
    is_sure = (not judges or is_reliable(judges[0])) and converted.n >= _FEWEST_CLIPS
    found = [
        _who(converted, truth, say, is_sure=is_sure),
        _caution(converted, judges, say),
        _melody(converted, say),
        _words(converted, by_name, say),
        _letters(by_name, say),
        _truth(by_name, say),
    ]
    found += [_second_opinion(converted, say), _weakest(confusion, judges, singers, say), _sound(converted, truth, say)]
    targets = {item.target_singer for item in items if item.row == report.CONVERSION}
    found += _range([singer for singer in singers if singer.name in targets], items, say)
    return [sentence for sentence in found if sentence]


def _of_one_singer(
    by_name: Mapping[str, Row], items: Sequence[Item], singers: Sequence[SingerData], say: Words
) -> list[str]:
    """A voice of one singer: songs by strangers are what it converts, and nobody can say whom it sounds like."""
    of_strangers = by_name.get(report.STRANGERS)
    judged = of_strangers or by_name.get(report.RECONSTRUCTION)
    if judged is None:
        return [say("There is nothing to judge: no recording was converted into another singer.")]
    found = [say("Whose voice it is was not judged: there is one singer, and nobody to tell them from.")]
    if of_strangers is None:
        found.append(say("Judged were only the singer's own takes, sung again, and no song by anybody else."))
    found += [_melody(judged, say), _letters(by_name, say), _sound(judged, by_name.get(report.TRUTH), say)]
    return [sentence for sentence in [*found, *_range(singers, items, say)] if sentence]


def _who(converted: Row, truth: Row | None, say: Words, *, is_sure: bool) -> str:
    identified, leak = converted.figures["identified"], converted.figures.get("leak")
    truly = truth.figures.get("identified") if truth else None
    real = say(" (real recordings of them: {share})", share=_share(truly)) if truly else ""
    kept = say(", and as the source in {share}", share=_share(leak)) if leak else ""
    if not is_sure:
        head = say("Whose voice it is cannot be told for sure. ")
    elif leak and leak.mean > 0.5 and identified.mean < _PARTLY_IDENTIFIED:
        head = say("Nothing was converted: the source singer is still heard. ")
    elif identified.mean >= _IDENTIFIED:
        head = say("The voice is the target's. ")
    elif identified.mean >= _PARTLY_IDENTIFIED:
        head = say("The voice is often the target's, but not reliably. ")
    else:
        head = say("The voice is not the target's. ")
    return head + say(
        "Heard as the target in {share} of {n} conversions{real}{kept}.",
        share=_share(identified),
        n=identified.n,
        real=real,
        kept=kept,
    )


def _melody(converted: Row, say: Words) -> str:
    right, chroma = converted.figures.get("raw_pitch_accuracy"), converted.figures.get("raw_chroma_accuracy")
    if right is None or chroma is None:
        return say("There was no melody to keep: no pitch was heard in the sources.")
    if right.mean >= _IN_TUNE:
        head = say("Melody kept")
    elif right.mean >= _PARTLY_IN_TUNE:
        head = say("Melody roughly kept")
    elif chroma.mean >= _PARTLY_IN_TUNE:
        head = say("Melody kept, but in wrong octaves")
    else:
        head = say("Melody lost")
    off = chroma.mean - right.mean
    octave = say("; another {share} are an octave off", share=f"{off:.0%}") if off > 0.05 else ""
    return say(
        "{head}: {share} of the sung frames are within a quarter tone of the note asked for{octave}.",
        head=head,
        share=_share(right),
        octave=octave,
    )


def _words(converted: Row, by_name: Mapping[str, Row], say: Words) -> str:
    right = converted.figures.get("vowel_accuracy")
    truth = by_name.get(report.TRUTH)
    real = truth.figures.get("vowel_accuracy") if truth else None
    if right is None:
        return ""
    moved = by_name[report.MOVED].figures.get("vowel_accuracy") if report.MOVED in by_name else None
    known = [
        f"{say(name)}: {_share(figure)}"
        for name, figure in (("real recordings", real), ("moved in pitch only", moved))
        if figure
    ]
    beside = f" ({'; '.join(known)})" if known else ""
    found = say("{share} of the vowels are recognised{beside}", share=_share(right), beside=beside)
    if real is None:
        return say("Words: {found}; nobody knows how many of real recordings would be.", found=found)
    if real.mean < _RELIABLE_RECOGNISER:
        return say("Words cannot be judged: {found}.", found=found)
    is_kept = real.mean - right.mean <= _WORDS_KEPT_POINTS
    return f"{say('Words kept') if is_kept else say('Words suffer')}: {found}."


def _letters(by_name: Mapping[str, Row], say: Words) -> str:
    """What Whisper says of the words: of songs by strangers if there are any, else of the held-out recordings."""
    ways = ((report.STRANGERS, report.MOVED_STRANGERS, True), (report.CONVERSION, report.MOVED, False))
    for row, control, is_of_strangers in ways:
        wrong = by_name[row].figures.get("character_error_rate") if row in by_name else None
        moved = by_name[control].figures.get("character_error_rate") if control in by_name else None
        if wrong is None:
            continue
        if is_of_strangers:
            finding = say("Whisper reads {share} of the letters of songs by strangers otherwise", share=_share(wrong))
        else:
            finding = say("Whisper reads {share} of the letters otherwise", share=_share(wrong))
        if moved is None:
            return say("Words: {finding}; nobody knows how many a change of pitch alone would cost.", finding=finding)
        beside = say(" (the source moved in pitch only: {share})", share=_share(moved))
        if moved.mean > _UNREADABLE:
            return say("Words: Whisper cannot judge them here: {finding}{beside}.", finding=finding, beside=beside)
        is_kept = wrong.mean - moved.mean <= _LETTERS_KEPT
        return f"{say('Words kept') if is_kept else say('Words suffer')}: {finding}{beside}."
    return ""


def _truth(by_name: Mapping[str, Row], say: Words) -> str:
    same = by_name.get(report.PARALLEL)
    figures = same.figures if same else {}
    ours, source = figures.get("truth_distance_db"), figures.get("truth_floor_db")
    if ours is None or source is None:
        return ""
    values = {"ours": f"{ours.mean:.1f}", "source": f"{source.mean:.1f}"}
    if ours.low <= source.high and source.low <= ours.high:
        return say(
            "Of the same words, conversions are about as near to the target's own recordings as the sources are: "
            "{ours} dB against {source} dB.",
            **values,
        )
    if ours.mean < source.mean:
        return say(
            "Of the same words, conversions are nearer to the target's own recordings than the sources are: "
            "{ours} dB against {source} dB.",
            **values,
        )
    return say(
        "Of the same words, conversions are no nearer to the target's own recordings than the sources are: "
        "{ours} dB against {source} dB.",
        **values,
    )


def _second_opinion(converted: Row, say: Words) -> str:
    identified = converted.figures.get("identified_public")
    if identified is None:
        return ""
    own = converted.figures["identified"]
    differs = abs(identified.mean - own.mean) > 0.15
    tail = say("; the two judges do not agree, so trust neither alone") if differs else ""
    return say("A public speaker encoder hears the target in {share}{tail}.", share=_share(identified), tail=tail)


def _weakest(
    confusion: Mapping[str, Sequence[Sequence[int]]], judges: Sequence[Judge], singers: Sequence[SingerData], say: Words
) -> str:
    counts = confusion.get(judges[0].name) if judges else None
    rows = [(index, row) for index, row in enumerate(counts or ()) if sum(row)]
    if len(rows) < 2:
        return ""
    index, row = min(rows, key=lambda indexed: indexed[1][indexed[0]] / sum(indexed[1]))
    share = row[index] / sum(row)
    if share >= _IDENTIFIED or not any(row[index] for index, row in rows):
        return ""
    identified, count = max(
        ((other, count) for other, count in enumerate(row) if other != index), key=lambda found: found[1]
    )
    if sum(row) < _FEW_OF_A_TARGET:
        in_ours = say("{n} of {total} clips", n=row[index], total=sum(row))
        in_other = say("{n} of {total}", n=count, total=sum(row))
    else:
        in_ours, in_other = f"{share:.0%}", f"{count / sum(row):.0%}"
    return say(
        "Weakest target: {target}, heard in {ours}; most often taken for {other} ({others}).",
        target=singers[index].name,
        ours=in_ours,
        other=singers[identified].name,
        others=in_other,
    )


def _sound(converted: Row, truth: Row | None, say: Words) -> str:
    faults = []
    rests, clipped = converted.figures.get("rest_noise_db"), converted.figures.get("clipped_fraction")
    if rests and rests.mean > _SLOPPY_RESTS_DB:
        faults.append(say("noise in the rests, only {db} dB below the singing", db=f"{-rests.mean:.0f}"))
    if clipped and clipped.mean > _CLIPPED:
        faults.append(say("clipping ({share} of the samples)", share=f"{clipped.mean:.2%}"))
    ours, real = converted.figures.get("clicks_per_minute"), truth and truth.figures.get("clicks_per_minute")
    if ours and ours.mean > 10 + 2 * (real.mean if real else 0.0):
        faults.append(say("clicks ({n} a minute)", n=f"{ours.mean:.0f}"))
    return say("Sound: {faults}.", faults=", ".join(faults)) if faults else ""


def _range(targets: Sequence[SingerData], items: Sequence[Item], say: Words) -> list[str]:
    """What the training data of targets cannot carry."""
    short = [singer for singer in targets if singer.train_minutes < _LITTLE_MINUTES]
    found = []
    if short:
        names = ", ".join(
            say("{singer} {minutes} min", singer=singer.name, minutes=f"{singer.train_minutes:.1f}") for singer in short
        )
        found.append(say("Little to learn from: {names}; three minutes of singing and more are better.", names=names))
    reaches = [reach for singer in targets if (reach := beyond(singer, items)) is not None]
    reaches = sorted((reach for reach in reaches if reach.cents > BEYOND_CENTS), key=lambda reach: -reach.cents)
    if reaches:
        names = "; ".join(
            say(
                "{singer} sang {sang}, asked were {asked}",
                singer=reach.singer,
                sang=span(reach.sang_hz, say),
                asked=span(reach.asked_hz, say),
            )
            for reach in reaches[:_MOST_NAMED]
        )
        n_more = len(reaches) - _MOST_NAMED
        more = say("; and {n} others", n=n_more) if n_more > 0 else ""
        found.append(
            say(
                "Notes beyond what a target sang in training, where nothing is sure: {names}{more}.",
                names=names,
                more=more,
            )
        )
    return found


@dataclass(frozen=True)
class Reach:
    """How far the notes that a target was asked for go beyond what it sang in training."""

    singer: str
    cents: float  # at most 0 where they do not
    sang_hz: tuple[float, float]  # from, to
    asked_hz: tuple[float, float]


def beyond(target: SingerData, items: Sequence[Item]) -> Reach | None:
    """How far beyond what a target sang the notes asked for go; None where that is not known.

    Each recording is moved by octaves of its own: what all of a singer's recordings span says nothing here.
    """
    asked_hz: list[float] = []
    for item in items:
        if item.row == report.CONVERSION and item.target_singer == target.name:
            bounds = (item.f0_low_hz, item.f0_high_hz)
            asked_hz += [pitch.transpose(bound, item.transpose_semitones) for bound in bounds if bound]
    if not asked_hz or not target.f0_low_hz or not target.f0_high_hz:
        return None
    low_hz, high_hz = min(asked_hz), max(asked_hz)
    above, below = pitch.cents_between([high_hz, target.f0_low_hz], [target.f0_high_hz, low_hz]).tolist()
    return Reach(target.name, max(above, below), (target.f0_low_hz, target.f0_high_hz), (low_hz, high_hz))


def span(bounds_hz: tuple[float, float], say: Words) -> str:
    """A range in notes."""
    low_hz, high_hz = bounds_hz
    return say("{low} to {high}", low=pitch.note_name(low_hz), high=pitch.note_name(high_hz))


def is_reliable(judge: Judge) -> bool:
    """Whether a judge was asked about real recordings, and was hardly ever wrong."""
    return judge.real_accuracy is not None and judge.real_accuracy.mean >= _RELIABLE_JUDGE


def _caution(converted: Row, judges: Sequence[Judge], say: Words) -> str:
    identified = converted.figures["identified"]
    doubts = [
        say(
            "the judge “{judge}” names only {share} of real recordings rightly",
            judge=judge.name,
            share=_share(judge.real_accuracy),
        )
        for judge in judges
        if judge.real_accuracy and not is_reliable(judge)
    ]
    if judges and judges[0].real_accuracy is None:
        doubts.append(say("nobody checked the judge, for there was no held-out recording"))
    if converted.n < FEW_CLIPS:
        doubts.append(say("only {n} clips were judged", n=converted.n))
    if identified.high - identified.low > _WIDE_INTERVAL:
        doubts.append(
            say(
                "the share heard as the target could be anything from {low} to {high}",
                low=f"{identified.low:.0%}",
                high=f"{identified.high:.0%}",
            )
        )
    return say("Be careful: {doubts}.", doubts="; ".join(doubts)) if doubts else ""


def _share(figure: Figure) -> str:
    return f"{figure.mean:.0%}"
