"""Data quality report: what a corpus is like, singer by singer, and what its owner could do about it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from moksori.audio import pitch
from moksori.data.corpus import SAME_SOUND, SPLITS, Corpus, Recording, sung_range
from moksori.data.stretches import file_of
from moksori.language import ENGLISH, Words

ENOUGH_MINUTES = 5.0  # of singing to train on; published results need 5 to 30 a singer
POOR_MINUTES = 1.0  # below this a voice is not learnt
CLIPPED_FRACTION = 1e-3  # of the samples: audible as crackle
NOISE_DBFS = -50.0  # with singing at -23: 27 dB below the voice
NARROW_SEMITONES = 7.0  # a fifth; songs span more
FEW_NOTES, MOST_OF_SINGING = 2, 0.75  # so few that hold so much of it tell little of a voice, however far apart
ODD_GAIN_DB = 15.0  # above the singer's median: a breath or a distant voice, lifted to the level of singing
UNEVEN = 5.0  # most over least singing
N_NAMED = 3  # recordings named in one piece of advice


@dataclass(frozen=True)
class SingerHealth:
    """What was found about one singer."""

    singer: str
    n_recordings: dict[str, int]  # by split; a long take counts as its stretches
    n_files: int  # they are of
    minutes: float  # of clips, all splits
    sung_minutes: float  # all splits
    training_minutes: float  # sung, in the training split
    low_hz: float | None  # see `corpus.sung_range`; None when nothing is voiced
    high_hz: float | None
    clipped_fraction: float  # of all samples, 0..1
    noise_dbfs: float  # see `examine`
    n_doubles: int  # files skipped as the same sound as another
    verdict: str  # "good": no advice; "fair": advice; "poor": under a minute to train on
    advice: tuple[str, ...]  # whole sentences: what is wrong, what to do

    @property
    def range_notes(self) -> str:
        """The pitch range as notes, "A2 to E4"; "unvoiced" when there is none."""
        if self.low_hz is None or self.high_hz is None:
            return "unvoiced"
        return f"{pitch.note_name(self.low_hz)} to {pitch.note_name(self.high_hz)}"


def examine(corpus: Corpus, say: Words = ENGLISH) -> list[SingerHealth]:
    """Examine every singer.

    The noise of a singer is the lower quartile of the noise of the recordings: one without a pause has no quiet frame,
    and what is measured there is singing.

    Args:
        corpus: prepared recordings.
        say: gives advice in the reader's language.

    Returns:
        One entry for each singer, in the corpus's order.
    """
    return [_examine_singer(corpus, singer, say) for singer in corpus.singers]


def general_advice(corpus: Corpus, say: Words = ENGLISH, *, for_training: bool = True) -> list[str]:
    """Advice that concerns the corpus as a whole, in the reader's language; empty when there is none.

    Args:
        corpus: prepared recordings.
        say: the language.
        for_training: a voice is to be trained on them; else they are added to one that is there.
    """
    advice = []
    if len(corpus.singers) == 1 and for_training:
        advice.append(
            say(
                "There is only one singer, and nobody to tell them from: such a voice begins from the shipped one "
                "(recipe adapt). With a second singer's folder and an hour it comes nearer."
            )
        )
    sung = {singer: _sung_minutes(corpus.of("train", singer)) for singer in corpus.singers}
    most, least = max(sung, key=sung.__getitem__), min(sung, key=sung.__getitem__)
    if sung[most] > UNEVEN * sung[least]:
        advice.append(
            say(
                "{most} has {more} minutes to train on, {least} only {fewer}: the model will know {least} less well. "
                "Add recordings of {least}.",
                most=most,
                least=least,
                more=f"{sung[most]:.1f}",
                fewer=f"{sung[least]:.1f}",
            )
        )
    return [*advice, *_misplaced(corpus, say)]


def advice_on_sound(corpus: Corpus, singer: str, say: Words = ENGLISH) -> tuple[str, ...]:
    """What is wrong with the sound of a singer's recordings, however many there are: whole sentences."""
    found = _examine_singer(corpus, singer, say)
    return (*_advice_on_sound(found, say), *_advice_on_recordings(list(_all_of(corpus, singer)), say))


def _misplaced(corpus: Corpus, say: Words) -> list[str]:
    """Recordings that lie in folders of two singers; where there are many of a pair of folders, in one line."""
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for skip in corpus.skipped:
        same = skip.reason.removeprefix(f"{SAME_SOUND} ")
        if skip.reason.startswith(SAME_SOUND) and _folder(same) != _folder(skip.source):
            pairs.setdefault((_folder(skip.source), _folder(same)), []).append((skip.source, same))
    advice = []
    for (folder, other), doubles in pairs.items():
        if len(doubles) > N_NAMED:
            advice.append(
                say(
                    "{folder}/ holds copies of {n} recordings of {other}, such as {example}: by mistake? Take one of "
                    "the two folders away.",
                    folder=folder,
                    n=len(doubles),
                    other=other,
                    example=doubles[0][0],
                )
            )
            continue
        for source, same in doubles:
            advice.append(
                say(
                    "{source} is the same sound as {same}, of another singer: one of them is misplaced.",
                    source=source,
                    same=same,
                )
            )
    return advice


