"""Tasks of the worker: each is a call of the library, and answers with plain JSON.

Paths come from the server, which made them. A progress callback cancels a task by raising.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moksori import checkpoint, conversion, language, run_files
from moksori.audio import f0_file, files, level, notes, pitch, transposition
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchRange, PitchTracker
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, OnProgress, Progress, Report, Voice, analysis
from moksori.conversion.analysis import Recording
from moksori.errors import UserError
from moksori.generation import generator
from moksori.models import kinds
from moksori.progress import part
from moksori.studio import schemas
from moksori.studio.store import TRACKED

Answer = dict[str, Any]

PREVIEW_SECONDS = 10.0
_N_PARTS = 2400  # of an outline: finer than a screen
_KEPT_VOICES = 3
_LISTEN = ".flac"
# What browsers play, by libsndfile's names of container and coding; everything else gets a copy.
_PLAYABLE = {
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("MP3", "MPEG_LAYER_III"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
}
_HIGHEST_RATE = 48_000  # Hz that every browser plays

_voices: OrderedDict[tuple[str, int], Voice] = OrderedDict()  # the worker's: loaded ones, the last used at the end


def load(path: str | None) -> Voice:
    """A voice, loaded once; None is the shipped one."""
    file = None if path is None else run_files.model_file(path)
    key = ("", 0) if file is None else (str(file), file.stat().st_mtime_ns if file.is_file() else 0)
    if key not in _voices:
        _voices[key] = conversion.load(file)
    _voices.move_to_end(key)
    while len(_voices) > _KEPT_VOICES:
        _voices.popitem(last=False)
    return _voices[key]


def analyse(source: str, folder: str, progress: OnProgress) -> Answer:
    """Analyse a recording: its format, outline, melody and loudest stretch; a copy where no browser plays it.

    Writes `tracked.f0.csv`, and perhaps `listen.flac`, in the folder.
    """
    info = files.probe(Path(source))
    outline = level.PeakOutline(info.n_samples, _N_PARTS)
    is_first = iter([True])  # a recording with an offset is read twice

    def read() -> Iterator[Samples]:
        n_read, is_drawn = 0, next(is_first, False)
        for block in files.read_mono_blocks(Path(source)):
            if is_drawn:
                outline.push(block)
            yield block
            n_read += len(block)
            progress(Progress(n_read, info.n_samples))

    analysed = analysis.analyse(Recording(read, info.sample_rate), PitchTracker(), Provenance().level_dbfs)
    assert analysed.track is not None
    f0_file.write(Path(folder) / TRACKED, analysed.track)
    measured = analysed.measured
    n_frames = round(PREVIEW_SECONDS * measured.sample_rate / measured.hop_samples)
    start = level.loudest_stretch(measured.frame_dbfs, n_frames) * measured.hop_samples / measured.sample_rate
    is_playable = (info.format, info.subtype) in _PLAYABLE and info.sample_rate <= _HIGHEST_RATE
    if not is_playable:
        _listening_copy(Path(source), Path(folder) / f"listen{_LISTEN}", info)
    return {
        "seconds": info.n_samples / info.sample_rate,
        "sample_rate": info.sample_rate,
        "n_channels": info.n_channels,
        "format": info.format,
        "is_playable": is_playable,
        "loudest_start_seconds": round(start, 3),
        "outline": [round(float(peak), 3) for peak in outline.result()],
        "is_silent": not bool(analysed.track.is_voiced.any()),
    }


def _listening_copy(source: Path, copy: Path, info: files.AudioInfo) -> None:
    """The same as mono FLAC of a rate that browsers play."""
    from moksori.audio.resample import StreamResampler

    rate = min(info.sample_rate, _HIGHEST_RATE)
    resampler = StreamResampler(info.sample_rate, rate)
    with files.Writer(copy, rate, 1) as writer:
        for block in files.read_mono_blocks(source):
            writer.write(resampler.push(block)[:, None])
        writer.write(resampler.flush()[:, None])


def take_melody(given: str, kept: str, seconds: float) -> Answer:
    """Check a melody that was edited, and keep it at the tracker's frames."""
    track = f0_file.read(Path(given))
    analysis.check_length(track, seconds)
    f0_file.write(Path(kept), track)
    return {"n_frames": len(track.f0_hz)}


def notes_of(melody: str) -> Answer:
    """The notes of a melody, as frames."""
    return {"notes": notes.notes(f0_file.read(Path(melody)))}


def repair(melody: str, kept: str) -> Answer:
    """Bring notes back that the tracker took an octave off."""
    repaired, n_moved = notes.octaves_repaired(f0_file.read(Path(melody)))
    if n_moved:
        f0_file.write(Path(kept), repaired)
    return {"n_moved": n_moved}


