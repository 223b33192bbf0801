"""Where a voice stands within its period: the phase of the fundamental, in cycles, from its pitch or from its sound.

    of_pitch   f0, summed over samples: the phase of a song that is yet to be generated
    of_sound   the same, turned by what the fundamental of a recording is ahead of it: the phase of that recording

A decoder of codes that is conditioned on the pitch as a number has to learn an oscillator for every pitch. Conditioned
on the phase, it has to learn what one period looks like. Nobody knows where in its period a recording begins, so while
a decoder learns, the phase is measured.

Source: a sine as excitation, Wang, Takaki and Yamagishi 2019 (neural source-filter models); here it conditions a net
that is autoregressive, and is aligned with the recording.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_WINDOW_SECONDS = 0.03  # of the band-pass filter around the fundamental: two to three periods of a deep voice
_ANY_HZ = 200.0  # of clips without a voiced frame


def of_pitch(f0_hz: Tensor, hop_samples: int, sample_rate: int, step_samples: int) -> Tensor:
    """The phase of a voice that follows a pitch, from 0 on.

    Args:
        f0_hz: `[B, F]`, 0 where unvoiced; there the pitch goes on as it was.
        hop_samples: samples from a frame of the pitch to the next.
        sample_rate: Hz.
        step_samples: divides the hop; the phase is given so often.

    Returns:
        Turns in [0, 1), `[B, F * hop / step]`: that of sample i * step.

    >>> of_pitch(torch.tensor([[50.0, 50.0]]), 80, 8000, 40)[0].tolist()
    [0.0, 0.25, 0.5, 0.75]
    """
    return (_cycles(f0_hz, hop_samples, sample_rate, step_samples) % 1.0).float()


def of_sound(waveform: Tensor, f0_hz: Tensor, hop_samples: int, sample_rate: int, step_samples: int) -> Tensor:
    """The phase of a recording's fundamental, where it is known how high it is.

    Args:
        waveform: `[B, T]`, T at most F * hop. After its end the phase goes on as it was.
        f0_hz: `[B, F]`, see `of_pitch`.
        hop_samples: see `of_pitch`.
        sample_rate: Hz.
        step_samples: see `of_pitch`.

    Returns:
        Turns in [0, 1), `[B, F * hop / step]`; 0 is where the fundamental has its maximum.
    """
    cycles = _cycles(f0_hz, hop_samples, sample_rate, 1)
    n_samples = waveform.shape[1]
    angle = 2 * math.pi * cycles[:, :n_samples]
    carrier = torch.polar(torch.ones_like(angle), angle).to(torch.complex64)
    # At 0 Hz now stands the fundamental; what passes turns as slowly as the tracker's error.
    lowered = waveform * carrier.conj()
    width = round(_WINDOW_SECONDS * sample_rate / 2)
    window = torch.hann_window(2 * width + 3, periodic=False, device=waveform.device)[1:-1]
    parts = torch.stack([lowered.real, lowered.imag], dim=1).flatten(0, 1)[:, None]  # [2 B, 1, T]
    low = torch.unflatten(functional.conv1d(parts, window[None, None], padding=width), 0, (-1, 2))[:, :, 0]
    ahead = torch.atan2(low[:, 1], low[:, 0]) / (2 * math.pi)  # [B, T]
    ahead = functional.pad(ahead[:, None], (0, cycles.shape[1] - n_samples), mode="replicate")[:, 0]
    return ((cycles + ahead) % 1.0).float()[:, ::step_samples]


def _cycles(f0_hz: Tensor, hop_samples: int, sample_rate: int, step_samples: int) -> Tensor:
    """Turns since the first sample, `[B, F * hop / step]` float64; between frames the pitch goes in straight lines."""
    frames = _without_gaps(f0_hz).double()
    rise = functional.pad(frames.diff(dim=1), (0, 1))  # [B, F], to the next frame
    passed = (hop_samples * frames + rise * (hop_samples - 1) / 2).cumsum(dim=1)
    starts = functional.pad(passed[:, :-1], (1, 0))
    sample = torch.arange(0, hop_samples, step_samples, device=f0_hz.device, dtype=torch.float64)
    within = frames[:, :, None] * sample + rise[:, :, None] * (sample * (sample - 1) / (2 * hop_samples))
    return ((starts[:, :, None] + within) / sample_rate).flatten(1)


def _without_gaps(f0_hz: Tensor) -> Tensor:
    """Pitch `[B, F]` that goes on as it was where there is none; before the first voiced frame it is that one's."""
    place = torch.arange(f0_hz.shape[1], device=f0_hz.device).expand_as(f0_hz)
    is_voiced = f0_hz > 0
    last = torch.where(is_voiced, place, -1).cummax(dim=1).values
    first = torch.where(is_voiced, place, f0_hz.shape[1] - 1).amin(dim=1, keepdim=True)
    held = f0_hz.gather(1, torch.where(last < 0, first, last))
    return torch.where(held > 0, held, torch.full_like(held, _ANY_HZ))
