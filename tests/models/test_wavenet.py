from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from moksori.audio import mulaw
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig, shift_right

TINY = WaveNetConfig(blocks=2, layers=3, residual_channels=4, skip_channels=5)
HOP = 4
LOUD = 255


def noise(n_samples: int, seed: int = 0, batch: int = 1) -> torch.Tensor:
    return torch.randint(0, 256, (batch, n_samples), generator=torch.Generator().manual_seed(seed))


def described(n_frames: int, channels: int = 3, batch: int = 1, seed: int = 0) -> Conditioning:
    return Conditioning(torch.randn(batch, channels, n_frames, generator=torch.Generator().manual_seed(seed)), HOP)


def net(config: WaveNetConfig = TINY, condition_channels: int = 3) -> WaveNet:
    torch.manual_seed(0)
    return WaveNet(config, condition_channels)


def carrying(config: WaveNetConfig) -> WaveNet:
    """A net through which an impulse travels as far as the taps can carry it.

    Silence gives features of (nearly) zero in every layer. A positive impulse a becomes tanh(4 a) / 2 in the next
    layer at each tap, which settles at 0.48, so that no depth wears it down.
    """
    decoder = WaveNet(config)
    width = config.residual_channels
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        silence = mulaw.to_scalar(torch.tensor(mulaw.SILENCE)).item()
        decoder.first.weight.fill_(1)
        assert decoder.first.bias is not None
        decoder.first.bias.fill_(-config.kernel_size * silence)
        for layer in decoder.gated_layers():
            layer.dilated.weight[width:].fill_(4 / width)  # the tanh half; the sigmoid half stays at 1/2
            layer.residual.weight.fill_(1 / width)
            layer.skip.weight.fill_(1 / width)
        for convolution in (decoder.first_skip, decoder.hidden, decoder.logits):
            convolution.weight.fill_(1)
    return decoder


@torch.no_grad()
def heard_after(config: WaveNetConfig) -> tuple[int, int]:
    """The first and the last sample after an impulse whose scores it changes."""
    decoder, place = carrying(config), 3
    codes = torch.full((1, place + config.receptive_field + 8), mulaw.SILENCE)
    struck = codes.clone()
    struck[0, place] = LOUD
    changed = (decoder(codes) != decoder(struck)).any(dim=1)[0].nonzero()
    return int(changed.min()) - place, int(changed.max()) - place


def test_the_paper_s_decoder_has_5_356_544_parameters() -> None:
    # first 128*2+128; a layer 256*128*2 + 256, 256*128 + 256, twice 128*128 + 128; first skip, head, its condition
    layer = 65_536 + 256 + 32_768 + 256 + 2 * (16_384 + 128)
    head = 3 * (16_384 + 128) + 256 * 128 + 256
    n_parameters = sum(parameter.numel() for parameter in WaveNet(WaveNetConfig(), 128).parameters())
    assert n_parameters == 384 + 40 * layer + head == 5_356_544


def test_the_paper_s_decoder_sees_exactly_4_094_samples() -> None:
    config = WaveNetConfig(blocks=4, layers=10, residual_channels=2, skip_channels=2)
    assert heard_after(config) == (1, 4094)
    assert config.receptive_field == 4094


def test_recipe_small_s_decoder_sees_exactly_512_samples() -> None:
    config = WaveNetConfig(blocks=2, layers=8, residual_channels=2, skip_channels=2)
    assert heard_after(config) == (1, 512)