def plan(melody: str, voice: str | None, shares: dict[str, float], transpose: str) -> Answer:
    """Where a singer would sing a song: how far it is moved, the singer's range, and which notes lie outside."""
    loaded, track = load(voice), f0_file.read(Path(melody))
    loaded.vector(shares)
    singer = analysis.range_of(shares, loaded.provenance.ranges)
    if not loaded.is_pitch_conditioned:
        return {"is_pitch_conditioned": False, "semitones": 0.0, "range": None, "outside": []}
    options = ConvertOptions(transpose=schemas.transposition(transpose))
    semitones = analysis.transpose_semitones(track, singer, options)
    moved = transposition.moved(track.f0_hz, semitones)
    outside = [] if singer is None else transposition.outside(moved, track.hop_seconds, singer)
    return {
        "is_pitch_conditioned": True,
        "semitones": semitones,
        "range": None if singer is None else _range(singer),
        "outside": [[part.start_seconds, part.stop_seconds, part.note] for part in outside],
    }


def preview(
    source: str,
    folder: str,
    start_seconds: float,
    voice: str | None,
    shares: dict[str, float],
    semitones: float | None,
    melody: str | None,
    progress: OnProgress,
) -> Answer:
    """Convert ten seconds of a song, transposed as the whole of it would be; writes `preview.*.flac`."""
    loaded = load(voice)
    clip = files.read_stretch(Path(source), start_seconds, PREVIEW_SECONDS)
    given = None if melody is None else pitch.excerpt(f0_file.read(Path(melody)), start_seconds, clip.seconds)
    options = ConvertOptions(transpose="auto" if semitones is None else semitones)
    with _own_threads(loaded):
        sung = loaded.convert(
            clip.samples, clip.sample_rate, singer=shares, options=options, progress=progress, melody=given
        )
    files.write(Path(folder) / "preview.source.flac", clip)
    files.write(Path(folder) / "preview.result.flac", Clip(sung, clip.sample_rate))
    return {"start_seconds": start_seconds, "seconds": clip.seconds}


def convert(
    source: str,
    destination: str,
    voice: str | None,
    request: Answer,
    melody: str | None,
    progress: OnProgress,
) -> Answer:
    """Convert a whole song, then analyse the result."""
    asked, loaded = schemas.parse(schemas.ConversionRequest, request), load(voice)
    transpose: float | str = schemas.transposition(asked.transpose)
    if not loaded.is_pitch_conditioned:
        transpose = "auto"
    options = ConvertOptions(transpose=transpose, keep_breaths=asked.keep_breaths, loudness=asked.loudness)
    given = None if melody is None else f0_file.read(Path(melody))
    with _own_threads(loaded):
        report = loaded.convert_file(
            Path(source),
            Path(destination),
            singer=asked.shares,
            options=options,
            progress=part(progress, 0.0, 0.9),
            melody=given,
        )
    result = analyse(destination, str(Path(destination).parent), part(progress, 0.9, 1.0))
    return {"report": _report(report), "result": result}


def _report(report: Report) -> Answer:
    return {
        "transpose_semitones": report.transpose_semitones,
        "outside": [[part.start_seconds, part.stop_seconds, part.note] for part in report.outside],
        "n_clipped": report.n_clipped,
        "note": report.note,
    }


class _own_threads:
    """As many threads as a voice is fastest with: one, where the steps of a sample are too small to share."""

    def __init__(self, voice: Voice) -> None:
        self._is_stepwise = voice.backend_name() not in (*generator.ENGINE, "")

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._is_stepwise:
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)


def card(voice: str | None) -> Answer:
    """What a voice's file says: singers, ranges, origin, figures and terms.

    Raises:
        ModelFileError: no voice, or damaged.
    """
    if voice is not None and not kinds.is_converter(checkpoint.read_model(run_files.model_file(voice))[0]):
        raise UserError("the file holds a WaveNet by itself, which takes nothing of a song over into another voice")
    loaded = load(voice)
    origin = loaded.provenance
    return {
        "singers": list(loaded.singers),
        "ranges": {name: _range(bounds) for name, bounds in origin.ranges.items()},
        "is_pitch_conditioned": loaded.is_pitch_conditioned,
        "takes_up_singers": kinds.is_source_filter(loaded.model),
        "sample_rate": loaded.sample_rate,
        "parameters": sum(tensor.numel() for tensor in loaded.model.parameters()),
        "recipe": origin.recipe,
        "software": origin.software,
        "steps": origin.steps,
        "training_seconds": origin.training_seconds,
        "terms": origin.licence_note,
        "data": origin.data_fingerprint[:16],
        "figures": origin.figures,
        "fingerprint": loaded.fingerprint[:16],
    }


