from __future__ import annotations

import numpy as np
import pytest
import torch

from moksori.generation.engine import cpu, kernel, packing
from moksori.generation.engine.tile import ARITHMETICS
from moksori.models.wavenet import WaveNet, WaveNetConfig

AVX2 = next(tier for tier in cpu.TIERS if tier.name == "avx2")


def decoder(residual: int = 5, skip: int = 6, condition: int = 3) -> WaveNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return WaveNet(WaveNetConfig(2, 2, 2, residual, skip), condition)


def test_a_packed_matrix_by_hand() -> None:
    """Two lanes, so blocks of four rows; k in pairs; entry (row, k) is 10 row + k."""
    rows = np.arange(4)[:, None] * 10.0 + np.arange(4)
    found = packing.packed(rows, ARITHMETICS["int8"], lanes=2)
    #         k = 0, 1                        k = 2, 3
    assert found.tolist() == [0, 1, 10, 11, 20, 21, 30, 31, 2, 3, 12, 13, 22, 23, 32, 33]


def test_a_packed_gate_has_sigmoid_and_tanh_side_by_side() -> None:
    rows = np.arange(8.0)[:, None]  # sigmoid rows 0..3, tanh rows 4..7
    found = packing.packed(rows, ARITHMETICS["float32"], lanes=2, pairs=True)
    assert found.tolist() == [0, 1, 4, 5, 2, 3, 6, 7]


def test_bfloat16_is_the_nearest_number_of_eight_bits() -> None:
    chance = np.random.default_rng(0)
    values = chance.standard_normal(10_000).astype(np.float32)
    rounded = (packing.to_bfloat16(values).astype(np.uint32) << 16).view(np.float32)
    assert torch.equal(torch.from_numpy(rounded), torch.from_numpy(values).bfloat16().float())  # torch's is the judge


def test_a_pair_of_bfloat16_is_a_word_that_is_itself_the_second_as_near_as_bfloat16_comes() -> None:
    values = np.random.default_rng(0).standard_normal((10_000, 2)).astype(np.float32)
    pairs = packing.to_bfloat16_pairs(values)
    words = pairs.view(np.uint32)[:, 0]
    assert np.array_equal(pairs[:, 0], packing.to_bfloat16(values[:, 0]))
    assert (np.abs(words.view(np.float32) / values[:, 1] - 1) <= 2.0**-8).all()


def test_pairs_of_bfloat16_stay_away_from_what_is_no_ordinary_number() -> None:
    values = np.array([[0, 0], [1, 0], [-1, -0.0], [-1, 1e-39], [-1, 3.4028e38], [-1, -3.4028e38]], np.float32)
    seconds = packing.to_bfloat16_pairs(values).view(np.uint32).view(np.float32)[:, 0]
    assert np.isfinite(seconds).all() and seconds[0] == 0
    assert (np.abs(seconds[1:4]) < 2.0**-125).all() and (np.abs(seconds[1:]) >= 2.0**-126).all()
    assert seconds[4] > 3.3e38 and seconds[5] < -3.3e38


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_the_decoder_is_left_alone(precision: str) -> None:
    own = decoder()
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    net = packing.pack(own, kernel.build(AVX2, precision, "float32"), [1.0] * 4)
    net.weights.taps[:] = 0
    assert all(torch.equal(before[name], tensor) for name, tensor in own.state_dict().items())


def test_rows_lie_on_cache_lines_and_widths_are_whole_blocks() -> None:
    net = packing.pack(decoder(), kernel.build(AVX2, "float32", "float32"))
    assert (net.sizes.residual, net.sizes.skip, net.sizes.n_layers) == (16, 16, 4)
    assert net.weights.taps.ctypes.data % 64 == 0 and net.weights.logits.ctypes.data % 64 == 0
    assert net.ring_slots == 1 + 2 + 1 + 2
    assert net.multiply_adds == 4 * (32 * 32 + 32 * 16) + 16 * (16 + 256)


def test_quantised_rows_keep_their_largest_weight_exactly_and_the_rest_within_half_a_step() -> None:
    rows = np.random.default_rng(0).standard_normal((16, 8))
    quantised = packing._quantised(rows, ARITHMETICS["int8"], 8, step=1.0, pairs=False)
    blocks = quantised.packed.reshape(1, 4, 2, 8, 2).transpose(0, 2, 3, 1, 4).reshape(16, 8)
    restored = blocks * quantised.scale[:, None]
    step = np.abs(rows).max(axis=1) / 127
    assert (np.abs(restored - rows).max(axis=1) <= step / 2 + 1e-12).all()
    np.testing.assert_allclose(np.abs(restored).max(axis=1), np.abs(rows).max(axis=1))
    np.testing.assert_allclose(quantised.total, restored.sum(axis=1), atol=1e-12)


def test_weights_that_are_not_finite_are_refused_by_name() -> None:
    own = decoder()
    with torch.no_grad():
        own.hidden.bias[1] = torch.inf  # type: ignore[index]
    with pytest.raises(ValueError, match=r"the decoder's hidden\.bias is not finite"):
        packing.pack(own, kernel.build(AVX2, "float32", "float32"))


def test_int8_needs_to_know_every_layer() -> None:
    with pytest.raises(ValueError, match="the largest input of each of 4 layers, not 3"):
        packing.pack(decoder(), kernel.build(AVX2, "int8", "bfloat16"), [1.0] * 3)
