"""The contract of a song: what it is made of, what the scheduler asks of it, and the one call that makes it.

request --> song --> parts --> (`scheduler` generates them, side by side with those of others) --> codes
'--> sound, from the codes of its parts if it has any <---------------------------------'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori.audio.clip import Samples
from moksori.audio.level import Measurement
from moksori.generation.songs.chunks import ChunkConfig, Codes, SeamCount
from moksori.generation.songs.latents import Encode
from moksori.models import kinds
from moksori.models.conditions import Conditioning
from moksori.models.synthesiser import Controls
from moksori.progress import OnProgress

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """What a stream is to generate."""

    conditioning: Conditioning  # frames [1, C, F], of the codes to go on from and the new ones together
    uniforms: Tensor  # [T], P + T at most F * hop
    given: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))  # codes [P] to go on from

    @property
    def n_samples(self) -> int:
        """T."""
        return len(self.uniforms)


class Scheduled(Protocol):
    """What the scheduler asks of a song."""

    @property
    def n_parts(self) -> int:
        """How many parts it has; none where it is not generated code by code."""

    def parts(self) -> Iterator[Part]:
        """Its parts in order, each made when it is asked for."""

    def progressed(self, n_samples: int) -> None:
        """Progress callback: so many more samples of its parts are sung; 0 where another part is made.

        An exception that it raises ends everything.
        """


@dataclass(frozen=True)
class Intermediates:
    """What is inside of a song, for those who look; a kind of model may have neither."""

    latent: Tensor | None = None  # [D, F], of the whole song
    controls: Controls | None = None  # of the synthesiser


class Song(Scheduled, Protocol):
    """A recording on its way through a model."""

    seams: SeamCount  # of its parts
    needs_limit: bool  # its sound may go beyond full scale

    def sound(self, codes: Iterator[Codes]) -> Iterator[Samples]:
        """Its sound, in blocks at the model's rate.

        Args:
            codes: of its parts, in order.
        """

    def intermediates(self) -> Intermediates:
        """What is inside, at once and in place of singing; memory grows with the song."""
        return Intermediates()


@dataclass(frozen=True)
class Melody:
    """The melody that a model is conditioned on, F frames of its melody's hop."""

    f0_hz: Curve  # [F], the pitch to be sung, 0 where unvoiced
    source_f0_hz: Curve  # [F], that of the recording itself
    level_dbfs: Curve | None  # [F], of the recording, where it was asked for

    @property
    def rows(self) -> Tensor:
        """Pitch and level, float32 `[2, F]`, where both were asked for."""
        assert self.level_dbfs is not None
        return torch.from_numpy(np.stack([self.f0_hz, self.level_dbfs])).float()


@dataclass(frozen=True)
class Request:
    """A song to be sung: all that is known of it, by whom, and how."""

    model: Any  # one of `models.kinds` that converts; in evaluation mode, on any device
    vector: Tensor  # the singer's [E]
    seed: int  # of all chance
    source: Callable[[], Iterator[Samples]]  # reads the song from its beginning, at the model's rate and level
    measured: Measurement  # its length and levels, at its own rate
    melody: Melody | None = None  # where the model is conditioned on it
    detail: float | None = None  # how much of the song's own sound goes along; None: what the model was made for
    chunks: ChunkConfig = field(default_factory=ChunkConfig)  # where it is cut
    encode: Encode | None = None  # the model's encoder, where its latents are encoded piece by piece
    progress: OnProgress | None = None  # called with the share done


def open_song(request: Request) -> Song:
    """The song of a request, by its model's kind."""
    song: Song = kinds.KINDS[request.model.config.kind].song()(request)
    return song


class WholeSong(Song):
    """A song without parts, sung in its order as its sound is asked for."""

    needs_limit = True

    def __init__(
        self, sing: Callable[[], Iterator[Samples]], look: Callable[[], Intermediates] = Intermediates
    ) -> None:
        """`sing` gives its sound, in blocks at the model's rate; `look` what is inside, in place of singing."""
        self.seams, self._sing, self._look = SeamCount(), sing, look

    @property
    def n_parts(self) -> int:
        """None."""
        return 0

    def parts(self) -> Iterator[Part]:
        """There are none."""
        return iter(())

    def progressed(self, n_samples: int) -> None:
        """Nobody generates any part of it."""

    def sound(self, codes: Iterator[Codes]) -> Iterator[Samples]:
        """See `Song.sound`."""
        return self._sing()

    def intermediates(self) -> Intermediates:
        """See `Song.intermediates`."""
        return self._look()
