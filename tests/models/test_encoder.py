from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.audio import mulaw
from moksori.models.encoder import Encoder, EncoderConfig
from moksori.models.layers import CentredResidual

TINY = EncoderConfig(blocks=2, layers=3, channels=4, latent_channels=3, hop_samples=10)
LOUD = 255


def n_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def noise(n_samples: int, seed: int = 0, batch: int = 1) -> torch.Tensor:
    return torch.randint(0, 256, (batch, n_samples), generator=torch.Generator().manual_seed(seed))


def carrying(config: EncoderConfig) -> Encoder:
    """An encoder through which an impulse travels as far as the taps can carry it.

    Silence leaves every feature a little below zero, which the ReLUs stop: it adds nothing anywhere. An impulse is
    well above zero and passes all layers, losing that little on each.
    """
    encoder = Encoder(config)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
        silence = mulaw.to_scalar(torch.tensor(mulaw.SILENCE)).item()
        encoder.stem.weight.fill_(1)
        assert encoder.stem.bias is not None
        encoder.stem.bias.fill_(-config.kernel_size * silence - 0.001)
        for layer in encoder.body:
            assert isinstance(layer, CentredResidual)
            layer.dilated.weight.fill_(1 / config.channels)
            layer.mix.weight.fill_(1 / config.channels)
        encoder.head.weight.fill_(1)
    return encoder


@torch.no_grad()
def reach(config: EncoderConfig) -> tuple[int, int]:
    """How far before and after it an impulse is heard, in samples."""
    config = dataclasses.replace(config, hop_samples=1)
    encoder, place = carrying(config), config.context_samples + 3
    codes = torch.full((1, 2 * place + 1), mulaw.SILENCE)
    struck = codes.clone()
    struck[0, place] = LOUD
    changed = (encoder(codes) != encoder(struck)).any(dim=1)[0].nonzero()
    return place - int(changed.min()), int(changed.max()) - place


def test_the_paper_s_encoder_has_1_982_528_parameters() -> None:
    # stem 1*128*3+128, 30 layers of 128*128*3+128 + 128*128+128, head 128*64+64
    assert n_parameters(Encoder(EncoderConfig())) == 512 + 30 * (49_280 + 16_512) + 8_256 == 1_982_528


def test_a_latent_frame_lasts_a_hop() -> None:
    assert Encoder(TINY)(noise(50, batch=2)).shape == (2, 3, 5)


@pytest.mark.parametrize("n_samples", [0, 5, 55])
def test_a_clip_that_is_no_multiple_of_the_hop_is_refused(n_samples: int) -> None:
    with pytest.raises(ValueError, match="multiple of 10"):
        Encoder(TINY)(noise(n_samples))


def test_codes_without_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[B, T\]"):
        Encoder(TINY)(noise(50)[0])


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        EncoderConfig(blocks=3, layers=10, channels=2, latent_channels=2, hop_samples=800),
        EncoderConfig(blocks=2, layers=6, channels=8, latent_channels=4, hop_samples=160),
    ],
)
@torch.no_grad()
def test_a_shift_by_the_hop_shifts_the_latent_by_a_frame(config: EncoderConfig) -> None:
    torch.manual_seed(0)
    encoder, hop = Encoder(config), config.hop_samples
    edge = -(-config.context_samples // hop)  # frames that the padding reaches
    n_frames = 2 * edge + 4
    codes = noise((n_frames + 1) * hop)
    z, shifted = encoder(codes[:, :-hop]), encoder(codes[:, hop:])
    inner, moved = z[:, :, edge + 1 : n_frames - edge], shifted[:, :, edge : n_frames - edge - 1]
    assert inner.shape[2] >= 3
    assert (inner - moved).abs().max() < 1e-5
    assert (inner.diff(dim=2)).abs().max() > 1e-3  # the frames themselves differ, so the shift is no accident


@torch.no_grad()
def test_the_latent_is_the_mean_over_each_hop() -> None:
    torch.manual_seed(0)
    pooled = Encoder(TINY)
    every_sample = Encoder(dataclasses.replace(TINY, hop_samples=1))
    every_sample.load_state_dict(pooled.state_dict())
    codes = noise(40)
    by_hand = every_sample(codes).reshape(1, 3, 4, 10).mean(dim=3)
    torch.testing.assert_close(pooled(codes), by_hand)


def test_the_paper_s_encoder_sees_6_141_samples() -> None:
    config = EncoderConfig(channels=1, latent_channels=1)
    assert reach(config) == (3070, 3070)
    assert config.receptive_field == 6141


def test_recipe_small_s_encoder_sees_32_ms_around_a_sample() -> None:
    config = EncoderConfig(blocks=2, layers=6, channels=2, latent_channels=2, hop_samples=160)
    assert reach(config) == (127, 127)  # 2 * 63 + 1; 255 samples at 8 kHz are 32 ms
    assert config.receptive_field == 255


@settings(max_examples=20, deadline=None)
@given(blocks=st.integers(1, 3), layers=st.integers(1, 5), kernel_size=st.sampled_from([1, 3, 5]))
def test_the_encoder_sees_as_far_as_its_formula_on_both_sides(blocks: int, layers: int, kernel_size: int) -> None:
    config = EncoderConfig(blocks, layers, channels=2, kernel_size=kernel_size, latent_channels=1)
    assert reach(config) == (config.context_samples, config.context_samples)


@torch.no_grad()
def test_clips_of_a_batch_do_not_hear_each_other() -> None:
    torch.manual_seed(0)
    encoder, codes = Encoder(TINY), noise(30, batch=2)
    both, changed = encoder(codes), encoder(torch.cat([codes[:1], noise(30, seed=1)]))
    torch.testing.assert_close(both[0], changed[0])
    assert not torch.allclose(both[1], changed[1])


@torch.no_grad()
def test_the_encoder_works_in_double_precision() -> None:
    # The codes were heard as float32 whatever the weights were.
    torch.manual_seed(0)
    encoder, codes = Encoder(TINY), noise(30)
    single = encoder(codes)
    double = encoder.double()(codes)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [2, 4])
def test_an_even_kernel_is_refused(kernel_size: int) -> None:
    with pytest.raises(ValueError, match=f"odd, not {kernel_size}"):
        EncoderConfig(kernel_size=kernel_size)


@pytest.mark.parametrize("field", ["blocks", "layers", "channels", "latent_channels", "hop_samples"])
def test_an_encoder_of_no_size_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}=0"):
        dataclasses.replace(EncoderConfig(), **{field: 0})


def test_a_negative_kernel_is_refused() -> None:
    # It is odd, and passed for it.
    with pytest.raises(ValueError, match="at least 1"):
        EncoderConfig(kernel_size=-1)
