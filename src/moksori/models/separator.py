"""Source separation net: a U-Net an instrument, that says what of a mix's spectrogram is its own (Spleeter).

    |spectrogram| of two channels --convolutions, halved six times--> --and back, beside what was there--> mask

Source: Jansson et al. 2017; sizes and weights are those of Spleeter's two stems (Hennequin et al. 2020, MIT licence).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SAMPLE_RATE = 44_100  # Hz
WINDOW_SAMPLES, HOP_SAMPLES = 4096, 1024
N_FRAMES, N_BINS = 512, 1024  # of a spectrogram that the nets look at: 11.9 s, up to 11 kHz

_WIDTHS = (16, 32, 64, 128, 256, 512)
_EPSILON = 1e-3  # of normalisation, as it was trained


class UNet(nn.Module):
    """The share of one instrument: magnitudes `[B, 2, N_FRAMES, N_BINS]` -> its magnitudes, of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        inputs: tuple[int, ...] = (2, *_WIDTHS[:-1])
        self.down = nn.ModuleList(nn.Conv2d(i, o, 5, 2) for i, o in zip(inputs, _WIDTHS, strict=True))
        self.down_norm = nn.ModuleList(nn.BatchNorm2d(o, _EPSILON) for o in _WIDTHS)
        outputs = (*_WIDTHS[-2::-1], 1)  # 256, 128, ..., 16, 1
        inputs = (_WIDTHS[-1], *(2 * o for o in outputs[:-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 5, 2) for i, o in zip(inputs, outputs, strict=True))
        self.up_norm = nn.ModuleList(nn.BatchNorm2d(o, _EPSILON) for o in outputs)
        self.mask = nn.Conv2d(1, 2, 4, dilation=2)

    def forward(self, magnitudes: Tensor) -> Tensor:
        # Padded as TensorFlow does it: three more than is needed, one before and two behind.
        hidden, beside = magnitudes, []
        for convolution, norm in zip(self.down, self.down_norm, strict=True):
            scores = convolution(functional.pad(hidden, (1, 2, 1, 2)))
            beside.append(scores)
            hidden = functional.leaky_relu(norm(scores), 0.2)
        hidden = beside.pop()  # the innermost goes on as it is
        for convolution, norm in zip(self.up, self.up_norm, strict=True):
            hidden = norm(torch.relu(convolution(hidden)[:, :, 1:-2, 1:-2]))
            if beside:
                hidden = torch.cat([beside.pop(), hidden], dim=1)
        share = torch.sigmoid(self.mask(functional.pad(hidden, (3, 3, 3, 3))))
        return magnitudes * share


class Separator(nn.Module):
    """Both instruments, and the mask of the voice that they agree on."""

    def __init__(self) -> None:
        super().__init__()
        self.voice = UNet()
        self.backing = UNet()

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes `[B, 2, N_FRAMES, N_BINS]` -> the voice's share of each, in [0, 1]: powers are compared."""
        voice, backing = (net(magnitudes).square() for net in (self.voice, self.backing))
        share: Tensor = (voice + 0.5e-10) / (voice + backing + 1e-10)
        return share
