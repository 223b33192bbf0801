"""A clip of a WaveNet by itself: one part, perhaps behind a recording that it goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from moksori.audio import bands
from moksori.audio.clip import Samples
from moksori.generation.backends import sampling
from moksori.generation.songs.base import Part, Song
from moksori.generation.songs.chunks import Codes, SeamCount
from moksori.models.solo import Solo


@dataclass(frozen=True, eq=False)
class SoloRequest:
    """A clip to be generated."""

    local_features: Tensor  # [R, F], of what is given first and of what follows
    vector: Tensor  # [E]
    given: Tensor  # codes [P] to go on from
    n_samples: int  # to be generated
    seed: int
    number: int  # of the clip: clips of one seed draw different numbers


class SoloSong(Song):
    """One clip; see `scheduler` for how it is generated side by side with others."""

    needs_limit = False

    def __init__(self, model: Solo, request: SoloRequest, progressed: Callable[[int], None]) -> None:
        """The model in evaluation mode, on any device; `progressed` is called with the number of new samples."""
        self.seams = SeamCount()
        self._model, self._request, self._progressed = model, request, progressed

    @property
    def n_parts(self) -> int:
        """One."""
        return 1

    @torch.no_grad()
    def parts(self) -> Iterator[Part]:
        """See `base.Scheduled.parts`."""
        request, device = self._request, self._model.singers.table.weight.device
        local, vector = request.local_features[None].to(device), request.vector[None].to(device)
        uniforms = sampling.uniforms(request.seed, request.number, 0, request.n_samples)
        conditioning = self._model.conditioning(local, vector, request.given[None].to(device))
        yield Part(conditioning, uniforms, request.given)

    def progressed(self, n_samples: int) -> None:
        """See `base.Scheduled.progressed`."""
        self._progressed(n_samples)

    def sound(self, codes: Iterator[Codes]) -> Iterator[Samples]:
        """See `base.Song.sound`."""
        for own in codes:
            yield bands.sound_of(own, self._model.config.decoder.bands)
