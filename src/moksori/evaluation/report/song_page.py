"""One song and what became of it, as a page to listen to: no judge, no figure but what the conversion itself tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from moksori import atomic
from moksori.audio import files, level
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTracker
from moksori.conversion import Report
from moksori.errors import AudioFileError
from moksori.evaluation.report import figures, pages
from moksori.language import ENGLISH, Words

_LONGEST_SECONDS = 90.0  # of a song that a page shows and plays
_SHOWN = 12  # places outside a range


@dataclass(frozen=True)
class Sung:
    """A song in another voice."""

    source: Path
    result: Path
    voice: str  # how the voice is called
    report: Report


@dataclass(frozen=True)
class _Section:
    """What a page shows of one conversion."""

    sung: Sung
    source: pages.Player
    result: pages.Player
    melody: Markup
    spectra: str
    places: list[str]  # where the song leaves the singer's range
    n_more: int


def write(path: Path, sung: Sequence[Sung], title: str, say: Words = ENGLISH) -> None:
    """Write a page of conversions, each beside its source: one file that needs no other, in the reader's language.

    Raises:
        AudioFileError: a source or a result cannot be read, or the page cannot be written.
    """
    tracker = PitchTracker()
    template = pages.environment(say).get_template("song.html")
    content = template.render(title=title, sections=[_section(one, tracker, say) for one in sung])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, content.encode("utf-8", "replace"))  # a file name may hold bytes that are no text
    except OSError as error:
        raise AudioFileError(f"{path}: cannot be written ({error.strerror})") from error


def _section(one: Sung, tracker: PitchTracker, say: Words) -> _Section:
    clips = [_beginning(path) for path in (one.source, one.result)]
    tracks = [tracker.track(clip) for clip in clips]
    semitones = one.report.transpose_semitones
    outside = one.report.outside
    return _Section(
        one,
        pages.player_of(clips[0], say("the song")),
        pages.player_of(clips[1], one.voice),
        Markup(figures.pitch_overlay(tracks[0], tracks[1], semitones, say)),
        figures.spectrogram_pair(*clips),
        [
            say(
                "{note} from {start} to {stop} s",
                note=part.note,
                start=f"{part.start_seconds:.1f}",
                stop=f"{part.stop_seconds:.1f}",
            )
            for part in outside[:_SHOWN]
        ],
        max(0, len(outside) - _SHOWN),
    )


def _beginning(path: Path) -> Clip:
    """The first minute and a half of a file, mono, no louder than full scale."""
    n_samples = round(_LONGEST_SECONDS * files.probe(path).sample_rate)
    clip = files.read(path)
    samples = clip.samples[:n_samples]
    over_db = max(0.0, level.peak_dbfs(samples)) if len(samples) else 0.0
    return Clip(level.apply_gain(samples, -over_db), clip.sample_rate)
