"""Singer classifier by a public speaker encoder, Resemblyzer, which carries its weights in its package.

Resemblyzer (Apache licence; the encoder of Wan et al. 2018, taught on speech) turns a clip into a vector; the singer
whose real training recordings lie nearest is named. It is an extra, `moksori[judges]`; without it there is one judge.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from moksori import surroundings
from moksori.audio import files, resample
from moksori.audio.clip import Clip, Samples
from moksori.data.corpus import Corpus
from moksori.data.splits import evenly
from moksori.errors import DataError
from moksori.evaluation.judges import fitting
from moksori.progress import OnProgress, Progress

_PER_SINGER = 20  # recordings for each centroid
_RATE = 16000  # Hz, the encoder's input
_SHORTEST_SECONDS = 1.6  # of its window; shorter clips are repeated
_PEAK = 0.5  # clips are brought to one peak: the encoder was taught on normalised speech
_QUIET = 1e-4  # a peak below is silence

Vector = npt.NDArray[np.float64]
Encoder = Callable[[Samples], Vector]
"""Mono samples at 16 kHz, at least 1.6 s -> a vector of length 1."""


class CentroidClassifier:
    """Names the singer whose centroid is nearest by angle."""

    name = "resemblyzer"
    description = (
        "a public speaker encoder (Resemblyzer, taught on speech), nearest centroid of real training recordings"
    )

    def __init__(self, encoder: Encoder, centroids: Mapping[str, Vector]) -> None:
        self._encoder = encoder
        self.singers = tuple(centroids)
        self._centroids = np.stack([vector / np.linalg.norm(vector) for vector in centroids.values()])

    def similarities(self, clips: Sequence[Clip]) -> Vector:
        """Cosine of the angle to each singer's centroid, `[N, S]`."""
        vectors = [self._encoder(prepared(clip)) for clip in clips]
        return np.stack(vectors) @ self._centroids.T if vectors else np.zeros((0, len(self.singers)))

    def classify(self, clips: Sequence[Clip]) -> list[str]:
        """See `singer.SingerClassifier.classify`."""
        return [self.singers[index] for index in self.similarities(clips).argmax(axis=1)]


def is_available() -> bool:
    """Whether the encoder is installed here, and can be loaded (it needs setuptools below 81)."""
    names = ("resemblyzer", "webrtcvad", "pkg_resources")
    return all(importlib.util.find_spec(name) is not None for name in names)


def load_or_fit(corpus: Corpus, progress: OnProgress, encoder: Encoder | None = None) -> CentroidClassifier:
    """The public judge of a corpus: centroids as they are kept beside the data, or measured now.

    Args:
        corpus: prepared recordings.
        progress: called with how many recordings are measured.
        encoder: another one than Resemblyzer's.

    Raises:
        DataError: a singer has no training recording.
    """
    encoder = encoder or load_encoder()
    width = len(encoder(np.full(round(_SHORTEST_SECONDS * _RATE), 0.1, np.float32)))
    kept = _Centroids(len(corpus.singers), width)
    key = {"per_singer": _PER_SINGER, "width": width, "singers": list(corpus.singers)}

    def measure() -> None:
        kept.centroids.copy_(torch.from_numpy(_centroids(corpus, encoder, progress)))

    fitting.kept(corpus, "resemblyzer", key, kept, measure)
    return CentroidClassifier(encoder, dict(zip(corpus.singers, kept.centroids.numpy(), strict=True)))


class _Centroids(nn.Module):
    """Something that can be kept like the weights of a net."""

    centroids: torch.Tensor

    def __init__(self, n_singers: int, width: int) -> None:
        super().__init__()
        self.register_buffer("centroids", torch.zeros(n_singers, width, dtype=torch.float64))


def _centroids(corpus: Corpus, encoder: Encoder, progress: OnProgress) -> Vector:
    """Mean vectors of real training recordings, `[S, width]`."""
    chosen = [evenly(corpus.of("train", singer), _PER_SINGER) for singer in corpus.singers]
    if not all(chosen):
        singer = corpus.singers[chosen.index([])]
        raise DataError(f"{corpus.folder}: {singer} has no training recording, so no judge can learn the voice")
    n_done, rows = 0, []
    for recordings in chosen:
        vectors = []
        for recording in recordings:
            vectors.append(encoder(prepared(files.read(corpus.clip_path(recording)))))
            n_done += 1
            progress(Progress(n_done, sum(map(len, chosen))))
        rows.append(np.mean(vectors, axis=0))
    return np.asarray(rows, np.float64)


def prepared(clip: Clip) -> Samples:
    """Mono samples as the encoder likes them; silence stays silence, and gets a name by chance."""
    samples = resample.resample_clip(clip, _RATE).samples
    shortest = round(_SHORTEST_SECONDS * _RATE)
    if not len(samples):
        samples = np.zeros(shortest, np.float32)
    if len(samples) < shortest:
        samples = np.tile(samples, -(-shortest // len(samples)))
    peak = float(np.abs(samples).max())
    return samples * np.float32(_PEAK / peak) if peak > _QUIET else samples


def load_encoder() -> Encoder:
    """Resemblyzer, from its package."""
    surroundings.before_numba()  # librosa compiles
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*pkg_resources is deprecated")  # by one of its packages
        package = importlib.import_module("resemblyzer")
    encoder = package.VoiceEncoder("cpu", verbose=False)
    # Its own preparation would cut what a detector of speech does not take for speech: held notes, above all.
    return lambda samples: np.asarray(encoder.embed_utterance(samples), np.float64)
