"""Log-mel spectrograms, and sound of them by Griffin and Lim: what a speech net is taught, and how it can be heard.

    samples --windows, FFT--> magnitude --mel weights, log--> log-mel        what the net says
    log-mel --exp, least squares--> magnitude --phases found by turns--> samples

Phases are lost in a spectrogram. They are found by turns: take any, make sound of it, take the phases of that sound's
spectrogram, which fit each other a little better.

Source: Griffin and Lim 1984; with momentum, Perraudin, Balazs and Sondergaard 2013.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MelConfig:
    """How finely sound is seen."""

    sample_rate: int = 22_050  # Hz
    window_samples: int = 1024
    hop_samples: int = 276  # 12.5 ms
    n_mels: int = 80
    high_hz: float = 8000.0
    floor: float = 1e-3  # amplitude of silence; speech by rules has nothing below

    @functools.cached_property
    def weights(self) -> Tensor:
        """Triangles evenly spaced in mel, `[mels, bins]`; each sums to 1, so that a band is a mean."""
        edges_mel = torch.linspace(0.0, _mel(self.high_hz), self.n_mels + 2)
        edges = (700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0))[:, None]
        bins = torch.linspace(0.0, self.sample_rate / 2, self.window_samples // 2 + 1)
        rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
        triangles = torch.minimum(rising, falling).clamp(min=0.0)
        # A triangle narrower than a bin may hold none: it reads the nearest.
        nearest = torch.zeros_like(triangles).scatter_(1, (bins - edges[1:-1]).abs().argmin(1, keepdim=True), 1.0)
        triangles = torch.where(triangles.sum(1, keepdim=True) > 0, triangles, nearest)
        return triangles / triangles.sum(1, keepdim=True)


def _mel(hz: float) -> float:
    return 2595.0 * math.log10(1.0 + hz / 700.0)


def log_mel(samples: Tensor, config: MelConfig) -> Tensor:
    """Natural log of the amplitude in each band: `[T] -> [mels, T // hop + 1]`, at least `log(floor)`."""
    magnitude = _spectrum(samples, config).abs() * _scale(config)
    return (config.weights @ magnitude).clamp(min=config.floor).log()


def griffin_lim(log_mel: Tensor, config: MelConfig, n_iterations: int = 60, seed: int = 0) -> Tensor:
    """Sound that has this spectrogram, as far as there is one: `[mels, F] -> [(F - 1) * hop]`."""
    magnitude = magnitude_of(log_mel, config) / _scale(config)
    cycles = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(seed))
    phases, before = torch.polar(torch.ones_like(cycles), 2 * math.pi * cycles), torch.zeros(())
    momentum = 0.99 / 1.99
    for _ in range(n_iterations):
        found = _spectrum(_sound(magnitude * phases, config), config)
        moved = found - momentum * before
        phases, before = moved / (moved.abs() + 1e-9), found
    return _sound(magnitude * phases, config)


def magnitude_of(log_mel: Tensor, config: MelConfig, n_iterations: int = 200) -> Tensor:
    """Magnitudes `[bins, F]`, none negative, whose bands are those of a log-mel: multiplicative updates.

    Source: Lee and Seung 2001, for the squared error with one factor fixed.
    """
    wanted, weights = log_mel.exp(), config.weights
    magnitude = weights.T @ wanted + 1e-6
    from_wanted = weights.T @ wanted
    for _ in range(n_iterations):
        magnitude = magnitude * from_wanted / (weights.T @ (weights @ magnitude) + 1e-9)
    return magnitude


def _spectrum(samples: Tensor, config: MelConfig) -> Tensor:
    window = torch.hann_window(config.window_samples)
    return torch.stft(
        samples, config.window_samples, config.hop_samples, window=window, pad_mode="constant", return_complex=True
    )


def _sound(spectrum: Tensor, config: MelConfig) -> Tensor:
    return torch.istft(
        spectrum, config.window_samples, config.hop_samples, window=torch.hann_window(config.window_samples)
    )


def _scale(config: MelConfig) -> float:
    """So that a steady sine of amplitude a measures a."""
    return 2.0 / float(torch.hann_window(config.window_samples).sum())
