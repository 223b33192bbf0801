"""Weight packing: a decoder's or an encoder's weights laid out for the tiles; the net itself is left alone.

Widths are padded with zeros to whole blocks of rows, so that any size of net runs: a padded channel has no bias and no
weight, its gate is sigmoid(0) tanh(0) = 0, and it stays 0 for ever.

Rows are quantised each by its own largest weight, inputs each layer by its largest input while it was calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from moksori.errors import NonFiniteError
from moksori.generation.engine import encoder_kernel, kernel
from moksori.generation.engine.encoder_kernel import EncoderKernel
from moksori.generation.engine.kernel import Kernel, Sizes, Weights
from moksori.generation.engine.product import Floats, Packed
from moksori.generation.engine.tile import ARITHMETICS, Arithmetic
from moksori.models.encoder import Encoder
from moksori.models.layers import GatedResidual
from moksori.models.wavenet import WaveNet

Doubles = npt.NDArray[np.float64]

_ALIGNMENT = 64  # bytes: a cache line, and the widest register


@dataclass(frozen=True)
class Net:
    """All that a kernel needs to know of a decoder."""

    sizes: Sizes
    weights: Weights

    @property
    def ring_slots(self) -> int:
        """Past inputs remembered, of all layers together."""
        return int((self.sizes.kernel_size - 1) * self.weights.dilations.sum())

    @property
    def multiply_adds(self) -> int:
        """Products of one step of one stream, the padding included, the condition left out."""
        sizes = self.sizes
        width = sizes.residual * sizes.kernel_size * 2 * sizes.residual + sizes.residual * (sizes.residual + sizes.skip)
        return sizes.n_layers * width + sizes.skip * (sizes.skip + sizes.bands * kernel.N_CODES)


def pack(decoder: WaveNet, made: Kernel, peaks: Sequence[float] = (), hop_samples: int = 1) -> Net:
    """Lay out a decoder for a kernel.

    Args:
        decoder: on any device; its weights are copied.
        made: the kernel.
        peaks: the largest input of each layer, see `calibration`; asked for by a quantised kernel only.
        hop_samples: how long a frame of the condition is.

    Raises:
        ValueError: a quantised kernel without peaks.
        NonFiniteError: weights that are not finite.
    """
    refuse_infinite(decoder, "decoder")
    config, lanes = decoder.config, made.lanes
    block = 2 * lanes
    residual, skip = _up(config.residual_channels, block), _up(config.skip_channels, block)
    condition = decoder.condition_channels
    layers = list(decoder.gated_layers())
    if made.is_quantised and len(peaks) != len(layers):
        raise ValueError(f"int8 needs the largest input of each of {len(layers)} layers, not {len(peaks)}")
    inputs_step = np.array([max(peak, 1e-6) / 127 for peak in peaks] if made.is_quantised else [1.0] * len(layers))
    taps, outputs = [], []
    for layer, step in zip(layers, inputs_step, strict=True):
        taps.append(_quantised(_taps_of(layer, residual), made.body, lanes, step, config.kernel_size, pairs=True))
        rows = np.concatenate([_pointwise(layer.residual, residual, residual), _pointwise(layer.skip, skip, residual)])
        gated_step = 1 / kernel.GATED_GAIN if made.is_quantised else 1.0
        outputs.append(_quantised(rows, made.body, lanes, gated_step))
    first = _first_of(decoder, residual)
    first_bias = _bias(decoder.first, residual)
    first_skip = _pointwise(decoder.first_skip, skip, residual)
    # An offset of the inputs adds offset * sum(weights) to every sum; the biases take it back.
    taps_bias = np.stack([_scores_bias(layer, residual) for layer in layers]) - made.input_offset * np.stack(
        [rows.total for rows in taps]
    )
    residual_bias = np.stack([_bias(layer.residual, residual) for layer in layers])
    outputs_offset = made.input_offset * np.stack([rows.total for rows in outputs])
    skip_bias = first_skip @ first_bias + _bias(decoder.first_skip, skip) - outputs_offset[:, residual:].sum(axis=0)
    skip_bias += sum(_bias(layer.skip, skip) for layer in layers)
    projections = [_pointwise_halves(layer.condition, residual, condition) for layer in layers]
    projections.append(_pointwise(decoder.hidden_condition, skip, condition))
    n_scores = config.bands * kernel.N_CODES
    hidden_bias = _bias(decoder.hidden, skip) + _bias(decoder.hidden_condition, skip)
    weights = Weights(
        dilations=np.array(config.dilations, np.int64),
        first=_floats(first.T),
        first_bias=_floats(first_bias),
        first_skip=_floats((first_skip @ first).T),
        skip_bias=_floats(skip_bias),
        taps=_aligned([rows.packed.reshape(config.kernel_size, -1) for rows in taps]),
        taps_scale=_floats(np.stack([rows.scale for rows in taps])),
        inputs_gain=_floats(1 / inputs_step),
        outputs=_aligned([rows.packed for rows in outputs]),
        outputs_scale=_floats(np.stack([rows.scale for rows in outputs])),
        residual_bias=_floats(residual_bias - outputs_offset[:, :residual]),
        condition=_aligned([packed(np.concatenate(projections), ARITHMETICS["float32"], lanes)])[0],
        condition_bias=_floats(np.concatenate([taps_bias.ravel(), hidden_bias])),
        hidden=_aligned([packed(_pointwise(decoder.hidden, skip, skip), made.head, lanes)])[0],
        logits=_aligned([packed(_pointwise(decoder.logits, n_scores, skip), made.head, lanes)])[0],
        logits_bias=_floats(_bias(decoder.logits, n_scores)),
    )
    sizes = Sizes(
        config.bands, len(layers), config.kernel_size, config.first_taps, residual, skip, condition, hop_samples
    )
    return Net(sizes, weights)


@dataclass(frozen=True)
class EncoderNet:
    """All that a kernel needs to know of an encoder."""

    sizes: encoder_kernel.Sizes
    weights: encoder_kernel.Weights

    @property
    def multiply_adds(self) -> int:
        """Products of one sample, the padding included, stem and head left out."""
        return self.sizes.n_layers * (self.sizes.kernel_size + 1) * self.sizes.channels**2


def pack_encoder(encoder: Encoder, made: EncoderKernel) -> EncoderNet:
    """Lay out an encoder for a kernel.

    Args:
        encoder: on any device; its weights are copied.
        made: the kernel.

    Raises:
        NonFiniteError: weights that are not finite.
    """
    refuse_infinite(encoder, "encoder")
    config, lanes = encoder.config, made.lanes
    width, latent = _up(config.channels, 2 * lanes), _up(config.latent_channels, 2 * lanes)
    layers = list(encoder.layers())
    taps = [
        _aligned([packed(tap, made.body, lanes) for tap in _tap_matrices(layer.dilated, width)]) for layer in layers
    ]
    mix = [packed(_pointwise(layer.mix, width, width), made.body, lanes) for layer in layers]
    weights = encoder_kernel.Weights(
        dilations=np.array([layer.dilated.dilation[0] for layer in layers], np.int64),
        stem=_floats(np.stack([tap[:, 0] for tap in _tap_matrices(encoder.stem, width)])),
        stem_bias=_floats(_bias(encoder.stem, width)),
        taps=_aligned(taps),
        taps_bias=_floats(np.stack([_bias(layer.dilated, width) for layer in layers])),
        mix=_aligned(mix),
        mix_bias=_floats(np.stack([_bias(layer.mix, width) for layer in layers])),
        head=_aligned([packed(_pointwise(encoder.head, latent, width), ARITHMETICS["float32"], lanes)])[0],
        head_bias=_floats(_bias(encoder.head, latent)),
    )
    sizes = encoder_kernel.Sizes(len(layers), config.kernel_size, width, latent, config.hop_samples)
    return EncoderNet(sizes, weights)


def refuse_infinite(net: nn.Module, called: str) -> None:
    """Refuse a net with weights that are not finite; it could only say nothing.

    Args:
        net: any.
        called: what it is to the user.

    Raises:
        NonFiniteError: names the first such weight.
    """
    for name, tensor in net.state_dict().items():
        if not tensor.isfinite().all():
            raise NonFiniteError(f"the {called}'s {name} is")


def packed(rows: Doubles, arithmetic: Arithmetic, lanes: int, pairs: bool = False) -> Packed:
    """Lay out a matrix as `[block][k / group][2][lanes][group]`, flat.

    Args:
        rows: `[N, k]`, N a multiple of `2 * lanes`, k of the arithmetic's group; whole numbers for int8.
        arithmetic: says the type.
        lanes: rows of a vector.
        pairs: a block's second vector holds the rows half the matrix below those of its first, instead of the next.
    """
    n_rows, k = rows.shape
    n_blocks = n_rows // (2 * lanes)
    blocks = rows.reshape(2, n_blocks, lanes, k).swapaxes(0, 1) if pairs else rows.reshape(n_blocks, 2, lanes, k)
    grouped = blocks.reshape(len(blocks), 2, lanes, k // arithmetic.group, arithmetic.group)
    ordered = grouped.transpose(0, 3, 1, 2, 4)
    if arithmetic.name == "bfloat16":
        return to_bfloat16_pairs(ordered).ravel()
    flat = ordered.ravel()
    return to_bfloat16(flat) if arithmetic.weight_type is np.uint16 else flat.astype(arithmetic.weight_type)


def to_bfloat16(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """The upper halves of the float32 numbers, rounded to the nearest, ties to even.

    >>> to_bfloat16(np.array([1.0, -2.0, 1.0039])).tolist()
    [16256, 49152, 16256]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def to_bfloat16_pairs(pairs: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Two numbers in a word, `[..., 2]`, of which the word itself is the second, to be read as a float32.

    The first is the bfloat16 in the lower half; shifted up it is a float32. Below its own upper half the second has
    those bits, whatever they are: so that half is chosen for the whole word to come nearest. Both are as near to the
    numbers as bfloat16 comes, within 2^-8 of them, and no instruction has to clear the bits.

    >>> to_bfloat16_pairs(np.array([[-2.0, 1.0]])).tolist()  # 0xC000 and 0x3F7F; 0x3F7FC000 is 0.99902
    [[49152, 16255]]
    """
    lower = to_bfloat16(pairs[..., 0]).astype(np.int64)
    bits = np.ascontiguousarray(pairs[..., 1], np.float32).view(np.uint32).astype(np.int64)
    least = np.where(lower > 0, 0x80, 0)  # nothing between 0 and 2^-126: there some processors are slow
    upper = np.clip(((bits & 0x7FFFFFFF) - lower + 0x8000) >> 16, least, 0x7F7F)  # nor anything beyond the largest
    return np.stack([lower, upper | bits >> 31 << 15], axis=-1).astype(np.uint16)


@dataclass(frozen=True)
class _Rows:
    """A packed matrix: sums times `scale` are rows times inputs."""

    packed: Packed
    scale: Doubles  # [N]
    total: Doubles  # [N], what a constant input of one step would add


def _quantised(
    rows: Doubles, arithmetic: Arithmetic, lanes: int, step: float, taps: int = 1, pairs: bool = False
) -> _Rows:
    """Quantise a matrix if the arithmetic wants that, and pack what each tap reads by itself."""
    scale, total = np.ones(len(rows)), np.zeros(len(rows))
    if arithmetic.is_integer:
        of_row = np.maximum(np.abs(rows).max(axis=1), 1e-12) / 127
        rows, scale = np.rint(rows / of_row[:, None]), of_row * step
        total = rows.sum(axis=1) * scale
    parts = [packed(part, arithmetic, lanes, pairs) for part in np.split(rows, taps, axis=1)]
    return _Rows(np.concatenate(parts), scale, total)


def _taps_of(layer: GatedResidual, residual: int) -> Doubles:
    """Dilated weights `[2R, R, K]` as `[2R, K * R]`, oldest tap first."""
    weight = _array(layer.dilated.weight)
    half, taps = weight.shape[0] // 2, weight.shape[2]
    wide = np.zeros((2, residual, taps, residual))
    wide[:, :half, :, : weight.shape[1]] = weight.reshape(2, half, -1, taps).swapaxes(2, 3)
    return wide.reshape(2 * residual, taps * residual)


def _tap_matrices(convolution: nn.Conv1d, width: int) -> list[Doubles]:
    """Weights `[W, C, K]` as K matrices `[W, C]`, both sides padded to `width`; earliest tap first."""
    weight = _array(convolution.weight)
    n_rows, n_columns, taps = weight.shape
    wide = np.pad(weight, ((0, width - n_rows), (0, width - n_columns), (0, 0)))
    return [wide[:, :, tap] for tap in range(taps)]


def _first_of(decoder: WaveNet, residual: int) -> Doubles:
    """First convolution as `[R, K' * bands]`, oldest step first, in each step band after band."""
    weight = _array(decoder.first.weight).swapaxes(1, 2).reshape(decoder.config.residual_channels, -1)
    return np.pad(weight, ((0, residual - len(weight)), (0, 0)))


def _scores_bias(layer: GatedResidual, residual: int) -> Doubles:
    """Biases of the taps and of the condition, `[2R]`."""
    both = _array(layer.dilated.bias)
    if layer.condition is not None:
        both = both + _array(layer.condition.bias)
    return _halves(both[:, None], residual)[:, 0]


def _pointwise(convolution: nn.Conv1d | None, n_rows: int, n_columns: int) -> Doubles:
    """Weights of a 1x1 convolution, padded; zeros if there is none."""
    wide = np.zeros((n_rows, n_columns))
    if convolution is not None:
        weight = _array(convolution.weight)[:, :, 0]
        wide[: weight.shape[0], : weight.shape[1]] = weight
    return wide


def _pointwise_halves(convolution: nn.Conv1d | None, residual: int, n_columns: int) -> Doubles:
    """Weights of a 1x1 convolution to sigmoid and tanh, `[2R, n_columns]`, each half padded."""
    if convolution is None:
        return np.zeros((2 * residual, n_columns))
    return _halves(_array(convolution.weight)[:, :, 0], residual)


def _halves(rows: Doubles, residual: int) -> Doubles:
    """Pad both halves of the rows to R."""
    half = len(rows) // 2
    return np.pad(rows.reshape(2, half, -1), ((0, 0), (0, residual - half), (0, 0))).reshape(2 * residual, -1)


def _bias(convolution: nn.Conv1d | None, width: int) -> Doubles:
    if convolution is None:
        return np.zeros(width)
    bias = _array(convolution.bias)
    return np.pad(bias, (0, width - len(bias)))


def _array(tensor: Any) -> Doubles:
    array: Doubles = tensor.detach().cpu().double().numpy()
    return array


def _floats(values: Doubles) -> Floats:
    with np.errstate(over="ignore"):  # of weights beyond float32 the scores are not finite, which is refused there
        return np.ascontiguousarray(values, np.float32)


def _aligned(parts: list[Packed]) -> Packed:
    """Stack arrays where a cache line begins."""
    stacked = np.stack(parts)
    room = np.empty(stacked.nbytes + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    aligned = room[start : start + stacked.nbytes].view(stacked.dtype).reshape(stacked.shape)
    aligned[:] = stacked
    return aligned


def _up(width: int, block: int) -> int:
    """The next multiple of a block."""
    return -(-width // block) * block
