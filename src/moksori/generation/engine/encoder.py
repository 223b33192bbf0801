"""The encoder by the engine: codes in, latent out, as `models.encoder` says."""

from __future__ import annotations

from concurrent.futures import CancelledError
from threading import Event

import numpy as np
import torch
from torch import Tensor

from moksori.audio import frames, mulaw
from moksori.generation.engine import cpu, encoder_kernel, packing
from moksori.generation.engine.encoder_kernel import BLOCK_SAMPLES, State
from moksori.models.encoder import Encoder

# Of one call: some hundredths of a second even on a slow processor, so that whoever waits may stop it.
_CALL_MULTIPLY_ADDS = 5e8
_PRECISION = {"int8": "bfloat16"}  # of the layers, where it is not the one asked for: nobody calibrates an encoder


class EngineEncoder:
    """Encode by compiled kernels, in float32 or bfloat16. Threads may use one side by side.

    Args:
        encoder: of float32 weights; copied.
        precision: see `cpu.PRECISIONS`; "int8" is computed in bfloat16.
        tier_name: width of the vectors, see `cpu`; by default the widest that the processor has.
        is_checked: check the bounds of every array.

    Raises:
        ValueError: weights of another type, or not finite.
    """

    is_parallel = True

    def __init__(self, encoder: Encoder, precision: str, *, tier_name: str = "", is_checked: bool = False) -> None:
        if encoder.stem.weight.dtype != torch.float32:
            raise ValueError(f"the engine encodes with float32 weights, not {encoder.stem.weight.dtype}")
        found = cpu.features()
        tier = cpu.tier(found, tier_name)
        self.precision = _PRECISION.get(precision, precision)
        arithmetic = cpu.arithmetic(self.precision, tier, found)
        self._kernel = encoder_kernel.build(tier, arithmetic, is_checked)
        self._net = packing.pack_encoder(encoder, self._kernel)
        self._latent_channels = encoder.config.latent_channels

    def __call__(self, codes: Tensor, stop: Event | None = None) -> Tensor:
        """Listen to clips of mu-law codes; the twin of `Encoder.forward`.

        Args:
            codes: integers 0..255, `[B, T]`, T a multiple of the hop.
            stop: gives up as soon as it is set.

        Returns:
            z `[B, D, T / hop_samples]`.

        Raises:
            ValueError: T is not a positive multiple of the hop.
            CancelledError: it gave up.
        """
        hop = self._net.sizes.hop_samples
        if codes.dim() != 2 or codes.shape[1] == 0 or codes.shape[1] % hop:
            raise ValueError(f"codes must be [B, T] with T a positive multiple of {hop}, not {list(codes.shape)}")
        return torch.stack([self._encode(clip, stop) for clip in codes])

    def _encode(self, codes: Tensor, stop: Event | None) -> Tensor:
        sizes, weights = self._net.sizes, self._net.weights
        sound = np.ascontiguousarray(mulaw.to_scalar(codes.cpu()).float().numpy())
        z = np.empty((len(sound) // sizes.hop_samples, sizes.latent), np.float32)
        reach = sizes.kernel_size // 2 * int(weights.dilations.sum())  # of all layers together
        blocks = sizes.n_layers * BLOCK_SAMPLES
        state = State(
            rings=np.zeros((2 * reach + blocks) * sizes.channels, self._kernel.body.input_type),
            inputs=np.zeros((reach + blocks) * sizes.channels, np.float32),
            mean=np.zeros(sizes.channels, np.float32),
        )
        n_to_run = frames.padded_length(len(sound) + reach, BLOCK_SAMPLES)
        n_at_once = max(1, int(_CALL_MULTIPLY_ADDS / (self._net.multiply_adds * BLOCK_SAMPLES))) * BLOCK_SAMPLES
        for start in range(0, n_to_run, n_at_once):
            if stop is not None and stop.is_set():
                raise CancelledError
            here = min(start + n_at_once, n_to_run)
            self._kernel.run(sizes, weights, state, sound, start, here, z)
        return torch.from_numpy(np.ascontiguousarray(z[:, : self._latent_channels].T))
