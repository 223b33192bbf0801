"""A WaveNet by itself, ready to sing: load, generate.

nothing ----------------------------------.
a singer's name --> vector ---------------+--> condition --> generator --> codes --> sound
a recording --> pitch, level, log-mel ----'                     ^
a recording to go on from --> codes ----------------------------'
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moksori import arguments, checkpoint, run_files
from moksori.audio import bands, features, frames, level, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker
from moksori.checkpoint import Provenance, Trained
from moksori.errors import UserError
from moksori.generation import generator
from moksori.generation.songs import scheduler
from moksori.generation.songs.solo import SoloRequest, SoloSong
from moksori.models import kinds
from moksori.models.solo import N_MELODY_ROWS, Solo
from moksori.progress import OnProgress, Progress


@dataclass(frozen=True)
class Request:
    """One clip to generate. Which of these must be given depends on what the net is conditioned on."""

    seconds: float = 0.0  # length; 0: as long as the reference or the local features
    singer: str | Mapping[str, float] | None = None  # a name, or shares of several
    reference: Clip | None = None  # the recording whose pitch, loudness or log-mel is the local conditioning
    local_features: Tensor | None = None  # in its place the features themselves, `[R, F]`; see `Soloist.analyse`
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
    """A trained WaveNet by itself. It can be asked for one of its singers if it is conditioned on the singer.

    >>> soloist = load("runs/vocoder")                                          # doctest: +SKIP
    >>> clip = soloist.generate(Request(reference=recording, singer="kumi"))            # doctest: +SKIP
    """

    def __init__(self, model: Solo, provenance: Provenance) -> None:
        super().__init__(model, provenance)
        self._tracker = PitchTracker()

    def analyse(self, recording: Clip) -> Tensor:
        """The local features of a recording, brought to the level of its training.

        Returns:
            `[R, F]`, a frame each `model.config.hop_samples` at the net's rate: f0 in Hz (0 where unvoiced), level in
            dBFS, then the log-mel, if it is conditioned on that. Change them and give them as
            `Request.local_features`, to be sung.
        """
        return self._analyse(recording, self._gain_db(recording))

    def generate(
        self, request: Request, options: SoloOptions | None = None, progress: OnProgress | None = None
    ) -> Clip:
        """Generate one clip; see `generate_all`."""
        return self.generate_all([request], options, progress)[0]

    def generate_all(
        self, requests: Sequence[Request], options: SoloOptions | None = None, progress: OnProgress | None = None
    ) -> list[Clip]:
        """Generate several clips, some dozens in lockstep, which takes hardly longer than one.

        Args:
            requests: one a clip.
            options: see `SoloOptions`; clips of one call draw different numbers.
            progress: called with the samples that are done, of all clips.

        Returns:
            Clips at the net's rate. A clip that has a reference, or goes on from one, is as loud as that; others
            are as loud as the training data was made. What a clip goes on from is not in it.

        Raises:
            UserError: something that this net needs is missing, something that it is not conditioned on is given, an
                unknown singer, or a length that is not positive or longer than the reference.
        """
        with checkpoint.in_float32():
            return self._generated(requests, options or SoloOptions(), progress)

    def _generated(self, requests: Sequence[Request], options: SoloOptions, progress: OnProgress | None) -> list[Clip]:
        jobs = [self._job(number, request, options.seed) for number, request in enumerate(requests)]
        reported = _Progress(progress, sum(job.request.n_samples for job in jobs))
        # Streams of a group wait for its longest, and only clips that go on from equally many codes share one.
        order = sorted(jobs, key=lambda job: (len(job.request.given), job.request.n_samples))
        openers = [functools.partial(SoloSong, self._model, job.request, reported.add) for job in order]
        backend = generator.backend_for(self._model.decoder, options.backend, self.provenance.layer_peaks)
        clips: dict[int, Clip] = {}
        slots = scheduler.sing(openers, backend, options.temperature, options.streams)
        for job, (slot, codes) in zip(order, slots, strict=True):
            sound = np.concatenate(list(slot.song.sound(codes)))
            clips[job.request.number] = Clip(level.apply_gain(sound, -job.gain_db), self.sample_rate)
        return [clips[number] for number in range(len(requests))]

    def _job(self, number: int, request: Request, seed: int) -> _Job:
        """Check a request, and make it numbers."""
        vector = self._vector(request.singer)
        local, gain_db = self._local_features(request)
        hop = self._model.config.hop_samples
        longest = local.shape[1] * hop if local is not None else None
        n_samples = self._n_samples(request, longest)
        if local is None:
            local = torch.zeros(0, frames.n_frames(n_samples, hop))
        local = local[:, : frames.n_frames(n_samples, hop)]
        if request.prime is None:
            nothing = torch.zeros(0, dtype=torch.int64)
            return _Job(SoloRequest(local, vector, nothing, n_samples, seed, number), gain_db)
        prime_db = self._gain_db(request.prime)
        given, before = self._primed(request.prime, prime_db)
        both = torch.cat([before, local], dim=1)
        own = SoloRequest(both, vector, given, n_samples, seed, number)
        return _Job(own, gain_db if request.reference is not None else prime_db)

    def _vector(self, singer: str | Mapping[str, float] | None) -> Tensor:
        model = self._model
        if not model.config.has_global_conditioning:
            if singer is not None:
                raise UserError(
                    "this WaveNet is not conditioned on a singer; leave the singer out, or train with --tell singer"
                )
            return model.singers.table.weight.new_zeros(0)
        if singer is None:
            raise UserError(f"this WaveNet is conditioned on a singer; name one of {', '.join(self.singers)}")
        return model.singers.vector(singer)

    def _local_features(self, request: Request) -> tuple[Tensor | None, float]:
        """Local features of a request, and the gain that its reference was given; None without local conditioning."""
        config = self._model.config
        if not config.has_local_conditioning:
            if request.reference is not None or request.local_features is not None:
                raise UserError(
                    "this WaveNet is not conditioned on a recording; leave it out, or train with --tell mel or "
                    "--tell melody. To go on from a recording, prime it"
                )
            return None, 0.0
        if (request.reference is None) == (request.local_features is None):
            kind = "log-mel" if config.n_mels else "pitch and loudness"
            raise UserError(f"this WaveNet is conditioned on the {kind} of a recording; give it a reference")
        local, n_rows = request.local_features, N_MELODY_ROWS + config.n_mels
        if local is not None:
            if local.dim() != 2 or local.shape[0] != n_rows:
                raise ValueError(f"local_features is {list(local.shape)}; expected [{n_rows}, F]")
            return local, 0.0
        assert request.reference is not None
        gain_db = self._gain_db(request.reference)
        return self._analyse(request.reference, gain_db), gain_db

    def _n_samples(self, request: Request, longest: int | None) -> int:
        asked = frames.seconds_to_samples(request.seconds, self.sample_rate) if 0 <= request.seconds < math.inf else -1
        if request.reference is not None:
            reference = request.reference
            longest = frames.rescaled_length(reference.n_samples, reference.sample_rate, self.sample_rate)
        if asked < 0 or not (asked or longest) or (longest is not None and asked > longest):
            most = "" if longest is None else f", at most the {longest / self.sample_rate:.3g} s of the reference"
            raise UserError(f"a clip of {request.seconds} s cannot be made; expected a length above 0{most}")
        return asked or longest or 0

    def _primed(self, prime: Clip, gain_db: float) -> tuple[Tensor, Tensor]:
        """The last codes of a recording, whole frames, as many as the net can see; and their local features."""
        config = self._model.config
        hop, samples = config.hop_samples, torch.from_numpy(self._samples(prime, gain_db))
        n_bands = config.decoder.bands
        codes = bands.encode(samples[: len(samples) // n_bands * n_bands], n_bands)
        n_frames = min(frames.n_frames(config.decoder.receptive_field, hop), len(codes) // hop)
        if not n_frames:
            raise UserError(f"a recording of {prime.seconds:.3g} s is too short to go on from")
        local = torch.zeros(0, n_frames)
        if config.has_local_conditioning:
            # The frames that begin nearest to the codes: the recording need not be whole frames long.
            last = max(n_frames, round(len(codes) / hop))
            local = self._analyse(prime, gain_db)[:, last - n_frames : last]
        return codes[-n_frames * hop :], local

    def _analyse(self, recording: Clip, gain_db: float) -> Tensor:
        config = self._model.config
        own = self._samples(recording, gain_db)
        n_frames = frames.n_frames(len(own), config.hop_samples)
        local = torch.zeros(N_MELODY_ROWS, n_frames)
        if config.is_melody_conditioned:
            local[0] = torch.from_numpy(features.f0_of(self._tracker.track(recording), n_frames, config.features))
        local[1] = torch.from_numpy(features.level_dbfs(own, config.features))
        if not config.n_mels:
            return local
        window = config.mel_window_samples
        magnitude = features.magnitude(own, window, config.features)
        return torch.cat([local, features.log_mel(magnitude, config.features.filterbank(window))])

    def _samples(self, recording: Clip, gain_db: float) -> Samples:
        if not recording.n_samples:
            raise UserError("the recording is empty")
        raised = level.apply_gain(recording.samples, gain_db)
        return resample.resample(raised, recording.sample_rate, self.sample_rate)

    def _gain_db(self, recording: Clip) -> float:
        return level.gain_of(recording, self.provenance.level_dbfs)


@dataclass(frozen=True, eq=False)
class _Job:
    """A request as numbers."""

    request: SoloRequest
    gain_db: float  # that the recording was given


class _Progress:
    """Samples that are done, of all clips together."""

    def __init__(self, progress: OnProgress | None, n_samples: int) -> None:
        self._progress, self._n_samples, self._done = progress, max(n_samples, 1), 0

    def add(self, n_samples: int) -> None:
        """So many more are done."""
        self._done += n_samples
        if self._progress is not None:
            self._progress(Progress(self._done, self._n_samples))


def load(path: str | Path, device: str = "cpu") -> Soloist:
    """Load a WaveNet by itself from a model file, or from the folder of a training run.

    Raises:
        ModelFileError: no model there, or it is damaged or foreign.
        UserError: it is a voice to convert to.
    """
    path = run_files.model_file(arguments.path(path))
    model, provenance = checkpoint.read_model(path, device)
    if not kinds.is_solo(model):
        raise UserError(
            f"{path}: holds a voice to convert to, not a WaveNet by itself; use it with moksori convert, or train one "
            "with moksori wavenet train"
        )
    return Soloist(model, provenance)
