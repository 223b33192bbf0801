"""The engine's encoder beside the encoder itself."""

from __future__ import annotations

from concurrent.futures import CancelledError
from threading import Event

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from moksori.generation.engine import cpu, encoder_kernel
from moksori.generation.engine.encoder import EngineEncoder
from moksori.models.encoder import Encoder, EncoderConfig

# Of z in its own spread.
LARGEST_ERROR = {"float32": 1e-5, "bfloat16": 0.03}
SMALL = EncoderConfig(2, 4, 20, 3, 7, hop_samples=24)
every_precision = pytest.mark.parametrize("precision", list(LARGEST_ERROR))


def encoder(config: EncoderConfig, seed: int = 0) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Encoder(config).eval()


def codes(n_frames: int, config: EncoderConfig, n_clips: int = 1) -> Tensor:
    shape = n_clips, n_frames * config.hop_samples
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def expected(own: Encoder, clips: Tensor) -> Tensor:
    z: Tensor = own(clips)
    return z


@every_precision
@settings(max_examples=12, deadline=None)
@given(
    config=st.builds(
        EncoderConfig,
        blocks=st.integers(1, 2),
        layers=st.integers(1, 7),
        channels=st.integers(1, 40),
        kernel_size=st.sampled_from([1, 3, 5]),
        latent_channels=st.integers(1, 40),
        hop_samples=st.integers(1, 100),
    ),
    n_frames=st.integers(1, 12),
)
def test_the_latent_is_the_encoder_s_up_to_the_precision(precision: str, config: EncoderConfig, n_frames: int) -> None:
    """Any width, clips shorter than a block or a layer's reach, and longer than every ring."""
    own, clips = encoder(config), codes(n_frames, config, 2)
    found, z = EngineEncoder(own, precision)(clips), expected(own, clips)
    assert found.shape == z.shape and found.dtype == z.dtype
    assert (found - z).abs().max() <= LARGEST_ERROR[precision] * (z.std(correction=0) + 0.1)


def test_bfloat16_is_less_exact_than_float32_and_int8_is_bfloat16() -> None:
    own, clips = encoder(SMALL), codes(9, SMALL)
    float32, bfloat16, int8 = (EngineEncoder(own, precision)(clips) for precision in cpu.PRECISIONS)
    z = expected(own, clips)
    assert (float32 - z).abs().max() < 1e-5 < (bfloat16 - z).abs().max()
    assert torch.equal(int8, bfloat16)


@pytest.mark.parametrize("precision", [pytest.param("float32", marks=pytest.mark.slow), "bfloat16"])
@pytest.mark.parametrize("tier", [tier.name for tier in cpu.TIERS])
def test_the_width_of_the_vectors_changes_nothing_but_rounding(precision: str, tier: str) -> None:
    if tier not in {known.name for known in cpu.TIERS if known.needs <= cpu.features()}:
        pytest.skip(f"this processor has no vectors of {tier}")
    own, clips = encoder(SMALL), codes(9, SMALL)
    z = expected(own, clips)
    assert (EngineEncoder(own, precision, tier_name=tier)(clips) - z).abs().max() <= LARGEST_ERROR[precision] * z.std()


@every_precision
def test_a_clip_in_pieces_is_the_clip_to_the_bit(precision: str) -> None:
    """Given the context on either side: sums do not depend on where in a block a sample stands."""
    own, clips = encoder(SMALL), codes(40, SMALL)
    encode = EngineEncoder(own, precision)
    whole, hop = encode(clips), SMALL.hop_samples
    context = -(-SMALL.context_samples // hop)
    for start, stop in ((0, 7), (7, 8), (8, 33), (33, 40)):
        begin, end = max(0, start - context), min(40, stop + context)
        piece = encode(clips[:, begin * hop : end * hop])[:, :, start - begin : stop - begin]
        assert torch.equal(piece, whole[:, :, start:stop])


def test_the_length_of_a_call_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own, clips = encoder(SMALL), codes(40, SMALL)
    encode = EngineEncoder(own, "float32")
    at_once = encode(clips)
    monkeypatch.setattr("moksori.generation.engine.encoder._CALL_MULTIPLY_ADDS", 1)
    assert torch.equal(encode(clips), at_once)


@every_precision
def test_with_bounds_checked_the_same_comes_out(precision: str) -> None:
    config = EncoderConfig(1, 7, 17, 3, 5, hop_samples=50)
    own, clips = encoder(config), codes(9, config)
    found, checked = (EngineEncoder(own, precision, is_checked=checks)(clips) for checks in (False, True))
    torch.testing.assert_close(found, checked, rtol=0, atol=1e-6)


@pytest.mark.parametrize("field", ["taps", "mix", "head", "stem_bias"])
def test_the_checked_kernel_notices_weights_that_end_early(field: str) -> None:
    """Else the checked copy would prove nothing."""
    encode = EngineEncoder(encoder(SMALL), "float32", is_checked=True)
    weights = encode._net.weights
    short = getattr(weights, field)[..., :-1].copy()
    object.__setattr__(encode._net, "weights", weights._replace(**{field: short}))
    with pytest.raises(IndexError):
        encode(codes(9, SMALL))


def test_it_gives_up_between_two_calls_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    encode, stop, calls = EngineEncoder(encoder(SMALL), "float32"), Event(), []

    def run(*arguments: object) -> None:
        calls.append(arguments)
        stop.set()

    monkeypatch.setattr("moksori.generation.engine.encoder._CALL_MULTIPLY_ADDS", 1)
    object.__setattr__(encode, "_kernel", encoder_kernel.EncoderKernel(run, encode._kernel.body, encode._kernel.lanes))
    with pytest.raises(CancelledError):
        encode(codes(40, SMALL), stop)
    assert len(calls) == 1


@pytest.mark.parametrize("shape", [(2, 0), (1, 25), (24,)])
def test_clips_that_are_no_whole_hops_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a positive multiple of 24"):
        EngineEncoder(encoder(SMALL), "float32")(torch.zeros(shape, dtype=torch.int64))


def test_weights_that_are_not_finite_or_not_float32_are_refused() -> None:
    own = encoder(SMALL)
    with pytest.raises(ValueError, match=r"float32 weights, not torch\.float64"):
        EngineEncoder(encoder(SMALL).double(), "float32")
    with torch.no_grad():
        own.head.weight[0] = np.nan
    with pytest.raises(ValueError, match=r"the encoder's head\.weight is not finite"):
        EngineEncoder(own, "float32")


def test_the_encoder_is_left_alone() -> None:
    own = encoder(SMALL)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    weights = EngineEncoder(own, "float32")._net.weights
    for field in (weights.taps, weights.mix, weights.stem, weights.head, weights.taps_bias):
        field[:] = 0
    assert all(torch.equal(before[name], tensor) for name, tensor in own.state_dict().items())
