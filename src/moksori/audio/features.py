"""Features: what a model that knows the melody is told of a sound, frame by frame.

    log-mel in three windows   the shortest one sees consonants, the longest one tells the harmonics of a deep voice
    f0                         from outside, by the pitch tracker
    level                      RMS of the hop from there on

Log-mel and f0 of frame i are those around sample `i * hop_samples`, as in `spectral`; its level is that of the samples
from there to the next frame, so it comes half a hop later. A clip has `ceil(T / hop_samples)` frames. All of them stand
in one array `[N_VALUES, F]`, so that they are stored, cut and batched together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori.audio import level, pitch, spectral
from moksori.audio.clip import Samples
from moksori.audio.pitch import PitchTrack
from moksori.audio.spectral import SpectralConfig

WINDOWS = {2048: 100, 1024: 80, 512: 60}  # window in samples -> mel bands
HEARD = 1024  # the window whose log-mel an encoder hears
N_VALUES = sum(WINDOWS.values()) + 2
FLOOR = 1e-4  # amplitude of silence in a mel band, -80 dB
LOW_HZ = 40.0  # lower edge of the lowest mel band
FLOOR_DBFS = -80.0  # level of silence

_F0, _LEVEL = N_VALUES - 2, N_VALUES - 1


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
    return join(mels, f0_of(track, mels[0].shape[1], config), level_dbfs(samples, config))


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


def join(mels: list[Tensor], f0_hz: npt.NDArray[np.float64], levels_dbfs: npt.NDArray[np.float64]) -> Tensor:
    """Features of their parts: log-mels in the order of `WINDOWS`, f0 `[F]` (0 where unvoiced) and level `[F]`."""
    told = torch.from_numpy(np.stack([f0_hz, levels_dbfs])).float()
    return torch.cat([*mels, told])


def mels(features: Tensor) -> dict[int, Tensor]:
    """The log-mels of each window, `[..., mels, F]`, as views."""
    parts = torch.split(features[..., : N_VALUES - 2, :], list(WINDOWS.values()), dim=-2)
    return dict(zip(WINDOWS, parts, strict=True))


def f0_hz(features: Tensor) -> Tensor:
    """F0 `[..., F]` in Hz, 0 where unvoiced."""
    return features[..., _F0, :]


def levels_dbfs(features: Tensor) -> Tensor:
    """Levels `[..., F]`."""
    return features[..., _LEVEL, :]


def with_f0(features: Tensor, f0_hz: Tensor) -> Tensor:
    """The same features, told another pitch `[..., F]`."""
    changed = features.clone()
    changed[..., _F0, :] = f0_hz
    return changed


def with_heard(features: Tensor, mel: Tensor) -> Tensor:
    """The same features, but another sound for the encoder: the log-mel of window `HEARD` is replaced."""
    parts = mels(features) | {HEARD: mel}
    return torch.cat([*parts.values(), features[..., N_VALUES - 2 :, :]], dim=-2)
