"""The panel: everybody who listens, and what they say of one conversion beside its source.

clip -> heard (its singer by every judge, its pitch, its vowels, its words, how it is rated)
source heard, conversion heard -> scores by metric
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.evaluation.judges import vowels as recogniser
from moksori.evaluation.judges import whisper
from moksori.evaluation.judges.distill_mos import DistillMos
from moksori.evaluation.judges.singer import SingerHearer
from moksori.evaluation.judges.vowels import Recogniser
from moksori.evaluation.judges.whisper import Encoding, Whisper
from moksori.evaluation.measures import characters, harmonics, mel_cepstrum, melody, sound, syllables
from moksori.evaluation.measures.melody import Tracker

OWN, PUBLIC = "", "_public"  # how the metrics of a judge end

_FEWEST_LETTERS = 4  # of a text to compare with: where fewer are heard, there is nothing to read

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class Spoken:
    """What Whisper hears in a clip."""

    text: str
    language: str  # that it was told, or detected; see `whisper.Whisper.language`
    frames: Encoding
    late: Encoding | None  # the same heard later; of sources, for `whisper.content_kept`


@dataclass(frozen=True, eq=False)
class Words:
    """Whisper, and the language that it is told."""

    judge: Whisper
    language: str | None  # None: detected in each source, and told for its conversions

    def hear(self, clip: Clip, source: Spoken | None) -> Spoken:
        """Write down what is sung in a clip: a source of its own, or a conversion of `source`."""
        encoding = self.judge.encode(clip)
        language = source.language if source else self.language or self.judge.language(encoding)
        text = self.judge.text(encoding, language)
        late = None if source else replace(self.judge.encode(clip, whisper.LATE_SECONDS), pieces=())
        return Spoken(text, language, replace(encoding, pieces=()), late)  # the engine's own take megabytes


@dataclass(frozen=True, eq=False)
class Heard:
    """A clip, and what the panel hears in it."""

    clip: Clip
    singers: Mapping[str, str]  # judge -> the singer it names
    track: PitchTrack
    vowels: tuple[str, ...] | None  # None without a recogniser
    spoken: Spoken | None = None  # None without Whisper, or where nobody asked for words
    rating: float | None = None  # from 1 to 5; None without DistillMOS, or for silence


@dataclass(frozen=True, eq=False)
class Panel:
    """Who listens. Nobody of them has seen the model under test."""

    judges: Sequence[SingerHearer]  # our own first, then a public one, if it is installed
    tracker: Tracker
    recogniser: Recogniser | None  # None where nobody said what is sung
    words: Words | None = None  # None where Whisper is not installed, or not wanted
    rater: DistillMos | None = None
    missing: Sequence[str] = ()  # who is not there, and why, in sentences

    def hear(self, clip: Clip, source: Heard | None = None, *, with_words: bool = True) -> Heard:
        """Listen to one clip.

        Args:
            clip: what is heard.
            source: of which it is a conversion; None for a source, or a recording by itself.
            with_words: whether Whisper writes down what is sung.
        """
        singers = {judge.name: judge.hear([clip])[0] for judge in self.judges}
        vowels = self.recogniser.hear(clip) if self.recogniser else None
        spoken = None
        if self.words and with_words and (source is None or source.spoken):
            spoken = self.words.hear(clip, source.spoken if source else None)
        rating = self.rater.score(clip) if self.rater else None
        return Heard(clip, singers, self.tracker.track(clip), vowels, spoken, rating)

    def singer_scores(self, heard: Heard, source_singer: str, target_singer: str) -> Scores:
        """Who is heard: 1 or 0 for the target, and for the source where that is another singer and known."""
        scores: Scores = {}
        for judge, ending in zip(self.judges, (OWN, PUBLIC), strict=False):
            singer = heard.singers[judge.name]
            scores[f"identified{ending}"] = float(singer == target_singer)
            if source_singer and source_singer != target_singer:
                scores[f"leak{ending}"] = float(singer == source_singer)
        return scores


def pair_scores(source: Heard, conversion: Heard, transpose_semitones: float, *, is_same: bool = False) -> Scores:
    """What is kept of the source, how clean and how natural the result is; what is not defined is left out.

    Args:
        source: the song.
        conversion: what became of it.
        transpose_semitones: asked for.
        is_same: whether the source's own singer sings it anew; see `harmonics.evaluate`.
    """
    kept = melody.scores(melody.evaluate(source.track, conversion.track, transpose_semitones))
    distance_db = mel_cepstrum.distance_db(source.clip, conversion.clip)
    natural = harmonics.evaluate(
        source.clip, source.track, conversion.clip, conversion.track, transpose_semitones, is_same=is_same
    )
    rated = {} if conversion.rating is None else {"distill_mos": conversion.rating}
    return kept | sound.evaluate(source.clip, conversion.clip) | {"source_distance_db": distance_db} | natural | rated


def word_scores(heard: Heard, text: str | None) -> Scores:
    """The share of the text's vowels that is found; nothing without a recogniser, or a text of syllables."""
    expected = syllables.vowels(text) if text else None
    if heard.vowels is None or not expected:
        return {}
    return {"vowel_accuracy": recogniser.accuracy(heard.vowels, expected)}


def text_scores(source: Heard, conversion: Heard, lyrics: str | None = None) -> Scores:
    """How much of the words is kept, by Whisper; nothing where it is not there.

    Args:
        source: the song.
        conversion: what became of it.
        lyrics: what is sung; None to compare with what Whisper reads in the source itself. Where that is next to
            nothing, the share of wrong letters is left out.
    """
    if source.spoken is None or source.spoken.late is None or conversion.spoken is None:
        return {}
    expected = lyrics or source.spoken.text
    scores: Scores = {}
    rate = characters.error_rate(conversion.spoken.text, expected)
    if rate is not None and len(characters.letters(expected)) >= _FEWEST_LETTERS:
        scores["character_error_rate"] = rate
    kept = whisper.content_kept(source.spoken.late, conversion.spoken.frames)
    return scores if kept is None else scores | {"content_kept": kept}


def truth_scores(source: Clip | None, conversion: Clip, truth: Clip) -> Scores:
    """How near the conversion comes to the target's own recording of the same words, beside how near the source is.

    A reconstruction has no other source than that recording itself; then None stands for the source.
    """
    scores = {"truth_distance_db": mel_cepstrum.distance_db(conversion, truth)}
    return scores if source is None else scores | {"truth_floor_db": mel_cepstrum.distance_db(source, truth)}
