"""The analysis pass over a recording before it is sung: its level, its pitch, and the melody as conditioning.

                .--> level --> gain, and where to cut
    blocks -----|
                '--> pitch --> moved to the singer's range

The melody is both: pitch and level, frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from moksori import arguments
from moksori.audio import features, frames, highpass, level, octaves, pitch, score, transposition
from moksori.audio.clip import Samples
from moksori.audio.features import FeatureConfig
from moksori.audio.highpass import StreamHighPass
from moksori.audio.level import Levels, Measurement
from moksori.audio.pitch import PitchRange, PitchTrack, Tracker
from moksori.audio.resample import StreamResampler
from moksori.audio.score import Score
from moksori.audio.traces import Traces, TraceSurvey
from moksori.audio.transposition import Outside
from moksori.conversion.options import TRANSPOSE, ConvertOptions
from moksori.errors import UserError
from moksori.generation.songs.base import Melody
from moksori.models.kinds import Converter

GivenMelody = PitchTrack | Score
"""A melody in the place of the tracked one, or notes that it is brought onto."""

_ELSEWHERE_SHARE = 0.5  # of what is sung, so far from the notes given that they are hardly of this song
_LONGER_SECONDS = 1.0  # by which a melody may outlast its recording: what editors put at the end


@dataclass(frozen=True)
class Recording:
    """A recording that can be read as often as is needed."""

    read: Callable[[], Iterator[Samples]]  # starts from its beginning: mono blocks, float32 [n]
    sample_rate: int  # Hz
    has_headroom: bool = True  # what becomes of it may go beyond full scale where it does


@dataclass(frozen=True)
class Analysis:
    """What is known of a recording before it is sung."""

    measured: Measurement
    gain_db: float  # brings it to the level of the training data
    track: PitchTrack | None  # of what is to be sung; None where nobody asked for its pitch
    source_track: PitchTrack | None  # of the recording itself: the same, unless another melody was given
    levels_dbfs: Levels | None = None  # before the gain, frame by frame as in training; None where nobody asked
    traces: Traces = field(default_factory=Traces)  # of steps before this one, which its level does not tell
    is_high_passed: bool = False  # something below every voice was in it, and has to be taken out
    corrections: tuple[str, ...] = ()  # of the pitch, in words


def analyse(
    recording: Recording,
    tracker: Tracker | None,
    level_dbfs: float,
    melody: GivenMelody | None = None,
    config: FeatureConfig | None = None,
    *,
    always_tracks: bool = False,
    repairs_octaves: bool = False,
) -> Analysis:
    """Read a recording once; again where an offset or a rumble has to be taken out first.

    Args:
        recording: of any length; it is never in memory as a whole.
        tracker: tells the pitch, if anybody asks for it.
        level_dbfs: of the singing in the training data.
        melody: takes the place of the pitch that would be tracked, or is what that is brought onto.
        config: of the levels of frames, where anybody asks for them.
        always_tracks: the recording's own pitch is wanted even if a melody is given.
        repairs_octaves: of the recording's own pitch; the recording is read once or twice more.

    Raises:
        UserError: the melody goes on when the recording is over, so it is of another one.
    """
    arguments = (tracker, level_dbfs, melody, config, always_tracks, repairs_octaves)
    analysis, is_low = _analysed(recording, *arguments)
    if is_low:
        again, _ = _analysed(high_passed(recording), *arguments)
        measured = replace(again.measured, silences=analysis.measured.silences)
        analysis = replace(again, measured=measured, traces=analysis.traces, is_high_passed=True)
    if _is_silent(analysis.measured):
        whole = replace(analysis.measured, silences=((0, analysis.measured.n_samples),))
        return replace(analysis, measured=whole)
    return analysis


def _is_silent(measured: Measurement) -> bool:
    """Whether nothing is to be heard anywhere in a recording."""
    return level.sung_level_dbfs(measured.frame_dbfs, level.ANY_LEVEL) <= level.FLOOR_DBFS


def high_passed(recording: Recording) -> Recording:
    """The same recording without what lies below every voice."""
    return replace(recording, read=lambda: highpass.passed(recording.read(), recording.sample_rate))


def _analysed(
    recording: Recording,
    tracker: Tracker | None,
    level_dbfs: float,
    melody: GivenMelody | None,
    config: FeatureConfig | None,
    always_tracks: bool,
    repairs_octaves: bool,
) -> tuple[Analysis, bool]:
    """The analysis, and whether something below every voice tells in it."""
    rate = recording.sample_rate
    meter, above = level.LevelMeter(rate), level.LevelMeter(rate)
    low_cut, survey = StreamHighPass(rate), TraceSurvey(rate)
    resampler = None if config is None else StreamResampler(rate, config.sample_rate)
    of_frames = None if config is None else level.LevelMeter(config.sample_rate, config.hop_samples)

    def metered() -> Iterator[Samples]:
        for block in recording.read():
            meter.push(block)
            survey.push(block)
            above.push(low_cut.push(block))
            if resampler is not None and of_frames is not None:
                of_frames.push(resampler.push(block))
            yield block
        above.push(low_cut.flush())
        if resampler is not None and of_frames is not None:
            of_frames.push(resampler.flush())

    own = None
    if tracker is not None and (always_tracks or not isinstance(melody, PitchTrack)):
        own = tracker.track_blocks(metered(), rate)
    else:
        for _ in metered():
            pass
    measured = meter.result()
    is_low = level.is_lower_than_a_voice(measured, above.result())
    if melody is not None:
        check_length(melody, measured.n_samples / rate)
    levels_dbfs = None if of_frames is None else of_frames.result().frame_dbfs
    corrections = list[str]()
    if own is not None and repairs_octaves:
        own, n_moved = octaves.repaired(own, recording.read, rate)
        if n_moved:
            corrections.append(f"{n_moved} stretches of the melody were heard an octave too low, and were brought up")
    track = melody if isinstance(melody, PitchTrack) else own
    if own is not None and isinstance(melody, Score):
        track, far = score.tuned(own, melody)
        if far > _ELSEWHERE_SHARE:
            corrections.append(
                f"{far:.0%} of what is sung lies further than 1.5 semitones from the notes given: are they of this "
                "song, and do they begin when it does?"
            )
    gain_db = level.gain_for_singing(measured, level_dbfs)
    return (
        Analysis(measured, gain_db, track, own, levels_dbfs, survey.result(), corrections=tuple(corrections)),
        is_low,
    )


def remarks(analysis: Analysis, model_rate: int) -> list[str]:
    """What is unusual about a recording, for whoever sent it; the model hears it at its own rate, in Hz."""
    found = list(analysis.traces.remarks(min(analysis.measured.sample_rate, model_rate) / 2))
    if analysis.is_high_passed:
        found.append("an offset or a rumble below every voice was taken out of the song")
    if _is_silent(analysis.measured):
        found.append("the song is silent, and so is the result")
    elif analysis.track is not None and not analysis.track.is_voiced.any():
        found.append("no singing was found in the song: nothing in it has a pitch")
    return [*found, *analysis.corrections]


def check_melody(given: object) -> None:
    """Refuse what is no melody.

    Raises:
        TypeError: so it is.
    """
    example = "a PitchTrack, as `audio.f0_file.read` gives, or a Score, as `audio.score.read` does"
    arguments.of_type(given, (PitchTrack, Score), "melody", example)


def check_length(melody: GivenMelody, seconds: float) -> None:
    """Refuse a melody that goes on when its recording is over: it is of another one.

    Raises:
        UserError: so it is.
    """
    until = (
        melody.seconds if isinstance(melody, Score) else float(melody.times_seconds[-1]) if len(melody.f0_hz) else 0.0
    )
    if until > seconds + _LONGER_SECONDS:
        raise UserError(
            f"the melody goes on to {until:.1f} s, but the recording ends at {seconds:.1f} s; is it of another song?"
        )


@dataclass(frozen=True)
class Moved:
    """The melody that a voice is conditioned on, and how far its pitch was moved for that."""

    melody: Melody
    transpose_semitones: float  # from the source's pitch to the one to be sung
    outside: list[Outside]  # where that leaves the singer's range


def melody(analysis: Analysis, singer: PitchRange | None, options: ConvertOptions, config: FeatureConfig) -> Moved:
    """The melody of a recording whose pitch was tracked, moved to the singer.

    Args:
        analysis: level and pitch.
        singer: where the singer sang in training, if that is known.
        options: say how far to move it.
        config: rate and hop of the melody, see `melody_config`.
    """
    assert analysis.track is not None
    measured = analysis.measured
    semitones = transpose_semitones(analysis.track, singer, options)
    n_samples = frames.rescaled_length(measured.n_samples, measured.sample_rate, config.sample_rate)
    n_frames, hop_seconds = frames.n_frames(n_samples, config.hop_samples), config.hop_samples / config.sample_rate
    f0_hz = transposition.moved(features.f0_of(analysis.track, n_frames, config), semitones)
    outside = [] if singer is None else transposition.outside(f0_hz, hop_seconds, singer)
    level_dbfs = None
    if analysis.levels_dbfs is not None:
        level_dbfs = np.full(n_frames, features.FLOOR_DBFS)
        found = analysis.levels_dbfs[:n_frames] + analysis.gain_db
        level_dbfs[: len(found)] = np.maximum(found, features.FLOOR_DBFS)
    source_f0_hz = features.f0_of(analysis.source_track or analysis.track, n_frames, config)
    return Moved(Melody(f0_hz, source_f0_hz, level_dbfs), semitones, outside)


@dataclass(frozen=True)
class Alike:
    """What is decided once for all parts of one song."""

    transpose_semitones: float
    gain_db: float  # that brings the song as a whole to the level of the training data


def alike(
    parts: Sequence[Analysis], singers: Sequence[PitchRange | None], options: ConvertOptions, level_dbfs: float
) -> list[Alike]:
    """How all parts of one song are moved and made louder, for each of several singers.

    Args:
        parts: analyses of the parts, whose pitch was tracked.
        singers: where each singer sang in training, if that is known.
        options: say how far to move the song.
        level_dbfs: of the singing in the training data.
    """
    if not parts:
        return [Alike(0.0, 0.0)] * len(singers)
    track = pitch.joined([part.track for part in parts if part.track is not None])
    frame_dbfs = np.concatenate([part.measured.frame_dbfs for part in parts])
    peak_dbfs = max(part.measured.gain_peak_dbfs for part in parts)
    whole = replace(parts[0].measured, frame_dbfs=frame_dbfs, voice_peak_dbfs=peak_dbfs)
    gain_db = level.gain_for_singing(whole, level_dbfs)
    return [Alike(transpose_semitones(track, singer, options), gain_db) for singer in singers]


def transpose_semitones(track: PitchTrack, singer: PitchRange | None, options: ConvertOptions) -> float:
    """How far a song is moved for a voice conditioned on the pitch: as asked for, or chosen for the singer."""
    if not isinstance(options.transpose, str):
        return float(options.transpose)
    if singer is None:
        return 0.0
    choose = transposition.whole_octaves if options.transpose == "auto" else transposition.nearest
    return choose(track, singer)


def refuse_melody(melody: GivenMelody | None) -> None:
    """Say that a voice without pitch conditioning cannot be given another melody.

    Raises:
        UserError: it was given one.
    """
    if melody is not None:
        raise UserError(
            "this voice is not conditioned on the pitch, and sings the song's own melody; it cannot be given another. "
            "Leave the melody out, or train with recipe swift"
        )


def refuse_repair(options: ConvertOptions) -> None:
    """Say that a voice without pitch conditioning has no tracker whose octaves could be repaired.

    Raises:
        UserError: it was asked to.
    """
    if options.repair_octaves:
        raise UserError(
            "this voice is not conditioned on the pitch, so no octave can be heard wrong; leave --repair-octaves out"
        )


def refuse_detail(options: ConvertOptions) -> None:
    """Say that a voice without a detail path takes nothing of the source's own sound along.

    Raises:
        UserError: it was asked to.
    """
    if options.detail is not None:
        raise UserError(
            "this voice has no detail path: it makes all of the sound itself. Leave --detail out, or train with the "
            "present recipe swift"
        )


def refuse_transposition(options: ConvertOptions) -> None:
    """Say that a voice without pitch conditioning sings the song's own.

    Raises:
        UserError: another one was asked for.
    """
    if options.transpose not in (0, *TRANSPOSE):
        raise UserError(
            "this voice is not conditioned on the pitch, and sings the song's own; it cannot transpose. Leave "
            "--transpose out, or train with recipe swift"
        )


def range_of(singer: str | Mapping[str, float], known: Mapping[str, PitchRange]) -> PitchRange | None:
    """Where a voice sang in training, or where one between singers would have; None if not all of theirs are known."""
    shares = {singer: 1.0} if isinstance(singer, str) else dict(singer)
    if not set(shares) <= set(known):
        return None
    total = sum(shares.values())
    return transposition.between([(known[name], share / total) for name, share in shares.items()])


def is_pitch_conditioned(model: Converter) -> bool:
    """Whether the melody comes from a pitch tracker, so that it can be transposed."""
    return model.config.melody_hop_samples > 0


def melody_config(model: Converter) -> FeatureConfig:
    """Rate and hop of the melody that a model is conditioned on."""
    return FeatureConfig(model.config.sample_rate, model.config.melody_hop_samples)
