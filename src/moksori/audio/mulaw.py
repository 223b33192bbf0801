"""Waveform to 8-bit mu-law codes and back; the codes survive decoding and encoding unchanged.

Companding spends the 256 codes where the ear listens, near silence:

    f(x) = sign(x) ln(1 + mu |x|) / ln(1 + mu)          for x in [-1, 1]
    code = round((f(x) + 1) / 2 * mu)                   0, 1, ..., 255

Rounding (not truncation) matters: a pair that truncates moves every code down by one each time that sound is decoded
and encoded again, as when a conversion is converted once more.
"""

from __future__ import annotations

import math

import torch

MU = 255
N_CODES = 256
SILENCE = 128  # code of exactly 0.0: f = 0 lies halfway between 127 and 128, and half rounds to even


def encode(waveform: torch.Tensor) -> torch.Tensor:
    """Compand a waveform to 8-bit mu-law codes.

    Args:
        waveform: float, any shape, nominally in [-1, 1]; values outside (infinity too) are clipped.

    Returns:
        int64 codes 0..255 of the same shape, on the same device. Silence is 128.
        `encode(decode(c)) == c` and `encode(-decode(c)) == 255 - c` hold for every code.

    Raises:
        ValueError: the waveform is not floating point, or holds NaN.
    Source: continuous mu-law, mu = 255, as in van den Oord et al. 2016, section 2.2; rounded to the nearest code.

    >>> encode(torch.tensor([-1.0, 0.0, 1.0])).tolist()
    [0, 128, 255]
    """
    if not waveform.is_floating_point():
        raise ValueError(f"waveform is {waveform.dtype}; mu-law encodes floating point samples in [-1, 1]")
    if torch.isnan(waveform).any():
        raise ValueError("waveform holds NaN, which has no code")
    x = waveform.clamp(-1.0, 1.0)
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()  # half precision is too coarse to tell 256 codes apart
    companded = torch.sign(x) * torch.log1p(MU * x.abs()) / math.log1p(MU)
    return torch.round((companded + 1.0) / 2.0 * MU).long()


def decode(codes: torch.Tensor) -> torch.Tensor:
    """Expand mu-law codes to the middle of the interval that each stands for.

    Args:
        codes: integers 0..255 of any integer type and shape.

    Returns:
        float32 waveform in [-1, 1] of the same shape, on the same device.

    Raises:
        ValueError: the codes are not integers, or one lies outside 0..255.

    >>> decode(torch.tensor([0, 255])).tolist()
    [-1.0, 1.0]
    """
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise ValueError(f"codes are {codes.dtype}; mu-law decodes integers 0..{MU}")
    if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) > MU):
        raise ValueError(f"codes reach from {int(codes.min())} to {int(codes.max())}; expected 0..{MU}")
    companded = (2.0 * codes.float() - MU) / MU  # exactly odd about the middle, which 2 c / 255 - 1 is not
    return torch.sign(companded) * torch.expm1(companded.abs() * math.log1p(MU)) / MU


def to_scalar(codes: torch.Tensor) -> torch.Tensor:
    """Codes as the one number a network hears, code / 255 - 0.5; float32 in [-0.5, 0.5], same shape.

    Source: the input scaling of the Universal Music Translation code base: one scalar channel, not one-hot.

    >>> to_scalar(torch.tensor([0, 255])).tolist()
    [-0.5, 0.5]
    """
    return codes.float() / (N_CODES - 1) - 0.5
