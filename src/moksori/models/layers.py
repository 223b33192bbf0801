"""Causal and dilated convolutions that everything else is built from.

All tensors are `[B, C, T]`. Two kinds of padding exist here, and no third:

    causal     . . . x x x x x x       zeros on the left only: output t sees inputs <= t
    centred    . x x x x x x .         zeros on both sides: output t sees its neighbours on either side
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CausalConv1d(nn.Conv1d):
    """A dilated convolution that never looks ahead.

    Shape: `[B, C_in, T] -> [B, C_out, T]`; the clip is preceded by `past` zeros.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel_size, dilation=dilation)
        self.past = (kernel_size - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (self.past, 0)))


class CentredResidual(nn.Module):
    """One layer of the encoder: ReLU, dilated convolution, ReLU, 1x1, plus the input.

    Shape: `[B, C, T] -> [B, C, T]`. Not causal.
    Source: Mor et al. 2019 (Universal Music Translation), section 3.1, in the pre-activated form.
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        padding = (kernel_size // 2) * dilation
        self.dilated = nn.Conv1d(channels, channels, kernel_size, dilation=dilation, padding=padding)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(torch.relu(self.dilated(torch.relu(x))))
        return x + mixed


class GatedResidual(nn.Module):
    """One layer of the WaveNet: a gated causal convolution with a residual and a skip output.

        x --+-- dilated conv --(+ V h)-- sigmoid | tanh --(*)--+-- 1x1 ----------> skip sum
            |                                                  |
            |                                                  +-- 1x1 --(+)----> next layer
            |                                                             |
            +-------------------------------------------------------------+

    The condition's 1x1 (`V h` in the paper) runs at the frame rate and is broadcast over the hop: a 1x1 convolution
    and repetition in time commute, so this equals repeating first, at a `hop`th of the work.

    Source: van den Oord et al. 2016, sections 2.3 to 2.5. The first half of the channels is the sigmoid, the second
    the tanh; each has its own weights for the sound and for the condition.
    """

    def __init__(
        self, residual_channels: int, skip_channels: int, condition_channels: int, kernel_size: int, dilation: int
    ) -> None:
        super().__init__()
        self.dilated = CausalConv1d(residual_channels, 2 * residual_channels, kernel_size, dilation)
        self.condition = nn.Conv1d(condition_channels, 2 * residual_channels, 1) if condition_channels else None
        self.residual = nn.Conv1d(residual_channels, residual_channels, 1)
        self.skip = nn.Conv1d(residual_channels, skip_channels, 1)

    def forward(self, x: Tensor, frames: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run the layer over a whole clip.

        Args:
            x: `[B, R, T]`.
            frames: condition `[B, C, F]`, T a multiple of F; None where the net has no condition.

        Returns:
            The next layer's input `[B, R, T]`, and this layer's share of the skip sum `[B, S, T]`.
        """
        scores = self.dilated(x)
        if self.condition is not None:
            scores = add_frames(scores, self.condition(frames))
        gated = gate(scores)
        return x + self.residual(gated), self.skip(gated)


def gate(scores: Tensor) -> Tensor:
    """Sigmoid of the first half of the channels times tanh of the second; `[B, 2R, ...] -> [B, R, ...]`."""
    switch, signal = scores.chunk(2, dim=1)
    return torch.sigmoid(switch) * torch.tanh(signal)


def add_frames(samples: Tensor, frames: Tensor) -> Tensor:
    """Add frame-rate values to sample-rate values, each frame held for its hop (nearest-neighbour upsampling).

    Args:
        samples: `[B, C, T]`.
        frames: `[B, C, F]`, with T a multiple of F.

    >>> add_frames(torch.zeros(1, 1, 4), torch.tensor([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    by_frame = torch.unflatten(samples, 2, (frames.shape[2], -1))  # [B, C, T] -> [B, C, F, hop]
    return torch.flatten(by_frame + frames.unsqueeze(3), 2)
