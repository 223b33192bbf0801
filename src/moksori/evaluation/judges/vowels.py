"""Vowel recogniser: a small convolutional net with a CTC loss, fitted on real recordings whose texts are known.

Log-mels come in, and vowels go out; connectionist temporal classification (Graves et al. 2006)
teaches it without an alignment in time. It never meets the model that is judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus, Recording
from moksori.errors import DataError
from moksori.evaluation.judges import fitting
from moksori.evaluation.measures import syllables
from moksori.evaluation.measures.characters import edit_distance
from moksori.progress import OnProgress, Progress, within

_VERSION = 1  # of net and teaching
_CHANNELS = 128
_DILATIONS = (1, 2, 4, 1, 2)  # of the layers after the first, at 50 frames a second: the receptive field is 0.5 s
_N_STEPS = 2000
_N_CLIPS = 16  # of a step
_LEARNING_RATE = 2e-3
_BLANK = len(syllables.VOWELS)
_FEWEST = 10  # recordings with a text, to teach anything


class VowelNet(nn.Module):
    """Log-mel `[B, 80, F]` -> log-probabilities of vowels and blank `[B, 7, ceil(F / 2)]`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(fitting.SPECTRAL.n_mels, _CHANNELS, 5, stride=2, padding=2)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(_CHANNELS),
                nn.ReLU(),
                nn.Conv1d(_CHANNELS, _CHANNELS, 5, padding=2 * dilation, dilation=dilation),
            )
            for dilation in _DILATIONS
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Conv1d(_CHANNELS, _BLANK + 1, 1))

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        hidden = self.first(mel)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        scores: Tensor = self.head(hidden)
        return scores.log_softmax(dim=1)


class VowelRecogniser:
    """Writes down vowels; see `load_or_fit`."""

    def __init__(self, net: VowelNet) -> None:
        self._net = net.eval()

    @torch.inference_mode()
    def recognise(self, clip: Clip) -> tuple[str, ...]:
        """The vowels of a clip, out of `syllables.VOWELS`; none for silence, if all is well."""
        best = self._net(fitting.features(clip)[None])[0].argmax(dim=0).tolist()
        return tuple(syllables.VOWELS[label] for label, _ in itertools.groupby(best) if label != _BLANK)


def accuracy(found: Sequence[str], expected: Sequence[str]) -> float:
    """Share of the expected vowels that are found, in [0, 1]: 1 less the edits needed for each of them.

    Raises:
        ValueError: nothing is expected.
    """
    if not expected:
        raise ValueError("without an expected vowel there is no share of them")
    return max(0.0, 1.0 - edit_distance(found, expected) / len(expected))


def load_or_fit(corpus: Corpus, texts: Mapping[str, str], seed: int, progress: OnProgress) -> VowelRecogniser:
    """The recogniser of a corpus: as it is kept beside the data, or taught now on its training recordings.

    Args:
        corpus: prepared recordings.
        texts: syllables by `Recording.source`; recordings without, or with something else, are left out.
        seed: of first weights, batches, and what is changed in them.
        progress: called with what is done of the teaching.

    Raises:
        DataError: too few training recordings have a text of syllables.
    """
    labelled = {
        recording: vowels
        for recording in corpus.of("train")
        if (vowels := syllables.vowels(texts.get(recording.source, ""))) is not None
    }
    if len(labelled) < _FEWEST:
        raise DataError(
            f"{corpus.folder}: {len(labelled)} training recordings have a text of syllables (kana or romaji); the "
            f"recogniser of vowels needs {_FEWEST}; give a table of texts that covers them, or none"
        )
    with fitting.seeded(seed):
        net = VowelNet()
        taught = sorted((recording.audio_sha256, "".join(vowels)) for recording, vowels in labelled.items())
        key = {"recogniser": _VERSION, "seed": seed, "n_steps": _N_STEPS, "taught": taught}
        fitting.kept(corpus, "vowels", key, net, lambda: _fit(net, corpus, labelled, seed, progress))
    return VowelRecogniser(net)


def _fit(
    net: VowelNet,
    corpus: Corpus,
    labelled: Mapping[Recording, tuple[str, ...]],
    seed: int,
    progress: OnProgress,
) -> None:
    """Teach a net; dropout draws from the global generator, which the caller guards."""
    n_all = len(labelled) + _N_STEPS
    examples = fitting.training_features(corpus, list(labelled), seed, within(progress, 0, n_all))
    generator = torch.Generator().manual_seed(seed)
    adam = torch.optim.AdamW(net.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, _LEARNING_RATE, _N_STEPS, pct_start=0.1)
    net.train()
    for step in range(_N_STEPS):
        chosen = torch.randint(len(examples), (_N_CLIPS,), generator=generator).tolist()
        mels = [examples[index][1] for index in chosen]
        vowels = [labelled[examples[index][0]] for index in chosen]
        loss = _loss(net, mels, vowels, generator)
        adam.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        adam.step()
        schedule.step()
        progress(Progress(len(labelled) + step + 1, n_all))
    net.eval()


def _loss(net: VowelNet, mels: Sequence[Tensor], vowels: Sequence[Sequence[str]], generator: torch.Generator) -> Tensor:
    longest = max(mel.shape[1] for mel in mels)
    silence = min(float(mel.min()) for mel in mels)
    batch = torch.stack([functional.pad(mel, (0, longest - mel.shape[1]), value=silence) for mel in mels])
    scores = net(fitting.augment(batch, generator)).permute(2, 0, 1)  # [F, B, 7]
    labels = torch.tensor([syllables.VOWELS.index(vowel) for row in vowels for vowel in row])
    n_frames = torch.tensor([-(-mel.shape[1] // 2) for mel in mels])
    n_labels = torch.tensor([len(row) for row in vowels])
    return functional.ctc_loss(scores, labels, n_frames, n_labels, blank=_BLANK, zero_infinity=True)
