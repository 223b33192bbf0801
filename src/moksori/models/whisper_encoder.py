"""Whisper's encoder as a net that gradients pass: what a teacher of words hears (Radford et al. 2022, section 2.2).

    log-mel [B, 80, F] -> two convolutions, the second halves the frames -> + places -> transformer layers [B, F / 2, C]

It holds no parameter that is trained: its weights are those of `whisper_files`, and they are not kept with a voice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from moksori import whisper_files
from moksori.whisper_files import Array


class WhisperEncoder:
    """The encoder of a Whisper, frozen."""

    def __init__(self, arrays: Mapping[str, Array], device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        """Take up weights.

        Args:
            arrays: by the names of CTranslate2, see `whisper_files.encoder_tensors`.
            device: where it computes.
            dtype: what it computes in.
        """
        self._n_heads = int(arrays["num_heads"])
        self._weights = {
            name: torch.from_numpy(array).to(device, dtype) for name, array in arrays.items() if name != "num_heads"
        }
        self.n_layers = sum(name.endswith("/ffn/layer_norm/gamma") for name in self._weights)
        self._dtype = dtype

    @classmethod
    def published(cls, name: str, device: torch.device, dtype: torch.dtype = torch.float32) -> WhisperEncoder:
        """That of weights in packages, by name.

        Raises:
            Unavailable: they are not installed, or not the ones that were tested.
        """
        return cls(whisper_files.encoder_tensors(whisper_files.published(name)["model.bin"]), device, dtype)

    def layers(self, log_mel: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """The outputs of some layers, counted from 0 and in rising order, in single precision.

        Args:
            log_mel: `[B, 80, F]`, F up to 3000; see `audio.whisper_mel`. Whisper was taught on 30 s, filled up with
                silence; shorter pieces are heard with no silence behind them.
            wanted: which layers; those after the last of them are not computed.

        Returns:
            `[B, ceil(F / 2), width]` each; that of the last layer is normalised, as the decoder gets it.
        """
        hidden = functional.gelu(self._convolved(log_mel.to(self._dtype), "conv1", stride=1))
        hidden = functional.gelu(self._convolved(hidden, "conv2", stride=2)).transpose(1, 2)
        hidden = hidden + self._weights["position_encodings/encodings"][: hidden.shape[1]]
        outputs = []
        for index in range(max(wanted) + 1):
            hidden = self._layer(hidden, f"layer_{index}")
            if index in wanted:
                is_last = index == self.n_layers - 1
                outputs.append((self._normalised(hidden, "layer_norm") if is_last else hidden).float())
        return outputs

    def _layer(self, hidden: Tensor, name: str) -> Tensor:
        n_clips, n_frames, width = hidden.shape
        asked = self._normalised(hidden, f"{name}/self_attention/layer_norm")
        parts = self._linear(asked, f"{name}/self_attention/linear_0").chunk(3, dim=2)
        query, key, value = (part.view(n_clips, n_frames, self._n_heads, -1).transpose(1, 2) for part in parts)
        found = functional.scaled_dot_product_attention(query, key, value)
        hidden = hidden + self._linear(
            found.transpose(1, 2).reshape(n_clips, n_frames, width), f"{name}/self_attention/linear_1"
        )
        inner = self._linear(self._normalised(hidden, f"{name}/ffn/layer_norm"), f"{name}/ffn/linear_0")
        return hidden + self._linear(functional.gelu(inner), f"{name}/ffn/linear_1")

    def _convolved(self, sound: Tensor, name: str, stride: int) -> Tensor:
        weight, bias = self._weights[f"{name}/weight"], self._weights[f"{name}/bias"]
        return functional.conv1d(sound, weight, bias, stride=stride, padding=1)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._weights[f"{name}/weight"], self._weights.get(f"{name}/bias"))

    def _normalised(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            x, x.shape[-1:], self._weights[f"{name}/gamma"], self._weights[f"{name}/beta"], eps=1e-5
        )
