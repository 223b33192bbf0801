"""The expected log-mel of the synthesiser's sound, from its controls: what training compares with recordings.

`Expectation` in the windows of our features, `WhisperExpectation` in that of a recogniser.

The same as `synthesiser.expected_power`, summed to mel bands, but fast: the comb of harmonics is looked up by pitch,
and what is linear is multiplied beforehand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from moksori.audio import features, whisper_mel
from moksori.audio.features import FeatureConfig
from moksori.models import synthesiser
from moksori.models.synthesiser import Controls, SynthesiserConfig

_LOW_HZ, _HIGH_HZ = 40.0, 2100.0  # of the table; the tracker hears 47 to 2094 Hz
_STEP_CENTS = 2.0  # an error of one cent moves the twentieth harmonic by a thousandth of its frequency


class _Sought:
    """What of controls is looked up in tables, the same for every window."""

    def __init__(self, controls: Controls) -> None:
        self.harmonics = torch.exp(2.0 * controls.harmonics).transpose(1, 2)  # powers, [B, F, bands]
        self.noise = torch.exp(2.0 * controls.noise).transpose(1, 2)
        pitch_hz = controls.f0_hz.clamp(_LOW_HZ, _HIGH_HZ)
        self.row = (1200 * torch.log2(pitch_hz / _LOW_HZ) / _STEP_CENTS).round().long()  # [B, F]
        self.is_voiced = (controls.f0_hz > 0)[:, :, None]


class _Comb:
    """Power of controls in the mel bands of one window, by tables: `synthesiser.expected_power`, summed."""

    def __init__(
        self, config: SynthesiserConfig, window_samples: int, filterbank: Tensor, device: torch.device
    ) -> None:
        """Look harmonics up beforehand.

        Args:
            config: of the synthesiser.
            window_samples: Hann window, and the size of its transform.
            filterbank: `[mels, bins]`; bins that are in no band are left out of the tables.
            device: where they are kept.
        """
        n_pitches = math.ceil(1200 * math.log2(_HIGH_HZ / _LOW_HZ) / _STEP_CENTS) + 1
        table_hz = _LOW_HZ * 2.0 ** (torch.arange(n_pitches) * _STEP_CENTS / 1200)
        n_bins = int(filterbank.any(dim=0).nonzero().max()) + 1
        filterbank = filterbank[:, :n_bins]
        read = synthesiser.reading(config, synthesiser.bins_hz(config, window_samples))[:n_bins]  # [bins, bands]
        comb = synthesiser.harmonic_power(table_hz[None], config, window_samples)[0, :n_bins]  # [bins, pitches]
        noise = synthesiser.noise_share(window_samples) * (filterbank @ read)  # [mels, bands]
        self._tables = [table.to(device) for table in (comb.T.contiguous(), read, filterbank, noise)]

    def power(self, sought: _Sought) -> Tensor:
        """Power in the bands, `[B, mels, F]`; in single precision, as powers span more than half can tell."""
        comb, read, filterbank, share = self._tables
        teeth = comb[sought.row] * sought.is_voiced  # [B, F, bins]
        return (((sought.harmonics @ read.T) * teeth) @ filterbank.T + sought.noise @ share.T).transpose(1, 2)


class Expectation:
    """Log-mels in every window of `features.WINDOWS`. Holds tables, about 25 MB, and no parameters."""

    def __init__(self, config: SynthesiserConfig, device: torch.device) -> None:
        feature_config = FeatureConfig(config.sample_rate, config.hop_samples)
        self._combs = {
            window: _Comb(config, window, feature_config.filterbank(window), device) for window in features.WINDOWS
        }

    def of(self, controls: Controls, windows: tuple[int, ...] = tuple(features.WINDOWS)) -> dict[int, Tensor]:
        """Log-mel `[B, mels, F]` by window, as `features.log_mel` will measure it of the sound."""
        with torch.autocast(controls.f0_hz.device.type, enabled=False):
            sought = _Sought(controls)
            return {window: features.log_of_power(self._combs[window].power(sought)) for window in windows}


class WhisperExpectation:
    """The log-mel that Whisper will make of the sound; see `audio.whisper_mel`."""

    def __init__(self, config: SynthesiserConfig, device: torch.device) -> None:
        """Make the tables.

        Raises:
            ValueError: the hop does not last as long as Whisper's, 10 ms.
        """
        if config.hop_samples * whisper_mel.RATE != whisper_mel.HOP * config.sample_rate:
            raise ValueError(
                f"{config.hop_samples} samples at {config.sample_rate} Hz are no 10 ms, which is Whisper's hop"
            )
        window_samples = whisper_mel.WINDOW * config.sample_rate // whisper_mel.RATE
        filterbank = whisper_mel.filterbank(synthesiser.bins_hz(config, window_samples).double().numpy())
        scale = (whisper_mel.WINDOW / 4) ** 2  # a sine of amplitude 1 has this power there, and 1 here
        self._comb = _Comb(config, window_samples, torch.from_numpy(filterbank).float() * scale, device)

    def of(self, controls: Controls) -> Tensor:
        """`[B, 80, F]`, the loudest moment of each clip setting what is too soft to be heard."""
        with torch.autocast(controls.f0_hz.device.type, enabled=False):
            logarithm = self._comb.power(_Sought(controls)).clamp(min=whisper_mel.FLOOR).log10()
            loudest = logarithm.detach().amax(dim=(1, 2), keepdim=True)
            return (torch.maximum(logarithm, loudest - whisper_mel.RANGE) + 4.0) / 4.0
