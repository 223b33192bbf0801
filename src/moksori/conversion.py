"""From a user's recording to the same recording in another voice: load, convert.

    read -> mono -> resample -> level -> codes    -> encoder -> z -> generator   -> codes -> level -> resample -> write
                                    '--> features -> encoder -> z -> synthesiser ----------^

A song is never in memory as a whole. It is read twice: once to measure its level (which tells the gain and where to
cut) and its pitch, once to convert it, a stretch at a time. What comes out has the length of what went in, to the
sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from moksori import checkpoint
from moksori.audio import breaths, features, files, frames, level, mulaw, resample, transposition
from moksori.audio.clip import Clip, Samples
from moksori.audio.features import FeatureConfig
from moksori.audio.level import Measurement
from moksori.audio.pitch import PitchRange, PitchTrack, PitchTracker
from moksori.audio.resample import StreamResampler
from moksori.audio.transposition import Outside
from moksori.checkpoint import Provenance, Trained
from moksori.data import threads
from moksori.errors import UserError
from moksori.generation import generator, sampling
from moksori.generation.chunks import ChunkConfig, SeamCount
from moksori.generation.code_song import CodeSong, SampleOptions, melody_of
from moksori.generation.feature_song import FeatureSong
from moksori.models.autoencoder import Autoencoder
from moksori.models.family import Converter
from moksori.models.solo import Solo
from moksori.models.swift import Swift

SHIPPED_VOICE = "first.safetensors"
TRANSPOSE = ("auto", "nearest")
_FURTHEST = 36  # semitones
LOUDNESS = ("follow", "normalise")

Blocks = Callable[[], Iterator[Samples]]
"""Starts reading a recording from its beginning: mono blocks, float32 `[n]`."""

Progress = Callable[[float], None]
"""Told the share of the work done so far, 0..1; an exception that it raises ends the conversion."""


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert; who sings is said apart."""

    seed: int = 0
    transpose: float | str = "auto"  # semitones; or "auto": whole octaves, "nearest": semitones, to the singer's range
    keep_breaths: bool = False  # between the notes, the source itself is heard
    loudness: str = "follow"  # "follow": as loud as the source; "normalise": sung at the level of the training data
    temperature: float = 1.0  # codes: 1 samples the model's own law, 0 takes the most probable code every time
    backend: str = generator.AUTO  # codes: what computes them
    chunks: ChunkConfig = field(default_factory=ChunkConfig)  # codes: where a song is cut

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UserError(f"temperature is {self.temperature}; expected a number from 0 (tame) to 1 (as learned)")
        is_known = self.transpose in TRANSPOSE if isinstance(self.transpose, str) else abs(self.transpose) <= _FURTHEST
        if not is_known:
            raise UserError(
                f"transpose is {self.transpose}; expected {', '.join(TRANSPOSE)}, or semitones from {-_FURTHEST} to "
                f"{_FURTHEST}"
            )
        generator.check_name(self.backend)
        if self.loudness not in LOUDNESS:
            raise UserError(f"unknown loudness {self.loudness!r}; expected {' or '.join(LOUDNESS)}")


@dataclass
class Report:
    """What there is to say about a conversion."""

    n_samples: int = 0  # of the source, at its own rate
    sample_rate: int = 0
    gain_db: float = 0.0  # given to the source before the model heard it
    transpose_semitones: float = 0.0  # what was sung is so much higher than the source
    outside: list[Outside] = field(default_factory=list)  # where that leaves the singer's range
    seams: SeamCount = field(default_factory=SeamCount)
    n_clipped: int = 0  # samples of the result that had to be clipped
    note: str = ""  # why the format differs from what was asked, if it does


