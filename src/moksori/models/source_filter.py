"""Decoder of the source-filter model (DDSP): latent, pitch and level in, spectral envelopes of harmonics and noise out.

    z, f0, level, singer --net--> envelopes of harmonics and of noise, by frame --synthesiser--> sound

Pitch comes from outside, so it is right by construction.

A decoder with a *detail path* does not make all of it from the latent: it corrects the source's own envelopes.

    shape = (1 - gain) * the voice's mean + gain * the source's shape in the voice's colour + correction by the net

The words are in the source's shape (`audio.shapes`), and so is its likeness: the gain says how much of it passes, the
net is conditioned on the gain, and what comes out is as loud as the source by construction. Gain 0 makes all of the
latent, and nothing passes. The higher the gain, the smoother the correction: what is fine is the source's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.audio import features, shapes
from moksori.models import conditions
from moksori.models.synthesiser import Controls

_N_CORRECTED = 16  # cepstra of a correction at gain 1
_SILENT = -9.0  # log amplitude that an untrained decoder begins with, -78 dB


@dataclass(frozen=True)
class SourceFilterConfig:
    """Sizes of the net."""

    n_bands: int = 64  # of each envelope
    channels: int = 192
    layers: int = 6  # gated convolutions, dilations 1, 2, 4, 1, 2, 4, ...
    kernel_size: int = 3  # taps, odd
    has_detail: bool = False  # the source's own envelopes are corrected, instead of all being made of the latent
    detail_gain: float = 0.7  # how much of the source's detail passes if nothing else is said, 0..1
    sharpening: float = 0.0  # by how much conversions raise the fine part of the harmonics' envelope, 0..1

    def __post_init__(self) -> None:
        if min(self.channels, self.layers) < 1 or self.n_bands < 2:
            raise ValueError(f"channels and layers are at least 1, bands at least 2: {self}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; a centred convolution has an odd number of taps")

        if not 0 <= self.detail_gain <= 1:
            raise ValueError(f"detail_gain is {self.detail_gain}; expected 0 to 1")
        if not 0 <= self.sharpening <= 1:
            raise ValueError(f"sharpening is {self.sharpening}; expected 0 to 1")
        if self.has_detail and self.n_bands != features.N_BANDS:
            raise ValueError(
                f"a detail path needs {features.N_BANDS} bands, as envelopes are measured, not {self.n_bands}"
            )

    @property
    def context_frames(self) -> int:
        """Frames on either side that a frame of controls depends on."""
        return _STEM // 2 + sum(_dilation(index) * (self.kernel_size // 2) for index in range(self.layers))


class SourceFilterDecoder(nn.Module):
    """Latent, pitch, level and singer -> `Controls`.

    The singer's vector scales and shifts the channels of every layer (feature-wise modulation: Perez et al. 2018) and
    has a word in the output, so that a voice is more than a word at the door.
    """

    def __init__(self, config: SourceFilterConfig, latent_channels: int, singer_channels: int) -> None:
        super().__init__()
        self.config = config
        self.singer_channels = singer_channels
        detail_channels = 2 * config.n_bands + 1 if config.has_detail else 0
        n_inputs = latent_channels + conditions.MELODY_CHANNELS + detail_channels
        self.first = nn.Conv1d(n_inputs, config.channels, _STEM, padding=_STEM // 2)
        self.layers = nn.ModuleList(
            _ModulatedLayer(config.channels, singer_channels, config.kernel_size, _dilation(index))
            for index in range(config.layers)
        )
        self.last = nn.Conv1d(config.channels, 2 * config.n_bands, 1)
        self.timbre = nn.Linear(singer_channels, 2 * config.n_bands, bias=False)
        nn.init.zeros_(self.last.weight)
        if config.has_detail:  # begins with the voice's mean and what passes
            nn.init.zeros_(self.timbre.weight)
        nn.init.constant_(self.last.bias, 0.0 if config.has_detail else _SILENT)  # type: ignore[arg-type]

    def forward(self, z: Tensor, f0_hz: Tensor, level_dbfs: Tensor, singer: Tensor) -> Controls:
        """Say what to sing.

        Args:
            z: latent `[B, D, ceil(F / r)]` for some whole r; each frame of it holds for r frames.
            f0_hz: `[B, F]`, 0 where unvoiced.
            level_dbfs: `[B, F]`.
            singer: vectors `[B, E]`.
        """
        harmonics, noise = self._net(z, [conditions.melody(f0_hz, level_dbfs)], singer).chunk(2, dim=1)
        return Controls(f0_hz, harmonics, noise)

    def corrected(
        self, z: Tensor, f0_hz: Tensor, level_dbfs: Tensor, singer: Tensor, passing: Tensor, gain: Tensor
    ) -> Tensor:
        """The shape to sing, with a detail path.

        Args:
            z: as in `forward`, and so are pitch and level.
            f0_hz: `[B, F]`.
            level_dbfs: `[B, F]`.
            singer: vectors `[B, E + 2 bands]`: what was learned, then the mean shape of the singer's recordings.
            passing: the source's shape in the voice's colour, `[B, 2 bands, F]`; see `shapes.coloured`.
            gain: `[B]`, in [0, 1].

        Returns:
            `[B, 2 bands, F]`, of any level.
        """
        learned, voice = singer[:, : self.singer_channels], singer[:, self.singer_channels :]
        share = gain[:, None, None]
        mean = shapes.by_frame(voice[:, :, None], f0_hz)
        detail = share * (passing - mean)
        gain_channel = (2.0 * gain - 1.0)[:, None, None].expand(-1, 1, passing.shape[2])
        correction = self._net(z, [conditions.melody(f0_hz, level_dbfs), detail, gain_channel], learned)
        smooth = torch.cat([shapes.smooth(part, _N_CORRECTED) for part in correction.chunk(2, dim=1)], dim=1)
        return mean + detail + smooth + (1 - share) * (correction - smooth)

    def _net(self, z: Tensor, conditioning: list[Tensor], singer: Tensor) -> Tensor:
        n_frames = conditioning[0].shape[2]
        repeats = -(-n_frames // z.shape[2])
        held = z.repeat_interleave(repeats, dim=2)[:, :, :n_frames]
        hidden = self.first(torch.cat([held, *(frames.to(held) for frames in conditioning)], dim=1))
        for layer in self.layers:
            hidden = layer(hidden, singer)
        # Envelopes span many decades: they leave in full precision, whatever the net runs in.
        envelopes: Tensor = self.last(hidden).float() + self.timbre(singer).float()[:, :, None]
        return envelopes


class _ModulatedLayer(nn.Module):
    """A gated residual convolution `[B, C, F] -> [B, C, F]` whose input a singer's vector scales and shifts."""

    def __init__(self, channels: int, singer_channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.gated = nn.Conv1d(channels, 2 * channels, kernel_size, padding=padding, dilation=dilation)
        self.modulation = nn.Linear(singer_channels, 2 * channels)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, singer: Tensor) -> Tensor:
        scale, shift = self.modulation(singer)[:, :, None].chunk(2, dim=1)
        gate, value = self.gated(x * (1 + scale) + shift).chunk(2, dim=1)
        mixed: Tensor = self.mix(torch.sigmoid(gate) * functional.silu(value))
        return x + mixed


_STEM = 5  # taps of the first convolution


def _dilation(index: int) -> int:
    return int(2 ** (index % 3))