@settings(max_examples=20, deadline=None)
@given(blocks=st.integers(1, 4), layers=st.integers(1, 6), kernel_size=st.integers(2, 3), width=st.integers(1, 3))
def test_the_decoder_sees_as_far_as_its_formula(blocks: int, layers: int, kernel_size: int, width: int) -> None:
    config = WaveNetConfig(blocks, layers, kernel_size, residual_channels=width, skip_channels=width)
    assert heard_after(config) == (1, config.receptive_field)


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("place", [0, 1, 17, 38])
@torch.no_grad()
def test_changing_a_code_changes_no_score_up_to_it_and_changes_the_next(kernel_size: int, place: int) -> None:
    decoder, conditioning, codes = net(dataclasses.replace(TINY, kernel_size=kernel_size)), described(10), noise(40)
    changed = codes.clone()
    changed[0, place] = (codes[0, place] + 128) % 256
    before, after = decoder(codes, conditioning), decoder(changed, conditioning)
    assert torch.equal(before[:, :, : place + 1], after[:, :, : place + 1])
    assert not torch.equal(before[:, :, place + 1], after[:, :, place + 1])


@torch.no_grad()
def test_the_last_code_of_a_clip_is_never_heard() -> None:
    decoder, conditioning, codes = net(), described(10), noise(40)
    changed = codes.clone()
    changed[0, -1] = 255 - codes[0, -1]
    assert torch.equal(decoder(codes, conditioning), decoder(changed, conditioning))


@pytest.mark.parametrize("frame", [0, 4, 9])
@torch.no_grad()
def test_a_frame_of_the_condition_is_heard_from_its_first_sample_on(frame: int) -> None:
    decoder, codes, conditioning = net(), noise(40), described(10)
    frames = conditioning.frames.clone()
    frames[0, :, frame] += 1
    before, after = decoder(codes, conditioning), decoder(codes, Conditioning(frames, HOP))
    assert torch.equal(before[:, :, : frame * HOP], after[:, :, : frame * HOP])
    assert (before != after).any(dim=1)[0, frame * HOP : (frame + 1) * HOP].all()


@torch.no_grad()
def test_the_condition_enters_the_head_too() -> None:
    decoder, codes = net(), noise(40)
    for layer in decoder.gated_layers():
        assert layer.condition is not None
        layer.condition.weight.zero_()
    before, after = decoder(codes, described(10)), decoder(codes, described(10, seed=1))
    # Nothing is remembered there: a frame is heard in its own samples and in none after them.
    frames = described(10).frames.clone()
    frames[0, :, 3] += 1
    changed = (decoder(codes, Conditioning(frames, HOP)) != before).any(dim=1)[0]
    assert changed.nonzero().flatten().tolist() == [12, 13, 14, 15]
    assert not torch.equal(before, after)


@torch.no_grad()
def test_the_head_reads_the_sum_of_all_skips() -> None:
    decoder, codes, conditioning = net(), noise(40), described(10)
    x = decoder.first(shift_right(mulaw.to_scalar(codes)[:, None], 2))
    parts = [decoder.first_skip(x)]
    for layer in decoder.gated_layers():
        x, skip = layer(x, conditioning.frames)
        parts.append(skip)
    assert len(parts) == 1 + 2 * 3
    whole = decoder.head(torch.stack(parts).sum(dim=0), conditioning.frames)
    torch.testing.assert_close(decoder(codes, conditioning), whole)
    for missing in range(len(parts)):
        rest = torch.stack(parts[:missing] + parts[missing + 1 :]).sum(dim=0)
        assert not torch.allclose(whole, decoder.head(rest, conditioning.frames))


@torch.no_grad()
def test_layers_with_zeroed_residuals_all_hear_the_first_convolution() -> None:
    decoder, codes = net(condition_channels=0), noise(40)
    for layer in decoder.gated_layers():
        layer.residual.weight.zero_()
        assert layer.residual.bias is not None
        layer.residual.bias.zero_()
    first = decoder.first(shift_right(mulaw.to_scalar(codes)[:, None], 2))
    skips = decoder.first_skip(first) + sum(layer(first, None)[1] for layer in decoder.gated_layers())
    torch.testing.assert_close(decoder(codes), decoder.head(skips, None))


def test_dilations_double_in_every_cycle() -> None:
    assert WaveNetConfig(blocks=2, layers=4).dilations == [1, 2, 4, 8, 1, 2, 4, 8]
    dilations = [layer.dilated.dilation[0] for layer in net().gated_layers()]
    assert dilations == TINY.dilations == [1, 2, 4, 1, 2, 4]