class Voice(Trained[Converter]):
    """A trained model, ready to convert: the public face of the package.

    >>> voice = load("model.safetensors")                                       # doctest: +SKIP
    >>> sung = voice.convert(samples, 44100, singer="kumi")                     # doctest: +SKIP
    """

    def __init__(self, model: Converter, provenance: Provenance) -> None:
        super().__init__(model, provenance)
        self._tracker = PitchTracker()

    @property
    def is_told_the_pitch(self) -> bool:
        """Whether the melody comes from a pitch tracker, so that it can be transposed."""
        return isinstance(self._model, Swift) or self._model.is_told_the_melody

    def backend_name(self, asked: str = generator.AUTO) -> str:
        """What computes the codes of this voice here: the backend asked for, or the one that "auto" stands for.

        Returns:
            One of `generator.BACKENDS`; "" for a voice that samples no codes.

        Raises:
            UserError: no backend of that name, it does not work here, or the voice samples no codes and needs none.
        """
        generator.check_name(asked)
        if isinstance(self._model, Swift):
            if asked != generator.AUTO:
                raise UserError(
                    f"this voice samples no codes, so there is nothing for backend {asked} to compute; leave --backend "
                    "out, or take a voice of recipe paper, melody or small"
                )
            return ""
        decoder = self._model.decoder
        generator.backend_for(decoder, asked, self.provenance.layer_peaks)  # says what is missing for it
        return generator.usual_backend(decoder) if asked == generator.AUTO else asked

    @property
    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) of the weights: tells one voice from another, whatever their files are called."""
        return checkpoint.fingerprint(self._model.state_dict())

    def convert(
        self,
        samples: npt.NDArray[np.floating],
        sample_rate: int,
        *,
        singer: str | Mapping[str, float],
        options: ConvertOptions | None = None,
        progress: Progress | None = None,
    ) -> Samples:
        """Sing a recording with another voice.

        Args:
            samples: `[T]` or `[T, channels]`, in [-1, 1]. Channels are averaged, and the result stands in all of them.
            sample_rate: Hz.
            singer: a name out of `singers`, or a mix such as `{"a": 0.7, "b": 0.3}`.
            options: see `ConvertOptions`.
            progress: told the share done.

        Returns:
            float32 of the same shape.

        Raises:
            UserError: an unknown singer, or a share that is not positive.
            ValueError: the samples are not a finite, not empty array of floats of one or two dimensions, or have more
                than 64 channels: then time and channels are most likely the wrong way round.
        """
        given = np.asarray(samples)
        if not np.issubdtype(given.dtype, np.floating):
            raise ValueError(f"samples are {given.dtype}; expected floats in [-1, 1], so divide 16-bit ones by 32768")
        found = given.astype(np.float32)
        if found.ndim not in (1, 2) or not found.size or not np.isfinite(found).all():
            raise ValueError(f"samples must be finite and [T] or [T, channels], not {list(found.shape)}")
        if found.ndim == 2 and found.shape[1] > files.MAX_CHANNELS:
            raise ValueError(f"samples are {list(found.shape)}; expected [T, channels], so transpose them")
        mono = found if found.ndim == 1 else found.mean(axis=1, dtype=np.float32)
        blocks, _ = self._convert(lambda: iter([mono]), sample_rate, singer, options or ConvertOptions(), progress)
        converted = np.concatenate(list(blocks))
        return converted if found.ndim == 1 else np.repeat(converted[:, None], found.shape[1], axis=1)

    def convert_file(
        self,
        source: Path,
        destination: Path,
        *,
        singer: str | Mapping[str, float],
        options: ConvertOptions | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Convert a sound file of any length in bounded memory.

        The result has the rate, channels and length of the source, and its format too if the destination's suffix is
        the source's. It appears under its name when it is complete.

        Raises:
            AudioFileError: the source cannot be read, or the destination cannot be written.
            UserError: an unknown singer, or a share that is not positive.
        """
        options = options or ConvertOptions()
        self.vector(singer)  # an unknown singer is told before any work
        info = files.probe(source)
        like = files.writable_like(info)
        encoding = like if destination.suffix.lower() == like.suffix else files.encoding_for(destination)

        def read() -> Iterator[Samples]:
            return files.read_mono_blocks(source)

        with files.Writer(destination, info.sample_rate, info.n_channels, encoding) as writer:
            converted, report = self._convert(read, info.sample_rate, singer, options, progress)
            for block in converted:
                writer.write(np.repeat(block[:, None], info.n_channels, axis=1))
        report.n_clipped, report.note = writer.n_clipped, encoding.note
        return report

    def convert_clips(
        self,
        clips: Sequence[Clip],
        singers: Sequence[str | Mapping[str, float]],
        *,
        transpose_semitones: Sequence[float] | None = None,
        options: ConvertOptions | None = None,
        progress: Progress | None = None,
    ) -> list[Clip]:
        """Convert many short clips side by side: the fast way for a collection.

        A clip of codes is one stream from its first sample to its last, so clips of a few seconds come out as `convert`
        makes them, and clips longer than a chunk without seams. Memory grows with the longest clip.

        Args:
            clips: N sounds at any rates.
            singers: who sings each.
            transpose_semitones: of each clip, in place of what the options say.
            options: see `ConvertOptions`; `chunks.streams` clips are generated in lockstep, on each core.
            progress: told the share done.

        Returns:
            N clips, each of the rate and length of its source.

        Raises:
            UserError: an unknown singer, or a share that is not positive.
            ValueError: as many singers as clips are expected.
        """
        options = options or ConvertOptions()
        hows = [options] * len(clips)
        if transpose_semitones is not None:
            hows = [replace(options, transpose=float(semitones)) for semitones in transpose_semitones]
        jobs = [_Job(index, *job) for index, job in enumerate(zip(clips, singers, hows, strict=True))]
        for job in jobs:
            self.vector(job.singer)  # an unknown singer is told before any work
        jobs.sort(key=lambda job: job.clip.seconds)  # streams of a group wait for its longest
        n_streams = 1 if isinstance(self._model, Swift) else options.chunks.streams
        groups = [jobs[start : start + n_streams] for start in range(0, len(jobs), n_streams)]
        converted: dict[int, Clip] = {}
        done = 0
        for group in threads.map_in_order(self._convert_group, groups, workers=0):
            converted.update(group)
            done += len(group)
            if progress is not None:
                progress(done / len(jobs))
        return [converted[index] for index in range(len(clips))]

    def represent(self, clip: Clip) -> Clip:
        """The clip as the model could at best say it, without the model.

        Codes: through the model's rate, level and codes. A voice that is told the pitch has no such limit but its rate.
        """
        gain_db = self._gain_db_of(clip)
        if isinstance(self._model, Swift):
            own = resample.resample(clip.samples, clip.sample_rate, self.sample_rate)
            return Clip(_at_rate_of(clip, own, self.sample_rate, 0.0), clip.sample_rate)
        samples = mulaw.decode(self._codes(clip, gain_db)).numpy()
        return Clip(_at_rate_of(clip, samples, self.sample_rate, -gain_db), clip.sample_rate)

    def transposition(self, clip: Clip, singer: str | Mapping[str, float], options: ConvertOptions) -> float:
        """The semitones by which a clip is moved: as asked for, or chosen for the singer."""
        return self._transposition(self._tracker.track(clip), self._range(singer), options)

    def _convert_group(self, jobs: list[_Job]) -> dict[int, Clip]:
        """Convert a group of clips; by its number."""
        if isinstance(self._model, Autoencoder):
            return self._lockstep(self._model, jobs)
        return {job.index: self._convert_clip(job) for job in jobs}

    def _convert_clip(self, job: _Job) -> Clip:
        samples = self.convert(job.clip.samples, job.clip.sample_rate, singer=job.singer, options=job.options)
        return Clip(samples.clip(-1.0, 1.0), job.clip.sample_rate)

    @torch.inference_mode()
    def _lockstep(self, model: Autoencoder, jobs: list[_Job]) -> dict[int, Clip]:
        """Convert a group of clips of one way of sampling, each in a stream of its own; by its number."""
        if not model.is_told_the_melody:
            for job in jobs:
                _refuse_transposition(job.options)
        hop, clips, options = model.hop_samples, [job.clip for job in jobs], jobs[0].options
        gains_db = [
            level.gain_for_singing(level.measure(clip.samples, clip.sample_rate), self.provenance.level_dbfs)
            for clip in clips
        ]
        codes = [self._codes(clip, gain_db) for clip, gain_db in zip(clips, gains_db, strict=True)]
        longest = frames.padded_length(max(len(row) for row in codes), hop)
        vectors = torch.stack([self.vector(job.singer) for job in jobs])

        def latent(row: Tensor) -> Tensor:
            padded = functional.pad(row, (0, -len(row) % hop), value=mulaw.SILENCE)
            z = model.encode(padded.unsqueeze(0).to(vectors.device))[0]
            return functional.pad(z, (0, longest // hop - z.shape[1]))

        told = None
        if model.is_told_the_melody:
            melodies = [self._melody_of(job, gain_db, longest) for job, gain_db in zip(jobs, gains_db, strict=True)]
            told = torch.stack(melodies).to(vectors)
        conditioning = model.conditioning(torch.stack([latent(row) for row in codes]), vectors, told)
        uniforms = sampling.uniforms(options.seed, 0, 0, longest).expand(len(jobs), -1)
        backend = generator.backend_for(model.decoder, options.backend, self.provenance.layer_peaks)
        # Groups are side by side already.
        codes_sung = generator.generate(backend, conditioning, uniforms, options.temperature, workers=1)
        generated = mulaw.decode(codes_sung).cpu().numpy()
        return {
            job.index: Clip(_at_rate_of(job.clip, row[: len(own)], self.sample_rate, -gain_db), job.clip.sample_rate)
            for job, row, own, gain_db in zip(jobs, generated, codes, gains_db, strict=True)
        }

    def _melody_of(self, job: _Job, gain_db: float, n_samples: int) -> Tensor:
        """What a model is told of a clip, `[2, F]`, for so many samples at its rate."""
        track, measured = self._tracker.track(job.clip), level.measure(job.clip.samples, job.clip.sample_rate)
        told = self._told_by(track, measured, job.singer, job.options, Report(gain_db=gain_db))
        return melody_of(torch.from_numpy(told).float(), 0, n_samples, self._melody_config.hop_samples)

    def _gain_db_of(self, clip: Clip) -> float:
        return level.gain_for_singing(level.measure(clip.samples, clip.sample_rate), self.provenance.level_dbfs)

    def _codes(self, clip: Clip, gain_db: float) -> Tensor:
        """Codes `[T]` of a clip at the model's rate and level."""
        samples = resample.resample(level.apply_gain(clip.samples, gain_db), clip.sample_rate, self.sample_rate)
        return mulaw.encode(torch.from_numpy(samples))

    def vector(self, singer: str | Mapping[str, float]) -> Tensor:
        """The embedding `[E]` of a singer, or of a mix of singers.

        Raises:
            UserError: an unknown singer, or a share that is not positive.
        """
        with torch.no_grad():
            return self._model.singers.mix({singer: 1.0} if isinstance(singer, str) else singer)

    def _convert(
        self,
        read: Blocks,
        rate: int,
        singer: str | Mapping[str, float],
        options: ConvertOptions,
        progress: Progress | None,
    ) -> tuple[Iterator[Samples], Report]:
        measured, track = self._measure(read, rate, options)
        gain_db = level.gain_for_singing(measured, self.provenance.level_dbfs)
        report = Report(measured.n_samples, rate, gain_db)

        def at_model_rate() -> Iterator[Samples]:
            into_model = StreamResampler(rate, self.sample_rate)
            for block in read():
                yield into_model.push(level.apply_gain(block, gain_db))
            yield into_model.flush()

        sung = self._sung(at_model_rate(), measured, track, singer, options, report, progress)
        if options.keep_breaths and track is not None:
            shares = breaths.shares(track.f0_hz, track.hop_seconds)
            sung = breaths.kept(sung, at_model_rate(), shares, track.hop_seconds, self.sample_rate)
        back_db = 0.0 if options.loudness == "normalise" else -gain_db
        return self._at_source_rate(sung, measured, back_db), report

    def _measure(self, read: Blocks, rate: int, options: ConvertOptions) -> tuple[Measurement, PitchTrack | None]:
        """Level, and pitch where anybody asks for it, in one reading."""
        meter = level.LevelMeter(rate)

        def metered() -> Iterator[Samples]:
            for block in read():
                meter.push(block)
                yield block

        if self.is_told_the_pitch or options.keep_breaths:
            track = self._tracker.track_blocks(metered(), rate)
            return meter.result(), track
        for _ in metered():
            pass
        return meter.result(), None

    def _sung(
        self,
        source: Iterator[Samples],
        measured: Measurement,
        track: PitchTrack | None,
        singer: str | Mapping[str, float],
        options: ConvertOptions,
        report: Report,
        progress: Progress | None,
    ) -> Iterator[Samples]:
        """The song in another voice, at the model's rate."""
        vector, model = self.vector(singer), self._model
        told = None
        if self.is_told_the_pitch:
            assert track is not None
            told = self._told_by(track, measured, singer, options, report)
        else:
            _refuse_transposition(options)
        if isinstance(model, Swift):
            assert told is not None
            self.backend_name(options.backend)  # refuses one: nothing here would go by it
            return FeatureSong(model, vector, told[0], options.seed).converted(source, progress)
        melody = None if told is None else torch.from_numpy(told).float()
        sampled = SampleOptions(
            options.seed, options.temperature, options.backend, options.chunks, self.provenance.layer_peaks
        )
        return CodeSong(model, vector, melody, sampled, report.seams, progress).converted(source, measured)

    def _told_by(
        self,
        track: PitchTrack,
        measured: Measurement,
        singer: str | Mapping[str, float],
        options: ConvertOptions,
        report: Report,
    ) -> npt.NDArray[np.float64]:
        """The pitch to be sung, in Hz, and the level of the source at the gain of the report, `[2, F]`."""
        config, singer_range = self._melody_config, self._range(singer)
        report.transpose_semitones = self._transposition(track, singer_range, options)
        n_samples = frames.rescaled_length(measured.n_samples, measured.sample_rate, self.sample_rate)
        n_frames, hop_seconds = frames.n_frames(n_samples, config.hop_samples), config.hop_samples / config.sample_rate
        f0_hz = transposition.moved(features.f0_of(track, n_frames, config), report.transpose_semitones)
        if singer_range is not None:
            report.outside = transposition.outside(f0_hz, hop_seconds, singer_range)
        places = (np.arange(n_frames) + 0.5) * hop_seconds * measured.sample_rate / measured.hop_samples - 0.5
        found_dbfs = measured.frame_dbfs if len(measured.frame_dbfs) else np.array([level.FLOOR_DBFS])
        level_dbfs = np.interp(places, np.arange(len(found_dbfs)), found_dbfs) + report.gain_db
        return np.stack([f0_hz, np.maximum(level_dbfs, features.FLOOR_DBFS)])

    @property
    def _melody_config(self) -> FeatureConfig:
        """How often a voice is told the melody."""
        if isinstance(self._model, Swift):
            return self._model.config.features
        return FeatureConfig(self.sample_rate, self._model.config.melody_hop_samples)

    def _at_source_rate(self, sung: Iterator[Samples], measured: Measurement, gain_db: float) -> Iterator[Samples]:
        """As many samples as the source has, at its rate."""
        out_of_model = StreamResampler(self.sample_rate, measured.sample_rate)
        left = measured.n_samples
        for block in sung:
            ready = self._limited(level.apply_gain(out_of_model.push(block), gain_db)[:left])
            left -= len(ready)
            yield ready
        yield self._limited(level.apply_gain(out_of_model.flush(), gain_db)[:left])

    def _limited(self, samples: Samples) -> Samples:
        """Codes know no more than full scale; a synthesiser does."""
        return level.soft_limit(samples) if isinstance(self._model, Swift) else samples

    def _range(self, singer: str | Mapping[str, float]) -> PitchRange | None:
        """Where a voice sang in training; None if that is not known of everybody in it."""
        shares = {singer: 1.0} if isinstance(singer, str) else dict(singer)
        known = self.provenance.ranges
        if not set(shares) <= set(known):
            return None
        total = sum(shares.values())
        ranges = [(known[name], share / total) for name, share in shares.items()]
        return transposition.between([(PitchRange(r.low_hz, r.median_hz, r.high_hz), s) for r, s in ranges])

    def _transposition(self, track: PitchTrack, singer: PitchRange | None, options: ConvertOptions) -> float:
        if not isinstance(options.transpose, str):
            return float(options.transpose)
        if singer is None or not self.is_told_the_pitch:
            return 0.0
        choose = transposition.whole_octaves if options.transpose == "auto" else transposition.nearest
        return choose(track.f0_hz, singer)


@dataclass(frozen=True)
class _Job:
    """A clip to be converted, with its number."""

    index: int
    clip: Clip
    singer: str | Mapping[str, float]
    options: ConvertOptions


def _refuse_transposition(options: ConvertOptions) -> None:
    if options.transpose not in (0, *TRANSPOSE):
        raise UserError(
            "this voice is not told the pitch, and sings the one it hears; it cannot transpose. Leave --transpose out, "
            "or train with recipe swift"
        )


def _at_rate_of(clip: Clip, samples: Samples, rate: int, gain_db: float) -> Samples:
    """Samples at the model's rate, brought to the rate and the length of a source."""
    whole = level.apply_gain(resample.resample(samples, rate, clip.sample_rate), gain_db)
    return frames.crop(np.pad(whole, (0, max(0, clip.n_samples - len(whole)))), clip.n_samples)


def load(path: str | Path | None = None, device: str = "cpu") -> Voice:
    """Load a voice from a model file, or from the folder of a training run; without a path, the one that is shipped.

    Of a run, the model with the best conversions is taken if they were scored, else the last one.

    Raises:
        ModelFileError: no model there, or it is damaged or foreign.
        UserError: it is a WaveNet by itself, which has no voices to convert to.
    """
    if path is None:
        with resources.as_file(resources.files("moksori") / "voices" / SHIPPED_VOICE) as shipped:
            return _voice(shipped, device)
    return _voice(checkpoint.model_file(path), device)


def _voice(path: Path, device: str) -> Voice:
    model, provenance = checkpoint.read_model(path, device)
    if isinstance(model, Solo):
        config = model.config
        like = " --like SONG" if config.is_told_a_recording else ""
        what = "sings a song again" if config.n_mels else "sings"
        raise UserError(
            f"{path}: holds a WaveNet by itself; it {what}, but takes nothing of a song over into another voice. To "
            f"hear it: moksori wavenet generate {path}{like} -o OUT.flac; for a voice to convert to, use moksori train"
        )
    return Voice(model, provenance)
