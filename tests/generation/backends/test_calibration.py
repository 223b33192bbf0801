from __future__ import annotations

import pytest
import torch

from moksori.generation.backends import calibration
from moksori.models.wavenet import WaveNet, WaveNetConfig


def test_a_layer_s_peak_is_the_largest_number_it_hears() -> None:
    """One layer, so its input is the first convolution's output, which can be computed apart."""
    decoder = WaveNet(WaveNetConfig(1, 2, 2, 3, 4))
    codes = torch.randint(0, 256, (2, 50), generator=torch.Generator().manual_seed(0))
    found = calibration.layer_peaks(decoder, codes, None)
    scalars = torch.nn.functional.pad(codes[:, :-1], (2, 0), value=128) / 255 - 0.5
    with torch.no_grad():
        first = decoder.first(scalars.unsqueeze(1)).abs().max()
    assert len(found) == 2
    assert found[0] == pytest.approx(1.05 * float(first), rel=1e-6)


def test_nothing_is_left_behind_in_the_decoder() -> None:
    decoder = WaveNet(WaveNetConfig(1, 2, 2, 3, 4))
    calibration.layer_peaks(decoder, torch.zeros(1, 8, dtype=torch.int64), None)
    assert not any(layer._forward_pre_hooks for layer in decoder.gated_layers())