def _range(bounds: PitchRange) -> Answer:
    return {
        "low_hz": bounds.low_hz,
        "median_hz": bounds.median_hz,
        "high_hz": bounds.high_hz,
        "notes": [pitch.note_name(bounds.low_hz), pitch.note_name(bounds.high_hz)],
    }


def prepare(takes: str, data: str, progress: OnProgress) -> Answer:
    """Prepare recordings for training, and ask the data doctor about them."""
    from moksori.data import doctor
    from moksori.data import prepare as preparing

    corpus = preparing.prepare(Path(takes), Path(data), None, progress)
    singers = [{**dataclasses.asdict(one), "range_notes": one.range_notes} for one in doctor.examine(corpus)]
    skipped = [{"source": one.source, "reason": one.reason} for one in corpus.skipped]
    said = {
        code: {
            "advice": doctor.general_advice(corpus, say),
            "singers": {one.singer: one.advice for one in doctor.examine(corpus, say)},
        }
        for code, say in ((code, language.Words(code)) for code in language.LANGUAGES)
    }
    return {"singers": singers, "advice": doctor.general_advice(corpus), "skipped": skipped, "said": said}


def change_singers(voice: str | None, destination: str, renamed: dict[str, str], removed: list[str]) -> Answer:
    """Write a copy of a voice with other names, or without some of its singers."""
    loaded = load(voice)
    model, provenance = checkpoint.with_singers(loaded.model, loaded.provenance, renamed, removed)
    checkpoint.write_model(Path(destination), model, provenance)
    return {"singers": list(model.singers.names)}


def enrol(
    voice: str | None, takes: str, data: str, destination: str, singer: str, licence: str, progress: OnProgress
) -> Answer:
    """Have a copy of a voice take up the singer of some takes: they are prepared, then a vector is fitted to them."""
    from moksori.data import doctor
    from moksori.data import prepare as preparing
    from moksori.data.prepare_config import PrepareConfig
    from moksori.training import enrol as enrolling
    from moksori.training import recipe as recipes

    reached = 0.0

    def rising(now: Progress) -> None:
        nonlocal reached  # features first, then steps: each begins at 0 again
        reached = max(reached, now.share)
        progress(Progress(reached))

    loaded = load(voice)
    config = PrepareConfig(singer=singer)
    corpus = preparing.prepare(Path(takes), Path(data), config, part(rising, 0.0, 0.3))
    grown, provenance = enrolling.enrol(
        loaded.model,
        loaded.provenance,
        corpus,
        recipes.load(enrolling.RECIPE),
        enrolling.EnrolConfig(),
        licence,
        part(rising, 0.3, 1.0),
    )
    checkpoint.write_model(Path(destination), grown, provenance)
    (health,) = doctor.examine(corpus)
    return {"singer": singer, "sung_minutes": round(health.sung_minutes, 2)}


def shares(parameter: float, n: int) -> Answer:
    """Draws of mixup's law, as training makes them: how many fall into each of forty equal parts of 0 to 1."""
    from moksori.training.phases import mixup

    try:
        config = mixup.MixupConfig(beta_parameter=parameter)
    except ValueError as error:
        raise UserError(str(error)) from error
    drawn = mixup.shares(config, min(n, 100_000), np.random.default_rng(0))
    counts, _ = np.histogram(drawn, bins=40, range=(0.0, 1.0))
    near = float(np.mean((drawn < 0.1) | (drawn > 0.9)))
    return {"counts": counts.tolist(), "n": len(drawn), "near_an_end": near, "drawn": drawn[:12].round(3).tolist()}


def leaks(voice: str | None, data: str, progress: OnProgress) -> Answer:
    """What a probe reads of singer and pitch from some prepared recordings, and from what a voice's encoder leaves."""
    from moksori.data.corpus import Corpus
    from moksori.evaluation import leaks as reading

    corpus = Corpus.load(Path(data))
    found = reading.read(load(voice).model, corpus, on_progress=progress)
    return {**dataclasses.asdict(found), "names": list(corpus.singers)}


TASKS: dict[str, Callable[..., Answer]] = {
    "analyse": analyse,
    "take_melody": take_melody,
    "notes": notes_of,
    "repair": repair,
    "plan": plan,
    "preview": preview,
    "convert": convert,
    "card": card,
    "change_singers": change_singers,
    "enrol": enrol,
    "prepare": prepare,
    "shares": shares,
    "leaks": leaks,
}
WITH_PROGRESS = frozenset({"analyse", "preview", "convert", "enrol", "prepare", "leaks"})
