"""The discriminator, called critic: taught to name real singers and to tell what is sung from what is made.

Its classes are the N singers as they are recorded, and the N singers as they are made. A conversion into singer j is
good when the critic takes it for a recording of j. Two nets judge side by side: one hears moments (a sixth of a
second), one the statistics of the whole excerpt, as speaker encoders do.

Source: a classifier with a class for what is made, Salimans et al. 2016, section 5; statistics pooling as in x-vectors,
Snyder et al. 2018, section 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.models import conditions

MOST_SINGERS = 512  # that are told apart at a time: with ten thousand, a step took two and a half times as long


@dataclass(frozen=True)
class CriticConfig:
    """Size of each net."""

    channels: int = 128

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"critic channels must be at least 1, not {self.channels}")


@dataclass(frozen=True)
class Candidates:
    """Candidate classes of a batch, where there are too many to score all of them at every moment.

    The batch's own are among them, and some of the others by chance, of whom each counts for several: so the sum over
    all singers that a softmax divides by is right on average.

    Source: importance sampling of the softmax, Bengio and Senécal 2003; as in Jean et al. 2015, section 3.
    """

    singers: Tensor  # int64 [n], sorted
    log_counts: Tensor  # [n], the logarithm of how many singers each stands for


class Critic(nn.Module):
    """Discriminator: log-mel `[B, M, F]` and labels `[B]` -> cross-entropy, a scalar."""

    def __init__(self, config: CriticConfig, n_mels: int, n_singers: int) -> None:
        super().__init__()
        self.n_singers = n_singers
        width, n_classes = config.channels, 2 * n_singers
        self.of_moments = nn.Sequential(_body(n_mels, width), nn.Conv1d(width, n_classes, 1))
        self.of_wholes = nn.Sequential(
            _body(n_mels, width),
            _Statistics(),
            nn.Conv1d(2 * width, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, n_classes, 1),
        )

    def rows_of_singers(self) -> dict[str, int]:
        """See `roster.OfSingers`: as they are recorded, then as they are made."""
        last = (f"of_moments.{len(self.of_moments) - 1}", f"of_wholes.{len(self.of_wholes) - 1}")
        return {f"{layer}.{part}": 2 for layer in last for part in ("weight", "bias")}

    def candidates(self, singer: Tensor, generator: torch.Generator) -> Candidates | None:
        """The candidate classes of a batch of singers `[n]`; None for all, where they are few enough."""
        if self.n_singers <= MOST_SINGERS:
            return None
        own = torch.unique(singer)
        drawn = torch.randperm(self.n_singers, generator=generator, device=generator.device).to(own.device)
        others = drawn[~torch.isin(drawn, own)][: max(MOST_SINGERS - len(own), 1)]
        n_each = (self.n_singers - len(own)) / len(others)  # of whom one of them stands for
        singers, order = torch.cat([own, others]).sort()
        return Candidates(singers, (order >= len(own)) * math.log(n_each))

    def loss_real(self, mel: Tensor, singer: Tensor, among: Candidates | None = None) -> Tensor:
        """Cross-entropy of taking sounds for recordings of singers `[B]`, mean over both nets and all moments."""
        return self._loss(mel, singer, 0, among)

    def loss_fake(self, mel: Tensor, singer: Tensor, among: Candidates | None = None) -> Tensor:
        """Cross-entropy of taking them for what was made in the voices of singers `[B]`."""
        return self._loss(mel, singer, 1, among)

    def _loss(self, mel: Tensor, singer: Tensor, kind: int, among: Candidates | None) -> Tensor:
        seen = conditions.mel(mel)
        n_singers = self.n_singers if among is None else len(among.singers)
        place = singer if among is None else torch.searchsorted(among.singers, singer)
        label = place + kind * n_singers
        losses = []
        for net in (self.of_moments, self.of_wholes):
            scores = (net(seen) if among is None else self._some(net, seen, among)).float()  # [B, 2 N, F']
            losses.append(functional.cross_entropy(scores, label[:, None].expand(-1, scores.shape[2])))
        return torch.stack(losses).mean()

    def _some(self, net: nn.Sequential, seen: Tensor, among: Candidates) -> Tensor:
        """Scores of some singers `[B, 2 n, F']`, with what each stands for added."""
        classes = torch.cat([among.singers, among.singers + self.n_singers])
        last = net[-1]
        assert isinstance(last, nn.Conv1d) and last.bias is not None
        found = functional.conv1d(net[:-1](seen), last.weight[classes], last.bias[classes])
        return found + among.log_counts.to(found).repeat(2)[:, None]


def _body(n_mels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(n_mels, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv1d(width, width, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Conv1d(width, width, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
    )


class _Statistics(nn.Module):
    """Mean and standard deviation over time: `[B, C, F] -> [B, 2 C, 1]`."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        spread = (x.var(dim=2, unbiased=False) + 1e-5).sqrt()
        return torch.cat([x.mean(dim=2), spread], dim=1)[:, :, None]
