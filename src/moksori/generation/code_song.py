"""A song on its way through a model that samples codes, group after group of chunks, each group in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from moksori.audio import features, frames, level, mulaw
from moksori.audio.clip import Samples
from moksori.generation import chunks, generator, sampling
from moksori.generation.chunks import Chunk, ChunkConfig, Joiner, SeamCount
from moksori.generation.windows import Window
from moksori.models.autoencoder import Autoencoder
from moksori.models.conditions import Conditioning


@dataclass(frozen=True)
class SampleOptions:
    """How codes are sampled."""

    seed: int
    temperature: float
    backend: str
    chunks: ChunkConfig
    layer_peaks: tuple[float, ...] = ()  # of the decoder, see `calibration`


@dataclass
class CodeSong:
    """One song on its way through the model, at the model's rate."""

    model: Autoencoder
    vector: Tensor  # [E]
    told: Tensor | None  # pitch and level of the whole song, `[2, F]`, where the model is told them
    options: SampleOptions
    seams: SeamCount
    progress: Callable[[float], None] | None

    def converted(self, source: Iterator[Samples], measured: level.Measurement) -> Iterator[Samples]:
        """Convert group after group of chunks, each group in lockstep."""
        config, rate = self.model.config, self.model.config.sample_rate
        n_samples = frames.rescaled_length(measured.n_samples, measured.sample_rate, rate)
        hop, field_samples = config.encoder.hop_samples, config.decoder.receptive_field
        backend = generator.backend_for(self.model.decoder, self.options.backend, self.options.layer_peaks)
        # The cuts depend on the song alone; how many chunks are generated at once, on the machine.
        n_streams = generator.lockstep_streams(backend)
        plan = chunks.plan(n_samples, rate, hop, field_samples, measured.frame_dbfs, self.options.chunks)
        latents = _Latents(self.model, Window(source), frames.n_frames(n_samples, hop))
        joiner = Joiner(rate, field_samples, self.options.chunks, self.seams)
        for start in range(0, len(plan), n_streams):
            yield from self._generate(plan[start : start + n_streams], latents, backend, joiner, n_samples)
        yield joiner.finish(n_samples)

    def _generate(
        self, group: list[Chunk], z_of_song: _Latents, backend: generator.Backend, joiner: Joiner, n_samples: int
    ) -> Iterator[Samples]:
        hop, first = self.model.hop_samples, group[0].first
        longest = frames.padded_length(max(chunk.last - chunk.first for chunk in group), hop)
        z = z_of_song.read(first // hop, frames.n_frames(group[-1].last, hop))  # [D, F] from the group's first sample

        def latent(chunk: Chunk) -> Tensor:
            begin = (chunk.first - first) // hop
            own = z[:, begin : begin + longest // hop]
            return functional.pad(own, (0, longest // hop - own.shape[1]))

        vectors = self.vector.expand(len(group), -1)
        latents = torch.stack([latent(chunk) for chunk in group])
        melody = None if self.told is None else torch.stack([self._told(chunk.first, longest) for chunk in group])
        conditioning: Conditioning = self.model.conditioning(latents, vectors, melody)
        seed = self.options.seed
        uniforms = torch.stack([sampling.uniforms(seed, 0, chunk.first, longest) for chunk in group])
        before, span = group[0].start / n_samples, (group[-1].stop - group[0].start) / n_samples
        done = 0

        def told(n_steps: int) -> None:
            nonlocal done
            done += n_steps
            if self.progress is not None:
                self.progress(before + span * done / longest)

        codes = generator.generate(backend, conditioning, uniforms, self.options.temperature, told)
        for chunk, row in zip(group, codes.cpu().numpy().astype(np.uint8), strict=True):
            yield joiner.push(chunk, row[: chunk.last - chunk.first])

    def _told(self, first: int, n_samples: int) -> Tensor:
        assert self.told is not None
        return melody_of(self.told, first, n_samples, self.model.config.melody_hop_samples).to(self.vector)


def melody_of(told: Tensor, first: int, n_samples: int, hop_samples: int) -> Tensor:
    """Pitch and level of a stretch of a song, from `[2, F]`; after the song's end there is silence."""
    start, n_frames = first // hop_samples, n_samples // hop_samples
    own = told[:, start : start + n_frames]
    quiet = told.new_tensor([[0.0], [features.FLOOR_DBFS]]).expand(-1, n_frames - own.shape[1])
    return torch.cat([own, quiet], dim=1)


class _Latents:
    """The latent of a song, encoded piece by piece: the same frames as if the song were encoded as a whole."""

    _PIECE_SECONDS = 2.0  # bounds the memory of the encoder's layers

    def __init__(self, model: Autoencoder, window: Window, n_frames: int) -> None:
        self._model = model
        self._window = window
        self._n_frames = n_frames  # of the song
        self._piece = max(1, round(self._PIECE_SECONDS * model.config.sample_rate / model.hop_samples))  # frames
        self._z = model.singers.table.weight.new_zeros(model.config.encoder.latent_channels, 0)
        self._start = 0  # first frame kept

    def read(self, start: int, stop: int) -> Tensor:
        """Frames `[start, stop)` of z, `[D, stop - start]`; starts never go back."""
        parts = [self._z[:, start - self._start :]]
        position = self._start + self._z.shape[1]
        while position < stop:
            parts.append(self._encode(position, position + self._piece))
            position += self._piece
        self._z, self._start = torch.cat(parts, dim=1), start
        return self._z[:, : stop - start]

    @torch.inference_mode()
    def _encode(self, start: int, stop: int) -> Tensor:
        hop = self._model.hop_samples
        context = frames.n_frames(self._model.config.encoder.context_samples, hop)
        begin = max(0, start - context)
        samples = self._window.read(begin * hop, min(stop + context, self._n_frames) * hop)
        heard = mulaw.encode(torch.from_numpy(samples)).unsqueeze(0).to(self._z.device)
        return self._model.encode(heard)[0, :, start - begin : stop - begin]
