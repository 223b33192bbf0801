"""Validation scorer: converts a few validation excerpts with a model in training; the scores of `training.choose`.

    validation recordings -> excerpts -> converted by the present model -> singer, pitch, movement of cepstra

All of it is fixed beforehand but the model, so scores of one run compare with each other. They are no grades: see
`runner` for those, whose judges are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice
from moksori.data.corpus import SPLITS, Corpus, Recording
from moksori.data.splits import evenly
from moksori.evaluation.judges import discriminant
from moksori.evaluation.judges.discriminant import DiscriminantClassifier
from moksori.evaluation.measures import mel_cepstrum, melody
from moksori.evaluation.measures.mel_cepstrum import Cepstra
from moksori.evaluation.measures.melody import Tracker
from moksori.models import kinds
from moksori.models.kinds import Model
from moksori.progress import OnProgress
from moksori.training.choose import Score

_SECONDS = 3.0  # of an excerpt
_PER_SINGER = 2  # validation recordings of a singer
_TARGETS = 2  # singers that each is converted into
_MOST_SINGERS = 64  # of a larger corpus so many, evenly spread, are heard: time and memory do not grow with it


@dataclass(frozen=True, eq=False)
class Piece:
    """An excerpt, and the singer that it is converted into."""

    clip: Clip
    track: PitchTrack
    cepstra: Cepstra
    target: int  # position among the singers that the classifier knows


class ConversionScorer:
    """Scores models by the same few conversions; see `choose.Scorer`."""

    def __init__(
        self, pieces: Sequence[Piece], classifier: DiscriminantClassifier, tracker: Tracker, seed: int
    ) -> None:
        """At least one piece; the seed is that of the conversions."""
        self._pieces = pieces
        self._classifier = classifier
        self._tracker = tracker
        self._seed = seed

    def score(self, model: Model, provenance: Provenance) -> Score:
        """See `choose.Scorer.score`.

        Raises:
            ValueError: the model is a WaveNet by itself, which converts nothing.
        """
        if not kinds.is_converter(model):
            raise ValueError("a WaveNet by itself converts nothing; there is nothing to score")
        is_training = model.training
        try:
            return self._scored(Voice(model, provenance))
        finally:
            model.train(is_training)

    def _scored(self, voice: Voice) -> Score:
        options, pieces = ConvertOptions(self._seed), self._pieces
        targets = [self._classifier.singers[piece.target] for piece in pieces]
        semitones = [0.0] * len(pieces)
        if voice.is_pitch_conditioned:
            semitones = [
                voice.transposition(piece.clip, target, options) for piece, target in zip(pieces, targets, strict=True)
            ]
        sung = voice.convert_clips(
            [piece.clip for piece in pieces], targets, transpose_semitones=semitones, options=options
        )
        rows = [self._scores(*row) for row in zip(pieces, sung, semitones, strict=True)]
        return Score(*(_mean([row[index] for row in rows]) for index in range(3)))

    def _scores(self, piece: Piece, sung: Clip, semitones: float) -> tuple[float, float | None, float | None]:
        found = melody.measure(piece.track, self._tracker.track(sung), semitones)
        moves = mel_cepstrum.movement(piece.cepstra, mel_cepstrum.analyse(sung))
        return (
            float(self._classifier.probabilities(sung)[piece.target]),
            None if found is None else found.raw_pitch_accuracy,
            None if moves is None else max(moves, 0.0),
        )


def gather(corpus: Corpus, seed: int, progress: OnProgress) -> ConversionScorer | None:
    """Make the scorer of a corpus, on its validation recordings.

    Args:
        corpus: prepared recordings.
        seed: of the conversions.
        progress: called for the fitting of the classifier, which is kept beside the data.

    Returns:
        None where there is nobody to convert into, or no validation recording: then nothing can be judged.
    """
    if len(corpus.singers) < 2 or SPLITS.index("validation") not in corpus.columns.split:
        return None
    tracker = melody.SwiftF0()
    pieces, names = [], evenly(corpus.singers, _MOST_SINGERS)
    for singer, name in enumerate(names):
        for number, recording in enumerate(evenly(corpus.of("validation", name), _PER_SINGER)):
            clip = _excerpt(corpus, recording)
            track, cepstra = tracker.track(clip), mel_cepstrum.analyse(clip)
            pieces += [Piece(clip, track, cepstra, target) for target in _targets(singer, number, len(names))]
    return ConversionScorer(pieces, discriminant.load_or_fit(corpus, seed, progress, names), tracker, seed)


def _targets(singer: int, number: int, n_singers: int) -> list[int]:
    """Other singers, other ones for each recording as far as there are enough.

    >>> _targets(0, 0, 8), _targets(0, 1, 8), _targets(1, 0, 2)
    ([1, 2], [3, 4], [0])
    """
    steps = [(number * _TARGETS + index) % (n_singers - 1) + 1 for index in range(min(_TARGETS, n_singers - 1))]
    return [(singer + step) % n_singers for step in steps]


def _excerpt(corpus: Corpus, recording: Recording) -> Clip:
    """The first seconds of what is sung."""
    clip = files.read(corpus.clip_path(recording))
    start = min(recording.regions[0][0], max(0, clip.n_samples - round(_SECONDS * clip.sample_rate)))
    return Clip(clip.samples[start : start + round(_SECONDS * clip.sample_rate)], clip.sample_rate)


def _mean(values: Sequence[float | None]) -> float:
    """The mean of what is known; 0 where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 0.0
