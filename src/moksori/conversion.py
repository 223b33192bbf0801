"""From a user's recording to the same recording in another voice: load, convert.

    read -> mono -> resample -> level -> codes    -> encoder -> z -> generator   -> codes -> level -> resample -> write
                                    '--> features -> encoder -> z -> synthesiser ----------^

A song is never in memory as a whole. It is read twice: once to measure its level (which tells the gain and where to
cut) and its pitch, once to convert it, a stretch at a time. What comes out has the length of what went in, to the
sample. Songs that are converted in one call are sung side by side where that is faster (`generation/lockstep.py`), and
each becomes what it becomes alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from threading import Event
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori import checkpoint
from moksori.audio import breaths, features, files, frames, level, mulaw, resample, transposition
from moksori.audio.clip import Clip, Samples
from moksori.audio.features import FeatureConfig
from moksori.audio.files import AudioInfo, Encoding
from moksori.audio.level import Measurement
from moksori.audio.pitch import PitchRange, PitchTrack, PitchTracker
from moksori.audio.resample import StreamResampler
from moksori.audio.transposition import Outside
from moksori.checkpoint import Provenance, Trained
from moksori.data import threads
from moksori.errors import UserError
from moksori.generation import generator, lockstep
from moksori.generation.chunks import UNCUT, ChunkConfig, Codes, SeamCount
from moksori.generation.code_song import CodeSong
from moksori.generation.feature_song import FeatureSong
from moksori.generation.lockstep import Opener, Part, Turn
from moksori.models.family import Converter
from moksori.models.solo import Solo
from moksori.models.swift import Swift

R = TypeVar("R")

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


@dataclass(frozen=True)
class SongFile:
    """A sound file to be converted, where to, and by whom."""

    source: Path
    destination: Path
    singer: str | Mapping[str, float]
    transpose: float | str | None = None  # in place of what the options say


SongsProgress = Callable[[int, float], None]
"""Told the number of a song and the share of it that is done; an exception that it raises ends everything."""


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
        options = options or ConvertOptions()
        opener = functools.partial(self._open, lambda: iter([mono]), sample_rate, singer, options, progress)
        (converted,) = (_whole(*turn) for turn in self._sing([opener], options))
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
        told = None if progress is None else lambda number, share: progress(share)
        song = SongFile(source, destination, singer)
        ((_, outcome),) = self.convert_files([song], options=options, progress=told)
        if isinstance(outcome, UserError):
            raise outcome
        return outcome

    def convert_files(
        self,
        songs: Sequence[SongFile],
        *,
        options: ConvertOptions | None = None,
        progress: SongsProgress | None = None,
    ) -> Iterator[tuple[int, Report | UserError]]:
        """Convert sound files of any length in bounded memory, side by side where that is faster.

        Each becomes what it becomes alone, see `convert_file`, and appears under its name as soon as it is complete.
        One that fails leaves nothing, and the others do not notice.

        Args:
            songs: N files. The shorter ones come first, so that songs side by side are of about one length.
            options: see `ConvertOptions`.
            progress: told the number of a song, 0..N-1, and the share of it that is done.

        Yields:
            The number of a song that is done with, and its report, or why it failed.

        Raises:
            UserError: an unknown singer, a share that is not positive, or a backend that does not work here.
        """
        options = options or ConvertOptions()
        for song in songs:
            self.vector(song.singer)  # an unknown singer is told before any work
        plans: dict[int, tuple[AudioInfo, Encoding]] = {}
        for number, song in enumerate(songs):
            try:
                plans[number] = _planned(song)
            except UserError as error:
                yield number, error
        order = sorted(plans, key=lambda number: plans[number][0].seconds)
        stop = Event()

        def opener(number: int) -> Opener[_Song]:
            song, rate = songs[number], plans[number][0].sample_rate
            how = options if song.transpose is None else replace(options, transpose=song.transpose)
            told = None if progress is None else functools.partial(progress, number)

            def read() -> Iterator[Samples]:
                return _until(stop, files.read_mono_blocks(song.source))

            return functools.partial(self._open, read, rate, song.singer, how, told)

        def outcome(numbered: _Numbered) -> tuple[int, Report | UserError]:
            number, singing = numbered
            try:
                return number, _write(*singing, songs[number].destination, *plans[number])
            except UserError as error:
                return number, error

        turns = zip(order, self._sing([opener(number) for number in order], options), strict=True)
        try:
            yield from self._each(outcome, turns, len(order), stop)
        finally:
            stop.set()  # songs that were being opened beside are of no use any more

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
        makes them, and clips longer than a chunk without seams. Memory grows with the clips.

        Args:
            clips: N sounds at any rates.
            singers: who sings each.
            transpose_semitones: of each clip, in place of what the options say.
            options: see `ConvertOptions`; no clip is cut, whatever they say of chunks.
            progress: told the share done.

        Returns:
            N clips, each of the rate and length of its source.

        Raises:
            UserError: an unknown singer, or a share that is not positive.
            ValueError: as many singers as clips are expected.
        """
        options = replace(options or ConvertOptions(), chunks=UNCUT)
        hows = [options] * len(clips)
        if transpose_semitones is not None:
            hows = [replace(options, transpose=float(semitones)) for semitones in transpose_semitones]
        for singer in singers:
            self.vector(singer)  # an unknown singer is told before any work
        told = None if progress is None else _in_all(len(clips), progress)

        def opener(clip: Clip, singer: str | Mapping[str, float], how: ConvertOptions, number: int) -> Opener[_Song]:
            own = None if told is None else functools.partial(told, number)
            return functools.partial(self._open, lambda: iter([clip.samples]), clip.sample_rate, singer, how, own)

        openers = [opener(*job) for job in zip(clips, singers, hows, range(len(clips)), strict=True)]
        order = sorted(range(len(clips)), key=lambda number: clips[number].seconds)  # as in `convert_files`
        turns = zip(order, self._sing([openers[number] for number in order], options), strict=True)
        whole = dict(self._each(lambda turn: (turn[0], _whole(*turn[1])), turns, len(order)))
        return [Clip(whole[number], clip.sample_rate) for number, clip in enumerate(clips)]

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

    def _sing(self, openers: Iterable[Opener[_Song]], options: ConvertOptions) -> Iterator[_Singing]:
        """Songs in order with the codes of their parts; see `lockstep.sing`."""
        if isinstance(self._model, Swift):
            self.backend_name(options.backend)  # refuses one: nothing here would go by it
            return ((Turn(opener), iter(())) for opener in openers)
        backend = generator.backend_for(self._model.decoder, options.backend, self.provenance.layer_peaks)
        return lockstep.sing(openers, backend, options.temperature)

    def _each(
        self, work: Callable[[_Numbered], R], turns: Iterable[_Numbered], n_songs: int, stop: Event | None = None
    ) -> Iterator[R]:
        """Do the same with every song's turn, in order; where songs share no streams, each on a core of its own."""
        if isinstance(self._model, Swift) and n_songs > 1:
            return threads.map_in_order(work, turns, workers=0, stop=stop)
        return map(work, turns)

    def _open(
        self,
        read: Blocks,
        rate: int,
        singer: str | Mapping[str, float],
        options: ConvertOptions,
        progress: Progress | None,
    ) -> _Song:
        """Listen to a recording once, and make it ready to be sung."""
        measured, track = self._measure(read, rate, options)
        gain_db = level.gain_for_singing(measured, self.provenance.level_dbfs)
        report = Report(measured.n_samples, rate, gain_db)

        def at_model_rate() -> Iterator[Samples]:
            into_model = StreamResampler(rate, self.sample_rate)
            for block in read():
                yield into_model.push(level.apply_gain(block, gain_db))
            yield into_model.flush()

        told = None
        if self.is_told_the_pitch:
            assert track is not None
            told = self._told_by(track, measured, singer, options, report)
        else:
            _refuse_transposition(options)
        vector, model = self.vector(singer), self._model
        song: CodeSong | FeatureSong
        if isinstance(model, Swift):
            assert told is not None
            song = FeatureSong(model, vector, told[0], options.seed)
        else:
            melody = None if told is None else torch.from_numpy(told).float()
            song = CodeSong(model, vector, melody, options.seed, options.chunks, measured, at_model_rate(), progress)
            report.seams = song.seams

        def sound(codes: Iterator[Codes]) -> Iterator[Samples]:
            """The song in another voice, at the rate of the recording."""
            sung = song.sound(codes) if isinstance(song, CodeSong) else song.converted(at_model_rate(), progress)
            if options.keep_breaths and track is not None:
                shares = breaths.shares(track.f0_hz, track.hop_seconds)
                sung = breaths.kept(sung, at_model_rate(), shares, track.hop_seconds, self.sample_rate)
            back_db = 0.0 if options.loudness == "normalise" else -gain_db
            return self._at_source_rate(sung, measured, back_db)

        return _Song(report, sound, song if isinstance(song, CodeSong) else None)

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
class _Song:
    """A recording that was listened to once, and is ready to be sung; see `lockstep.Song`."""

    report: Report
    sound: Callable[[Iterator[Codes]], Iterator[Samples]]  # from the codes of its parts
    code_song: CodeSong | None  # None where nothing is sung code by code, and there are no parts

    @property
    def n_parts(self) -> int:
        """How many parts it has."""
        return 0 if self.code_song is None else self.code_song.n_parts

    def parts(self) -> Iterator[Part]:
        """Its parts in order, each made when it is asked for."""
        return iter(()) if self.code_song is None else self.code_song.parts()

    def progressed(self, n_samples: int) -> None:
        """So many more samples of its parts are sung."""
        if self.code_song is not None:
            self.code_song.progressed(n_samples)


