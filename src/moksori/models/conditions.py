"""Conditioning of a decoder: latent, singer, melody and log-mel, as channels of one row of frames.

A conditioning is a row of frames: `[B, C, F]` with a hop in samples. The latent changes from frame to frame (local
condition), the singer does not (global condition) and is repeated over the frames. Further conditions (pitch,
loudness, mel) join along the channels after being brought to the same hop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from moksori.audio import spectral


@dataclass(frozen=True)
class Conditioning:
    """Conditioning of a decoder: frames, each one valid for `hop_samples` samples."""

    frames: Tensor  # [B, C, F]
    hop_samples: int

    @property
    def n_samples(self) -> int:
        """Length of the clip described, F * hop."""
        return self.frames.shape[2] * self.hop_samples


MELODY_CHANNELS = 3
_MIDDLE_HZ, _LOWEST_HZ = 220.0, 30.0


def melody(f0_hz: Tensor, level_dbfs: Tensor) -> Tensor:
    """Pitch and loudness as channels of around 1: octaves above A3, whether there is pitch, level.

    Args:
        f0_hz: `[B, F]`, 0 where unvoiced.
        level_dbfs: `[B, F]`.

    Returns:
        `[B, 3, F]`.
    """
    is_voiced = (f0_hz > 0).to(f0_hz)
    octaves = torch.log2(f0_hz.clamp(min=_LOWEST_HZ) / _MIDDLE_HZ) * is_voiced
    return torch.stack([octaves, is_voiced, level(level_dbfs)], dim=1)


PHASE_CHANNELS = 4


def phase(cycles: Tensor, f0_hz: Tensor) -> Tensor:
    """The place within a period as channels: sine and cosine of the fundamental and of its octave; 0 where unvoiced.

    Args:
        cycles: `[B, F * r]` for some whole r, see `audio.phase`.
        f0_hz: `[B, F]`, 0 where unvoiced.

    Returns:
        `[B, 4, F * r]`.
    """
    angle = 2 * math.pi * cycles
    waves = torch.stack([angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos()], dim=1)
    is_voiced = (f0_hz > 0).to(waves).repeat_interleave(cycles.shape[1] // f0_hz.shape[1], dim=1)
    return waves * is_voiced[:, None]


def with_phase(conditioning: Conditioning, cycles: Tensor, f0_hz: Tensor) -> Conditioning:
    """A conditioning that tells a phase, too, as often as that is known; see `phase`. Frames are held meanwhile."""
    waves = phase(cycles, f0_hz)
    ratio = cycles.shape[1] // conditioning.frames.shape[2]
    held = conditioning.frames.repeat_interleave(ratio, dim=2)
    return Conditioning(torch.cat([held, waves.to(held)], dim=1), conditioning.hop_samples // ratio)


def level(level_dbfs: Tensor) -> Tensor:
    """A level as a channel of around 1."""
    return level_dbfs / 20.0 + 2.0


def dbfs(level_nepers: Tensor) -> Tensor:
    """A level in nepers (log RMS) in dBFS."""
    return level_nepers * (20.0 / math.log(10.0))


_MIDDLE_MEL = -5.0  # of log-mels of singing


def mel(log_mel: Tensor) -> Tensor:
    """Log-mel `[B, M, F]` as channels of around 1: as conditioning, and as input of every net."""
    return spectral.centred(log_mel, _MIDDLE_MEL)


def join(latent: Tensor, singer: Tensor, hop_samples: int, melody_channels: Tensor | None = None) -> Conditioning:
    """Put the latent and the singer's vector into one condition, as in the concatenation of the published system.

    Args:
        latent: z `[B, D, F]`.
        singer: singer embedding `[B, E]`, repeated over the frames.
        hop_samples: samples a latent frame lasts.
        melody_channels: `[B, 3, F * r]` for some whole r, see `melody`; None without. The conditioning then has its
            frames, and each of the latent's holds for r of them.

    Returns:
        Frames `[B, D + E, F]`, the latent first; or `[B, D + E + 3, F * r]`, the melody last.
    """
    if melody_channels is None:
        repeated = singer.unsqueeze(2).expand(-1, -1, latent.shape[2])  # [B, E] -> [B, E, F]
        return Conditioning(torch.cat([latent, repeated], dim=1), hop_samples)
    ratio = melody_channels.shape[2] // latent.shape[2]
    held = latent.repeat_interleave(ratio, dim=2)  # [B, D, F] -> [B, D, F * r]
    repeated = singer.unsqueeze(2).expand(-1, -1, melody_channels.shape[2])
    return Conditioning(torch.cat([held, repeated, melody_channels.to(held)], dim=1), hop_samples // ratio)
