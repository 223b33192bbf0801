"""Spectral envelopes as shapes: what is left of them when pitch and loudness are taken out, too.

An amplitude that a harmonic has depends on how many share the power, so harmonics are given as a density, like noise: a
shape is the log RMS of the white noise that would be as loud at each band, less the level of the frame.

    log envelopes, f0  <-->  shape, level

The mean shape of a recording (its loud voiced frames) tells the voice, the room and the microphone; what a shape
differs from it by is its *detail*, and tells the words: cepstral mean normalisation (Atal 1974), on envelopes. What is
smooth in the difference of two means is the *colour* that turns one voice's shapes towards the other's.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from moksori.audio.envelopes import LOWEST_HZ, EnvelopeConfig

N_COLOUR = 12  # cepstra of the difference between two voices' means that a recording takes on
_UNVOICED_COLOUR = 0.4  # share of it that unvoiced frames take on: a consonant's noise is hardly the voice's
_LOUD_NEPERS = 2.0  # a frame so far under the loudest twentieth is none of the mean's
_LEVEL_FLOOR = 1e-9  # power
_LOWEST_NEPERS, _LEVEL_STEP_NEPERS, _N_LEVELS = -11.0, 0.1, 120


def densities(log_envelopes: Tensor, f0_hz: Tensor, config: EnvelopeConfig) -> Tensor:
    """Take the pitch out of envelopes.

    Args:
        log_envelopes: harmonics, then noise, natural log of amplitudes, `[..., 2 bands, F]`.
        f0_hz: the pitch that they were measured at, `[..., F]`, 0 where unvoiced; the harmonics there become what the
            noise is, and make no sound.
        config: whose bands they are.

    Returns:
        `[..., 2 bands, F]`: both as log RMS of white noise that is as loud.
    """
    harmonics, noise = log_envelopes.chunk(2, dim=-2)
    density = torch.where((f0_hz > 0)[..., None, :], harmonics - _of_one_harmonic(f0_hz, config)[..., None, :], noise)
    return torch.cat([density, noise], dim=-2)


def of(densities: Tensor, f0_hz: Tensor, config: EnvelopeConfig) -> tuple[Tensor, Tensor]:
    """Take loudness out, too: shapes `[..., 2 bands, F]`, and levels `[..., F]` in nepers, log RMS of the frame."""
    level = level_nepers(densities, f0_hz, config)
    return densities - level[..., None, :], level


def log_envelopes(shape: Tensor, level: Tensor, f0_hz: Tensor, config: EnvelopeConfig) -> Tensor:
    """Envelopes `[..., 2 bands, F]` of a shape, sounding at a pitch and a level (nepers) `[..., F]`."""
    loud = shape + (level - level_nepers(shape, f0_hz, config))[..., None, :]
    density, noise = loud.chunk(2, dim=-2)
    return torch.cat([density + _of_one_harmonic(f0_hz, config)[..., None, :], noise], dim=-2)


def total(shape: Tensor, f0_hz: Tensor) -> Tensor:
    """Tone and noise together: `[..., 2 bands, F] -> [..., bands, F]`."""
    density, noise = shape.chunk(2, dim=-2)
    return torch.where((f0_hz > 0)[..., None, :], 0.5 * torch.logaddexp(2 * density, 2 * noise), noise)


def by_frame(mean: Tensor, f0_hz: Tensor) -> Tensor:
    """A mean shape `[..., 2 bands, 1]` as the frames of a pitch `[..., F]` have it: all is noise where unvoiced."""
    harmonics, noise = mean.chunk(2, dim=-2)
    both = 0.5 * torch.logaddexp(2 * harmonics, 2 * noise)
    return torch.where((f0_hz > 0)[..., None, :], mean, torch.cat([both, both], dim=-2))


def smooth(curves: Tensor, n_cepstra: int) -> Tensor:
    """Curves over the bands `[..., bands, F]`, as their first cepstra say them: the orthogonal projection."""
    basis = _cosines(curves.shape[-2], n_cepstra).to(curves)
    projected: Tensor = basis @ (basis.T @ curves)
    return projected


def colour(mean: Tensor, voice: Tensor) -> Tensor:
    """What turns the colour of a recording into that of a voice: mean shapes `[..., 2 bands, 1]` -> `[..., bands, 1]`.

    Tone and noise are coloured alike, and smoothly: of two means the fine part tells pitches and microphones.
    """
    one = torch.ones_like(mean[..., 0, :])  # any pitch: the means are of voiced frames
    return smooth(total(voice, one) - total(mean, one), N_COLOUR)


def coloured(shape: Tensor, f0_hz: Tensor, colour: Tensor) -> Tensor:
    """Shapes `[..., 2 bands, F]` of a recording in another colour `[..., bands, 1]`; unvoiced frames in part of it."""
    is_unvoiced = (f0_hz <= 0).to(shape)
    padded = torch.cat([is_unvoiced[..., :1], is_unvoiced, is_unvoiced[..., -1:]], dim=-1)
    unvoiced = (padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]) / 3  # fades over a frame on either side
    share = (1 - (1 - _UNVOICED_COLOUR) * unvoiced)[..., None, :]
    return shape + share * torch.cat([colour, colour], dim=-2)


def level_nepers(shape: Tensor, f0_hz: Tensor, config: EnvelopeConfig) -> Tensor:
    """Log RMS that densities `[..., 2 bands, F]` sound with, `[..., F]`; unvoiced frames sound by their noise alone."""
    power = torch.einsum("b,...bf->...f", _widths(config).to(shape), torch.exp(2.0 * total(shape, f0_hz)))
    return 0.5 * torch.log(power + _LEVEL_FLOOR)


class MeanShape:
    """The mean shape of the loud voiced frames of a recording that comes in stretches.

    Loud is what lies no more than 2 nepers (17 dB) under the loudest twentieth of the voiced frames. Which those are is
    known in the end only, so shapes are summed by level, a tenth of a neper a bin: memory does not grow with the song.
    """

    def __init__(self, n_bands: int) -> None:
        self._sums = torch.zeros(_N_LEVELS, 2 * n_bands, dtype=torch.float64)
        self._counts = torch.zeros(_N_LEVELS, dtype=torch.int64)

    def push(self, shape: Tensor, level: Tensor, f0_hz: Tensor) -> None:
        """Take in shapes `[2 bands, F]` of levels `[F]` in nepers, as `of` gives them, and their pitch `[F]`."""
        voiced = torch.nonzero(f0_hz > 0)[:, 0]
        place = ((level[voiced] - _LOWEST_NEPERS) / _LEVEL_STEP_NEPERS).long().clamp(0, _N_LEVELS - 1)
        self._sums.index_add_(0, place, shape[:, voiced].T.double())
        self._counts.index_add_(0, place, torch.ones_like(place))

    def result(self) -> tuple[Tensor, int]:
        """The mean `[2 bands]` (float64) and the number of frames; zeros, and none, where nobody sings."""
        total = int(self._counts.sum())
        if not total:
            return torch.zeros(self._sums.shape[1], dtype=torch.float64), 0
        is_reached = self._counts.cumsum(0) > 0.95 * total
        loudest = int(torch.nonzero(is_reached)[0, 0]) if is_reached.any() else _N_LEVELS - 1
        first = max(0, loudest - round(_LOUD_NEPERS / _LEVEL_STEP_NEPERS))
        n_loud = int(self._counts[first:].sum())
        return self._sums[first:].sum(dim=0) / n_loud, n_loud


def _of_one_harmonic(f0_hz: Tensor, config: EnvelopeConfig) -> Tensor:
    """Log amplitude of a harmonic where white noise of RMS 1 is as loud: a^2 / 2 per f0 is 1 per half the rate."""
    return 0.5 * torch.log(f0_hz.clamp(min=LOWEST_HZ) * (4.0 / config.sample_rate))


@functools.lru_cache(maxsize=8)
@torch.inference_mode(mode=False)  # whoever asks first, training may use it, too
def _cosines(n_bands: int, n_cepstra: int) -> Tensor:
    """The first columns of the orthonormal DCT-II, `[bands, cepstra]`."""
    angle = torch.pi / n_bands * (torch.arange(n_bands)[:, None] + 0.5) * torch.arange(n_cepstra)
    basis = torch.cos(angle.double()) * (2.0 / n_bands) ** 0.5
    basis[:, 0] *= 0.5**0.5
    orthonormal: Tensor = basis.float()
    return orthonormal


@functools.lru_cache(maxsize=8)
@torch.inference_mode(mode=False)
def _widths(config: EnvelopeConfig) -> Tensor:
    """The share of white noise's power that each band stands for, `[bands]`; they sum to 1."""
    hz = (torch.arange(8192, dtype=torch.float64) + 0.5) * (config.sample_rate / 2 / 8192)
    place = torch.from_numpy(config.place(hz.numpy()))
    distance = (place[None] - torch.arange(config.n_bands)[:, None]).abs()
    return (1.0 - distance).clamp(min=0.0).mean(dim=1).float()
