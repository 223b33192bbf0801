"""A trained voice: the public face of the package. Load one, and convert.

    read -> mono -> analysed (`analysis.py`) -> read again, sung (`song.py`), several side by side (`many.py`) -> write

What is asked, and what there is to say afterwards, stands in `options.py`.
"""

from __future__ import annotations

import contextlib
import functools
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori import arguments, checkpoint, hub, run_files
from moksori.audio import bands, decoders, files, frames, level, mixdown, octaves, pitch, resample
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchRange, PitchTrack
from moksori.checkpoint import Provenance, Trained
from moksori.conversion import analysis, ear, many, preview
from moksori.conversion.analysis import Alike, Recording
from moksori.conversion.many import Outcome, Outcomes, SongFile
from moksori.conversion.options import ConvertOptions, Report
from moksori.conversion.preview import Loudest
from moksori.conversion.song import Session, Song
from moksori.errors import AudioFileError, ModelFileError, UserError
from moksori.generation import generator
from moksori.generation.songs import latents
from moksori.generation.songs.chunks import UNCUT
from moksori.models import kinds
from moksori.models.kinds import Converter
from moksori.progress import OnProgress

if TYPE_CHECKING:
    from moksori.conversion.instant import Takes


class Voice(Trained[Converter]):
    """A trained model, ready to convert; whoever changes its weights makes another voice of it.

    >>> voice = load("model.safetensors")                                       # doctest: +SKIP
    >>> sung = voice.convert(samples, 44100, singer="kumi")                     # doctest: +SKIP
    """

    def __init__(self, model: Converter, provenance: Provenance) -> None:
        super().__init__(model, provenance)
        self._tracker = ear.tracker_of(model)
        self._made: Session | None = None  # the one asked for last

    def __getstate__(self) -> dict[str, Any]:
        """A copy, also in another process, makes its session anew."""
        return self.__dict__ | {"_made": None}

    def __repr__(self) -> str:
        """Who sings, where, and how the voice was made."""
        ranges = self.provenance.ranges
        described = [
            f"{name} ({pitch.note_name(ranges[name].low_hz)} to {pitch.note_name(ranges[name].high_hz)}"
            f"{self._measured(name)})"
            if name in ranges
            else name
            for name in self.singers
        ]
        origin = self.provenance
        recipe = f"recipe {origin.recipe}" if origin.recipe else "no named recipe"
        return f"<Voice of {', '.join(described)}; {self.sample_rate} Hz, {recipe}, {origin.steps:,} steps>"

    def _repr_html_(self) -> str:
        """A table of the singers, for notebooks: where each sang in training; and how the voice was made."""
        ranges, origin = self.provenance.ranges, self.provenance
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{_notes(ranges.get(name))}{self._measured(name)}</td></tr>"
            for name in self.singers
        )
        figures = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in origin.figures.items())
        facts = [f"{self.sample_rate} Hz", f"recipe {origin.recipe or 'without a name'}", f"{origin.steps:,} steps"]
        facts += [figures] if figures else []
        facts += [f"terms: {origin.licence_note}"] if origin.licence_note else []
        head = "<tr><th>singer</th><th>sang in training</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table><p>{html.escape('; '.join(facts))}</p>"

    def _measured(self, singer: str) -> str:
        seconds = self.provenance.measured_seconds(singer)
        return f"; {seconds:.0f} s of takes, not trained" if seconds else ""

    @property
    def is_pitch_conditioned(self) -> bool:
        """Whether the melody comes from a pitch tracker, so that it can be transposed."""
        return analysis.is_pitch_conditioned(self._model)

    def backend_name(self, asked: str = generator.AUTO) -> str:
        """What computes the codes of this voice here: the backend asked for, or the one that "auto" stands for.

        Returns:
            One of `generator.BACKENDS`; "" for a voice that samples no codes.

        Raises:
            UserError: no backend of that name, it does not work here, or the voice samples no codes and needs none.
        """
        return self._session(asked).backend_name

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
        progress: OnProgress | None = None,
        melody: analysis.GivenMelody | None = None,
    ) -> Samples:
        """Sing a recording with another voice.

        Args:
            samples: `[T]` or `[T, channels]`, in [-1, 1]; what goes beyond is taken as it is. The result stands in all
                channels. They are averaged, unless they cancel: then one is taken (see `mixdown`).
            sample_rate: Hz.
            singer: a name out of `singers`, or a mix such as `{"a": 0.7, "b": 0.3}`.
            options: see `ConvertOptions`.
            progress: called with how far it is.
            melody: is sung in the place of the one that is tracked, and transposed like that; see `audio.f0_file`. Or
                notes that the tracked one is brought onto; see `audio.score`.

        Returns:
            float32 of the same shape.

        Raises:
            UserError: an unknown singer, a share that is not positive, or a melody that this voice cannot be given.
            ValueError: the samples are not a finite, not empty array of floats of one or two dimensions, are in the
                scale of integers, or have more than 64 channels: then time and channels are most likely the wrong way
                round.
        """
        sample_rate = arguments.sample_rate(sample_rate)
        _check_arguments(options, progress, melody)
        found = _checked(samples)
        mono = _mono(found if found.ndim == 2 else found[:, None], sample_rate)
        options = options or ConvertOptions()
        session, recording = self._session(options.backend), Recording(lambda: iter([mono]), sample_rate)
        opener = functools.partial(Song, session, recording, singer, options, progress, melody)
        with checkpoint.in_float32():
            (converted,) = (many.whole(*slot) for slot in many.sing([opener], session, options.temperature))
        return converted if found.ndim == 1 else np.repeat(converted[:, None], found.shape[1], axis=1)

    def like(self, takes: str | Path, *, name: str = "", licence_note: str = "") -> Voice:
        """A voice that sings as this one does, and as the singer of some takes, too: measured, not trained.

        Args:
            takes: a folder of recordings of one singer, or one recording: half a minute of singing or more.
            name: of the singer; "" for that of the folder or file.
            licence_note: terms of the takes; they are added to the voice's.

        Returns:
            Another voice; this one is not changed. `instant.measure` reports what is wrong with the takes.

        Raises:
            UserError: this voice cannot take up a singer from takes or has one of that name, or too little is sung.
            DataError: nothing in the takes can be used.

        >>> load().like("takes/mina").convert_file("song.flac", "mina.flac", singer="mina")    # doctest: +SKIP
        """
        from moksori.conversion import instant  # slow to load, and most songs are sung by a singer of the model

        found = instant.measure(arguments.path(takes, "takes"), self._model, self.provenance.level_dbfs, name=name)
        return self.with_singer(found, licence_note)

    def with_singer(self, takes: Takes, licence_note: str = "") -> Voice:
        """The same, of takes that were measured; see `instant.measure`."""
        from moksori.conversion import instant

        return Voice(*instant.with_singer(self._model, self.provenance, takes, licence_note))

    def encode(self, samples: npt.NDArray[np.floating], sample_rate: int) -> npt.NDArray[np.float32]:
        """What the encoder says of a recording: its latent, which should know words and no singer.

        Args:
            samples: see `convert`.
            sample_rate: Hz.

        Returns:
            `[D, F]`, a column for each `model.config.latent_hop_samples` at the model's rate.

        Raises:
            UserError: this kind of voice has none.
            ValueError: see `convert`.
        """
        latent = self._song(samples, sample_rate, self.singers[0], None).intermediates().latent
        if latent is None:
            raise UserError("this kind of voice has no latent to look at")
        return _array(latent)

    def controls(
        self,
        samples: npt.NDArray[np.floating],
        sample_rate: int,
        *,
        singer: str | Mapping[str, float],
        options: ConvertOptions | None = None,
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The synthesiser's controls that `convert` would sing by, frame by frame.

        Args:
            samples: see `convert`.
            sample_rate: Hz.
            singer: see `convert`.
            options: see `ConvertOptions`.

        Returns:
            "f0_hz" `[F]`, 0 where unvoiced; "harmonics" and "noise" `[bands, F]`, natural logarithms of amplitude and
            RMS, at the level of the training data. Frames are `model.config.hop_samples` apart at the model's rate.

        Raises:
            UserError: the voice samples codes and has no synthesiser, or see `convert`.
            ValueError: see `convert`.
        """
        controls = self._song(samples, sample_rate, singer, options).intermediates().controls
        if controls is None:
            raise UserError("this voice samples codes, and has no controls of a synthesiser; take one of recipe swift")
        found = {"f0_hz": controls.f0_hz, "harmonics": controls.harmonics, "noise": controls.noise}
        return {name: _array(values[0]) for name, values in found.items()}

    def _song(
        self,
        samples: npt.NDArray[np.floating],
        sample_rate: int,
        singer: str | Mapping[str, float],
        options: ConvertOptions | None,
    ) -> Song:
        """A recording that was analysed, and waits to be sung."""
        sample_rate = arguments.sample_rate(sample_rate)
        _check_arguments(options, None, None)
        found, options = _checked(samples), options or ConvertOptions()
        mono = _mono(found if found.ndim == 2 else found[:, None], sample_rate)
        return Song(self._session(options.backend), Recording(lambda: iter([mono]), sample_rate), singer, options)

    def convert_file(
        self,
        source: str | Path,
        destination: str | Path,
        *,
        singer: str | Mapping[str, float],
        options: ConvertOptions | None = None,
        progress: OnProgress | None = None,
        melody: analysis.GivenMelody | None = None,
    ) -> Report:
        """Convert a sound file of any length in bounded memory.

        The result has the rate, channels and length of the source, and its format too if the destination's suffix is
        the source's. It appears under its name when it is complete. A melody is sung in the place of the one that is
        heard, and transposed like that; see `audio.f0_file`, and `audio.score` for notes.

        Raises:
            AudioFileError: the source cannot be read, or the destination cannot be written.
            UserError: an unknown singer, a share that is not positive, or a melody that this voice cannot be given.
        """
        _check_arguments(options, progress, melody)
        song = SongFile(
            arguments.path(source, "source"), arguments.path(destination, "destination"), singer, melody=melody
        )
        ((_, outcome),) = self.convert_files([song], options=options, progress=progress)
        if isinstance(outcome, UserError):
            raise outcome
        return outcome

    def convert_files(
        self,
        songs: Iterable[SongFile],
        *,
        options: ConvertOptions | None = None,
        progress: OnProgress | None = None,
    ) -> Iterator[Outcome]:
        """Convert sound files of any length in bounded memory, side by side where that is faster.

        Each becomes what it becomes alone, see `convert_file`, and appears under its name as soon as it is complete.
        One that fails leaves nothing, and the others do not notice.

        Args:
            songs: N files. The shorter ones come first, so that songs side by side are of about one length.
            options: see `ConvertOptions`.
            progress: called with how far a song is, under its number 0..N-1.

        Yields:
            The number of a song that is done with, and its report, or why it failed.

        Raises:
            UserError: an unknown singer, a share that is not positive, or a backend that does not work here.
        """
        _check_arguments(options, progress, None)
        options = options or ConvertOptions()
        if isinstance(songs, SongFile):
            raise TypeError("songs is one SongFile; expected several: [SongFile(...)]")
        songs = list(songs)
        for song in songs:
            if not isinstance(song, SongFile):
                raise TypeError(f"songs hold {song!r:.80}; expected SongFile(source, destination, singer)")
            self.vector(song.singer)  # an unknown singer is refused before any work
        return Outcomes(many.convert_files(self._session(options.backend), songs, options, progress), len(songs))

    def convert_clips(
        self,
        clips: Sequence[Clip],
        singers: Sequence[str | Mapping[str, float]],
        *,
        transpose_semitones: Sequence[float] | None = None,
        options: ConvertOptions | None = None,
        progress: OnProgress | None = None,
    ) -> list[Clip]:
        """Convert many short clips side by side: the fast way for a collection.

        A clip of codes is one stream from its first sample to its last, so clips of a few seconds come out as `convert`
        makes them, and clips longer than a chunk without seams. Memory grows with the clips.

        Args:
            clips: N sounds at any rates.
            singers: who sings each.
            transpose_semitones: of each clip, in place of what the options say.
            options: see `ConvertOptions`; no clip is cut, whatever they say of chunks.
            progress: called with how far it is.

        Returns:
            N clips, each of the rate and length of its source.

        Raises:
            UserError: an unknown singer, or a share that is not positive.
            ValueError: as many singers as clips are expected.
        """
        _check_arguments(options, progress, None)
        if isinstance(singers, str) or len(singers) != len(clips):
            raise ValueError(f"singers are {singers!r:.80}; expected one for each of {len(clips)} clips, in a list")
        for clip in clips:
            if not isinstance(clip, Clip):
                raise TypeError(f"clips hold {type(clip).__name__}; expected moksori.Clip(samples, sample_rate)")
        options = replace(options or ConvertOptions(), chunks=UNCUT)
        hows = [options] * len(clips)
        if transpose_semitones is not None:
            if isinstance(transpose_semitones, int | float) or len(transpose_semitones) != len(clips):
                raise ValueError(f"transpose_semitones are {transpose_semitones!r:.80}; expected one for each clip")
            hows = [replace(options, transpose=float(semitones)) for semitones in transpose_semitones]
        for singer in singers:
            self.vector(singer)  # an unknown singer is refused before any work
        for clip in clips:
            _mono(clip.samples[:, None], clip.sample_rate)  # and so is a scale that no sound has
        with checkpoint.in_float32():
            return many.convert_clips(self._session(options.backend), clips, singers, hows, progress)

    def loudest(self, path: Path, seconds: float, options: ConvertOptions | None = None) -> Loudest:
        """Where a song is loudest, for `part_of`; its pitch is tracked if that decides how far it is moved.

        Raises:
            AudioFileError: the song cannot be read.
            ValueError: no time is asked for.
        """
        path, seconds = arguments.path(path), arguments.number(seconds, "seconds", "30.0")
        if not 0 < seconds < float("inf"):
            raise ValueError(f"seconds is {seconds}; expected more than 0, such as 30.0")
        arguments.of_type(options, ConvertOptions, "options", "ConvertOptions(seed=1, ...)")
        options = options or ConvertOptions()
        is_asked = self.is_pitch_conditioned and isinstance(options.transpose, str)
        return preview.loudest(
            path, seconds, self._tracker if is_asked else None, repairs_octaves=options.repair_octaves
        )

    def melody_of(self, path: Path, options: ConvertOptions | None = None) -> PitchTrack:
        """The tracked melody of a sound file, as `--melody-out` writes it.

        Raises:
            AudioFileError: the file cannot be read.
        """
        path = arguments.path(path)
        read, rate = functools.partial(files.read_mono_blocks, path), files.probe(path).sample_rate
        track = self._tracker.track_blocks(read(), rate)
        return octaves.repaired(track, read, rate)[0] if options is not None and options.repair_octaves else track

    def part_of(self, song: SongFile, found: Loudest, options: ConvertOptions | None = None) -> SongFile:
        """The loudest seconds of a song, for `convert_files`: a preview, moved as far as the whole would be."""
        singer = analysis.range_of(song.singer, self.provenance.ranges)
        return preview.part_of(song, found, singer, options or ConvertOptions())

    def represent(self, clip: Clip) -> Clip:
        """The clip as the model could at best say it, without the model.

        Codes: through the model's rate, level and codes. With a synthesiser there is no such limit but its rate.
        """
        gain_db = level.gain_of(clip, self.provenance.level_dbfs)
        if not kinds.samples_codes(self._model):
            own = resample.resample(clip.samples, clip.sample_rate, self.sample_rate)
            return Clip(_at_rate_of(clip, own, self.sample_rate, 0.0), clip.sample_rate)
        n_bands = self._model.config.decoder.bands
        own = resample.resample(level.apply_gain(clip.samples, gain_db), clip.sample_rate, self.sample_rate)
        padded = np.pad(own, (0, -len(own) % n_bands))
        samples = bands.decode(bands.encode(torch.from_numpy(padded), n_bands), n_bands).numpy()[: len(own)]
        return Clip(_at_rate_of(clip, samples, self.sample_rate, -gain_db), clip.sample_rate)

    def transposition(self, clip: Clip, singer: str | Mapping[str, float], options: ConvertOptions) -> float:
        """The semitones by which a clip is moved: as asked for, or chosen for the singer."""
        return self.transpositions(clip, [singer], options)[0]

    def transpositions(
        self, clip: Clip, singers: Sequence[str | Mapping[str, float]], options: ConvertOptions
    ) -> list[float]:
        """The same for several singers; the clip's pitch is tracked once."""
        track, ranges = self._tracker.track(clip), self.provenance.ranges
        return [
            analysis.transpose_semitones(
                track, analysis.range_of(singer, ranges) if self.is_pitch_conditioned else None, options
            )
            for singer in singers
        ]

    def together(
        self, paths: Sequence[Path], singers: Sequence[str | Mapping[str, float]], options: ConvertOptions
    ) -> list[Alike]:
        """How far the parts of one song are moved, and how loud it is, all alike, for each of several singers.

        Each part is analysed once. A part that cannot be read has no say. The voice is conditioned on the pitch.
        """
        parts = []
        for path in dict.fromkeys(paths):
            with contextlib.suppress(AudioFileError):
                recording = Recording(functools.partial(files.read_mono_blocks, path), files.probe(path).sample_rate)
                parts.append(
                    analysis.analyse(
                        recording,
                        self._tracker,
                        self.provenance.level_dbfs,
                        repairs_octaves=options.repair_octaves,
                    )
                )
        ranges = [analysis.range_of(singer, self.provenance.ranges) for singer in singers]
        return analysis.alike(parts, ranges, options, self.provenance.level_dbfs)

    def vector(self, singer: str | Mapping[str, float]) -> Tensor:
        """The embedding `[E]` of a singer, or of a mix of singers.

        Raises:
            UserError: an unknown singer, or a share that is not positive.
        """
        return self._model.singers.vector(singer)

    def _session(self, asked: str) -> Session:
        """What songs are sung with on a backend, see `backend_name`: made once, since that may take half a second."""
        generator.check_name(asked)
        model, provenance = self._model, self.provenance
        if not kinds.samples_codes(model):
            if asked != generator.AUTO:
                raise UserError(
                    f"this voice samples no codes, so there is nothing for backend {asked} to compute; leave --backend "
                    "out, or take a voice of recipe paper, melody or small"
                )
            return Session(model, provenance, self._tracker)
        name = generator.usual_backend(model.decoder) if asked == generator.AUTO else asked
        n_layers, n_peaks = sum(1 for _ in model.decoder.gated_layers()), len(provenance.layer_peaks)
        if name == "int8" and n_peaks != n_layers:
            raise ModelFileError(
                f"this voice's file tells the largest input of {n_peaks} layers, and int8 needs that of all "
                f"{n_layers}; leave --backend out, or take float32 or bfloat16"
            )
        if self._made is None or self._made.backend_name != name:
            backend = generator.backend_for(model.decoder, name, provenance.layer_peaks)
            encode = latents.encode_for(model.encoder, name)
            self._made = Session(model, provenance, self._tracker, name, encode, backend)
        return self._made


def _notes(sung: PitchRange | None) -> str:
    return f"{pitch.note_name(sung.low_hz)} to {pitch.note_name(sung.high_hz)}" if sung else "unknown"


def _array(values: Tensor) -> npt.NDArray[np.float32]:
    return values.detach().float().cpu().numpy()


def _checked(samples: npt.NDArray[np.floating]) -> Samples:
    """The same as float32 `[T]` or `[T, channels]`.

    Raises:
        ValueError: they are no sound; see `Voice.convert`.
    """
    given = np.asarray(samples)
    if not np.issubdtype(given.dtype, np.floating):
        raise ValueError(f"samples are {given.dtype}; expected floats in [-1, 1], so divide 16-bit ones by 32768")
    found = given.astype(np.float32)
    if found.ndim not in (1, 2) or not found.size or not np.isfinite(found).all():
        raise ValueError(f"samples must be finite and [T] or [T, channels], not {list(found.shape)}")
    if found.ndim == 2 and found.shape[1] > decoders.MAX_CHANNELS:
        raise ValueError(f"samples are {list(found.shape)}; expected [T, channels], so transpose them")
    return found


def _check_arguments(options: object, progress: object, melody: object) -> None:
    """Refuse slips of a caller's program, before they become riddles.

    Raises:
        TypeError: one of them is something else.
    """
    arguments.of_type(options, ConvertOptions, "options", "ConvertOptions(seed=1, ...)")
    arguments.function(progress, "progress")
    analysis.check_melody(melody)


def _mono(samples: Samples, sample_rate: int) -> Samples:
    """`[T, channels]` -> `[T]`, see `mixdown`.

    Raises:
        ValueError: they are in the scale of integers.
    """
    down = mixdown.of(samples, sample_rate)
    if down.scale != 1.0:
        peak = float(np.abs(samples).max())
        raise ValueError(f"samples go up to {peak:.6g}; expected floats in [-1, 1], so divide 16-bit ones by 32768")
    return down.mono(samples)


def _at_rate_of(clip: Clip, samples: Samples, rate: int, gain_db: float) -> Samples:
    """Samples at the model's rate, brought to the rate and the length of a source."""
    whole = level.apply_gain(resample.resample(samples, rate, clip.sample_rate), gain_db)
    return frames.crop(np.pad(whole, (0, max(0, clip.n_samples - len(whole)))), clip.n_samples)


def load(path: str | Path | None = None, device: str = "cpu") -> Voice:
    """Load a voice from a model file, or from the folder of a training run; without a path, the one that is shipped.

    Of a run, the model with the best conversions is taken if they were scored, else the last one. A path such as
    `hf://user/name@commit` names a voice on a hub, see `hub`.

    Raises:
        ModelFileError: no model there, or it is damaged or foreign.
        UserError: it is a WaveNet by itself, which has no voices to convert to.
    """
    if path is None:
        with resources.as_file(run_files.shipped_voice()) as shipped:
            return _voice(shipped, device)
    if isinstance(path, str | Path) and hub.is_reference(path):
        return _voice(hub.fetch(path), device)
    return _voice(run_files.model_file(arguments.path(path)), device)


def _voice(path: Path, device: str) -> Voice:
    model, provenance = checkpoint.read_model(path, device)
    if kinds.is_solo(model):
        config = model.config
        like = " --like SONG" if config.has_local_conditioning else ""
        what = "sings a song again" if config.n_mels else "sings"
        raise UserError(
            f"{path}: holds a WaveNet by itself; it {what}, but takes nothing of a song over into another voice. To "
            f"hear it: moksori wavenet generate {path}{like} -o OUT.flac; for a voice to convert to, use moksori train"
        )
    return Voice(model, provenance)
