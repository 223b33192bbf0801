"""All judges and measures of one clip, and the scores of a conversion beside its source.

clip -> analysis (the singer by every classifier, pitch, vowels, cepstra, loudness, transcript, rating; no samples)
analysis of the source, analysis of the conversion -> scores by metric
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.evaluation.judges import vowels as recognisers
from moksori.evaluation.judges import whisper
from moksori.evaluation.judges.distill_mos import DistillMos
from moksori.evaluation.judges.singer import SingerClassifier
from moksori.evaluation.judges.vowels import VowelRecogniser
from moksori.evaluation.judges.whisper import Encoding, Whisper
from moksori.evaluation.measures import characters, harmonics, mel_cepstrum, melody, sound, syllables
from moksori.evaluation.measures.harmonics import Harmonics
from moksori.evaluation.measures.mel_cepstrum import Cepstra
from moksori.evaluation.measures.melody import Tracker
from moksori.evaluation.measures.sound import Sound

OWN, PUBLIC = "", "_public"  # how the metrics of a classifier end

_FEWEST_LETTERS = 4  # of a text to compare with: where fewer are found, there is nothing to read

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class Transcript:
    """What Whisper reads in a clip, and its encoder's frames: some 20 MB for three minutes of a source."""

    text: str
    language: str  # that it was given, or detected; see `whisper.Whisper.language`
    frames: Encoding
    late: Encoding | None  # the same encoded later; of sources, for `whisper.content_kept`


@dataclass(frozen=True, eq=False)
class Transcriber:
    """Whisper, and the language that it is given."""

    judge: Whisper
    language: str | None  # None: detected in each source, and given for its conversions

    def transcribe(self, clip: Clip, source: Transcript | None) -> Transcript:
        """Write down what is sung in a clip: a source of its own, or a conversion of `source`."""
        encoding = self.judge.encode(clip)
        language = source.language if source else self.language or self.judge.language(encoding)
        text = self.judge.text(encoding, language)
        late = None if source else _small(self.judge.encode(clip, whisper.LATE_SECONDS))
        return Transcript(text, language, _small(encoding), late)


def _small(encoding: Encoding) -> Encoding:
    """An encoding without the engine's own arrays, in half precision: that is all that comparisons need."""
    return replace(encoding, pieces=(), frames=encoding.frames.astype(np.float16))


@dataclass(frozen=True, eq=False)
class Analysis:
    """What judges and measures find in a clip: small, so that those of many songs are kept; the samples are not."""

    singers: Mapping[str, str]  # classifier -> the singer it names
    track: PitchTrack
    vowels: tuple[str, ...] | None  # None without a recogniser
    cepstra: Cepstra
    sound: Sound
    harmonics: Harmonics
    transcript: Transcript | None = None  # None without Whisper, or where nobody asked for words
    rating: float | None = None  # from 1 to 5; None without DistillMOS, or for silence


