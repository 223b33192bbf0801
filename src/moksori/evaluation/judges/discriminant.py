"""LDA singer classifier for model selection: fitted in seconds, and none of the judges of a report.

A clip is cut into pieces; each becomes the mean and the deviation of its log-mel bands, and a linear discriminant with
a shrunken covariance (Fisher 1936; Ledoit and Wolf 2004 for the idea of shrinking) says whose it is. It is rougher
than the judges of `judges/singer` and `judges/resemblyzer`, and it is another: a model that was chosen to please a
judge should not be graded by the same one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus
from moksori.data.splits import evenly
from moksori.errors import DataError
from moksori.evaluation.judges import fitting
from moksori.progress import OnProgress

_VERSION = 1
_PER_SINGER = 12  # recordings that it is fitted on, each also at two other pitches
_PIECE_FRAMES = 150  # 1.5 s
_SHRINKAGE = 0.2  # towards the same deviation everywhere and no correlation


class DiscriminantClassifier(nn.Module):
    """Names singers; see `load_or_fit`."""

    weights: Tensor  # [160, S]
    offsets: Tensor  # [S]

    def __init__(self, singers: Sequence[str]) -> None:
        super().__init__()
        self.singers = tuple(singers)
        self.register_buffer("weights", torch.zeros(2 * fitting.SPECTRAL.n_mels, len(singers), dtype=torch.float64))
        self.register_buffer("offsets", torch.zeros(len(singers), dtype=torch.float64))

    def probabilities(self, clip: Clip) -> Tensor:
        """How sure it is of each singer, `[S]`, the mean over the pieces of the clip; they sum to 1."""
        pieces = torch.stack([_statistics(piece) for piece in _pieces(fitting.features(clip))])
        return (pieces @ self.weights + self.offsets).softmax(dim=1).mean(dim=0)


def load_or_fit(corpus: Corpus, seed: int, progress: OnProgress, singers: Sequence[str] = ()) -> DiscriminantClassifier:
    """The classifier of a corpus: as it is kept beside the data, or taught now on its training recordings.

    Args:
        corpus: prepared recordings.
        seed: of the pitches to which recordings are moved.
        progress: called with what is done.
        singers: whom it shall know; all by default.

    Raises:
        DataError: a singer has no training recording.
    """
    names = list(singers or corpus.singers)
    of_singers = {name: corpus.of("train", name) for name in names}
    if missing := [name for name, own in of_singers.items() if not own]:
        raise DataError(f"{corpus.folder}: {missing[0]} has no training recording, so no judge can learn the voice")
    chosen = [recording for own in of_singers.values() for recording in evenly(own, _PER_SINGER)]
    classifier = DiscriminantClassifier(names)

    def fit() -> None:
        examples = fitting.training_features(corpus, chosen, seed, progress)
        rows = [(_statistics(piece), recording.singer) for recording, mel in examples for piece in _pieces(mel)]
        singer = torch.tensor([names.index(name) for _, name in rows])
        weights, offsets = fit_discriminant(torch.stack([row for row, _ in rows]), singer, len(names))
        classifier.weights.copy_(weights)
        classifier.offsets.copy_(offsets)

    key = {"ear": _VERSION, "seed": seed, "singers": names}
    fitting.kept(corpus, "ear", key, classifier, fit)
    return classifier


def fit_discriminant(features: Tensor, singer: Tensor, n_singers: int) -> tuple[Tensor, Tensor]:
    """Fit a linear discriminant whose classes share a covariance and are equally likely.

    Args:
        features: `[N, D]`, float64.
        singer: `[N]`, each of 0 .. `n_singers` - 1 at least once.
        n_singers: S.

    Returns:
        Weights `[D, S]` and offsets `[S]`: the log-probability of a singer is `features @ weights + offsets`, less what
        is the same for all.
    """
    means = torch.stack([features[singer == index].mean(dim=0) for index in range(n_singers)])
    within = features - means[singer]
    covariance = within.T @ within / max(len(features) - n_singers, 1)
    scale = covariance.diagonal().mean().clamp(min=1e-9)
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * scale * torch.eye(features.shape[1], dtype=features.dtype)
    weights = torch.linalg.solve(covariance, means.T)
    return weights, -0.5 * (means * weights.T).sum(dim=1)


def _pieces(mel: Tensor) -> Sequence[Tensor]:
    """Stretches of `[80, F]`, the last one a little longer; a short clip is one piece."""
    n = max(1, mel.shape[1] // _PIECE_FRAMES)
    return torch.tensor_split(mel, n, dim=1)


def _statistics(mel: Tensor) -> Tensor:
    """Mean and deviation of each band, `[160]`; what is common to all bands, the loudness, is taken out."""
    mel = mel.double() - mel.double().mean()
    return torch.cat([mel.mean(dim=1), mel.std(dim=1, correction=0)])
