"""Singer classifier: a small convolutional net, fitted on real recordings, that never meets the model under test.

Its input are log-mels; mean and deviation over time make a clip of any length one vector, as in the
x-vectors of Snyder et al. 2018, cut to the size of our data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus
from moksori.errors import DataError
from moksori.evaluation.judges import fitting
from moksori.progress import OnProgress, Progress, within

_VERSION = 1  # of net and teaching; another one is taught anew
_CHANNELS = 96
_N_STEPS = 1500
_N_CLIPS = 48  # of a step
_CROP_FRAMES = 150  # 1.5 s
_LEARNING_RATE = 2e-3


class SingerClassifier(Protocol):
    """Names the singer of a clip."""

    name: str  # "own", "resemblyzer"
    description: str
    singers: tuple[str, ...]  # that can be named

    def classify(self, clips: Sequence[Clip]) -> list[str]:
        """The singer of each clip; silence, too, gets a name, if a meaningless one."""


class SingerNet(nn.Module):
    """Log-mel `[B, 80, F]` -> scores `[B, S]`."""

    def __init__(self, n_singers: int) -> None:
        super().__init__()

        def layer(n_in: int, stride: int, dilation: int) -> list[nn.Module]:
            convolution = nn.Conv1d(n_in, _CHANNELS, 5, stride, padding=2 * dilation, dilation=dilation)
            return [convolution, nn.ReLU(), nn.BatchNorm1d(_CHANNELS)]

        self.layers = nn.Sequential(
            *layer(fitting.SPECTRAL.n_mels, 1, 1), *layer(_CHANNELS, 2, 1), *layer(_CHANNELS, 1, 2)
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * _CHANNELS, n_singers))

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        hidden = self.layers(mel - mel.mean(dim=(1, 2), keepdim=True))
        scores: Tensor = self.head(torch.cat([hidden.mean(dim=2), hidden.std(dim=2, correction=0)], dim=1))
        return scores


class NetClassifier:
    """A convolutional net that names singers; see `load_or_fit`."""

    name = "own"
    description = "our own judge: a small convolutional net taught on the real training recordings"

    def __init__(self, net: SingerNet, singers: Sequence[str]) -> None:
        self.net = net.eval()
        self.singers = tuple(singers)

    @torch.inference_mode()
    def probabilities(self, clips: Sequence[Clip]) -> npt.NDArray[np.float64]:
        """How sure it is of each singer, `[N, S]`; rows sum to 1."""
        rows = [self.net(_long_enough(fitting.features(clip))[None])[0].double().softmax(dim=0) for clip in clips]
        return np.stack([row.numpy() for row in rows]) if rows else np.zeros((0, len(self.singers)))

    def classify(self, clips: Sequence[Clip]) -> list[str]:
        """See `SingerClassifier.classify`."""
        return [self.singers[index] for index in self.probabilities(clips).argmax(axis=1)]


def load_or_fit(corpus: Corpus, seed: int, progress: OnProgress) -> NetClassifier:
    """The judge of a corpus: as it is kept beside the data, or taught now on its training recordings.

    Args:
        corpus: prepared recordings of one singer or more.
        seed: of first weights, of batches and of what is changed in them.
        progress: called with what is done of the teaching.

    Raises:
        DataError: a singer has no training recording.
    """
    for singer in corpus.singers:
        if not corpus.of("train", singer):
            raise DataError(f"{corpus.folder}: {singer} has no training recording, so no judge can learn the voice")
    with fitting.seeded(seed):
        net = SingerNet(len(corpus.singers))
        key = {"judge": _VERSION, "seed": seed, "n_steps": _N_STEPS, "singers": list(corpus.singers)}
        fitting.kept(corpus, "singer", key, net, lambda: _fit(net, corpus, seed, progress))
    return NetClassifier(net, corpus.singers)


def _fit(net: SingerNet, corpus: Corpus, seed: int, progress: OnProgress) -> None:
    """Teach a net; dropout draws from the global generator, which the caller guards."""
    n_recordings = len(corpus.of("train"))
    n_all = n_recordings + _N_STEPS
    examples = fitting.training_features(corpus, corpus.of("train"), seed, within(progress, 0, n_all))
    by_singer: list[list[Tensor]] = [[] for _ in corpus.singers]
    for recording, mel in examples:
        by_singer[corpus.singers.index(recording.singer)].append(mel)
    generator = torch.Generator().manual_seed(seed)
    adam = torch.optim.AdamW(net.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, _N_STEPS)
    net.train()
    for step in range(_N_STEPS):
        singer = torch.randint(len(by_singer), (_N_CLIPS,), generator=generator)
        mel = torch.stack([_draw(by_singer[index], generator) for index in singer.tolist()])
        loss = functional.cross_entropy(net(fitting.augment(mel, generator)), singer)
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
        schedule.step()
        progress(Progress(n_recordings + step + 1, n_all))
    net.eval()


def _draw(mels: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    chosen = mels[int(torch.randint(len(mels), (), generator=generator))]
    return fitting.crop(chosen, _CROP_FRAMES, generator)


def _long_enough(mel: Tensor) -> Tensor:
    """Repeat a very short clip, so that the net has something to average over."""
    return mel if mel.shape[1] >= 16 else mel.repeat(1, -(-16 // mel.shape[1]))