_Singing = tuple[Turn[_Song], Iterator[Codes]]
"""A song's turn, and the codes of its parts; see `lockstep.sing`."""

_Numbered = tuple[int, _Singing]
"""The same, with the song's number among those of the call."""


def _until(stop: Event, blocks: Iterator[Samples]) -> Iterator[Samples]:
    """The blocks, until nobody wants them any more."""
    for block in blocks:
        if stop.is_set():
            raise CancelledError
        yield block


def _whole(turn: Turn[_Song], codes: Iterator[Codes]) -> Samples:
    """A song's sound in one piece, `[T]`."""
    return np.concatenate(list(turn.song.sound(codes)))


def _planned(song: SongFile) -> tuple[AudioInfo, Encoding]:
    """What a song's file is, and how its result will be written."""
    info = files.probe(song.source)
    like = files.writable_like(info)
    return info, like if song.destination.suffix.lower() == like.suffix else files.encoding_for(song.destination)


def _write(turn: Turn[_Song], codes: Iterator[Codes], destination: Path, info: AudioInfo, encoding: Encoding) -> Report:
    """Write what becomes of a song; it appears under its name when it is complete."""
    song = turn.song
    with files.Writer(destination, info.sample_rate, info.n_channels, encoding) as writer:
        for block in song.sound(codes):
            writer.write(np.repeat(block[:, None], info.n_channels, axis=1))
    song.report.n_clipped, song.report.note = writer.n_clipped, encoding.note
    return song.report


def _in_all(n_songs: int, progress: Progress) -> SongsProgress:
    """Tells how far all songs are, from how far each is."""
    shares = [0.0] * n_songs

    def told(number: int, share: float) -> None:
        shares[number] = share
        progress(sum(shares) / n_songs)

    return told


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
