"""What is the streaming backend's own; that it is right is tested over the table of backends."""

from __future__ import annotations

import time

import torch

from moksori.generation.backends.streaming import StreamingBackend
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig


def net(kernel_size: int = 2, condition_channels: int = 3) -> WaveNet:
    torch.manual_seed(0)
    return WaveNet(WaveNetConfig(2, 3, kernel_size, residual_channels=4, skip_channels=5), condition_channels)


def described(n_frames: int = 6, channels: int = 3) -> Conditioning:
    return Conditioning(torch.randn(2, channels, n_frames, generator=torch.Generator().manual_seed(0)), 5)


def test_each_ring_holds_one_input_less_than_its_taps_span() -> None:
    for kernel_size in (2, 3):
        state = StreamingBackend(net(kernel_size)).start(described())
        past = [ring.shape[0] for ring in state.rings]
        assert past == [(kernel_size - 1) * dilation for dilation in (1, 2, 4, 1, 2, 4)]
        assert state.recent.shape == (2, kernel_size)


def test_what_is_remembered_does_not_grow() -> None:
    backend = StreamingBackend(net())
    state = backend.start(described())
    before = [tensor.shape for tensor in [state.recent, state.summands, *state.rings]]
    previous = None
    for _ in range(30):
        _, state = backend.step(state, previous)
        previous = torch.zeros(2, dtype=torch.int64)
    assert before == [tensor.shape for tensor in [state.recent, state.summands, *state.rings]]
    assert state.position == 30


def test_training_the_decoder_further_does_not_reach_a_backend_that_was_made_before() -> None:
    """The condition's weights too.

    They were read from the live decoder at each start, so that a clip was sung with half old and half new weights.
    """
    decoder = net()
    backend = StreamingBackend(decoder)
    before, _ = backend.step(backend.start(described()), None)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(-3)
    after, _ = backend.step(backend.start(described()), None)
    assert torch.equal(before, after)


def test_two_starts_share_nothing() -> None:
    backend = StreamingBackend(net())
    one, other = backend.start(described()), backend.start(described())
    backend.step(one, None)
    assert other.position == 0
    assert all((ring == 0).all() for ring in other.rings)


def test_a_net_without_a_condition_is_told_the_length_only() -> None:
    state = StreamingBackend(net(condition_channels=0)).start(described(channels=0))
    assert [scores.shape for scores in state.scores] == [(6, 2, 8)] * 6
    assert state.hidden.shape == (6, 2, 5)


def test_a_step_costs_the_same_late_in_the_song() -> None:
    """The last hundred of 2,000 samples against the first hundred: no factor but the noise of the clock."""
    backend = StreamingBackend(net())
    state, previous = backend.start(described(n_frames=400)), torch.zeros(2, dtype=torch.int64)
    seconds = []
    for _ in range(20):
        best = float("inf")
        for _ in range(10):
            began = time.perf_counter()
            for _ in range(10):
                _, state = backend.step(state, previous)
            best = min(best, time.perf_counter() - began)
        seconds.append(best)
    assert min(seconds[-5:]) < 3 * min(seconds[:5])
