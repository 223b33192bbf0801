"""The engine behind the face that every way to generate has; see `generator.Backend`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moksori.audio import mulaw
from moksori.errors import NonFiniteError
from moksori.generation.engine import cpu, kernel, packing
from moksori.generation.engine.product import Floats, Packed
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet

# Of one call: some hundredths of a second even for one stream on a slow processor, so that whoever waits may stop it.
_CALL_MULTIPLY_ADDS = 1e8
_GATE_COST, _PICK_COST = 40, 5000  # what a gate, and picking a code, take in the time of so many products
_LONGEST_CALL = 250  # samples
# Of how many coming samples the past is multiplied at once, of one stream and of all together; see `kernel._recall`.
_MOST_AHEAD, _ALL_AHEAD = 8, 16
_HEAD = {"int8": "bfloat16"}  # precision of the last two 1x1s, where it is not that of the layers


@dataclass
class State:
    """What B streams remember; used up by each call."""

    arrays: kernel.State
    sizes: kernel.Sizes
    frames: Floats  # the condition, [F, B * C]
    n_streams: int
    position: int = 0  # codes generated so far


class EngineBackend:
    """Generate by compiled kernels, in float32 or less."""

    is_parallel = True

    def __init__(
        self,
        decoder: WaveNet,
        precision: str,
        layer_peaks: Sequence[float] = (),
        *,
        tier_name: str = "",
        is_checked: bool = False,
    ) -> None:
        """Lay out a decoder's weights.

        Args:
            decoder: of float32 weights; copied.
            precision: see `cpu.PRECISIONS`.
            layer_peaks: the largest input of each layer, for int8; see `calibration`.
            tier_name: width of the vectors, see `cpu`; by default the widest that the processor has.
            is_checked: check the bounds of every array.

        Raises:
            ValueError: weights of another type, or not finite; int8 without peaks.
        """
        if decoder.first.weight.dtype != torch.float32:
            raise ValueError(f"the engine generates from float32 weights, not {decoder.first.weight.dtype}")
        found = cpu.features()
        self.tier = cpu.tier(found, tier_name)
        body, head = (cpu.arithmetic(name, self.tier, found) for name in (precision, _HEAD.get(precision, precision)))
        self._kernel = kernel.build(self.tier, body, head, is_checked)
        self._net = packing.pack(decoder, self._kernel, layer_peaks)
        self.worker_streams = self.tier.worker_streams

    @property
    def multiply_adds(self) -> int:
        """Products of one step of one stream, which has a code for each band."""
        return self._net.multiply_adds

    def call_samples(self, n_streams: int) -> int:
        """See `generator.Backend.call_samples`."""
        sizes = self._net.sizes
        cost = (self.multiply_adds + _GATE_COST * sizes.n_layers * sizes.residual) / sizes.bands + _PICK_COST
        return max(1, min(_LONGEST_CALL, int(_CALL_MULTIPLY_ADDS / (cost * n_streams))))

    def start(self, conditioning: Conditioning) -> State:
        """State before the first sample; see `generator.Backend.start`."""
        frames = conditioning.frames.detach().cpu().float().permute(2, 0, 1)  # [B, C, F] -> [F, B, C]
        n_frames, n_streams, n_channels = frames.shape
        if n_channels != self._net.sizes.condition:
            raise ValueError(f"the decoder takes a condition of {self._net.sizes.condition} channels, not {n_channels}")
        sizes = self._net.sizes._replace(hop_samples=conditioning.hop_samples)
        n_ahead = max(1, min(_MOST_AHEAD, _ALL_AHEAD // n_streams))
        n_ahead = 1 << (n_ahead.bit_length() - 1)  # down to a power of two
        silence = mulaw.to_scalar(torch.tensor(mulaw.SILENCE)).item()
        arrays = kernel.State(
            recent=np.full(n_streams * sizes.first_taps * sizes.bands, silence, np.float32),
            projected=np.zeros(n_streams * (sizes.n_layers * 2 * sizes.residual + sizes.skip), np.float32),
            rings=np.full(
                (self._net.ring_slots, n_streams * sizes.residual),
                self._kernel.input_offset,  # what zero is kept as
                self._kernel.body.input_type,
            ),
            ahead=np.empty((sizes.n_layers, n_ahead, n_streams * 2 * sizes.residual), self._kernel.body.sum_type),
            logits=np.zeros(n_streams * sizes.bands * kernel.N_CODES, np.float32),
        )
        return State(
            arrays, sizes, np.ascontiguousarray(frames.reshape(n_frames, n_streams * n_channels).numpy()), n_streams
        )

    def narrow(self, state: State, n_streams: int) -> State:
        """See `generator.Backend.narrow`."""
        sizes, arrays = state.sizes, state.arrays

        def first(rows: Packed, width: int) -> Packed:
            return np.ascontiguousarray(rows[..., : n_streams * width])

        narrowed = kernel.State(
            recent=first(arrays.recent, sizes.first_taps * sizes.bands),
            projected=first(arrays.projected, sizes.n_layers * 2 * sizes.residual + sizes.skip),
            rings=first(arrays.rings, sizes.residual),
            ahead=first(arrays.ahead, 2 * sizes.residual),
            logits=first(arrays.logits, sizes.bands * kernel.N_CODES),
        )
        return State(narrowed, sizes, first(state.frames, sizes.condition), n_streams, state.position)

    def step(self, state: State, previous: Tensor | None) -> tuple[Tensor, State]:
        """Score the next code; see `generator.Backend.step`."""
        given = torch.zeros(state.n_streams, 1, dtype=torch.int64)  # any code: none is picked
        logits = np.empty((1, state.n_streams * kernel.N_CODES), np.float32)
        self._run(state, previous, torch.zeros(state.n_streams, 1), 1.0, given, logits)
        return torch.from_numpy(logits.reshape(state.n_streams, kernel.N_CODES)), state

    def score(self, state: State, previous: Tensor | None, codes: Tensor) -> tuple[Tensor, State]:
        """Score given codes.

        Args:
            state: from `start` or the last call; it is used up.
            previous: codes `[B]` of the sample before; None before the first.
            codes: `[B, n]`.

        Returns:
            Logits `[B, 256, n]`, and the state for the next call.
        """
        n_streams, n_samples = codes.shape
        logits = np.empty((n_samples, n_streams * kernel.N_CODES), np.float32)
        self._run(state, previous, torch.zeros(codes.shape), 1.0, codes, logits)
        return torch.from_numpy(logits.reshape(n_samples, n_streams, kernel.N_CODES)).permute(1, 2, 0), state

    def sample(
        self, state: State, previous: Tensor | None, uniforms: Tensor, temperature: float
    ) -> tuple[Tensor, State]:
        """Pick the next codes; see `generator.Backend.sample`."""
        unknown = torch.full(uniforms.shape, -1, dtype=torch.int64)
        codes = self._run(state, previous, uniforms, temperature, unknown, np.empty((0, 0), np.float32))
        return codes, state

    def _run(
        self,
        state: State,
        previous: Tensor | None,
        uniforms: Tensor,
        temperature: float,
        codes: Tensor,
        logits: Floats,
    ) -> Tensor:
        n_streams, n_samples = codes.shape
        shapes = {tuple(uniforms.shape), (state.n_streams, n_samples)}
        if shapes != {(n_streams, n_samples)} or (previous is not None and len(previous) != n_streams):
            raise ValueError(f"{state.n_streams} streams, codes {list(codes.shape)}, uniforms {list(uniforms.shape)}")
        if state.position + n_samples > len(state.frames) * state.sizes.hop_samples:
            raise ValueError(f"the condition ends before sample {state.position + n_samples}")
        by_time = np.ascontiguousarray(codes.cpu().numpy().T)  # [B, n] -> [n, B]
        n_done = self._kernel.run(
            state.sizes,
            self._net.weights,
            state.arrays,
            state.frames,
            state.position,
            np.full(state.n_streams, -1) if previous is None else previous.cpu().numpy().astype(np.int64),
            np.ascontiguousarray(uniforms.cpu().double().numpy().T),
            float(temperature),
            by_time,
            logits,
        )
        state.position += n_done
        if n_done < n_samples:
            raise NonFiniteError("the scores of the next code are")
        return torch.from_numpy(np.ascontiguousarray(by_time.T))
