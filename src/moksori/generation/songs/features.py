"""A song through a source-filter model (conditioned on pitch and level), stretch by stretch.

    samples --> log-mel, level --encoder--> z --decoder(pitch, singer)--> controls --synthesiser--> sound

Every frame of the result depends on a bounded neighbourhood of frames, and on the pitch of the whole song, which is
known beforehand. Each stretch is computed with that neighbourhood around it, so the result does not depend on where it
is cut, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori.audio import features, frames
from moksori.audio.clip import Samples
from moksori.errors import NonFiniteError
from moksori.generation.backends import sampling
from moksori.generation.songs.windows import Window
from moksori.models import synthesiser
from moksori.models.source_filter_model import SourceFilterModel
from moksori.models.synthesiser import Controls
from moksori.progress import OnProgress, Progress

STRETCH_FRAMES = 1000  # 10 s: bounds the memory; more would hardly be faster

_HALF_WINDOW = features.ENCODER_WINDOW // 2

# A singer who never recorded a rest at some pitch is made to sing it aloud: bursts of 46 dB above the source were
# measured, rests louder than the singing. This much room is left, as the level in the conditioning is not exact.
HEADROOM_DB = 6.0


class FeatureSong:
    """One song, to be sung by one singer.

    Args:
        model: in evaluation mode, on any device.
        vector: the singer's `[E]`.
        f0_hz: the pitch to be sung, `[F]`, 0 where unvoiced; F frames are the song.
        seed: of the noise.
        stretch_frames: computed at a time, a whole number of latent frames; None for about `STRETCH_FRAMES`.
    """

    def __init__(
        self,
        model: SourceFilterModel,
        vector: Tensor,
        f0_hz: npt.NDArray[np.float64],
        seed: int,
        stretch_frames: int | None = None,
    ) -> None:
        config, pool = model.config, model.config.encoder.pool_frames
        if stretch_frames is None:
            stretch_frames = max(1, STRETCH_FRAMES // pool) * pool
        if stretch_frames < 1 or stretch_frames % pool:
            raise ValueError(f"stretches of {stretch_frames} frames; expected whole latent frames")
        self._model, self._vector, self._seed, self._stretch = model, vector, seed, stretch_frames
        self._f0_hz = torch.from_numpy(np.asarray(f0_hz, np.float64))
        self._oscillation = synthesiser.oscillation(self._f0_hz, config.synthesiser)

    def converted(
        self, source: Callable[[], Iterator[Samples]], progress: OnProgress | None = None
    ) -> Iterator[Samples]:
        """Sing.

        Args:
            source: reads the song from its beginning, in blocks at the model's rate and level.
            progress: called with the share done after each stretch.

        Yields:
            Blocks; F * hop samples in all.

        Raises:
            NonFiniteError: the model says controls without bounds.
        """
        config, n_frames = self._model.config, len(self._f0_hz)
        context = frames.padded_length(config.context_frames + synthesiser.CONTEXT_FRAMES, config.encoder.pool_frames)
        window = Window(source())
        for start in range(0, n_frames, self._stretch):
            stop = min(n_frames, start + self._stretch)
            first, last = max(0, start - context), min(n_frames, stop + context)
            sound = _finite(self._sound(self._analysed(window, first, last), first, last))
            yield sound[(start - first) * config.hop_samples : (stop - first) * config.hop_samples]
            if progress is not None:
                progress(Progress(stop, n_frames))

    @torch.inference_mode()
    def intermediates(self, source: Callable[[], Iterator[Samples]]) -> tuple[Tensor, Controls]:
        """The latent `[D, F']` and the controls of the whole song at once, for those who look; memory grows with it.

        They are those that `converted` sings of.
        """
        n_frames = len(self._f0_hz)
        excerpt = self._excerpt(self._analysed(Window(source()), 0, n_frames), 0, n_frames)
        return self._model.encode(excerpt)[0], controls_of(self._model, excerpt, self._vector)

    def _analysed(self, window: Window, first: int, last: int) -> Tensor:
        """Log-mel and level of frames `[first, last)`, `[M + 1, n]`."""
        config = self._model.config
        hop = config.hop_samples
        margin = frames.n_frames(_HALF_WINDOW, hop)
        samples = window.read((first - margin) * hop, (last + margin) * hop)
        magnitude = features.magnitude(samples, features.ENCODER_WINDOW, config.features)[
            :, margin : margin + last - first
        ]
        mel = features.log_mel(magnitude, config.features.filterbank(features.ENCODER_WINDOW))
        levels = features.level_dbfs(samples[margin * hop : -margin * hop], config.features)
        return torch.cat([mel, torch.from_numpy(levels).float()[None]])

    @torch.inference_mode()
    def _sound(self, analysed: Tensor, first: int, last: int) -> Samples:
        config = self._model.config
        controls = controls_of(self._model, self._excerpt(analysed, first, last), self._vector)
        hop = config.hop_samples
        white = sampling.white_noise(self._seed, 0, first * hop, (last - first) * hop)
        stretch = self._oscillation.stretch(first, last)
        sound = synthesiser.render(controls.on("cpu"), config.synthesiser, stretch, white)
        return sound.numpy()

    def _excerpt(self, analysed: Tensor, first: int, last: int) -> Tensor:
        """Features `[1, N, last - first]` of what was analysed in frames `[first, last)`, with the pitch to be sung."""
        excerpt = features.with_encoder_mel(torch.zeros(1, features.N_VALUES, last - first), analysed[None, :-1])
        excerpt = features.with_f0(excerpt, self._f0_hz[None, first:last].float())
        excerpt[:, features.LEVEL] = analysed[-1]
        return excerpt.to(self._vector.device)


def controls_of(model: SourceFilterModel, excerpt: Tensor, vector: Tensor) -> Controls:
    """What is sung of an excerpt of features `[1, N, F]` by a singer `[E]`, no louder than the source."""
    controls = model.sharpened(model.controls(model.encode(excerpt), excerpt, vector[None]))
    if model.config.decoder.has_detail:
        return controls  # as loud as the source by construction
    return synthesiser.no_louder(controls, features.levels_dbfs(excerpt) + HEADROOM_DB, model.config.synthesiser)


def sing(model: SourceFilterModel, excerpt: Tensor, vector: Tensor, seed: int) -> Samples:
    """The sound of an excerpt of features `[N, F]`, sung by a singer `[E]`: F * hop samples."""
    config = model.config
    controls = controls_of(model, excerpt[None].to(vector.device), vector)
    oscillation = synthesiser.oscillation(features.f0_hz(excerpt), config.synthesiser)
    white = sampling.white_noise(seed, 0, 0, excerpt.shape[1] * config.hop_samples)
    return _finite(synthesiser.render(controls.on("cpu"), config.synthesiser, oscillation, white).numpy())


def _finite(sound: Samples) -> Samples:
    """The same sound. Weights of 3e38 are finite, and what they sing is not."""
    if not np.isfinite(sound).all():
        raise NonFiniteError("the sound of this voice is")
    return sound
