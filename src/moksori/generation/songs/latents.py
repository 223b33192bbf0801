"""The latent of a song, encoded piece by piece as it is asked for: the same frames as if it were encoded as a whole."""

from __future__ import annotations

import itertools
from concurrent.futures import CancelledError
from threading import Event
from typing import Protocol

import torch
from torch import Tensor

from moksori.audio import bands, frames
from moksori.data import threads
from moksori.generation import generator
from moksori.generation.engine import trial
from moksori.generation.songs.windows import Window
from moksori.models.encoder import AnyEncoder, Encoder, EncoderConfig

_PIECE_SECONDS = 2.0  # bounds the memory of torch's layers
_PARALLEL_PIECE_SECONDS = 8.0  # of each thread, where memory does not grow: the context on either side weighs less


class Encode(Protocol):
    """A way to encode."""

    precision: str  # it computes in
    is_parallel: bool  # threads may use it side by side, in bounded memory

    def __call__(self, codes: Tensor, stop: Event | None = None) -> Tensor:
        """Codes `[B, T]` -> z `[B, D, T / hop_samples]`, on any device; CancelledError if cancelled."""


class TorchEncode:
    """The encoder itself, on its own device."""

    precision = "float32"
    is_parallel = False  # torch has threads of its own

    def __init__(self, encoder: AnyEncoder) -> None:
        self._encoder = encoder
        self._device = next(encoder.parameters()).device

    @torch.inference_mode()
    def __call__(self, codes: Tensor, stop: Event | None = None) -> Tensor:
        """See `Encode`."""
        if stop is not None and stop.is_set():
            raise CancelledError
        z: Tensor = self._encoder(codes.to(self._device))
        return z


def encode_for(encoder: AnyEncoder, backend_name: str) -> Encode:
    """What encodes songs beside a backend: the engine where that generates and the encoder hears codes, else torch.

    Args:
        encoder: in evaluation mode; its weights are borrowed or copied, never changed.
        backend_name: one of `generator.BACKENDS`, which works here. In the precision of its name the engine encodes,
            too, but for "int8": see `EngineEncoder`.

    Raises:
        ValueError: the weights are not finite.
    """
    if backend_name not in generator.ENGINE or not isinstance(encoder, Encoder):
        return TorchEncode(encoder)
    from moksori.generation.engine.encoder import EngineEncoder

    return EngineEncoder(encoder, backend_name, tier_name=trial.verdict().tier)


class Latents:
    """A song's latent.

    Args:
        encode: see `encode_for`.
        config: of the encoder.
        sample_rate: of the model, Hz.
        window: the song.
        n_frames: of the latent, of the whole song.
        n_bands: of the codes.
    """

    def __init__(
        self,
        encode: Encode,
        config: EncoderConfig,
        sample_rate: int,
        window: Window,
        n_frames: int,
        n_bands: int = 1,
    ) -> None:
        self._encode, self._hop, self._window, self._n_frames = encode, config.hop_samples, window, n_frames
        self._n_bands = n_bands
        self._context = frames.n_frames(config.context_samples, self._hop)
        seconds = _PARALLEL_PIECE_SECONDS if encode.is_parallel else _PIECE_SECONDS
        self._piece = max(1, round(seconds * sample_rate / self._hop))  # frames
        self._workers = threads.n_cores() if encode.is_parallel else 1
        self._kept: list[Tensor] = []  # [D, n] each, side by side
        self._start = self._stop = 0  # frames kept

    @property
    def n_encoded(self) -> int:
        """Frames encoded so far."""
        return self._stop

    def read(self, start: int, stop: int) -> Tensor:
        """Frames `[start, stop)` of z, `[D, stop - start]`, stop at most the song's end; starts never go back."""
        while self._stop < stop:
            self._go_on()
        z = torch.cat(self._kept, dim=1)[:, start - self._start :]
        self._kept, self._start = [z], start
        return z[:, : stop - start]

    def _go_on(self) -> None:
        """Encode one piece more, or as many as there are threads."""
        n = min(self._n_frames - self._stop, self._piece * self._workers)
        n_pieces = min(n, self._workers)
        bounds = [self._stop + n * i // n_pieces for i in range(n_pieces + 1)]
        pieces = [self._piece_of(*pair) for pair in itertools.pairwise(bounds)]
        stop = Event()

        def encode(piece: tuple[Tensor, slice]) -> Tensor:
            codes, own = piece
            return self._encode(codes[None], stop)[0, :, own]

        self._kept.extend(threads.map_in_order(encode, pieces, self._workers, stop))
        self._stop += n

    def _piece_of(self, start: int, stop: int) -> tuple[Tensor, slice]:
        """Codes of a piece and of its context on either side, and which of their frames are its own."""
        begin = max(0, start - self._context)
        samples = self._window.read(begin * self._hop, min(stop + self._context, self._n_frames) * self._hop)
        return bands.encode(torch.from_numpy(samples), self._n_bands), slice(start - begin, stop - begin)
