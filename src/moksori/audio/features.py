"""Acoustic features of a recording by frame, for models conditioned on the melody: log-mel, f0, level, envelopes.

    log-mel in three windows   the shortest one sees consonants, the longest one tells the harmonics of a deep voice
    f0                         from outside, by the pitch tracker
    level                      RMS of the hop from there on
    envelopes                  of harmonics and of noise, with pitch taken out (`audio.envelopes`)

Log-mel and f0 of frame i are those around sample `i * hop_samples`, as in `spectral`; its level is that of the samples
from there to the next frame, so it comes half a hop later. A clip has `ceil(T / hop_samples)` frames. All of them stand
in one array `[N_VALUES, F]`, so that they are stored, cut and batched together. An excerpt that a model learns from has
some rows more: see `excerpt`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori.audio import envelopes, level, pitch, shapes, spectral
from moksori.audio.clip import Samples
from moksori.audio.envelopes import EnvelopeConfig, Envelopes
from moksori.audio.pitch import PitchTrack
from moksori.audio.spectral import SpectralConfig

WINDOWS = {2048: 100, 1024: 80, 512: 60}  # window in samples -> mel bands
ENCODER_WINDOW = 1024  # samples, of the log-mel that an encoder gets
N_BANDS = 64  # of each envelope
N_MELS = sum(WINDOWS.values())
N_VALUES = N_MELS + 2 + 2 * N_BANDS
NO_GAIN = -1.0
FLOOR = 1e-4  # amplitude of silence in a mel band, -80 dB
LOW_HZ = 40.0  # lower edge of the lowest mel band
FLOOR_DBFS = -80.0  # level of silence

_F0, LEVEL = N_MELS, N_MELS + 1
_ENVELOPES = slice(N_MELS + 2, N_VALUES)


@dataclass(frozen=True)
class FeatureConfig:
    """At which rate, and how often."""

    sample_rate: int = 24_000  # Hz
    hop_samples: int = 240

    def __post_init__(self) -> None:
        if not 8000 <= self.sample_rate <= 48_000 or not 1 <= self.hop_samples <= min(WINDOWS) // 2:
            raise ValueError(
                f"sample_rate must be 8000 to 48000 Hz and hop_samples 1 to {min(WINDOWS) // 2}, "
                f"half the shortest window: {self}"
            )

    def spectral(self, window_samples: int) -> SpectralConfig:
        """How the spectrogram of a window is taken."""
        return SpectralConfig(self.sample_rate, window_samples, self.hop_samples, WINDOWS[window_samples], LOW_HZ)

    @property
    def envelope(self) -> EnvelopeConfig:
        """How envelopes are measured."""
        return EnvelopeConfig(self.sample_rate, self.hop_samples, N_BANDS)

    def filterbank(self, window_samples: int) -> Tensor:
        """Mel weights of a window, `[mels, bins]`."""
        return spectral.mel_filterbank(self.spectral(window_samples))


def of(samples: Samples, track: PitchTrack, config: FeatureConfig) -> Tensor:
    """All features of a sound.

    Args:
        samples: `[T]` at the config's rate, T at least 1.
        track: its pitch.
        config: rate and hop.

    Returns:
        `[N_VALUES, ceil(T / hop)]` float32.
    """
    mels = [log_mel(magnitude(samples, window, config), config.filterbank(window)) for window in WINDOWS]
    measured = envelopes.measure(samples, f0_of(track, mels[0].shape[1], config), config.envelope)
    return join(mels, level_dbfs(samples, config), measured, config)


def f0_of(track: PitchTrack, n_frames: int, config: FeatureConfig) -> npt.NDArray[np.float64]:
    """The pitch of each frame, `[F]` in Hz, 0 where unvoiced."""
    times_seconds = np.arange(n_frames, dtype=np.float64) * (config.hop_samples / config.sample_rate)
    return pitch.at_times(track, times_seconds)


def magnitude(samples: Samples, window_samples: int, config: FeatureConfig) -> Tensor:
    """Magnitude spectrogram of a window, `[bins, F]`."""
    return spectral.magnitude(torch.from_numpy(samples), config.spectral(window_samples))


def log_mel(magnitude: Tensor, filterbank: Tensor) -> Tensor:
    """Natural log of the root of the power in each mel band: `[bins, F] -> [mels, F]`; silence is `log(FLOOR)`."""
    return log_of_power(filterbank @ magnitude.square())


def log_of_power(power: Tensor) -> Tensor:
    """`log(sqrt(P + FLOOR^2))`: soft at the floor, so that its gradient fades where nothing is heard."""
    return 0.5 * (power + FLOOR**2).log()


def level_dbfs(samples: Samples, config: FeatureConfig) -> npt.NDArray[np.float64]:
    """RMS of each frame `[F]`, at least `FLOOR_DBFS`."""
    return np.maximum(level.frame_level_dbfs(samples, config.hop_samples), FLOOR_DBFS)


def join(
    mels: list[Tensor], levels_dbfs: npt.NDArray[np.float64], measured: Envelopes, config: FeatureConfig
) -> Tensor:
    """Features of their parts: log-mels in the order of `WINDOWS`, level `[F]`, envelopes and their f0."""
    contours = torch.from_numpy(np.stack([measured.f0_hz, levels_dbfs]))
    log_envelopes = torch.from_numpy(np.concatenate([measured.harmonics, measured.noise]))
    densities = shapes.densities(log_envelopes, contours[0], config.envelope)
    return torch.cat([*mels, contours.float(), densities.float()])


def mels(features: Tensor) -> dict[int, Tensor]:
    """The log-mels of each window, `[..., mels, F]`, as views."""
    parts = torch.split(features[..., :N_MELS, :], list(WINDOWS.values()), dim=-2)
    return dict(zip(WINDOWS, parts, strict=True))


def f0_hz(features: Tensor) -> Tensor:
    """F0 `[..., F]` in Hz, 0 where unvoiced."""
    return features[..., _F0, :]


def levels_dbfs(features: Tensor) -> Tensor:
    """Levels `[..., F]`."""
    return features[..., LEVEL, :]


def with_f0(features: Tensor, f0_hz: Tensor) -> Tensor:
    """The same features, with another pitch `[..., F]`."""
    changed = features.clone()
    changed[..., _F0, :] = f0_hz
    return changed


def densities(features: Tensor) -> Tensor:
    """Envelopes of harmonics, then of noise, `[..., 2 N_BANDS, F]`, without their pitch; see `audio.shapes`."""
    return features[..., _ENVELOPES, :]


def with_densities(features: Tensor, densities: Tensor) -> Tensor:
    """The same features, but other envelopes `[..., 2 N_BANDS, F]`."""
    return torch.cat([features[..., : N_MELS + 2, :], densities, features[..., N_VALUES:, :]], dim=-2)


def with_encoder_mel(features: Tensor, mel: Tensor) -> Tensor:
    """The same features, but another sound for the encoder: the log-mel of `ENCODER_WINDOW` is replaced."""
    parts = mels(features) | {ENCODER_WINDOW: mel}
    return torch.cat([*parts.values(), features[..., N_MELS:, :]], dim=-2)


def shape_of(features: Tensor, config: FeatureConfig) -> tuple[Tensor, Tensor]:
    """Shapes `[..., 2 N_BANDS, F]` and their levels `[..., F]` in nepers; see `audio.shapes`."""
    return shapes.of(densities(features), f0_hz(features), config.envelope)


def loud_mean(features: Tensor, config: FeatureConfig) -> tuple[Tensor, int]:
    """The mean shape of a recording's loud voiced frames, `[2 N_BANDS]`, and their number."""
    mean = shapes.MeanShape(N_BANDS)
    mean.push(*shape_of(features, config), f0_hz(features))
    return mean.result()