def test_shift_right_is_the_drawing_in_its_docstring() -> None:
    s = mulaw.to_scalar(torch.tensor(mulaw.SILENCE)).item()
    assert torch.equal(shift_right(torch.tensor([[[0.1, 0.2, 0.3, 0.4]]]), 2), torch.tensor([[[s, s, 0.1, 0.2, 0.3]]]))
    two_bands = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
    assert torch.equal(shift_right(two_bands, 3), torch.tensor([[[s, s, s, 0.1], [s, s, s, 0.3]]]))


@torch.no_grad()
def test_the_first_score_is_that_of_a_clip_that_follows_silence() -> None:
    """Every layer above the first convolution has zeros before the clip, whatever comes in it."""
    decoder = net(condition_channels=0)
    assert torch.equal(decoder(noise(8))[:, :, 0], decoder(noise(8, seed=1))[:, :, 0])
    silent = torch.full((1, 8), mulaw.SILENCE)
    assert torch.equal(decoder(silent)[:, :, 0], decoder(noise(8))[:, :, 0])


@torch.no_grad()
def test_one_parallel_pass_has_the_loss_of_one_pass_a_step() -> None:
    """Teacher forcing: the loss of the codes scored at once, and scored one by one from what came before."""
    decoder, codes = net(), noise(48)
    at_once = functional.cross_entropy(decoder(codes, described(12)), codes)
    steps = []
    for position in range(48):
        known = codes.clone()
        known[:, position:] = mulaw.SILENCE  # the step does not know what it is to guess
        scores = decoder(known, described(12))[:, :, position]
        steps.append(functional.cross_entropy(scores, codes[:, position]))
    assert torch.stack(steps).mean().item() == pytest.approx(at_once.item(), abs=1e-5)


@torch.no_grad()
def test_clips_of_a_batch_do_not_hear_each_other() -> None:
    decoder, codes, conditioning = net(), noise(40, batch=2), described(10, batch=2)
    alone = [decoder(codes[i : i + 1], Conditioning(conditioning.frames[i : i + 1], HOP)) for i in range(2)]
    torch.testing.assert_close(decoder(codes, conditioning), torch.cat(alone))


@torch.no_grad()
def test_the_decoder_works_in_double_precision() -> None:
    # The codes were heard as float32 whatever the weights were, and the first convolution failed.
    decoder, codes, conditioning = net(), noise(40), described(10)
    single = decoder(codes, conditioning)
    double = decoder.double()(codes, Conditioning(conditioning.frames.double(), HOP))
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


@torch.no_grad()
def test_softmax_over_the_codes_sums_to_one_and_an_untrained_net_guesses_evenly() -> None:
    scores = net()(noise(400, batch=2), described(100, batch=2))
    torch.testing.assert_close(scores.softmax(dim=1).sum(dim=1), torch.ones(2, 400))
    loss = functional.cross_entropy(scores, noise(400, batch=2))
    assert loss.item() == pytest.approx(math.log(256), abs=0.1)


def test_a_condition_of_another_width_or_none_is_refused() -> None:
    with pytest.raises(ValueError, match="3 channels, not 2"):
        net()(noise(40), described(10, channels=2))
    with pytest.raises(ValueError, match="3 channels, not 0"):
        net()(noise(40))
    with pytest.raises(ValueError, match="0 channels, not 3"):
        net(condition_channels=0)(noise(40), described(10))


def test_a_condition_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="describes 44 samples, the clip has 40"):
        net()(noise(40), described(11))


def test_a_kernel_of_one_tap_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2, not 1"):
        WaveNetConfig(kernel_size=1)


@pytest.mark.parametrize("field", ["blocks", "layers", "residual_channels", "skip_channels"])
def test_a_decoder_of_no_size_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}=0"):
        dataclasses.replace(WaveNetConfig(), **{field: 0})
