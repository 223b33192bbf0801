"""The ear: a small net that hears the pitch, taught beside the voice, so that no tracker tells a conversion its melody.

    sound --> magnitudes on a logarithmic axis --> stacked at the harmonics --> 2-D convolutions --> salience of pitches

On that axis another pitch is the same picture elsewhere, and so is its stack; so one net for all places needs few
recordings, and hears notes that nobody sang in them.

Source: the harmonic constant-Q transform and its convolutions, Bittner et al. 2017 (Deep salience representations),
sections 2 and 3; here of one short-time Fourier transform, with a word on whether there is a voice at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.audio import pitch, spectral
from moksori.audio.spectral import SpectralConfig

BINS_PER_OCTAVE = 60  # 20 cents
_N_BINS = 1 + math.floor(BINS_PER_OCTAVE * math.log2(pitch.HIGH_HZ / pitch.LOW_HZ))
_HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 8)
_WINDOW_SECONDS = 0.1  # about; four periods of the deepest voices
_FLOOR = 1e-4  # magnitude; a frame without any is level
_SPREAD_BINS = 1.25  # of the target about the true pitch: 25 cents
_REACH_BINS = 3  # about the most salient bin, of which the pitch is the mean


@dataclass(frozen=True)
class EarConfig:
    """Size of the ear; none of it where a tracker tells the pitch."""

    channels: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.channels <= 512:
            raise ValueError(f"ear channels are 0 (none) to 512, not {self.channels}")


class Ear(nn.Module):
    """Waveform `[B, T]` -> salience of pitches `[B, K, T / hop]` and whether one is sung `[B, T / hop]`, as logits."""

    def __init__(self, config: EarConfig, sample_rate: int, hop_samples: int) -> None:
        super().__init__()
        width = config.channels
        window = 1 << round(math.log2(_WINDOW_SECONDS * sample_rate))
        self.spectral = SpectralConfig(sample_rate, window, hop_samples)
        self.body = nn.Sequential(
            nn.Conv2d(len(_HARMONICS), width, (7, 3), padding=(3, 1)),
            nn.ReLU(),
            nn.Conv2d(width, width, (7, 3), padding=(3, 1)),
            nn.ReLU(),
        )
        self.salience = nn.Conv2d(width, 1, 1)
        self.voicing = nn.Conv1d(2 * width, 1, 1)

    @property
    def context_frames(self) -> int:
        """Frames on either side of a frame that it depends on."""
        return 2 + -(-self.spectral.window_samples // (2 * self.spectral.hop_samples))

    def stacked(self, sound: Tensor) -> Tensor:
        """What is at half of each pitch, at it and at its multiples, in nepers under the frame's loudest bin.

        `[B, T] -> [B, harmonics, K, F]`; beyond half the sample rate lies nothing.
        """
        nepers = torch.log(spectral.magnitude(sound, self.spectral).clamp(min=_FLOOR))  # [B, bins, F]
        nepers = nepers - nepers.amax(dim=1, keepdim=True)
        octaves = torch.arange(_N_BINS, device=sound.device) / BINS_PER_OCTAVE
        harmonics = torch.tensor(_HARMONICS, device=sound.device)
        hz = pitch.LOW_HZ * harmonics[:, None] * 2**octaves  # [harmonics, K]
        place = hz * (self.spectral.window_samples / self.spectral.sample_rate)
        is_there = place <= self.spectral.n_bins - 1
        wanted = place.clamp(max=self.spectral.n_bins - 1).flatten()[None, :, None].expand(len(sound), -1, -1)
        rows = spectral.rows_at(nepers, wanted)
        there = torch.unflatten(rows, 1, (len(_HARMONICS), -1))
        return torch.where(is_there[:, :, None], there, math.log(_FLOOR)) / 5.0 + 1.0  # of around 1

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(self.stacked(sound))  # [B, C, K, F]
        most = torch.cat([hidden.amax(dim=2), hidden.mean(dim=2)], dim=1)
        return self.salience(hidden)[:, 0], self.voicing(most)[:, 0]

    def loss(self, sound: Tensor, f0_hz: Tensor) -> Tensor:
        """How badly a pitch is heard: cross-entropies of pitch and voicing, in nats, each the mean over its frames.

        Frames whose window reaches far beyond the clip are left out, where any others are there.

        Args:
            sound: `[B, T]`.
            f0_hz: `[B, T / hop]`, 0 where unvoiced.
        """
        salience, voicing = self(sound)
        edge = -(-self.spectral.window_samples // (4 * self.spectral.hop_samples))
        if f0_hz.shape[1] > 2 * edge:
            inside = slice(edge, -edge)
            salience, voicing, f0_hz = salience[:, :, inside], voicing[:, inside], f0_hz[:, inside]
        is_voiced = (f0_hz > 0).to(salience)
        place = BINS_PER_OCTAVE * torch.log2(f0_hz.clamp(min=pitch.LOW_HZ) / pitch.LOW_HZ)  # [B, F]
        bins = torch.arange(_N_BINS, device=sound.device)[:, None]
        target = torch.softmax(-0.5 * ((bins - place[:, None].clamp(max=_N_BINS - 1)) / _SPREAD_BINS) ** 2, dim=1)
        which = -(target * functional.log_softmax(salience, dim=1)).sum(dim=1)
        heard = (which * is_voiced).sum() / is_voiced.sum().clamp(min=1)
        return heard + functional.binary_cross_entropy_with_logits(voicing, is_voiced)

    @torch.no_grad()
    def heard(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """The pitch of every frame in Hz, and how likely one is sung: `[B, T] -> [B, F]`, `[B, F]` in [0, 1]."""
        salience, voicing = self(sound)
        first = salience.argmax(dim=1, keepdim=True) - _REACH_BINS
        near = (first + torch.arange(2 * _REACH_BINS + 1, device=sound.device)[:, None]).clamp(0, _N_BINS - 1)
        weights = torch.softmax(salience.gather(1, near), dim=1)
        octaves = (weights * near).sum(dim=1) / BINS_PER_OCTAVE
        return pitch.LOW_HZ * 2**octaves, torch.sigmoid(voicing)
