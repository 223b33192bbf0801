"""A WaveNet by itself, ready to sing: load, generate.

nothing ----------------------------------.
a singer's name --> vector ---------------+--> condition --> generator --> codes --> sound
a recording --> pitch, level, log-mel ----'                     ^
a recording to go on from --> codes ----------------------------'
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moksori import checkpoint, run_files
from moksori.audio import features, frames, level, mulaw, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker
from moksori.checkpoint import Provenance, Trained
from moksori.errors import UserError
from moksori.generation import generator
from moksori.generation.songs import scheduler
from moksori.generation.songs.solo import SoloRequest, SoloSong
from moksori.models import kinds
from moksori.models.solo import N_MELODY_ROWS, Solo

Progress = Callable[[float], None]
"""Told the share of the work done so far, 0..1; an exception that it raises ends the generation."""


@dataclass(frozen=True)
class Wish:
    """One clip that is wished for. Which of these must be given depends on what the net is told."""

    seconds: float = 0.0  # length; 0: as long as the recording or the frames that are told
    singer: str | Mapping[str, float] | None = None  # a name, or shares of several
    like: Clip | None = None  # the recording whose pitch, loudness or log-mel is told
    told: Tensor | None = None  # in its place the frames themselves, `[R, F]`; see `Soloist.hear`
    prime: Clip | None = None  # goes on from the end of this recording


@dataclass(frozen=True)
class SoloOptions:
    """How codes are sampled."""

    seed: int = 0
    temperature: float = 1.0  # 1 samples the net's own law, 0 takes the most probable code every time
    backend: str = generator.AUTO  # what computes them
    streams: int = 48  # clips generated in lockstep

    def __post_init__(self) -> None:
        generator.check_temperature(self.temperature)
        if self.streams < 1:
            raise ValueError(f"streams must be at least 1, not {self.streams}")


class Soloist(Trained[Solo]):
    """A trained WaveNet by itself. It can be asked for one of its singers if it is told who sings.

    >>> soloist = load("runs/vocoder")                                          # doctest: +SKIP
    >>> clip = soloist.generate(Wish(like=recording, singer="kumi"))            # doctest: +SKIP
    """

    def __init__(self, model: Solo, provenance: Provenance) -> None:
        super().__init__(model, provenance)
        self._tracker = PitchTracker()

    def hear(self, recording: Clip) -> Tensor:
        """What this net is told of a recording, brought to the level of its training.

        Returns:
            `[R, F]`, a frame each `model.config.hop_samples` at the net's rate: f0 in Hz (0 where unvoiced), level in
            dBFS, then the log-mel, if it is told that. Change them and give them as `Wish.told`, to be sung.
        """
        return self._hear(recording, self._gain_db(recording))

    def generate(self, wish: Wish, options: SoloOptions | None = None, progress: Progress | None = None) -> Clip:
        """Generate one clip; see `generate_all`."""
        return self.generate_all([wish], options, progress)[0]

    def generate_all(
        self, wishes: Sequence[Wish], options: SoloOptions | None = None, progress: Progress | None = None
    ) -> list[Clip]:
        """Generate several clips, some dozens in lockstep, which takes hardly longer than one.

        Args:
            wishes: one a clip.
            options: see `SoloOptions`; clips of one call draw different numbers.
            progress: told the share done.

        Returns:
            Clips at the net's rate. A clip that is told a recording, or goes on from one, is as loud as that; others
            are as loud as the training data was made. What a clip goes on from is not in it.

        Raises:
            UserError: something that this net needs is missing, something that it cannot be told is given, an unknown
                singer, or a length that is not positive or longer than what is told.
        """
        options = options or SoloOptions()
        jobs = [self._job(number, wish, options.seed) for number, wish in enumerate(wishes)]
        told = _Progress(progress, sum(job.request.n_samples for job in jobs))
        # Streams of a group wait for its longest, and only clips that go on from equally many codes share one.
        order = sorted(jobs, key=lambda job: (len(job.request.heard), job.request.n_samples))
        openers = [functools.partial(SoloSong, self._model, job.request, told.add) for job in order]
        backend = generator.backend_for(self._model.decoder, options.backend, self.provenance.layer_peaks)
        clips: dict[int, Clip] = {}
        turns = scheduler.sing(openers, backend, options.temperature, options.streams)
        for job, (turn, codes) in zip(order, turns, strict=True):
            sound = np.concatenate(list(turn.song.sound(codes)))
            clips[job.request.number] = Clip(level.apply_gain(sound, -job.gain_db), self.sample_rate)
        return [clips[number] for number in range(len(wishes))]

    def _job(self, number: int, wish: Wish, seed: int) -> _Job:
        """Check a wish, and make it numbers."""
        vector = self._vector(wish.singer)
        told, gain_db = self._told(wish)
        hop = self._model.config.hop_samples
        longest = told.shape[1] * hop if told is not None else None
        n_samples = self._n_samples(wish, longest)
        if told is None:
            told = torch.zeros(0, frames.n_frames(n_samples, hop))
        told = told[:, : frames.n_frames(n_samples, hop)]
        if wish.prime is None:
            nothing = torch.zeros(0, dtype=torch.int64)
            return _Job(SoloRequest(told, vector, nothing, n_samples, seed, number), gain_db)
        prime_db = self._gain_db(wish.prime)
        heard, before = self._primed(wish.prime, prime_db)
        both = torch.cat([before, told], dim=1)
        request = SoloRequest(both, vector, heard, n_samples, seed, number)
        return _Job(request, gain_db if wish.like is not None else prime_db)

    def _vector(self, singer: str | Mapping[str, float] | None) -> Tensor:
        model = self._model
        if not model.config.is_told_the_singer:
            if singer is not None:
                raise UserError("this WaveNet is not told who sings; leave the singer out, or train with --tell singer")
            return model.singers.table.weight.new_zeros(0)
        if singer is None:
            raise UserError(f"this WaveNet is told who sings; name one of {', '.join(self.singers)}")
        return model.singers.vector(singer)

    def _told(self, wish: Wish) -> tuple[Tensor | None, float]:
        """Rows of the recording or of the wish, and the gain that the recording was given; None if none is told."""
        config = self._model.config
        if not config.is_told_a_recording:
            if wish.like is not None or wish.told is not None:
                raise UserError(
                    "this WaveNet is told nothing of a recording; leave it out, or train with --tell mel or "
                    "--tell melody. To go on from a recording, prime it"
                )
            return None, 0.0
        if (wish.like is None) == (wish.told is None):
            kind = "log-mel" if config.n_mels else "pitch and loudness"
            raise UserError(f"this WaveNet is told the {kind} of a recording; give it one to sing like")
        if wish.told is not None:
            if wish.told.dim() != 2 or wish.told.shape[0] != N_MELODY_ROWS + config.n_mels:
                raise ValueError(f"told is {list(wish.told.shape)}; expected [{N_MELODY_ROWS + config.n_mels}, F]")
            return wish.told, 0.0
        assert wish.like is not None
        gain_db = self._gain_db(wish.like)
        return self._hear(wish.like, gain_db), gain_db

    def _n_samples(self, wish: Wish, longest: int | None) -> int:
        asked = frames.seconds_to_samples(wish.seconds, self.sample_rate) if 0 <= wish.seconds < math.inf else -1
        if wish.like is not None:
            longest = frames.rescaled_length(wish.like.n_samples, wish.like.sample_rate, self.sample_rate)
        if asked < 0 or not (asked or longest) or (longest is not None and asked > longest):
            most = "" if longest is None else f", at most the {longest / self.sample_rate:.3g} s that are told"
            raise UserError(f"a clip of {wish.seconds} s cannot be made; expected a length above 0{most}")
        return asked or longest or 0

    def _primed(self, prime: Clip, gain_db: float) -> tuple[Tensor, Tensor]:
        """The last codes of a recording, whole frames, as many as the net can see; and what is told of them."""
        config = self._model.config
        codes = mulaw.encode(torch.from_numpy(self._samples(prime, gain_db)))
        hop = config.hop_samples
        n_frames = min(frames.n_frames(config.decoder.receptive_field, hop), len(codes) // hop)
        if not n_frames:
            raise UserError(f"a recording of {prime.seconds:.3g} s is too short to go on from")
        told = torch.zeros(0, n_frames)
        if config.is_told_a_recording:
            # The frames that begin nearest to the codes: the recording need not be whole frames long.
            last = max(n_frames, round(len(codes) / hop))
            told = self._hear(prime, gain_db)[:, last - n_frames : last]
        return codes[-n_frames * hop :], told

    def _hear(self, recording: Clip, gain_db: float) -> Tensor:
        config = self._model.config
        own = self._samples(recording, gain_db)
        n_frames = frames.n_frames(len(own), config.hop_samples)
        told = torch.zeros(N_MELODY_ROWS, n_frames)
        if config.is_told_melody:
            told[0] = torch.from_numpy(features.f0_of(self._tracker.track(recording), n_frames, config.features))
        told[1] = torch.from_numpy(features.level_dbfs(own, config.features))
        if not config.n_mels:
            return told
        window = config.mel_window_samples
        magnitude = features.magnitude(own, window, config.features)
        return torch.cat([told, features.log_mel(magnitude, config.features.filterbank(window))])

    def _samples(self, recording: Clip, gain_db: float) -> Samples:
        if not recording.n_samples:
            raise UserError("the recording is empty")
        raised = level.apply_gain(recording.samples, gain_db)
        return resample.resample(raised, recording.sample_rate, self.sample_rate)

    def _gain_db(self, recording: Clip) -> float:
        return level.gain_of(recording, self.provenance.level_dbfs)


@dataclass(frozen=True, eq=False)
class _Job:
    """A wish as numbers."""

    request: SoloRequest
    gain_db: float  # that the recording was given


class _Progress:
    """Samples that are done, told as a share of all."""

    def __init__(self, progress: Progress | None, n_samples: int) -> None:
        self._progress, self._n_samples, self._done = progress, max(n_samples, 1), 0

    def add(self, n_samples: int) -> None:
        """So many more are done."""
        self._done += n_samples
        if self._progress is not None:
            self._progress(self._done / self._n_samples)


def load(path: str | Path, device: str = "cpu") -> Soloist:
    """Load a WaveNet by itself from a model file, or from the folder of a training run.

    Raises:
        ModelFileError: no model there, or it is damaged or foreign.
        UserError: it is a voice to convert to.
    """
    path = run_files.model_file(path)
    model, provenance = checkpoint.read_model(path, device)
    if not kinds.is_solo(model):
        raise UserError(
            f"{path}: holds a voice to convert to, not a WaveNet by itself; use it with moksori convert, or train one "
            "with moksori wavenet train"
        )
    return Soloist(model, provenance)
