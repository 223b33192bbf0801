"""Losses as pure functions, and the one place where their weights are applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from moksori import settings

_SUNG_BELOW_DB = 40.0


@dataclass(frozen=True)
class LossWeights:
    """How much each named loss counts."""

    reconstruction: float = 1.0
    confusion: float = 0.01  # lambda of the paper; how hard the latent is pushed to hide the singer
    classifier: float = 1.0
    back_translation: float = 1.0
    notes: float = 1.0
    pitch_confusion: float = 0.1  # how hard the latent is pushed to hide the pitch, if the decoder is conditioned on it
    ear: float = 1.0  # of what hears the pitch, where a model does so itself
    adversarial: float = 0.0  # how hard conversions are pushed to please the critic, where a model has one; 0 for none
    critic: float = 1.0
    cycle: float = 0.0  # how hard the latent of a conversion is held to that of its source
    detail: float = 0.0  # how hard conversions are held to the source's detail on the target's mean
    content: float = 0.0  # how hard conversions are held to the source's words; see `teacher`
    envelope: float = 0.0  # how hard envelopes are held to those measured, beside what they sound like

    def __post_init__(self) -> None:
        negative = [name for name, weight in settings.plain(self).items() if weight < 0]
        if negative:
            raise ValueError(f"must not be negative: {', '.join(negative)}; signs are part of the losses")


def reconstruction(logits: Tensor, codes: Tensor) -> Tensor:
    """Mean cross-entropy a sample, in nats; ln 256 = 5.545 for a net that knows nothing.

    Args:
        logits: `[B, 256, T]`.
        codes: `[B, T]`.
    """
    return functional.cross_entropy(logits.float(), codes)


def classifier(singer_logits: Tensor, singer: Tensor) -> Tensor:
    """Mean cross-entropy of the confusion network, in nats; ln N when it can only guess.

    Args:
        singer_logits: `[B, N]`.
        singer: `[B]`.
    """
    return functional.cross_entropy(singer_logits.float(), singer)


def notes(note_logits: Tensor, note: Tensor) -> Tensor:
    """Mean cross-entropy of the pitch adversary over the frames that have a note, in nats; 0 where none has.

    Args:
        note_logits: `[B, N, F]`.
        note: `[B, F]`, -1 for none.
    """
    summed = functional.cross_entropy(note_logits.float(), note, ignore_index=-1, reduction="sum")
    return summed / (note >= 0).sum().clamp(min=1)


def confusion(singer_logits: Tensor, singer: Tensor) -> Tensor:
    """What the encoder minimises to hide the singer: minus the classifier's loss.

    Source: Nachmani and Wolf 2019, section 3: the sign-flip form, not gradient reversal.
    """
    return -classifier(singer_logits, singer)


def spectral_distance(expected: Mapping[int, Tensor], true: Mapping[int, Tensor]) -> Tensor:
    """Mean absolute difference of log-mels in nepers, the mean over windows.

    Args:
        expected: `[B, mels, F]` by window.
        true: the same for the same windows.
    """
    return torch.stack([(expected[window] - mel).abs().mean() for window, mel in true.items()]).mean()


def envelope_distance(expected: Tensor, true: Tensor, is_voiced: Tensor, level_dbfs: Tensor) -> Tensor:
    """Mean absolute difference of envelopes in nepers, over frames no more than 40 dB under the loudest of their clip.

    Args:
        expected: harmonics, which count where voiced, then noise: `[B, 2 bands, F]`.
        true: the same.
        is_voiced: `[B, F]`.
        level_dbfs: `[B, F]`.
    """
    is_sung = (level_dbfs > level_dbfs.amax(dim=1, keepdim=True) - _SUNG_BELOW_DB)[:, None].to(true)
    harmonics, noise = (expected - true).abs().chunk(2, dim=1)
    tones = is_sung * is_voiced[:, None].to(true)
    n_bands = harmonics.shape[1]
    return (
        ((harmonics * tones).sum() / tones.sum().clamp(min=1) + (noise * is_sung).sum() / is_sung.sum()) / n_bands / 2
    )


def latent_distance(z: Tensor, goal: Tensor) -> Tensor:
    """Mean squared difference of latents, in units of the goal's mean square, through which no gradient flows."""
    goal = goal.detach()
    return (z - goal).square().mean() / (goal.square().mean() + 1e-6)


def total(losses: Mapping[str, Tensor], weights: LossWeights) -> Tensor:
    """The weighted sum that is differentiated.

    Raises:
        ValueError: no loss at all, or one that has no weight; the known names are listed.
    """
    known = settings.plain(weights)
    unknown = sorted(set(losses) - set(known))
    if unknown or not losses:
        raise ValueError(f"losses {unknown or 'none given'} have no weight; known losses are {', '.join(known)}")
    return torch.stack([known[name] * loss for name, loss in losses.items()]).sum()
