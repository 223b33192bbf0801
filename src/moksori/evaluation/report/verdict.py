"""The figures of a report in words, for a musician: the most important first, and nothing that they do not carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moksori.audio import pitch
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data as report
from moksori.evaluation.report.data import Item, Judge, Row, SingerData

# A judge that is wrong about a tenth of real recordings cannot tell a good voice from a fair one.
_RELIABLE_JUDGE = 0.9
# Of real recordings nearly all are named rightly; a voice that is heard in nine of ten clips is there.
_HEARD, _PARTLY_HEARD = 0.9, 0.5
# Published figures: .71 for the first system of this kind, .97 for one that is told the pitch.
_IN_TUNE, _PARTLY_IN_TUNE = 0.95, 0.7
_WORDS_KEPT_POINTS = 0.1  # vowels found as well as in real recordings, but for ten of a hundred
_RELIABLE_RECOGNISER = 0.6  # one that misses more of real vowels says little of others
_LETTERS_KEPT = 0.05  # more letters wrong than where only the pitch was moved
_UNREADABLE = 0.5  # of letters wrong where only the pitch was moved: nonsense, or no language that Whisper knows
_SLOPPY_RESTS_DB = -30.0  # real rests lie 40 dB and more below the singing
_CLIPPED = 1e-4  # of the samples: two a second at 24 kHz, which begins to be heard
_FEW_CLIPS = 30  # fewer cannot tell one clip in ten from one in five
_FEWEST_CLIPS = 10  # fewer carry no headline: of ten without a fault three may be wrong the next time (rule of three)
_WIDE_INTERVAL = 0.2  # from "often" to "reliably": the verdict would be another one
_FEW_OF_A_TARGET = 10  # conversions, of which a percentage would promise too much
_LITTLE_MINUTES = 3.0  # of training, for a singer
_MOST_NAMED = 3  # targets in one sentence
_BEYOND_CENTS = 200.0  # a whole tone outside of what was sung in training is still near it


def write(
    rows: Sequence[Row],
    confusion: Mapping[str, Sequence[Sequence[int]]],
    judges: Sequence[Judge],
    items: Sequence[Item],
    singers: Sequence[SingerData],
) -> list[str]:
    """Say what a report found.

    Args:
        rows: its figures.
        confusion: judge -> conversions, target x heard.
        judges: our own first.
        items: what was judged.
        singers: in the order of the confusion tables.

    Returns:
        Sentences, the most important first; at least one.
    """
    by_name = {row.name: row for row in rows}
    converted = by_name.get(report.CONVERSION)
    if converted is None or "identified" not in converted.figures:
        return ["There is nothing to judge: no recording was converted into another singer."]
    truth = by_name.get(report.TRUTH)
    is_sure = (not judges or _is_reliable(judges[0])) and converted.n >= _FEWEST_CLIPS
    found = [
        _who(converted, truth, is_sure=is_sure),
        _caution(converted, judges),
        _melody(converted),
        _words(converted, by_name),
        _letters(by_name),
        _truth(by_name),
    ]
    found += [_second_opinion(converted), _weakest(confusion, judges, singers), _sound(converted, truth)]
    found += _range(singers, items)
    return [sentence for sentence in found if sentence]


def _who(converted: Row, truth: Row | None, *, is_sure: bool) -> str:
    heard, leak = converted.figures["identified"], converted.figures.get("leak")
    truly = truth.figures.get("identified") if truth else None
    real = f" (real recordings of them: {_share(truly)})" if truly else ""
    kept = f", and as the source in {_share(leak)}" if leak else ""
    if not is_sure:
        head = "Whose voice it is cannot be told for sure. "
    elif leak and leak.mean > 0.5 and heard.mean < _PARTLY_HEARD:
        head = "Nothing was converted: the source singer is still heard. "
    elif heard.mean >= _HEARD:
        head = "The voice is the target's. "
    elif heard.mean >= _PARTLY_HEARD:
        head = "The voice is often the target's, but not reliably. "
    else:
        head = "The voice is not the target's. "
    return f"{head}Heard as the target in {_share(heard)} of {heard.n} conversions{real}{kept}."


def _melody(converted: Row) -> str:
    right, chroma = converted.figures.get("raw_pitch_accuracy"), converted.figures.get("raw_chroma_accuracy")
    if right is None or chroma is None:
        return "There was no melody to keep: no pitch was heard in the sources."
    if right.mean >= _IN_TUNE:
        head = "Melody kept"
    elif right.mean >= _PARTLY_IN_TUNE:
        head = "Melody roughly kept"
    elif chroma.mean >= _PARTLY_IN_TUNE:
        head = "Melody kept, but in wrong octaves"
    else:
        head = "Melody lost"
    octave = f"; another {chroma.mean - right.mean:.0%} are an octave off" if chroma.mean - right.mean > 0.05 else ""
    return f"{head}: {_share(right)} of the sung frames are within a quarter tone of the note asked for{octave}."


def _words(converted: Row, by_name: Mapping[str, Row]) -> str:
    right = converted.figures.get("vowel_accuracy")
    truth = by_name.get(report.TRUTH)
    real = truth.figures.get("vowel_accuracy") if truth else None
    if right is None:
        return ""
    moved = by_name[report.MOVED].figures.get("vowel_accuracy") if report.MOVED in by_name else None
    known = [
        f"{name}: {_share(figure)}"
        for name, figure in (("real recordings", real), ("moved in pitch only", moved))
        if figure
    ]
    beside = f" ({'; '.join(known)})" if known else ""
    found = f"{_share(right)} of the vowels are recognised{beside}"
    if real is None:
        return f"Words: {found}; nobody knows how many of real recordings would be."
    if real.mean < _RELIABLE_RECOGNISER:
        return f"Words cannot be judged: {found}."
    return f"{'Words kept' if real.mean - right.mean <= _WORDS_KEPT_POINTS else 'Words suffer'}: {found}."


def _letters(by_name: Mapping[str, Row]) -> str:
    """What Whisper says of the words: of songs by strangers if there are any, else of the held-out recordings."""
    ways = ((report.STRANGERS, report.MOVED_STRANGERS, "songs by strangers"), (report.CONVERSION, report.MOVED, ""))
    for row, control, of in ways:
        wrong = by_name[row].figures.get("character_error_rate") if row in by_name else None
        moved = by_name[control].figures.get("character_error_rate") if control in by_name else None
        if wrong is None:
            continue
        told = f"Whisper reads {_share(wrong)} of the letters {f'of {of} ' if of else ''}otherwise"
        if moved is None:
            return f"Words: {told}; nobody knows how many a change of pitch alone would cost."
        beside = f" (the source moved in pitch only: {_share(moved)})"
        if moved.mean > _UNREADABLE:
            return f"Words: Whisper cannot judge them here: {told}{beside}."
        return f"{'Words kept' if wrong.mean - moved.mean <= _LETTERS_KEPT else 'Words suffer'}: {told}{beside}."
    return ""


def _truth(by_name: Mapping[str, Row]) -> str:
    same = by_name.get(report.PARALLEL)
    figures = same.figures if same else {}
    ours, source = figures.get("truth_distance_db"), figures.get("truth_floor_db")
    if ours is None or source is None:
        return ""
    if ours.low <= source.high and source.low <= ours.high:
        nearer = "about as near to"
    else:
        nearer = "nearer to" if ours.mean < source.mean else "no nearer to"
    than = "as" if nearer.startswith("about") else "than"
    return (
        f"Of the same words, conversions are {nearer} the target's own recordings {than} the sources are: "
        f"{ours.mean:.1f} dB against {source.mean:.1f} dB."
    )


def _second_opinion(converted: Row) -> str:
    heard = converted.figures.get("identified_public")
    if heard is None:
        return ""
    own = converted.figures["identified"]
    differs = abs(heard.mean - own.mean) > 0.15
    tail = "; the two judges do not agree, so trust neither alone" if differs else ""
    return f"A public speaker encoder hears the target in {_share(heard)}{tail}."


def _weakest(
    confusion: Mapping[str, Sequence[Sequence[int]]], judges: Sequence[Judge], singers: Sequence[SingerData]
) -> str:
    counts = confusion.get(judges[0].name) if judges else None
    rows = [(index, row) for index, row in enumerate(counts or ()) if sum(row)]
    if len(rows) < 2:
        return ""
    index, row = min(rows, key=lambda indexed: indexed[1][indexed[0]] / sum(indexed[1]))
    share = row[index] / sum(row)
    if share >= _HEARD or not any(row[index] for index, row in rows):
        return ""
    heard, count = max(
        ((other, count) for other, count in enumerate(row) if other != index), key=lambda found: found[1]
    )
    if sum(row) < _FEW_OF_A_TARGET:
        in_ours, in_other = f"{row[index]} of {sum(row)} clips", f"{count} of {sum(row)}"
    else:
        in_ours, in_other = f"{share:.0%}", f"{count / sum(row):.0%}"
    return (
        f"Weakest target: {singers[index].name}, heard in {in_ours}; most often taken for {singers[heard].name} "
        f"({in_other})."
    )


def _sound(converted: Row, truth: Row | None) -> str:
    faults = []
    rests, clipped = converted.figures.get("rest_noise_db"), converted.figures.get("clipped_fraction")
    if rests and rests.mean > _SLOPPY_RESTS_DB:
        faults.append(f"noise in the rests, only {-rests.mean:.0f} dB below the singing")
    if clipped and clipped.mean > _CLIPPED:
        faults.append(f"clipping ({clipped.mean:.2%} of the samples)")
    ours, real = converted.figures.get("clicks_per_minute"), truth and truth.figures.get("clicks_per_minute")
    if ours and ours.mean > 10 + 2 * (real.mean if real else 0.0):
        faults.append(f"clicks ({ours.mean:.0f} a minute)")
    return f"Sound: {', '.join(faults)}." if faults else ""


def _range(singers: Sequence[SingerData], items: Sequence[Item]) -> list[str]:
    """What the training data cannot carry."""
    targets = {item.target_singer for item in items if item.row == report.CONVERSION}
    known = [singer for singer in singers if singer.name in targets]
    short = [singer for singer in known if singer.train_minutes < _LITTLE_MINUTES]
    found = []
    if short:
        names = ", ".join(f"{singer.name} {singer.train_minutes:.1f} min" for singer in short)
        found.append(f"Little to learn from: {names}; three minutes of singing and more are better.")
    beyond = sorted(
        (reach for singer in known if (reach := _beyond(singer, singers, items))[0] > _BEYOND_CENTS), reverse=True
    )
    if beyond:
        names = "; ".join(told for _, told in beyond[:_MOST_NAMED])
        more = f"; and {len(beyond) - _MOST_NAMED} others" if len(beyond) > _MOST_NAMED else ""
        found.append(f"Notes beyond what a target sang in training, where nothing is sure: {names}{more}.")
    return found


def _beyond(target: SingerData, singers: Sequence[SingerData], items: Sequence[Item]) -> tuple[float, str]:
    """How many cents beyond what a target sang the notes asked for go, and both ranges in words."""
    by_name = {singer.name: singer for singer in singers}
    asked_hz: list[float] = []
    for item in items:
        source = by_name.get(item.source_singer)
        if item.row == report.CONVERSION and item.target_singer == target.name and source is not None:
            bounds = (source.f0_low_hz, source.f0_high_hz)
            asked_hz += [pitch.transpose(bound, item.transpose_semitones) for bound in bounds if bound]
    if not asked_hz or not target.f0_low_hz or not target.f0_high_hz:
        return 0.0, ""
    low_hz, high_hz = min(asked_hz), max(asked_hz)
    above, below = pitch.cents_between([high_hz, target.f0_low_hz], [target.f0_high_hz, low_hz]).tolist()
    sang = f"{pitch.note_name(target.f0_low_hz)} to {pitch.note_name(target.f0_high_hz)}"
    asked = f"{pitch.note_name(low_hz)} to {pitch.note_name(high_hz)}"
    return max(above, below), f"{target.name} sang {sang}, asked were {asked}"


def _is_reliable(judge: Judge) -> bool:
    """Whether a judge was asked about real recordings, and was hardly ever wrong."""
    return judge.real_accuracy is not None and judge.real_accuracy.mean >= _RELIABLE_JUDGE


def _caution(converted: Row, judges: Sequence[Judge]) -> str:
    heard = converted.figures["identified"]
    doubts = [
        f"the judge “{judge.name}” names only {_share(judge.real_accuracy)} of real recordings rightly"
        for judge in judges
        if judge.real_accuracy and not _is_reliable(judge)
    ]
    if judges and judges[0].real_accuracy is None:
        doubts.append("nobody checked the judge, for there was no held-out recording")
    if converted.n < _FEW_CLIPS:
        doubts.append(f"only {converted.n} clips were judged")
    if heard.high - heard.low > _WIDE_INTERVAL:
        doubts.append(f"the share heard as the target could be anything from {heard.low:.0%} to {heard.high:.0%}")
    return f"Be careful: {'; '.join(doubts)}." if doubts else ""


def _share(figure: Figure) -> str:
    return f"{figure.mean:.0%}"
