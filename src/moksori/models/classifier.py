"""The confusion network: which singer does a latent come from? Trained to know, while the encoder learns to hide it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

FORMS = ("convolutional", "pointwise")


@dataclass(frozen=True)
class ClassifierConfig:
    """Form and size of the singer classifier on the latent."""

    form: str = "convolutional"  # "convolutional": two 3-tap layers; "pointwise": three 1x1 layers
    channels: int = 100
    dropout_probability: float = 0.2  # on the latent, while training

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"unknown classifier form {self.form!r}; known forms are {', '.join(FORMS)}")
        if self.channels < 1:
            raise ValueError(f"classifier channels must be at least 1, not {self.channels}")
        if not 0 <= self.dropout_probability < 1:
            raise ValueError(f"dropout_probability must be in [0, 1), not {self.dropout_probability}")


class SingerClassifier(nn.Module):
    """Latent `[B, D, F]` -> singer logits `[B, N]`, averaged over time.

    Form "convolutional": dropout, two convolutions of 3 taps with ReLU, mean over time, a linear layer (Deng et al.
    2020, figure 2). Form "pointwise": three 1x1 convolutions with ELU, a 1x1 to the singers, mean of the logits over
    time (Mor et al. 2019, section 3.3).
    """

    def __init__(self, config: ClassifierConfig, latent_channels: int, n_singers: int) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        if config.form == "convolutional":
            self.body = nn.Sequential(
                nn.Conv1d(latent_channels, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv1d(width, width, 3, padding=1),
                nn.ReLU(),
            )
        else:
            widths = [latent_channels, width, width, width]
            self.body = nn.Sequential(
                *(part for i in range(3) for part in (nn.Conv1d(widths[i], widths[i + 1], 1), nn.ELU()))
            )
        # Both forms end in "mean over time, then linear"; the mean and a 1x1 convolution commute.
        self.singers = nn.Linear(width, n_singers)

    def rows_of_singers(self) -> dict[str, int]:
        """See `roster.OfSingers`."""
        return {"singers.weight": 1, "singers.bias": 1}

    def forward(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Score the singers.

        Args:
            z: `[B, D, F]`.
            generator: draws the dropout mask; None for a deterministic answer without dropout.
        """
        if generator is not None and self.config.dropout_probability > 0:
            z = dropout(z, self.config.dropout_probability, generator)
        scores: Tensor = self.singers(self.body(z).mean(dim=2))
        return scores


def dropout(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Zero each value with the given probability and scale up the rest, so that the mean stays."""
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= probability
    return x * kept / (1 - probability)
