"""Live: sound goes through a model with a detail path as it comes, in blocks, a fixed time later.

    block --> pitch, envelopes (a window ahead) --> nets (a few frames ahead) --> controls, once for all --> sound

    time   .... |sounding|  next two |  nets look ahead | windows look ahead | now
                 frames are sounded once those that their sound reaches to are said, and said once the nets have
                 heard the frames behind

Controls of a frame are said once and never again, and phases and noise go on from block to block, so blocks meet
without a seam. What differs from a song that is known as a whole: the pitch tracker, that the nets look ahead less
than they could, and that level and mean shape are those of what was sung so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from moksori.audio import envelopes, features, level, live_pitch, shapes
from moksori.audio.clip import Samples
from moksori.audio.live_pitch import LivePitchConfig
from moksori.generation.backends import sampling
from moksori.models import synthesiser
from moksori.models.source_filter_model import SourceFilterModel
from moksori.models.synthesiser import Controls, Oscillation

_PERIODS_HZ = 80.0  # from here on up the window of an envelope is whole: two periods on either side
_REST_FRAMES = 100  # of level and mean, that a new singer is taken on trust for


@dataclass(frozen=True)
class LiveConfig:
    """How much at once, how far ahead."""

    block_frames: int = 4  # feature frames that come at once; a whole number of latent frames
    ahead_frames: int = 3  # that the nets hear behind a frame before they say it

    def __post_init__(self) -> None:
        if self.block_frames < 1 or self.ahead_frames < 0:
            raise ValueError(f"block_frames is at least 1, ahead_frames at least 0: {self}")


_KEPT_FRAMES = 4  # that were sounded: the noise of the next ones reaches into them
SOUND_FRAMES = 2  # behind a frame that its sound reaches to: noise is shaped in windows of two hops


class LiveSong:
    """A singing that goes on; push blocks of `block_samples`, get as many.

    Args:
        model: with a detail path, in evaluation mode, on the CPU.
        vector: the singer's.
        config: see `LiveConfig`.
        transpose_semitones: what is sung is so much higher.
        gain: how much of the source's detail goes along; None for what the model was made for.
        level_dbfs: of singing in the training data.
        input_gain_db: brings the input to it; None to find out.
        mean_shape: of the source, `[2 N_BANDS]`; None to find out.
        seed: of the noise.

    Raises:
        ValueError: the model has no detail path, or blocks are not whole latent frames.
    """

    def __init__(
        self,
        model: SourceFilterModel,
        vector: Tensor,
        config: LiveConfig | None = None,
        *,
        transpose_semitones: float = 0.0,
        gain: float | None = None,
        level_dbfs: float = -23.0,
        input_gain_db: float | None = None,
        mean_shape: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        self._config = config or LiveConfig()
        pool = model.config.encoder.pool_frames
        if not model.config.decoder.has_detail or self._config.block_frames % pool:
            raise ValueError(f"a model with a detail path, and blocks of whole latent frames ({pool}) are expected")
        self.model, self.vector, self.config = model, vector, self._config
        self._model, self._vector, self._seed = model, vector, seed
        self._ratio = 2.0 ** (transpose_semitones / 12.0)
        self._gain = torch.tensor([features.NO_GAIN if gain is None else gain])
        self._level_dbfs, self._given_gain_db, self._given_mean = level_dbfs, input_gain_db, mean_shape
        hop, rate = model.config.hop_samples, model.config.sample_rate
        self._pitch = LivePitchConfig(rate)
        # A frame is measured once its window, and the tracker's, have come.
        reach = max(self._pitch.reach_samples, round(2.0 * rate / _PERIODS_HZ))
        self._window_frames = -(-reach // hop)
        self._past_frames = -(-model.config.context_frames // pool) * pool
        self._gain_db = 0.0 if input_gain_db is None else input_gain_db
        self._levels: list[float] = []  # of loud hops so far, dBFS
        self._mean = shapes.MeanShape(features.N_BANDS)
        # Everything below begins with silence before the singing, so that frames have places from 0 on.
        lead = self._past_frames + self._window_frames
        self._samples = np.zeros(lead * hop, np.float32)  # at the level of the training data
        self._n_samples = 0  # that have come
        self._f0_hz: list[float] = [0.0] * self._past_frames  # of frames measured
        self._excerpt = self._silence(
            self._past_frames
        )  # features of the last frames, the last measured one at the end
        self._n_measured = 0
        self._controls: list[_ControlFrame] = []  # not sounded yet, behind the last few that were
        self._n_controls = self._n_sounded = 0
        self._cycles = 0.0  # of the fundamental, up to the next frame to sound

    @property
    def block_samples(self) -> int:
        """Samples of a block."""
        return self._config.block_frames * self._model.config.hop_samples

    @property
    def hop_samples(self) -> int:
        """Samples of a frame."""
        return self._model.config.hop_samples

    @property
    def delay_frames(self) -> int:
        """Frames from what comes to what is sounded, within a call."""
        return self._window_frames + self._config.ahead_frames + SOUND_FRAMES

    @property
    def latency_seconds(self) -> float:
        """From a sample's coming to its sounding: the block that it waits for, and what is looked ahead."""
        config = self._model.config
        return (self._config.block_frames + self.delay_frames) * config.hop_samples / config.sample_rate

    @torch.inference_mode()
    def push(self, block: Samples) -> Samples:
        """Take a block `[block_samples]`, and sing what came `delay_frames` before it."""
        hop = self._model.config.hop_samples
        if block.dtype != np.float32 or block.shape != (self.block_samples,):
            raise ValueError(f"block is {block.dtype} {list(block.shape)}; expected float32 [{self.block_samples}]")
        before_db = self._gain_db
        self._follow_level(block)
        ramp_db = np.linspace(before_db, self._gain_db, len(block), endpoint=False)  # a step would be heard
        ramp = (10.0 ** (ramp_db / 20.0)).astype(np.float32)
        brought = block * ramp
        self._samples = np.concatenate([self._samples[len(block) :], brought])
        self._n_samples += len(block)
        until = self._n_samples // hop - self._window_frames  # frames whose windows have come
        self._measure(max(0, until - self._n_measured))
        self._predict(max(0, until - self._config.ahead_frames) - self._n_controls)
        return np.asarray(self._sound() / ramp)

    def _silence(self, n_frames: int) -> Tensor:
        silent = np.full((features.N_BANDS, n_frames), np.log(envelopes.FLOOR))
        measured = envelopes.Envelopes(np.zeros(n_frames), silent, silent)
        return features.of_envelopes(measured, self._model.config.features)

    def _follow_level(self, block: Samples) -> None:
        """Move the gain a little towards what the singing so far asks for."""
        if self._given_gain_db is not None:
            return
        dbfs = level.frame_level_dbfs(block, self._model.config.hop_samples)
        self._levels = [*self._levels, *dbfs[dbfs > -60.0].tolist()][-3000:]
        if self._levels:
            trust = min(1.0, len(self._levels) / _REST_FRAMES)
            sung_dbfs = level.sung_level_dbfs(np.array(self._levels))
            wanted = trust * float(np.clip(self._level_dbfs - sung_dbfs, -40.0, 40.0))
            self._gain_db += float(np.clip(wanted - self._gain_db, -0.5, 0.5))

    def _measure(self, n_frames: int) -> None:
        """Track and measure the next frames."""
        if not n_frames:
            return
        config, hop = self._model.config, self._model.config.hop_samples
        first = self._n_measured
        reach = self._pitch.reach_samples
        for frame in range(first, first + n_frames):
            middle = len(self._samples) - (self._n_samples - frame * hop)
            self._f0_hz.append(
                live_pitch.pitch_at(self._samples[middle - reach : middle + reach], self._f0_hz[-1], self._pitch)
            )
        # Envelopes are measured along the pitch: with frames before, and samples behind.
        before = min(self._window_frames, self._past_frames)
        f0_hz = np.array(self._f0_hz[-(n_frames + before) :])
        start = len(self._samples) - (self._n_samples - (first - before) * hop)
        found = envelopes.measure(self._samples[start:], f0_hz, config.features.envelope, refine=False)
        kept = envelopes.Envelopes(f0_hz[before:], found.harmonics[:, before:], found.noise[:, before:])
        excerpt = features.of_envelopes(kept, config.features)
        if self._given_mean is None:
            self._mean.push(*features.shape_of(excerpt, config.features), features.f0_hz(excerpt))
        self._f0_hz = self._f0_hz[-self._past_frames - self._config.block_frames :]
        self._excerpt = torch.cat([self._excerpt, excerpt], dim=1)
        self._n_measured += n_frames

    def _predict(self, n_frames: int) -> None:
        """Predict the controls of the next frames from all that was measured; only whole latent frames are encoded."""
        if n_frames <= 0:
            return
        pool = self._model.config.encoder.pool_frames
        n_kept = self._excerpt.shape[1]
        begin = self._n_measured - n_kept  # place of the excerpt's first frame; may be before the singing
        cut = begin % pool
        excerpt = features.excerpt(self._excerpt[:, cut and pool - cut :], self._mean_shape())
        offset = begin + (cut and pool - cut)
        sung_hz = features.f0_hz(excerpt) * self._ratio
        excerpt = features.with_gain(features.with_f0(excerpt, sung_hz)[None], self._gain)
        z = self._model.encode(excerpt)
        # The decoder hears less far back than the encoder: what lies before is of no use to it.
        left_out = max(0, self._n_controls - offset - self._model.config.decoder.context_frames) // pool * pool
        flat = self._model.controls(z[:, :, left_out // pool :], excerpt[:, :, left_out:], self._vector[None])
        controls = self._model.sharpened(flat)
        both = functional.pad(torch.cat([controls.harmonics, controls.noise], dim=1)[0], (left_out, 0))
        for place in range(self._n_controls - offset, self._n_controls - offset + n_frames):
            # An unvoiced frame has the pitch of the note that comes, if it is heard already, else of the one that was.
            coming = sung_hz[place:][sung_hz[place:] > 0]
            before = self._controls[-1].held_hz if self._controls else 220.0
            held_hz = max(float(coming[0]) if len(coming) else before, synthesiser.LOWEST_HZ)
            self._controls.append(_ControlFrame(float(sung_hz[place]), held_hz, both[:, place]))
        self._n_controls += n_frames
        self._excerpt = self._excerpt[:, -(self._past_frames + self._config.ahead_frames) :]

    def _mean_shape(self) -> Tensor:
        """The source's, as far as it is known: what is not known yet is that of the singers of the training data."""
        if self._given_mean is not None:
            return self._given_mean
        table = self._model.singers.measured
        assert table is not None
        found, n_loud = self._mean.result()
        trust = min(1.0, n_loud / _REST_FRAMES)
        return (trust * found + (1.0 - trust) * table.mean(dim=0).double()).float()

    def _sound(self) -> Samples:
        """The sound of the frames that are due, `[block_samples]`; silence before the first."""
        config, hop = self._model.config, self._model.config.hop_samples
        due = self._config.block_frames
        n_ready = self._n_controls - SOUND_FRAMES - self._n_sounded
        n_silent = due - max(0, min(due, n_ready))
        n_frames = due - n_silent
        if not n_frames:
            return np.zeros(due * hop, np.float32)
        n_before = min(self._n_sounded, _KEPT_FRAMES)
        window = self._controls[: n_before + n_frames + SOUND_FRAMES]
        f0_hz = torch.tensor([[one.f0_hz for one in window]])
        bands = torch.stack([one.bands for one in window], dim=1)[None]
        controls = Controls(f0_hz, *bands.chunk(2, dim=1))
        track = synthesiser.oscillation(torch.tensor([one.held_hz for one in window]), config.synthesiser)
        track = Oscillation(track.pitch_hz, track.cycles + (self._cycles - track.cycles[n_before]))
        white = sampling.white_noise(self._seed, 0, (self._n_sounded - n_before) * hop, len(window) * hop)
        sound = synthesiser.render_few(controls, config.synthesiser, track, white, n_before)
        self._cycles = float(track.cycles[n_before + n_frames]) % 1.0
        self._n_sounded += n_frames
        self._controls = self._controls[n_before + n_frames - min(self._n_sounded, _KEPT_FRAMES) :]
        return np.concatenate([np.zeros(n_silent * hop, np.float32), sound.numpy()])


@dataclass(frozen=True, eq=False)
class _ControlFrame:
    """The synthesiser's controls of one frame."""

    f0_hz: float  # 0 where unvoiced
    held_hz: float  # of the oscillators
    bands: Tensor  # log envelopes of harmonics, then of noise, [2 bands]
