"""Perturbation of the encoder's inputs while it learns: the same words, as if sung by anybody.

Formants are moved and the tone is coloured by chance, so that they tell the encoder nothing about the singer, and what
it says cannot depend on them. The clip to be rebuilt stays as it is.

Source: information perturbation, Choi et al. 2021 (NANSY), section 3.1; here on the log-mel, on the envelopes, or, of
codes, on the short-time spectrum, whose frequency axis is stretched as in vocal tract length perturbation, Jaitly and
Hinton 2013, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from moksori.audio import features, shapes, spectral
from moksori.audio.envelopes import EnvelopeConfig
from moksori.audio.features import FeatureConfig

_WINDOW_SAMPLES = 512
_TONE_KNOTS = 6  # of the line that colours a spectrum
_SPARSE_LOG_HZ = (math.log(100.0), math.log(600.0))
_NOISE_NEPERS = (-5.8, -2.3)  # 50 to 20 dB under the loudest frame


@dataclass(frozen=True)
class PerturbConfig:
    """How far what an encoder hears may be moved; and, of codes, how dirty the past is that a decoder is taught."""

    stretch: float = 0.12  # of the axis of bands, up or down, as a share of it
    shift_bands: float = 3.0  # up or down
    tone: float = 0.8  # standard deviation of the colouring's knots, in nepers
    loudness: float = 0.5  # standard deviation, in nepers
    # Of envelopes, in a model with a detail path:
    tract: float = 0.2  # of the frequency axis, up or down, in nepers: another length of the vocal tract
    sparse_probability: float = 0.5  # of envelopes seen at the harmonics of another pitch only
    noise_probability: float = 0.5  # of noise in the recording, 20 to 50 dB under its loudest frame
    colour: float = 0.15  # standard deviation of the knots of what the recording's mean does not tell, in nepers
    # Of codes: standard deviation of the noise on the past that a decoder is taught with, at most; in codes. A clip's
    # own is drawn between 0 and this. With a perfect past a decoder hardly needs its latent, and goes astray without.
    past_noise: float = 0.0
    # Of codes, too, and 0 in the published system: the sound whose codes the encoder hears.
    sound_tract: float = 0.0  # of the frequency axis, up or down, in nepers: another tract, and another pitch
    sound_tone: float = 0.0  # standard deviation of the colouring's knots, in nepers

    def __post_init__(self) -> None:
        sizes = (self.stretch, self.shift_bands, self.tone, self.loudness, self.tract, self.colour, self.past_noise)
        smallest = min(*sizes, self.sound_tract, self.sound_tone)
        if not 0 <= min(self.sparse_probability, self.noise_probability) <= 1 >= self.sparse_probability:
            raise ValueError(f"probabilities lie in [0, 1]: {self}")
        if smallest < 0 or self.stretch >= 1:
            raise ValueError(f"perturbations must not be negative, and stretch below 1: {self}")

    @property
    def is_of_sound(self) -> bool:
        """Whether an encoder of codes hears another sound than the one to be rebuilt."""
        return max(self.sound_tract, self.sound_tone) > 0


def past_noise(codes: Tensor, config: PerturbConfig, generator: torch.Generator) -> Tensor:
    """Noise for the past of clips of codes `[B, T]`, in codes: another level for every clip."""
    device = codes.device
    level = config.past_noise * torch.rand(len(codes), 1, generator=generator, device=device)
    return level * torch.randn(codes.shape, generator=generator, device=device)


def perturbed_sound(sound: Tensor, config: PerturbConfig, generator: torch.Generator) -> Tensor:
    """Another tract, pitch and colour for every clip, at the same time: `[B, T] -> [B, T]`, at any sample rate.

    Magnitudes are read elsewhere on the frequency axis, phases stay: rough to listen to, and right for a spectrogram.
    """
    n_clips, device = len(sound), sound.device
    window = torch.hann_window(_WINDOW_SAMPLES, device=device)

    def frames(transform: Callable[..., Tensor], of: Tensor, **how: Any) -> Tensor:
        return transform(of, _WINDOW_SAMPLES, _WINDOW_SAMPLES // 4, window=window, **how)

    spectrum = frames(torch.stft, sound, pad_mode="constant", return_complex=True)  # [B, bins, F]
    n_bins = spectrum.shape[1]
    factor = torch.exp(config.sound_tract * (2 * torch.rand(n_clips, 1, generator=generator, device=device) - 1))
    place = (torch.arange(n_bins, device=device) * factor).clamp(max=n_bins - 1)
    knots = config.sound_tone * torch.randn(n_clips, 1, _TONE_KNOTS, generator=generator, device=device)
    tone = functional.interpolate(knots, n_bins, mode="linear", align_corners=True).transpose(1, 2)
    size = spectral.rows_at(spectrum.abs(), place[:, :, None]) * torch.exp(tone)
    return frames(torch.istft, torch.polar(size, spectrum.angle()), length=sound.shape[1])


def perturbed(mel: Tensor, config: PerturbConfig, generator: torch.Generator) -> Tensor:
    """Another colour for every clip: `[B, M, F] -> [B, M, F]`."""
    n_clips, n_mels, _ = mel.shape
    device = mel.device

    def either_way(size: float) -> Tensor:
        return size * (2 * torch.rand(n_clips, 1, generator=generator, device=device) - 1)

    bands = torch.arange(n_mels, device=device)
    place = (bands * (1 + either_way(config.stretch)) + either_way(config.shift_bands)).clamp(0, n_mels - 1.001)
    knots = config.tone * torch.randn(n_clips, 1, _TONE_KNOTS, generator=generator, device=device)
    tone = functional.interpolate(knots, n_mels, mode="linear", align_corners=True).transpose(1, 2)
    loudness = config.loudness * torch.randn(n_clips, 1, 1, generator=generator, device=device)
    return spectral.rows_at(mel, place[:, :, None]) + tone + loudness


def perturbed_densities(
    excerpts: Tensor,
    config: PerturbConfig,
    feature_config: FeatureConfig,
    generator: torch.Generator,
    strength: Tensor | None = None,
) -> Tensor:
    """Excerpts as if another throat, pitch and room had been recorded: envelopes and mean shape are changed.

    Pitch, level and the log-mels to be rebuilt stay as they are.

    Args:
        excerpts: `[B, N, F]`, see `features.excerpt`.
        config: how far.
        feature_config: whose envelopes they are.
        generator: of all chance.
        strength: of each clip `[B]`, in [0, 1]: what part of the throat and of the room is changed; None for all.
    """
    n_clips, device, bands = len(excerpts), excerpts.device, feature_config.envelope
    f0_hz = features.f0_hz(excerpts)
    shape, level = features.shape_of(excerpts, feature_config)
    both = torch.stack(
        torch.cat([features.mean_shape(excerpts), shape], dim=2).chunk(2, dim=1), dim=1
    )  # [B, 2, bands, 1 + F]

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n_clips, generator=generator, device=device)

    part = torch.ones(n_clips, device=device) if strength is None else strength
    both = _read_at(both, _warped_places(torch.exp(part * between(-config.tract, config.tract)), bands))
    seen = through_harmonics(torch.exp(between(*_SPARSE_LOG_HZ)), bands)  # [B, bands, bands]
    is_sparse = between(0, 1) < part * config.sparse_probability
    seen = torch.where(is_sparse[:, None, None], seen, torch.eye(bands.n_bands, device=device))
    harmonics, noise = (seen @ both[:, 0]), both[:, 1]
    knots = config.colour * torch.randn(n_clips, 1, _TONE_KNOTS, generator=generator, device=device)
    knots = part[:, None, None] * knots
    colour = functional.interpolate(knots, bands.n_bands, mode="linear", align_corners=True).transpose(1, 2)
    is_noisy = between(0, 1) < config.noise_probability
    tilt = between(-1, 1)[:, None] * torch.linspace(-1, 1, bands.n_bands, device=device)
    floor = level.amax(dim=1)[:, None, None] + between(*_NOISE_NEPERS)[:, None, None] + tilt[:, :, None]
    own_level = torch.cat([level.amax(dim=1, keepdim=True), level], dim=1)[:, None]  # the mean is of loud frames
    noisy = 0.5 * torch.logaddexp(2 * noise, 2 * (floor - own_level))
    noise = torch.where(is_noisy[:, None, None], noisy, noise)
    changed = torch.cat([harmonics, noise], dim=1)
    mean, shape = changed[:, :, 0], changed[:, :, 1:] + torch.cat([colour, colour], dim=1)
    densities = shape + (level - shapes.level_nepers(shape, f0_hz, bands))[:, None]
    return features.with_mean_shape(features.with_densities(excerpts, densities), mean)


def through_harmonics(f0_hz: Tensor, config: EnvelopeConfig) -> Tensor:
    """What a voice at a pitch `[B]` shows of a curve over the bands: `[B, bands, bands]`, rows sum to 1.

    The curve is read at the harmonics, and drawn in straight lines between them; below the first one it is level.
    """
    bands_hz = torch.from_numpy(config.bands_hz).float().to(f0_hz.device)
    number = bands_hz / f0_hz[:, None]  # [B, bands] harmonic numbers
    below = number.floor().clamp(min=1)
    share = (number - below).clamp(0, 1)[:, :, None]
    top = (0.5 * config.sample_rate / f0_hz[:, None]).floor()
    ends = [_reading((torch.minimum(below + step, top) * f0_hz[:, None]), config) for step in (0, 1)]
    return ends[0] * (1 - share) + ends[1] * share


def _reading(frequency_hz: Tensor, config: EnvelopeConfig) -> Tensor:
    """Weights that read a curve over the bands at frequencies `[B, K]`: `[B, K, bands]`."""
    place = torch.from_numpy(config.place(frequency_hz.double().cpu().numpy())).float().to(frequency_hz.device)
    numbers = torch.arange(config.n_bands, device=frequency_hz.device)
    return (1.0 - (place[:, :, None] - numbers).abs()).clamp(min=0.0)


def _warped_places(factor: Tensor, config: EnvelopeConfig) -> Tensor:
    """Where each band is read when the frequency axis is stretched by a factor a clip: `[B] -> [B, bands, bands]`."""
    bands_hz = torch.from_numpy(config.bands_hz).float().to(factor.device)
    return _reading(bands_hz * factor[:, None], config)


def _read_at(curves: Tensor, weights: Tensor) -> Tensor:
    """`[B, 2, bands, F]` read by `[B, bands, bands]`."""
    return weights[:, None] @ curves