def _examine_singer(corpus: Corpus, singer: str, say: Words) -> SingerHealth:
    by_split = {split: corpus.of(split, singer) for split in SPLITS}
    recordings = list(_all_of(corpus, singer))
    sung = sung_range(recordings)
    lengths = [recording.seconds for recording in recordings]
    found = SingerHealth(
        singer=singer,
        n_recordings={split: len(of_split) for split, of_split in by_split.items()},
        n_files=len({file_of(recording.source) for recording in recordings}),
        minutes=sum(lengths) / 60,
        sung_minutes=_sung_minutes(recordings),
        training_minutes=_sung_minutes(by_split["train"]),
        low_hz=sung.low_hz if sung else None,
        high_hz=sung.high_hz if sung else None,
        clipped_fraction=float(np.average([r.clipped_fraction for r in recordings], weights=lengths)),
        noise_dbfs=float(np.percentile([r.noise_dbfs for r in recordings], 25)),
        n_doubles=sum(_folder(s.source) == singer and s.reason.startswith(SAME_SOUND) for s in corpus.skipped),
        verdict="good",
        advice=(),
    )
    on_sound = (*_advice_on_sound(found, say), *_advice_on_recordings(recordings, say))
    advice = (*_advice_on_amount(found, say), *on_sound)
    verdict = "poor" if found.training_minutes < POOR_MINUTES else "fair" if advice else "good"
    return replace(found, advice=advice, verdict=verdict)


def _advice_on_amount(found: SingerHealth, say: Words) -> list[str]:
    advice = []
    if found.training_minutes < ENOUGH_MINUTES:
        advice.append(
            say(
                "Only {minutes} minutes of singing to train on, beside what is held out; add recordings until there "
                "are {enough} or more.",
                minutes=f"{found.training_minutes:.1f}",
                enough=f"{ENOUGH_MINUTES:g}",
            )
        )
    if not found.n_recordings["test"] or not found.n_recordings["validation"]:
        advice.append(
            say(
                "Not every split has a recording: scores will be missing. Add files until there are three or more, or "
                "a take of more than two minutes, which is cut at pauses."
            )
        )
    return advice


def _advice_on_sound(found: SingerHealth, say: Words) -> list[str]:
    advice = []
    if found.clipped_fraction > CLIPPED_FRACTION:
        advice.append(
            say(
                "{share} of the samples are clipped; look for a quieter transfer.",
                share=f"{found.clipped_fraction:.2%}",
            )
        )
    if found.noise_dbfs > NOISE_DBFS:
        advice.append(
            say(
                "The pauses are at {noise} dBFS: accompaniment, room or hiss. Use dry, solo takes, or separate the "
                "voice first.",
                noise=f"{found.noise_dbfs:.0f}",
            )
        )
    if found.low_hz is None or found.high_hz is None:
        advice.append(say("No voiced sound was found in any recording; check that this is singing."))
    elif pitch.cents_between(found.high_hz, found.low_hz) < 100 * NARROW_SEMITONES:
        advice.append(
            say(
                "The pitch stays within {low} to {high}; notes outside will be guesses. Add other pitches.",
                low=pitch.note_name(found.low_hz),
                high=pitch.note_name(found.high_hz),
            )
        )
    return advice


def _most_sung(recordings: list[Recording]) -> list[float]:
    """The fewest notes of the equal temperament that hold most of the singing, in Hz, rising."""
    shares: Counter[int] = Counter()
    for recording in recordings:
        for pitched, weight in recording.notes:
            shares[round(pitched * pitch.BIN_CENTS / 100.0)] += weight
    found, held = [], 0
    for note, weight in shares.most_common():
        if held >= MOST_OF_SINGING * shares.total():
            break
        found.append(note)
        held += weight
    return [pitch.midi_to_hz(note) for note in sorted(found)]


def _advice_on_recordings(recordings: list[Recording], say: Words) -> list[str]:
    usual_db = float(np.median([recording.gain_db for recording in recordings]))
    advice = []
    notes = _most_sung(recordings)
    if 0 < len(notes) <= FEW_NOTES:
        advice.append(
            say(
                "Most of it is sung on {notes}, which tells little of a voice: sing other notes, too. Until then, "
                "convert --detail 0.1 comes nearer to the singer.",
                notes=", ".join(map(pitch.note_name, notes)),
            )
        )
    if unvoiced := [r.source for r in recordings if r.f0_median_hz is None]:
        advice.append(
            say("No pitch was found in {names}; listen, and remove what is not singing.", names=_named(unvoiced, say))
        )
    if quiet := [r.source for r in recordings if r.gain_db - usual_db > ODD_GAIN_DB]:
        advice.append(
            say(
                "Over {db} dB quieter than usual: {names}; listen, and remove what is not singing.",
                db=f"{ODD_GAIN_DB:g}",
                names=_named(quiet, say),
            )
        )
    noted: dict[str, list[str]] = {}
    for recording in recordings:
        for note in recording.remarks:
            noted.setdefault(note, []).append(recording.source)
    return advice + [f"{_named(names, say)}: {say(note)}." for note, names in noted.items()]


def _named(names: list[str], say: Words) -> str:
    names = list(dict.fromkeys(file_of(name) for name in names))
    more = len(names) - N_NAMED
    return ", ".join(names[:N_NAMED]) + (say(" and {n} more", n=more) if more > 0 else "")


def _all_of(corpus: Corpus, singer: str) -> Iterator[Recording]:
    """The recordings of a singer, those for training first."""
    for split in SPLITS:
        yield from corpus.of(split, singer)


def _sung_minutes(recordings: Iterable[Recording]) -> float:
    return sum(recording.sung_seconds for recording in recordings) / 60


def _folder(source: str) -> str:
    """The singer's name, from the path of a source."""
    return unicodedata.normalize("NFC", source.split("/", 1)[0])
