"""Int8 calibration: how large the inputs of a decoder's layers get, which sets the steps of their rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet

_HEADROOM = 1.05  # songs to come may be a little louder; what is beyond is clipped


@torch.no_grad()
def layer_peaks(decoder: WaveNet, codes: Tensor, conditioning: Conditioning | None) -> list[float]:
    """The largest magnitude among each layer's inputs while the decoder hears some clips.

    Args:
        decoder: any.
        codes: clips it was taught to score, `[B, T]`; a few seconds are enough.
        conditioning: of those codes.

    Returns:
        A number a layer, first to last, with a little headroom.
    """
    peaks: list[float] = []

    def note(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        peaks.append(_HEADROOM * float(inputs[0].abs().max()))

    hooks = [layer.register_forward_pre_hook(note) for layer in decoder.gated_layers()]
    try:
        decoder(codes, conditioning)
    finally:
        for hook in hooks:
            hook.remove()
    return peaks
