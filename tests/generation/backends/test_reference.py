"""The definition itself; the other backends are compared with it in test_generator.py."""

from __future__ import annotations

import torch

from moksori.generation.backends.reference import ReferenceBackend
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig


def test_each_step_is_the_column_of_a_forward_pass_over_what_is_known() -> None:
    torch.manual_seed(0)
    decoder = WaveNet(WaveNetConfig(1, 3, residual_channels=3, skip_channels=3), 2)
    conditioning = Conditioning(torch.randn(1, 2, 4), 3)
    codes = torch.randint(0, 256, (1, 12))
    backend = ReferenceBackend(decoder)
    state, previous = backend.start(conditioning), None
    for position in range(12):
        logits, state = backend.step(state, previous)
        assert state.codes.shape == (1, position)
        assert not logits.requires_grad
        for unknown in (0, 255):  # what has not been sung yet may be anything
            clip = codes.clone()
            clip[:, position:] = unknown
            assert torch.equal(logits, decoder(clip, conditioning)[:, :, position])
        previous = codes[:, position]


def test_a_state_is_a_value() -> None:
    """A step leaves the state it was given as it was, so that a clip can be sung on in two ways."""
    decoder = WaveNet(WaveNetConfig(1, 2, residual_channels=2, skip_channels=2))
    backend = ReferenceBackend(decoder)
    start = backend.start(Conditioning(torch.zeros(1, 0, 5), 1))
    _, one = backend.step(start, None)
    _, low = backend.step(one, torch.tensor([3]))
    _, high = backend.step(one, torch.tensor([250]))
    assert (one.codes.tolist(), low.codes.tolist(), high.codes.tolist()) == ([[]], [[3]], [[250]])
