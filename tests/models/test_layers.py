from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from moksori.models.layers import CausalConv1d, CentredResidual, GatedResidual, add_frames, gate


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(2, 1), (2, 8), (3, 4)])
def test_a_causal_convolution_hears_now_and_back_by_its_dilation(kernel_size: int, dilation: int) -> None:
    convolution = CausalConv1d(1, 1, kernel_size, dilation)
    with torch.no_grad():
        convolution.weight.fill_(1)
        assert convolution.bias is not None
        convolution.bias.zero_()
    impulse = torch.zeros(1, 1, 40)
    impulse[0, 0, 10] = 1
    heard = convolution(impulse)[0, 0].nonzero().flatten().tolist()
    assert heard == [10 + tap * dilation for tap in range(kernel_size)]
    assert convolution(impulse).shape == impulse.shape


def test_the_newest_tap_stands_last() -> None:
    convolution = CausalConv1d(1, 1, 2, 3)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[[5.0, 7.0]]]))
        assert convolution.bias is not None
        convolution.bias.zero_()
    # Output t is 5 x[t - 3] + 7 x[t], and nothing sounded before the clip.
    assert convolution(torch.tensor([[[1.0, 0, 0, 2.0]]])).tolist() == [[[7.0, 0, 0, 19.0]]]


def test_the_gate_is_sigmoid_of_the_first_half_times_tanh_of_the_second() -> None:
    assert gate(torch.tensor([[[0.0], [2.0]]])).item() == pytest.approx(0.5 * math.tanh(2))
    assert gate(torch.tensor([[[2.0], [0.0]]])).item() == 0
    assert gate(torch.tensor([[[-1.0], [-3.0]]])).item() == pytest.approx(math.tanh(-3) / (1 + math.e))


def test_a_gated_layer_is_the_paper_s_equation_with_separate_weights() -> None:
    """Z = tanh(Wf * x + Vf y) . sigmoid(Wg * x + Vg y), written out sample by sample."""
    torch.manual_seed(0)
    channels, dilation, n_samples = 2, 2, 6
    layer = GatedResidual(channels, skip_channels=3, condition_channels=1, kernel_size=2, dilation=dilation).double()
    x = torch.randn(1, channels, n_samples, dtype=torch.float64)
    frames = torch.randn(1, 1, 3, dtype=torch.float64)  # a frame lasts two samples
    residual, skip = layer(x, frames)
    w, b = layer.dilated.weight, layer.dilated.bias
    assert w is not None and b is not None and layer.condition is not None and layer.condition.bias is not None
    v, c = layer.condition.weight[:, 0, 0], layer.condition.bias
    for t in range(n_samples):
        past = x[0, :, t - dilation] if t >= dilation else torch.zeros(channels, dtype=torch.float64)
        y = frames[0, 0, t // 2]
        gates, filters = [], []
        for channel in range(channels):
            f = channel + channels  # the filter's weights: its own, in the second half
            gates.append(
                w[channel, :, 0] @ past + w[channel, :, 1] @ x[0, :, t] + b[channel] + v[channel] * y + c[channel]
            )
            filters.append(w[f, :, 0] @ past + w[f, :, 1] @ x[0, :, t] + b[f] + v[f] * y + c[f])
        z = torch.tanh(torch.stack(filters)) / (1 + torch.exp(-torch.stack(gates)))
        assert layer.residual.bias is not None and layer.skip.bias is not None
        by_hand = x[0, :, t] + layer.residual.weight[:, :, 0] @ z + layer.residual.bias
        torch.testing.assert_close(residual[0, :, t], by_hand, rtol=0, atol=1e-12)
        torch.testing.assert_close(skip[0, :, t], layer.skip.weight[:, :, 0] @ z + layer.skip.bias, rtol=0, atol=1e-12)


def test_gate_and_filter_do_not_share_weights() -> None:
    torch.manual_seed(0)
    layer = GatedResidual(4, 4, 3, 2, 1)
    assert layer.condition is not None
    for convolution in (layer.dilated, layer.condition):
        first, second = convolution.weight.chunk(2)
        assert not torch.allclose(first, second)


def test_a_layer_whose_residual_1x1_is_zero_passes_its_input_on() -> None:
    torch.manual_seed(0)
    layer = GatedResidual(4, 3, 2, 2, 4)
    with torch.no_grad():
        layer.residual.weight.zero_()
        assert layer.residual.bias is not None
        layer.residual.bias.zero_()
    x, frames = torch.randn(2, 4, 12), torch.randn(2, 2, 3)
    passed, skip = layer(x, frames)
    assert torch.equal(passed, x)
    assert skip.abs().max() > 0


def test_an_encoder_layer_whose_1x1_is_zero_passes_its_input_on() -> None:
    layer = CentredResidual(3, 3, 2)
    with torch.no_grad():
        layer.mix.weight.zero_()
        assert layer.mix.bias is not None
        layer.mix.bias.zero_()
    x = torch.randn(1, 3, 9, generator=seeded(0))
    assert torch.equal(layer(x), x)


def test_an_encoder_layer_starts_with_relu() -> None:
    """What is below zero is heard by the identity only (the pre-activated form)."""
    torch.manual_seed(0)
    layer = CentredResidual(2, 3, 1)
    with torch.no_grad():
        assert layer.dilated.bias is not None
        layer.dilated.bias.fill_(5)  # so that the second ReLU lets everything through
    x = -torch.rand(1, 2, 8, generator=seeded(0))
    torch.testing.assert_close(layer(x) - x, layer(torch.zeros_like(x)))


@settings(max_examples=25, deadline=None)
@given(
    n_frames=st.integers(1, 5),
    hop=st.integers(1, 7),
    channels=st.integers(1, 4),
    batch=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_a_1x1_at_the_frame_rate_equals_repeating_first(
    n_frames: int, hop: int, channels: int, batch: int, seed: int
) -> None:
    generator = seeded(seed)
    frames = torch.randn(batch, channels, n_frames, dtype=torch.float64, generator=generator)
    samples = torch.randn(batch, 3, n_frames * hop, dtype=torch.float64, generator=generator)
    weight = torch.randn(3, channels, 1, dtype=torch.float64, generator=generator)
    hoisted = add_frames(samples, functional.conv1d(frames, weight))
    slow = samples + functional.conv1d(frames.repeat_interleave(hop, dim=2), weight)
    torch.testing.assert_close(hoisted, slow, rtol=0, atol=1e-13)


def test_a_frame_begins_and_ends_on_its_sample() -> None:
    frames = torch.arange(1.0, 5.0).reshape(1, 1, 4)
    held = add_frames(torch.zeros(1, 1, 12), frames)[0, 0]
    assert held.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
