"""The expected log-mel of the synthesiser's sound, from its controls: what training compares with recordings.

The same as `synthesiser.expected_power`, summed to mel bands, but fast: the comb of harmonics is looked up by pitch,
and what is linear is multiplied beforehand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from moksori.audio import features
from moksori.audio.features import FeatureConfig
from moksori.models import synthesiser
from moksori.models.synthesiser import Controls, SynthesiserConfig

_LOW_HZ, _HIGH_HZ = 40.0, 2100.0  # of the table; the tracker hears 47 to 2094 Hz
_STEP_CENTS = 2.0  # an error of one cent moves the twentieth harmonic by a thousandth of its frequency


class Expectation:
    """Log-mels in every window of `features.WINDOWS`. Holds tables, about 25 MB, and no parameters."""

    def __init__(self, config: SynthesiserConfig, device: torch.device) -> None:
        feature_config = FeatureConfig(config.sample_rate, config.hop_samples)
        n_pitches = math.ceil(1200 * math.log2(_HIGH_HZ / _LOW_HZ) / _STEP_CENTS) + 1
        table_hz = _LOW_HZ * 2.0 ** (torch.arange(n_pitches) * _STEP_CENTS / 1200)
        self._tables: dict[int, tuple[Tensor, Tensor, Tensor, Tensor]] = {}
        for window in features.WINDOWS:
            filterbank = feature_config.filterbank(window)  # [mels, bins]
            read = synthesiser.reading(config, synthesiser.bins_hz(config, window))  # [bins, bands]
            comb = synthesiser.harmonic_power(table_hz[None], config, window)[0].T.contiguous()  # [pitches, bins]
            noise = synthesiser.noise_share(window) * (filterbank @ read)  # [mels, bands]
            self._tables[window] = (comb.to(device), read.to(device), filterbank.to(device), noise.to(device))

    def of(self, controls: Controls, windows: tuple[int, ...] = tuple(features.WINDOWS)) -> dict[int, Tensor]:
        """Log-mel `[B, mels, F]` by window, as `features.log_mel` will measure it of the sound."""
        with torch.autocast(controls.f0_hz.device.type, enabled=False):  # powers span more than half precision can tell
            return self._mels(controls, windows)

    def _mels(self, controls: Controls, windows: tuple[int, ...]) -> dict[int, Tensor]:
        harmonics = torch.exp(2.0 * controls.harmonics).transpose(1, 2)  # [B, F, bands]
        noise = torch.exp(2.0 * controls.noise).transpose(1, 2)
        row = (1200 * torch.log2(controls.f0_hz.clamp(_LOW_HZ, _HIGH_HZ) / _LOW_HZ) / _STEP_CENTS).round().long()
        is_voiced = (controls.f0_hz > 0)[:, :, None]
        mels = {}
        for window in windows:
            comb, read, filterbank, share = self._tables[window]
            teeth = comb[row] * is_voiced  # [B, F, bins]
            power = ((harmonics @ read.T) * teeth) @ filterbank.T + noise @ share.T  # [B, F, mels]
            mels[window] = features.log_of_power(power).transpose(1, 2)
        return mels