def of_envelopes(measured: Envelopes, config: FeatureConfig) -> Tensor:
    """Features that tell envelopes and their pitch alone, `[N_VALUES, F]`; log-mels are silent, levels unknown."""
    n_frames = len(measured.f0_hz)
    silent = [torch.full((n_mels, n_frames), math.log(FLOOR)) for n_mels in WINDOWS.values()]
    return join(silent, np.full(n_frames, FLOOR_DBFS), measured, config)


def excerpt(features: Tensor, mean_shape: Tensor) -> Tensor:
    """Features `[N_VALUES, F]` beside the mean shape `[2 N_BANDS]` of the recording that they are cut from.

    Returns:
        `[N_VALUES + 2 N_BANDS + 1, F]`; the last row is the detail gain, which `with_gain` says.
    """
    n_frames = features.shape[-1]
    gain = torch.full((1, n_frames), NO_GAIN)
    return torch.cat([features, mean_shape[:, None].float().expand(-1, n_frames), gain])


def mean_shape(excerpts: Tensor) -> Tensor:
    """The mean shape of the recordings that excerpts are of, `[..., 2 N_BANDS, 1]`."""
    return excerpts[..., N_VALUES : N_VALUES + 2 * N_BANDS, :1]


def with_mean_shape(excerpts: Tensor, mean: Tensor) -> Tensor:
    """The same excerpts, of recordings with another mean shape `[..., 2 N_BANDS]`."""
    changed = excerpts.clone()
    changed[..., N_VALUES : N_VALUES + 2 * N_BANDS, :] = mean[..., None]
    return changed


def gain(excerpts: Tensor) -> Tensor:
    """How much of the source's detail goes along, `[...]`, in [0, 1]; `NO_GAIN` where nothing is said."""
    return excerpts[..., -1, 0]


def with_gain(excerpts: Tensor, gain: Tensor) -> Tensor:
    """The same excerpts, with so much `[...]` of their detail."""
    changed = excerpts.clone()
    changed[..., -1, :] = gain[..., None]
    return changed
