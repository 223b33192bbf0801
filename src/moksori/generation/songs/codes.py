"""A song on its way through a model that samples codes, chunk after chunk.

samples --encoder--> z --cut--> parts --> (`scheduler` sings them) --> codes --joined--> sound
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from moksori.audio import features, frames
from moksori.audio.clip import Samples
from moksori.audio.level import Measurement
from moksori.generation.backends import sampling
from moksori.generation.songs import chunks
from moksori.generation.songs.base import Intermediates, Part, Request, Song
from moksori.generation.songs.chunks import ChunkConfig, Codes, Joiner, SeamCount
from moksori.generation.songs.latents import Encode, Latents
from moksori.generation.songs.windows import Window
from moksori.models.autoencoder import Autoencoder
from moksori.progress import OnProgress, Progress

# How long a sample takes to encode and to sing, in proportion; at the paper's size it is this.
_TO_ENCODE, _TO_SING = 1, 2


class CodeSong(Song):
    """One song, to be sung by one singer; see `scheduler` for how its parts are sung.

    Args:
        model: in evaluation mode, on any device.
        encode: its encoder, see `latents.encode_for`.
        vector: the singer's `[E]`.
        melody: pitch and level of the whole song, `[2, F]`, where the model is conditioned on them.
        seed: of the sampling.
        config: where the song is cut.
        measured: the song's length and levels.
        source: the song in blocks, at the model's rate and level.
        progress: called with the share done.
    """

    needs_limit = False  # codes know no more than full scale

    def __init__(
        self,
        model: Autoencoder,
        encode: Encode,
        vector: Tensor,
        melody: Tensor | None,
        seed: int,
        config: ChunkConfig,
        measured: Measurement,
        source: Iterator[Samples],
        progress: OnProgress | None = None,
    ) -> None:
        self.seams = SeamCount()
        self._model, self._encode, self._vector, self._melody = model, encode, vector, melody
        self._seed, self._config = seed, config
        # The phase is that of the whole song, so that neighbours are in step where they are joined.
        self._cycles = None if melody is None else model.cycles(melody[None, 0])
        rate, self._field = model.config.sample_rate, model.config.decoder.receptive_field
        self._n_samples = frames.rescaled_length(measured.n_samples, measured.sample_rate, rate)
        # The cuts depend on the song alone, not on the machine nor on other songs.
        self._plan = chunks.plan(
            self._n_samples, rate, model.config.latent_hop_samples, self._field, measured.frame_dbfs, self._config
        )
        self._source, self._progress = source, progress
        n_encoded = frames.padded_length(self._n_samples, model.config.latent_hop_samples)
        n_sung = sum(chunk.last - chunk.first for chunk in self._plan)
        self._n_encoded, self._n_sung, self._share_reported = 0, 0, 0.0
        self._to_do = _TO_ENCODE * n_encoded + _TO_SING * n_sung

    @property
    def n_parts(self) -> int:
        """Chunks that the song is cut into."""
        return len(self._plan)

    def parts(self) -> Iterator[Part]:
        """The chunks, each encoded when it is asked for."""
        hop, latents = self._model.config.latent_hop_samples, self._latents()
        for chunk in self._plan:
            n_samples = chunk.last - chunk.first
            n_frames, first = frames.n_frames(n_samples, hop), chunk.first // hop
            z = latents.read(first, first + n_frames)  # [D, F]
            melody = cycles = None
            if self._melody is not None:
                own = melody_of(self._melody, chunk.first, n_frames * hop, self._model.config.melody_hop_samples)
                melody = own.to(self._vector)[None]
                cycles = self._cycles_of(chunk.first, n_frames * hop)
            # The engine encodes on the CPU, wherever the model is.
            conditioning = self._model.conditioning(z.to(self._vector.device)[None], self._vector[None], melody, cycles)
            self._n_encoded = latents.n_encoded * hop
            yield Part(conditioning, sampling.uniforms(self._seed, 0, chunk.first, n_samples))

    def _cycles_of(self, first: int, n_samples: int) -> Tensor | None:
        """The phase of a stretch; after the song's end, where nothing is voiced, it stands still."""
        if self._cycles is None:
            return None
        hop = self._model.config.phase_hop_samples
        own = self._cycles[:, first // hop : (first + n_samples) // hop].to(self._vector)
        return functional.pad(own, (0, n_samples // hop - own.shape[1]))

    def intermediates(self) -> Intermediates:
        """See `Song.intermediates`."""
        n_frames = frames.n_frames(self._n_samples, self._model.config.latent_hop_samples)
        return Intermediates(self._latents().read(0, n_frames))

    def _latents(self) -> Latents:
        config = self._model.config
        n_frames = frames.n_frames(self._n_samples, config.latent_hop_samples)
        window, n_bands = Window(self._source), config.decoder.bands
        return Latents(self._encode, config.encoder, config.sample_rate, window, n_frames, n_bands)

    def progressed(self, n_samples: int) -> None:
        """See `base.Scheduled.progressed`."""
        self._n_sung += n_samples
        share = (_TO_ENCODE * self._n_encoded + _TO_SING * self._n_sung) / self._to_do
        if self._progress is not None and share > self._share_reported:
            self._share_reported = share
            self._progress(Progress(share))

    def sound(self, codes: Iterator[Codes]) -> Iterator[Samples]:
        """The song's sound, chunk after chunk, from the codes of its parts."""
        model = self._model.config
        joiner = Joiner(model.sample_rate, self._field, self._config, self.seams, model.decoder.bands)
        for chunk, own in zip(self._plan, codes, strict=True):
            yield joiner.push(chunk, own)
        yield joiner.finish(self._n_samples)


def song(request: Request) -> CodeSong:
    """The song of a request, see `base.open_song`."""
    assert request.encode is not None
    return CodeSong(
        request.model,
        request.encode,
        request.vector,
        None if request.melody is None else request.melody.rows,
        request.seed,
        request.chunks,
        request.measured,
        request.source(),
        request.progress,
    )


def melody_of(melody: Tensor, first: int, n_samples: int, hop_samples: int) -> Tensor:
    """Pitch and level of a stretch of a song, from `[2, F]`; after the song's end there is silence."""
    start, n_frames = first // hop_samples, n_samples // hop_samples
    own = melody[:, start : start + n_frames]
    quiet = melody.new_tensor([[0.0], [features.FLOOR_DBFS]]).expand(-1, n_frames - own.shape[1])
    return torch.cat([own, quiet], dim=1)
