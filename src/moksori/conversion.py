"""From a user's recording to the same recording in another voice: load, convert.

    read -> mono -> resample -> level -> codes -> encoder -> z -> generator -> codes -> level -> resample -> write

A song is never in memory as a whole. It is read twice: once to measure its level (which tells the gain and where to
cut), once to convert it, a group of chunks at a time. What comes out has the length of what went in, to the sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from moksori import checkpoint
from moksori.audio import files, frames, level, mulaw, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.resample import StreamResampler
from moksori.checkpoint import Provenance
from moksori.data import threads
from moksori.errors import UserError
from moksori.generation import chunks, generator, sampling
from moksori.generation.chunks import Chunk, ChunkConfig, Codes, Joiner, SeamCount
from moksori.models.autoencoder import Autoencoder
from moksori.models.conditions import Conditioning

MODEL_FILE = "model.safetensors"
_CEILING_DBFS = -1.0  # a source is not raised beyond this peak
_ANY_LEVEL = level.TrimConfig(absolute_gate_dbfs=level.FLOOR_DBFS)  # every sound counts as singing

Blocks = Callable[[], Iterator[Samples]]
"""Starts reading a recording from its beginning: mono blocks, float32 `[n]`."""

Progress = Callable[[float], None]
"""Told the share of the work done so far, 0..1; an exception that it raises ends the conversion."""


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert; who sings is said apart."""

    seed: int = 0
    temperature: float = 1.0  # 1 samples the model's own law, 0 takes the most probable code every time
    backend: str = generator.DEFAULT_BACKEND
    chunks: ChunkConfig = field(default_factory=ChunkConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UserError(f"temperature is {self.temperature}; expected a number from 0 (tame) to 1 (as learned)")


@dataclass
class Report:
    """What there is to say about a conversion."""

    n_samples: int = 0  # of the source, at its own rate
    sample_rate: int = 0
    gain_db: float = 0.0  # given to the source before the model heard it, and taken back afterwards
    seams: SeamCount = field(default_factory=SeamCount)
    n_clipped: int = 0  # samples of the result that had to be clipped
    note: str = ""  # why the format differs from what was asked, if it does


class Voice:
    """A trained model, ready to convert: the public face of the package.

    >>> voice = load("model.safetensors")                                       # doctest: +SKIP
    >>> sung = voice.convert(samples, 44100, singer="kumi")                     # doctest: +SKIP
    """

    def __init__(self, model: Autoencoder, provenance: Provenance) -> None:
        self._model = model.eval()
        self.provenance = provenance

    @property
    def singers(self) -> tuple[str, ...]:
        """Names of the singers it knows."""
        return self._model.singers.names

    @property
    def sample_rate(self) -> int:
        """Rate at which the model itself works, Hz."""
        return self._model.config.sample_rate

    @property
    def model(self) -> Autoencoder:
        """The model."""
        return self._model

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
            ValueError: the samples are not a finite, not empty array of one or two dimensions.
        """
        found = np.asarray(samples, np.float32)
        if found.ndim not in (1, 2) or not found.size or not np.isfinite(found).all():
            raise ValueError(f"samples must be finite and [T] or [T, channels], not {list(found.shape)}")
        mono = found if found.ndim == 1 else found.mean(axis=1, dtype=np.float32)
        vector = self.vector(singer)
        converted = np.concatenate(
            list(self._convert(lambda: iter([mono]), sample_rate, vector, options or ConvertOptions(), progress)[0])
        )
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
        vector = self.vector(singer)
        info = files.probe(source)
        like = files.writable_like(info)
        encoding = like if destination.suffix.lower() == like.suffix else files.encoding_for(destination)

        def read() -> Iterator[Samples]:
            return files.read_mono_blocks(source)

        with files.Writer(destination, info.sample_rate, info.n_channels, encoding) as writer:
            converted, report = self._convert(read, info.sample_rate, vector, options, progress)
            for block in converted:
                writer.write(np.repeat(block[:, None], info.n_channels, axis=1))
        report.n_clipped, report.note = writer.n_clipped, encoding.note
        return report

    def convert_clips(
        self,
        clips: Sequence[Clip],
        singers: Sequence[str | Mapping[str, float]],
        *,
        options: ConvertOptions | None = None,
        progress: Progress | None = None,
    ) -> list[Clip]:
        """Convert many short clips side by side: the fast way for a collection.

        A clip is one stream from its first sample to its last, so clips of a few seconds come out as `convert` makes
        them, and clips longer than a chunk without seams. Memory grows with the longest clip.

        Args:
            clips: N sounds at any rates.
            singers: who sings each.
            options: see `ConvertOptions`; `chunks.streams` clips are generated in lockstep, on each core.
            progress: told the share done.

        Returns:
            N clips, each of the rate and length of its source.

        Raises:
            UserError: an unknown singer, or a share that is not positive.
            ValueError: as many singers as clips are expected.
        """
        options = options or ConvertOptions()
        jobs = [(index, *job) for index, job in enumerate(zip(clips, map(self.vector, singers), strict=True))]
        jobs.sort(key=lambda job: job[1].seconds)  # streams of a group wait for its longest
        n_streams = options.chunks.streams
        groups = [jobs[start : start + n_streams] for start in range(0, len(jobs), n_streams)]
        converted: dict[int, Clip] = {}
        done = 0
        for group in threads.map_in_order(lambda group: self._lockstep(group, options), groups, workers=0):
            converted.update(group)
            done += len(group)
            if progress is not None:
                progress(done / len(jobs))
        return [converted[index] for index in range(len(clips))]

    def represent(self, clip: Clip) -> Clip:
        """The clip as the model could at best say it: through its rate, its level and its codes, without the model."""
        gain_db = self._gain_db_of(clip)
        samples = mulaw.decode(self._codes(clip, gain_db)).numpy()
        return Clip(_at_rate_of(clip, samples, self.sample_rate, -gain_db), clip.sample_rate)

    @torch.inference_mode()
    def _lockstep(self, jobs: list[tuple[int, Clip, Tensor]], options: ConvertOptions) -> dict[int, Clip]:
        """Convert a group of clips, each in a stream of its own; by its number."""
        hop, clips = self._model.hop_samples, [clip for _, clip, _ in jobs]
        gains_db = [
            _gain_db(level.measure(clip.samples, clip.sample_rate), self.provenance.level_dbfs) for clip in clips
        ]
        codes = [self._codes(clip, gain_db) for clip, gain_db in zip(clips, gains_db, strict=True)]
        longest = frames.padded_length(max(len(row) for row in codes), hop)
        vectors = torch.stack([vector for _, _, vector in jobs])

        def latent(row: Tensor) -> Tensor:
            padded = functional.pad(row, (0, -len(row) % hop), value=mulaw.SILENCE)
            z = self._model.encode(padded.unsqueeze(0).to(vectors.device))[0]
            return functional.pad(z, (0, longest // hop - z.shape[1]))

        conditioning = self._model.conditioning(torch.stack([latent(row) for row in codes]), vectors)
        uniforms = sampling.uniforms(options.seed, 0, 0, longest).expand(len(jobs), -1)
        backend = generator.backend_for(self._model.decoder, options.backend)
        generated = mulaw.decode(generator.generate(backend, conditioning, uniforms, options.temperature)).cpu().numpy()
        return {
            index: Clip(_at_rate_of(clip, row[: len(own)], self.sample_rate, -gain_db), clip.sample_rate)
            for (index, clip, _), row, own, gain_db in zip(jobs, generated, codes, gains_db, strict=True)
        }

    def _gain_db_of(self, clip: Clip) -> float:
        return _gain_db(level.measure(clip.samples, clip.sample_rate), self.provenance.level_dbfs)

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
        self, read: Blocks, rate: int, vector: Tensor, options: ConvertOptions, progress: Progress | None
    ) -> tuple[Iterator[Samples], Report]:
        meter = level.LevelMeter(rate)
        for block in read():
            meter.push(block)
        measured = meter.result()
        gain_db = _gain_db(measured, self.provenance.level_dbfs)
        report = Report(measured.n_samples, rate, gain_db)

        def at_model_rate() -> Iterator[Samples]:
            into_model = StreamResampler(rate, self.sample_rate)
            for block in read():
                yield into_model.push(level.apply_gain(block, gain_db))
            yield into_model.flush()

        def at_source_rate() -> Iterator[Samples]:
            out_of_model = StreamResampler(self.sample_rate, rate)
            left = measured.n_samples
            song = _Song(self._model, vector, options, report.seams, progress)
            for block in song.converted(at_model_rate(), measured):
                ready = level.apply_gain(out_of_model.push(block), -gain_db)[:left]
                left -= len(ready)
                yield ready
            yield level.apply_gain(out_of_model.flush(), -gain_db)[:left]

        return at_source_rate(), report


@dataclass
class _Song:
    """One song on its way through the model, at the model's rate."""

    model: Autoencoder
    vector: Tensor  # [E]
    options: ConvertOptions
    seams: SeamCount
    progress: Progress | None

    def converted(self, source: Iterator[Samples], measured: level.Measurement) -> Iterator[Samples]:
        """Convert group after group of chunks, each group in lockstep."""
        config, rate = self.model.config, self.model.config.sample_rate
        n_samples = frames.rescaled_length(measured.n_samples, measured.sample_rate, rate)
        hop, field_samples = config.encoder.hop_samples, config.decoder.receptive_field
        plan = chunks.plan(n_samples, rate, hop, field_samples, measured.frame_dbfs, self.options.chunks)
        latents = _Latents(self.model, _Window(source, frames.padded_length(n_samples, hop)))
        joiner = Joiner(rate, field_samples, self.options.chunks, self.seams)
        backend = generator.backend_for(self.model.decoder, self.options.backend)
        n_streams = self.options.chunks.streams
        for start in range(0, len(plan), n_streams):
            yield from self._generate(plan[start : start + n_streams], latents, backend, joiner, n_samples)
        yield joiner.finish(n_samples)

    def _generate(
        self, group: list[Chunk], latents: _Latents, backend: generator.Backend, joiner: Joiner, n_samples: int
    ) -> Iterator[Samples]:
        hop, first = self.model.hop_samples, group[0].first
        longest = frames.padded_length(max(chunk.last - chunk.first for chunk in group), hop)
        z = latents.read(first // hop, frames.n_frames(group[-1].last, hop))  # [D, F] from the group's first sample

        def latent(chunk: Chunk) -> Tensor:
            begin = (chunk.first - first) // hop
            own = z[:, begin : begin + longest // hop]
            return functional.pad(own, (0, longest // hop - own.shape[1]))

        vectors = self.vector.expand(len(group), -1)
        conditioning: Conditioning = self.model.conditioning(torch.stack([latent(chunk) for chunk in group]), vectors)
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


class _Latents:
    """The latent of a song, encoded piece by piece: the same frames as if the song were encoded as a whole."""

    _PIECE_SECONDS = 2.0  # bounds the memory of the encoder's layers

    def __init__(self, model: Autoencoder, codes: _Window) -> None:
        self._model = model
        self._codes = codes
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
        codes = self._codes.read(begin * hop, (stop + context) * hop)
        heard = torch.from_numpy(codes.astype(np.int64)).unsqueeze(0).to(self._z.device)
        return self._model.encode(heard)[0, :, start - begin : stop - begin]


class _Window:
    """The part of a song's codes that is still needed, read on as it is asked for."""

    def __init__(self, source: Iterator[Samples], n_samples: int) -> None:
        self._source = source
        self._n_samples = n_samples  # the song's, padded to the hop with silence
        self._codes: Codes = np.zeros(0, np.uint8)
        self._start = 0  # place of the first code kept

    def read(self, start: int, stop: int) -> Codes:
        """Codes of `[start, stop)`, fewer at the end of the song; starts never go back."""
        stop = min(stop, self._n_samples)
        parts = [self._codes[start - self._start :]]
        n_have = len(parts[0])
        while n_have < stop - start:
            block = next(self._source, None)
            if block is None:
                parts.append(np.full(stop - start - n_have, mulaw.SILENCE, np.uint8))
                break
            parts.append(mulaw.encode(torch.from_numpy(block)).numpy().astype(np.uint8))
            n_have += len(block)
        self._codes, self._start = np.concatenate(parts), start
        return self._codes[: stop - start]


def _gain_db(measured: level.Measurement, target_dbfs: float) -> float:
    """Gain that brings the singing to the level of the training data; none for a silent recording.

    A recording so faint that nothing passes for singing is raised all the same, and lowered again afterwards: the model
    has never heard anything as faint, and would answer at the level of its training.
    """
    sung = level.sung_level_dbfs(measured.frame_dbfs)
    if sung <= level.FLOOR_DBFS:
        sung = level.sung_level_dbfs(measured.frame_dbfs, _ANY_LEVEL)
    if sung <= level.FLOOR_DBFS:
        return 0.0
    return level.gain_to(sung, measured.peak_dbfs, target_dbfs=target_dbfs, ceiling_dbfs=_CEILING_DBFS)


def _at_rate_of(clip: Clip, samples: Samples, rate: int, gain_db: float) -> Samples:
    """Samples at the model's rate, brought to the rate and the length of a source."""
    whole = level.apply_gain(resample.resample(samples, rate, clip.sample_rate), gain_db)
    return frames.crop(np.pad(whole, (0, max(0, clip.n_samples - len(whole)))), clip.n_samples)


def load(path: str | Path, device: str = "cpu") -> Voice:
    """Load a voice from a model file, or from the folder of a training run.

    Raises:
        ModelFileError: no model there, or it is damaged or foreign.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MODEL_FILE
    return Voice(*checkpoint.read_model(path, device))
