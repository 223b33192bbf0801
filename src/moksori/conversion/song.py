"""One song, from its recording to its sound in another voice.

    resample -> level -> codes    -> encoder -> z -> generator   -> codes -> level -> resample
                  '----> features -> encoder -> z -> synthesiser -------------^

It is read twice, and never in memory as a whole: once to be analysed, which tells the gain, where to cut and the
melody, and once to be sung, a stretch at a time. What comes out has the length of what went in, to the sample.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from moksori import checkpoint
from moksori.audio import breaths, frames, level, mark
from moksori.audio.clip import Samples
from moksori.audio.level import Measurement
from moksori.audio.pitch import PitchTrack, Tracker
from moksori.audio.resample import StreamResampler
from moksori.checkpoint import Provenance
from moksori.conversion import analysis
from moksori.conversion.analysis import GivenMelody, Recording
from moksori.conversion.options import ConvertOptions, Report
from moksori.generation.generator import Backend
from moksori.generation.songs import base as songs
from moksori.generation.songs.base import Intermediates, Part, Request
from moksori.generation.songs.chunks import Codes
from moksori.generation.songs.latents import Encode
from moksori.models import kinds
from moksori.models.kinds import Converter
from moksori.progress import OnProgress, Progress

CREDIT = "A singing voice conversion by Moksori, sung by the model's voice"
"""How the comment of every result begins."""


def credit(singer: str | Mapping[str, float], provenance: Provenance, fingerprint: str) -> str:
    """What the file of a result says of itself, see `Song.credit`."""
    shares = {singer: 1.0} if isinstance(singer, str) else singer
    who = "+".join(name if len(shares) == 1 else f"{name}:{share:g}" for name, share in shares.items())
    said = "".join(f"; {checkpoint.measured_from(*one)}" for one in measured(singer, provenance).items())
    return f"{CREDIT} {who}{said}; weights {fingerprint[:16]}"


def measured(singer: str | Mapping[str, float], provenance: Provenance) -> dict[str, float]:
    """Who of a voice is known by takes alone, and by how many seconds of them."""
    found = {name: provenance.measured_seconds(name) for name in ([singer] if isinstance(singer, str) else singer)}
    return {name: seconds for name, seconds in found.items() if seconds}


_FADE_SECONDS = 0.02  # at the edges of digital silence


@dataclass(frozen=True)
class Session:
    """Inference session: a model with all that songs are sung with."""

    model: Converter
    provenance: Provenance
    tracker: Tracker
    # Of a model that samples codes:
    backend_name: str = ""
    encode: Encode | None = None  # listens
    backend: Backend | None = None  # computes the codes


class Song:
    """A recording that was analysed, and is ready to be sung; see `generation.songs.base.Scheduled`.

    Args:
        session: what to sing it with.
        recording: is read here for the first time, and again while it is sung.
        singer: a name, or a mix of singers.
        options: how to convert.
        progress: called with how far it is.
        melody: is sung in the place of the one that is tracked, transposed like that; or notes that it is brought onto.
        gain_db: of the result over the recording, in place of what the options say of loudness.

    Raises:
        AudioFileError: the recording cannot be read.
        UserError: an unknown singer, a share that is not positive, a transposition or a melody that the voice cannot
            sing, or a melody that is longer than the recording.
    """

    def __init__(
        self,
        session: Session,
        recording: Recording,
        singer: str | Mapping[str, float],
        options: ConvertOptions,
        progress: OnProgress | None = None,
        melody: GivenMelody | None = None,
        gain_db: float | None = None,
    ) -> None:
        model, provenance = session.model, session.provenance
        vector = model.singers.vector(singer)  # refuses before any work, and before `analysis` relies on the shares
        config, is_conditioned = model.config, analysis.is_pitch_conditioned(model)
        if not is_conditioned:
            analysis.refuse_melody(melody)
            analysis.refuse_repair(options)
        tracker = session.tracker if is_conditioned or options.keep_breaths else None
        levels = analysis.melody_config(model) if is_conditioned and kinds.samples_codes(model) else None
        self._analysis = analysed = analysis.analyse(
            _attended(recording, progress),
            tracker,
            provenance.level_dbfs,
            melody,
            levels,
            always_tracks=config.has_detail,
            repairs_octaves=options.repair_octaves,
        )
        self._options, self._model_rate = options, config.sample_rate
        is_normalised = options.loudness == "normalise" and gain_db is None
        self._gain_db = 0.0 if is_normalised else (gain_db or 0.0) - analysed.gain_db  # of what is sung
        self._singer, self._model, self._provenance = singer, model, provenance
        self._has_headroom = recording.has_headroom and analysed.measured.peak_dbfs > 0
        if analysed.is_high_passed:
            recording = analysis.high_passed(recording)
        self._source = functools.partial(_at_model_rate, recording, analysed.gain_db, self._model_rate)
        self.report = Report(analysed.measured.n_samples, recording.sample_rate, analysed.gain_db)

        self.report.remarks += analysis.remarks(analysed, self._model_rate)
        self.report.measured = measured(singer, provenance)

        conditioning = None
        if is_conditioned:
            singer_range = analysis.range_of(singer, provenance.ranges)
            moved = analysis.melody(analysed, singer_range, options, analysis.melody_config(model))
            self.report.transpose_semitones, self.report.outside = moved.transpose_semitones, moved.outside
            self.report.has_pitch = analysed.track is not None and bool(analysed.track.is_voiced.any())
            conditioning = moved.melody
        else:
            analysis.refuse_transposition(options)
        if not config.has_detail:
            analysis.refuse_detail(options)
        self._sung = songs.open_song(
            Request(
                model,
                vector,
                options.seed,
                self._source,
                analysed.measured,
                conditioning,
                options.detail,
                options.chunks,
                session.encode,
                progress,
            )
        )
        self.report.seams = self._sung.seams

    @property
    def credit(self) -> str:
        """What the file of the result says of itself: that it is a conversion, by whom, and by which weights."""
        return credit(self._singer, self._provenance, checkpoint.fingerprint(self._model.state_dict()))

    @property
    def source_track(self) -> PitchTrack | None:
        """The tracked pitch of the source; None where it is not needed."""
        return self._analysis.source_track

    @property
    def n_parts(self) -> int:
        """How many parts are sung code by code; none where nothing is."""
        return self._sung.n_parts

    def parts(self) -> Iterator[Part]:
        """Its parts in order, each made when it is asked for."""
        return self._sung.parts()

    def progressed(self, n_samples: int) -> None:
        """So many more samples of its parts are sung."""
        self._sung.progressed(n_samples)

    def intermediates(self) -> Intermediates:
        """What is inside, in place of singing; see `generation.songs.base.Song.intermediates`."""
        return self._sung.intermediates()

    def sound(self, codes: Iterator[Codes]) -> Iterator[Samples]:
        """The song in another voice, at the rate of the recording and of its length to the sample.

        Args:
            codes: of its parts, in order.
        """
        options, track, sung = self._options, self._analysis.track, self._sung.sound(codes)
        if options.keep_breaths and track is not None:
            shares = breaths.shares(track.f0_hz, track.hop_seconds)
            sung = breaths.kept(sung, self._source(), shares, track.hop_seconds, self._model_rate)
        if options.mark:
            sung = mark.marked(sung, self._model_rate, options.mark)
        return self._at_source_rate(sung)

    def _at_source_rate(self, sung: Iterator[Samples]) -> Iterator[Samples]:
        """As many samples as the source has, at its rate."""
        measured = self._analysis.measured
        out_of_model = StreamResampler(self._model_rate, measured.sample_rate)
        done = 0
        for block in itertools.chain(map(out_of_model.push, sung), map(StreamResampler.flush, [out_of_model])):
            ready = self._limited(level.apply_gain(block, self._gain_db)[: measured.n_samples - done])
            yield _silenced(ready, done, measured)
            done += len(ready)

    def _limited(self, samples: Samples) -> Samples:
        """Codes know no more than full scale; a synthesiser does, and so do recordings of floats."""
        if self._has_headroom or not self._sung.needs_limit:
            return samples
        if self._analysis.measured.peak_dbfs > 0:
            self.report.n_clipped += int(np.count_nonzero(np.abs(samples) > 1.0))
        return level.soft_limit(samples)


def _silenced(samples: Samples, start: int, measured: Measurement) -> Samples:
    """Where the recording is digital silence, so is what becomes of it; at the edges it fades within the silence.

    Args:
        samples: the result from sample `start` on.
        start: where they begin.
        measured: of the recording.
    """
    end, fade = start + len(samples), frames.seconds_to_samples(_FADE_SECONDS, measured.sample_rate)
    for first, last in measured.silences:
        if first < end and last > start:
            inside = np.arange(max(first, start), min(last, end))
            # At the beginning and the end of a song there is nothing to fade to.
            before = np.inf if first == 0 else inside - first
            behind = np.inf if last == measured.n_samples else last - 1 - inside
            share = np.clip(1.0 - np.minimum(before, behind) / fade, 0.0, 1.0)
            samples = samples.copy() if samples.base is not None or not samples.flags.writeable else samples
            samples[inside - start] *= share.astype(np.float32)
    return samples


def _attended(recording: Recording, progress: OnProgress | None) -> Recording:
    """The same recording; nothing is done yet while it is read, but whoever watches can end it."""
    if progress is None:
        return recording

    def read() -> Iterator[Samples]:
        for block in recording.read():
            progress(Progress(0.0))
            yield block

    return Recording(read, recording.sample_rate)


def _at_model_rate(recording: Recording, gain_db: float, model_rate: int) -> Iterator[Samples]:
    """A recording from its beginning, at the model's rate and level."""
    into_model = StreamResampler(recording.sample_rate, model_rate)
    for block in recording.read():
        yield into_model.push(level.apply_gain(block, gain_db))
    yield into_model.flush()
