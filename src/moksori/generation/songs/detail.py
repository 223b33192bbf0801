"""A song on its way through a model with a detail path: its own envelopes are measured, corrected, sung.

    samples --> envelopes --> latent, detail --decoder(pitch, singer, gain)--> controls --synthesiser--> sound

The song is read twice. First its pitch is refined by the phases of its harmonics, and its mean shape is measured; then
it is sung, stretch by stretch, as in `songs.features`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori.audio import envelopes, features, shapes
from moksori.audio.clip import Samples
from moksori.generation.songs.base import Intermediates, Request, WholeSong
from moksori.generation.songs.features import STRETCH_FRAMES, FeatureSong
from moksori.generation.songs.windows import Window
from moksori.models import synthesiser
from moksori.models.source_filter_model import SourceFilterModel
from moksori.models.synthesiser import Controls
from moksori.progress import OnProgress

_MARGIN_FRAMES = 24  # that measuring a frame may look at on either side


class DetailSong(FeatureSong):
    """One song, to be sung by one singer of a model with a detail path.

    Args:
        model: in evaluation mode, on any device.
        vector: the singer's `[E + 2 N_BANDS]`.
        f0_hz: the pitch to be sung, `[F]`, 0 where unvoiced.
        source_f0_hz: the pitch of the song itself, `[F]`, 0 where unvoiced.
        seed: of the noise.
        gain: how much of the song's detail goes along, in [0, 1]; None for what the model was made for.
        stretch_frames: see `FeatureSong`.
    """

    def __init__(
        self,
        model: SourceFilterModel,
        vector: Tensor,
        f0_hz: npt.NDArray[np.float64],
        source_f0_hz: npt.NDArray[np.float64],
        seed: int,
        gain: float | None = None,
        stretch_frames: int | None = None,
    ) -> None:
        super().__init__(model, vector, f0_hz, seed, stretch_frames)
        self._source_hz = np.asarray(source_f0_hz, np.float64)
        self._held_hz = envelopes.held(self._source_hz)
        self._mean = torch.zeros(2 * features.N_BANDS)
        self._gain = torch.tensor([features.NO_GAIN if gain is None else gain])

    def converted(
        self, source: Callable[[], Iterator[Samples]], progress: OnProgress | None = None
    ) -> Iterator[Samples]:
        """See `FeatureSong.converted`."""
        self._analyse(source())
        yield from super().converted(source, progress)

    def intermediates(self, source: Callable[[], Iterator[Samples]]) -> tuple[Tensor, Controls]:
        """See `FeatureSong.intermediates`."""
        self._analyse(source())
        return super().intermediates(source)

    def _analyse(self, source: Iterator[Samples]) -> None:
        """Refine the pitch, of the source and of what is sung alike, and measure the mean shape."""
        config = self._model.config.features
        window, mean = Window(source), shapes.MeanShape(features.N_BANDS)
        refined = self._source_hz.copy()
        for start in range(0, len(refined), STRETCH_FRAMES):
            stop = min(len(refined), start + STRETCH_FRAMES)
            measured = self._measured(window, start, stop, self._source_hz, None)
            own = features.of_envelopes(measured, config)
            mean.push(*features.shape_of(own, config), features.f0_hz(own))
            refined[start:stop] = measured.f0_hz
        is_voiced = self._source_hz > 0
        ratio = np.where(is_voiced, refined, 1.0) / np.where(is_voiced, self._source_hz, 1.0)
        self._source_hz, self._held_hz = refined, envelopes.held(refined)
        self._f0_hz = self._f0_hz * torch.from_numpy(ratio)
        self._oscillation = synthesiser.oscillation(self._f0_hz, self._model.config.synthesiser)
        measured_mean, n_loud = mean.result()
        measured_table = self._model.singers.measured
        assert measured_table is not None
        self._mean = measured_mean.float() if n_loud else measured_table.mean(dim=0).cpu()

    def _measured(
        self,
        window: Window,
        first: int,
        last: int,
        f0_hz: npt.NDArray[np.float64],
        held_hz: npt.NDArray[np.float64] | None,
    ) -> envelopes.Envelopes:
        """The envelopes of frames `[first, last)`, refined unless the held pitch of the whole song is known.

        While the pitch is refined, only what is voiced is asked for: the mean shape knows no other frames.
        """
        config = self._model.config.features
        low, high = max(0, first - _MARGIN_FRAMES), min(len(f0_hz), last + _MARGIN_FRAMES)
        samples = window.read(low * config.hop_samples, high * config.hop_samples)
        held = None if held_hz is None else held_hz[low:high]
        is_first = held is None
        found = envelopes.measure(
            samples, f0_hz[low:high], config.envelope, refine=is_first, held_hz=held, only_voiced=is_first
        )
        kept = slice(first - low, last - low)
        return envelopes.Envelopes(found.f0_hz[kept], found.harmonics[:, kept], found.noise[:, kept])

    def _analysed(self, window: Window, first: int, last: int) -> Tensor:
        """The excerpt of frames `[first, last)`, with the pitch to be sung."""
        measured = self._measured(window, first, last, self._source_hz, self._held_hz)
        excerpt = features.excerpt(features.of_envelopes(measured, self._model.config.features), self._mean)
        return features.with_f0(excerpt, self._f0_hz[first:last].float())

    def _excerpt(self, analysed: Tensor, first: int, last: int) -> Tensor:
        return features.with_gain(analysed[None], self._gain).to(self._vector.device)


def song(request: Request) -> WholeSong:
    """The song of a request to a source-filter model, with a detail path or without; see `songs.base.open_song`."""
    model, melody = request.model, request.melody
    assert melody is not None
    if model.config.has_detail:
        own: FeatureSong = DetailSong(
            model, request.vector, melody.f0_hz, melody.source_f0_hz, request.seed, request.detail
        )
    else:
        own = FeatureSong(model, request.vector, melody.f0_hz, request.seed)
    return WholeSong(
        lambda: own.converted(request.source, request.progress),
        lambda: Intermediates(*own.intermediates(request.source)),
    )