@dataclass(frozen=True, eq=False)
class Panel:
    """Everybody who judges. Nobody of them has seen the model under test."""

    classifiers: Sequence[SingerClassifier]  # our own first, then a public one, if it is installed
    tracker: Tracker
    recogniser: VowelRecogniser | None  # None where nobody said what is sung
    transcriber: Transcriber | None = None  # None where Whisper is not installed, or not wanted
    rater: DistillMos | None = None
    missing: Sequence[str] = ()  # who is not there, and why, in sentences

    def analyse(
        self,
        clip: Clip,
        source: Analysis | None = None,
        transpose_semitones: float = 0.0,
        *,
        with_words: bool = True,
    ) -> Analysis:
        """Measure one clip, and ask every judge about it.

        Args:
            clip: the sound.
            source: of which it is a conversion; None for a source, or a recording by itself.
            transpose_semitones: asked for, of a conversion.
            with_words: whether Whisper writes down what is sung.
        """
        transcript = None
        if self.transcriber and with_words and (source is None or source.transcript):
            transcript = self.transcriber.transcribe(clip, source.transcript if source else None)
        track, asked_hz = self.tracker.track(clip), None
        if source:
            asked_hz = harmonics.curve(source.sound.seconds, source.track) * 2.0 ** (transpose_semitones / 12.0)
        return Analysis(
            {classifier.name: classifier.classify([clip])[0] for classifier in self.classifiers},
            track,
            self.recogniser.recognise(clip) if self.recogniser else None,
            mel_cepstrum.analyse(clip),
            sound.analyse(clip),
            harmonics.analyse(clip, track, asked_hz),
            transcript,
            self.rater.score(clip) if self.rater else None,
        )

    def singer_scores(self, analysis: Analysis, source_singer: str, target_singer: str) -> Scores:
        """Who is named: 1 or 0 for the target, and for the source where that is another singer and known."""
        scores: Scores = {}
        for classifier, ending in zip(self.classifiers, (OWN, PUBLIC), strict=False):
            singer = analysis.singers[classifier.name]
            scores[f"identified{ending}"] = float(singer == target_singer)
            if source_singer and source_singer != target_singer:
                scores[f"leak{ending}"] = float(singer == source_singer)
        return scores


def pair_scores(source: Analysis, conversion: Analysis, transpose_semitones: float, *, is_same: bool = False) -> Scores:
    """What is kept of the source, how clean and how natural the result is; what is not defined is left out.

    Args:
        source: the song.
        conversion: what became of it.
        transpose_semitones: asked for.
        is_same: whether the source's own singer sings it anew; see `harmonics.evaluate`.
    """
    return (
        melody.evaluate(source.track, conversion.track, transpose_semitones)
        | sound.evaluate(source.sound, conversion.sound)
        | mel_cepstrum.evaluate(source.cepstra, conversion.cepstra)
        | harmonics.compare(source.harmonics, conversion.harmonics, is_same=is_same)
        | rating_scores(conversion)
    )


def rating_scores(analysis: Analysis) -> Scores:
    """What DistillMOS says of a clip; nothing where it is not there."""
    return {} if analysis.rating is None else {"distill_mos": analysis.rating}


def word_scores(analysis: Analysis, text: str | None) -> Scores:
    """The share of the text's vowels that is found; nothing without a recogniser, or a text of syllables."""
    expected = syllables.vowels(text) if text else None
    if analysis.vowels is None or not expected:
        return {}
    return {"vowel_accuracy": recognisers.accuracy(analysis.vowels, expected)}


def text_scores(source: Analysis, conversion: Analysis, lyrics: str | None = None) -> Scores:
    """How much of the words is kept, by Whisper; nothing where it is not there.

    Args:
        source: the song.
        conversion: what became of it.
        lyrics: what is sung; None to compare with what Whisper reads in the source itself. Where that is next to
            nothing, the share of wrong letters is left out.
    """
    asked, found = source.transcript, conversion.transcript
    if asked is None or asked.late is None or found is None:
        return {}
    expected = lyrics or asked.text
    scores: Scores = {}
    rate = characters.error_rate(found.text, expected)
    if rate is not None and len(characters.letters(expected)) >= _FEWEST_LETTERS:
        scores["character_error_rate"] = rate
    kept = whisper.content_kept(asked.late, found.frames)
    return scores if kept is None else scores | {"content_kept": kept}


def truth_scores(source: Cepstra | None, conversion: Cepstra, truth: Cepstra) -> Scores:
    """How near the conversion comes to the target's own recording of the same words, beside how near the source is.

    The timing of that recording is another, so the words are aligned. A reconstruction has no other source than that
    recording itself; then None stands for the source.
    """
    scores = {"truth_distance_db": mel_cepstrum.aligned_distance_db(conversion, truth)}
    if source is not None:
        scores["truth_floor_db"] = mel_cepstrum.aligned_distance_db(source, truth)
    return scores
