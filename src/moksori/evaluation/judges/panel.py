"""The panel: everybody who listens, and what they say of one conversion beside its source.

clip -> heard (its singer by every judge, its pitch, its vowels)
source heard, conversion heard -> scores by metric
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.evaluation.judges import vowels as recogniser
from moksori.evaluation.judges.singer import SingerHearer
from moksori.evaluation.judges.vowels import Recogniser
from moksori.evaluation.measures import mel_cepstrum, melody, sound, syllables
from moksori.evaluation.measures.melody import Tracker

OWN, PUBLIC = "", "_public"  # how the metrics of a judge end

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class Heard:
    """A clip, and what the panel hears in it."""

    clip: Clip
    singers: Mapping[str, str]  # judge -> the singer it names
    track: PitchTrack
    vowels: tuple[str, ...] | None  # None without a recogniser


@dataclass(frozen=True, eq=False)
class Panel:
    """Who listens. Nobody of them has seen the model under test."""

    judges: Sequence[SingerHearer]  # our own first, then a public one, if it is installed
    tracker: Tracker
    recogniser: Recogniser | None  # None where nobody said what is sung

    def hear(self, clip: Clip) -> Heard:
        """Listen to one clip."""
        singers = {judge.name: judge.hear([clip])[0] for judge in self.judges}
        vowels = self.recogniser.hear(clip) if self.recogniser else None
        return Heard(clip, singers, self.tracker.track(clip), vowels)

    def singer_scores(self, heard: Heard, source_singer: str, target_singer: str) -> Scores:
        """Who is heard: 1 or 0 for the target, and for the source where that is another singer and known."""
        scores: Scores = {}
        for judge, ending in zip(self.judges, (OWN, PUBLIC), strict=False):
            singer = heard.singers[judge.name]
            scores[f"identified{ending}"] = float(singer == target_singer)
            if source_singer and source_singer != target_singer:
                scores[f"leak{ending}"] = float(singer == source_singer)
        return scores


def pair_scores(source: Heard, conversion: Heard, transpose_semitones: float) -> Scores:
    """What is kept of the source, and how clean the result is; what is not defined is left out."""
    kept = melody.scores(melody.evaluate(source.track, conversion.track, transpose_semitones))
    distance_db = mel_cepstrum.distance_db(source.clip, conversion.clip)
    return kept | sound.evaluate(source.clip, conversion.clip) | {"source_distance_db": distance_db}


def word_scores(heard: Heard, text: str | None) -> Scores:
    """The share of the text's vowels that is found; nothing without a recogniser, or a text of syllables."""
    expected = syllables.vowels(text) if text else None
    if heard.vowels is None or not expected:
        return {}
    return {"vowel_accuracy": recogniser.accuracy(heard.vowels, expected)}


def truth_scores(source: Clip | None, conversion: Clip, truth: Clip) -> Scores:
    """How near the conversion comes to the target's own recording of the same words, beside how near the source is.

    A reconstruction has no other source than that recording itself; then None stands for the source.
    """
    scores = {"truth_distance_db": mel_cepstrum.distance_db(conversion, truth)}
    return scores if source is None else scores | {"truth_floor_db": mel_cepstrum.distance_db(source, truth)}
