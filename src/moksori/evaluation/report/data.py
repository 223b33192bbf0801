"""What an evaluation found: rows of figures, a confusion table for each judge, every clip with its scores.

A report is plain data. `gather` makes it, `pages` shows it, `compare` puts two side by side, and `save` and `load` keep
it as JSON, so that a figure read today can be compared with one of next year.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from moksori import atomic, documents, settings
from moksori.errors import DataError, UserError
from moksori.evaluation.measures.bootstrap import Figure

_FRAME = ("format", "version")  # of the file, beside the fields of a report
FORMAT, VERSION = "moksori-report", 1
FILE = "report.json"

CONVERSION = "conversion"  # into another singer: the row that a report is about
RECONSTRUCTION = "reconstruction"  # into the singer of the source
TRUTH = "ground truth"  # real recordings of the target: what the judges say of the real thing
PARALLEL = "conversion, same words"  # of recordings that the target made, too: the true conversion exists
PARALLEL_RECONSTRUCTION = "reconstruction, same words"  # of those recordings of the target
STRANGERS = "song by a stranger"  # into every singer; nobody of the data sings it
MOVED = "source moved in pitch only"  # by overlap-add, as far as its conversion: what the key alone costs
MOVED_STRANGERS = "song by a stranger, moved in pitch only"
FRAMES = "frames"  # each moment by the target's own nearest frames, no net: see `retrieval`
FRAMES_STRANGERS = "song by a stranger, frames"
COPY_SYNTHESIS = "copy-synthesis"  # the source through the model's representation of sound, without the model
COPY = "source unchanged"  # the source handed in as its own conversion
SWAPPED = "other recording of the target"  # a real recording of the target, of other words, handed in as conversion
CHANCE = "chance"
ROWS = (
    CONVERSION,
    RECONSTRUCTION,
    PARALLEL,
    PARALLEL_RECONSTRUCTION,
    STRANGERS,
    MOVED,
    MOVED_STRANGERS,
    FRAMES,
    FRAMES_STRANGERS,
    COPY_SYNTHESIS,
    TRUTH,
    COPY,
    SWAPPED,
    CHANCE,
)


@dataclass(frozen=True)
class Metric:
    """How a number is called and read."""

    label: str
    group: str  # "singer", "melody", "words", "sound" or "natural"
    unit: str = ""  # "%" stands for a share 0..1, shown times 100; else as it is: "cents", "dB", ""
    better: str = "higher"  # "higher", "lower", or "" where neither is
    meaning: str = ""  # one sentence for a musician


METRICS: dict[str, Metric] = {
    "identified": Metric("heard as the target", "singer", "%", "higher", "our own judge names the target singer"),
    "leak": Metric("heard as the source", "singer", "%", "lower", "our own judge still hears the source singer"),
    "identified_public": Metric(
        "heard as the target, public encoder", "singer", "%", "higher", "a speaker encoder made by others says so"
    ),
    "leak_public": Metric(
        "heard as the source, public encoder", "singer", "%", "lower", "a speaker encoder made by others says so"
    ),
    "raw_pitch_accuracy": Metric(
        "pitch right", "melody", "%", "higher", "voiced frames of the source within 50 cents of the tone asked for"
    ),
    "raw_chroma_accuracy": Metric("note name right", "melody", "%", "higher", "the same, whatever the octave"),
    "octave_error": Metric("octave wrong", "melody", "%", "lower", "right note name in a wrong octave"),
    "pitch_correlation": Metric(
        "melody curve correlation", "melody", "", "higher", "of log pitch, 1 is the same curve"
    ),
    "pitch_rmse_cents": Metric("pitch error", "melody", "cents", "lower", "root mean square, where both are voiced"),
    "voicing_f1": Metric("voiced where it should be", "melody", "%", "higher", "F1 score of voiced frames"),
    "vowel_accuracy": Metric("vowels right", "words", "%", "higher", "a recogniser finds the vowels of the text"),
    "character_error_rate": Metric(
        "letters wrong, by Whisper",
        "words",
        "%",
        "lower",
        "a public recogniser reads them otherwise than in the source",
    ),
    "content_kept": Metric(
        "content kept, by Whisper", "words", "%", "higher", "each moment is most like the same moment of the source"
    ),
    "truth_distance_db": Metric(
        "distance to the target's own recording", "words", "dB", "lower", "mel-cepstral, of the same words, aligned"
    ),
    "truth_floor_db": Metric(
        "the same of the source", "words", "dB", "", "distance of the unchanged source to the target's own recording"
    ),
    "source_frame_distance_db": Metric("distance to the source", "words", "dB", "", "mel-cepstral, frame by frame"),
    "cycle_frame_distance_db": Metric(
        "distance after there and back", "words", "dB", "lower", "converted back to the source singer, to the source"
    ),
    "distill_mos": Metric(
        "rated by DistillMOS, 1 to 5", "sound", "", "higher", "a net taught on speech guesses what listeners would say"
    ),
    "level_correlation": Metric("loudness curve correlation", "sound", "", "higher", "of the level in dB"),
    "clipped_fraction": Metric("clipped samples", "sound", "%", "lower", "samples at full scale"),
    "clicks_per_minute": Metric("clicks", "sound", "a minute", "lower", "sudden jumps that the source does not have"),
    "rest_noise_db": Metric("noise in rests", "sound", "dB", "lower", "level where the source is silent, re. singing"),
    "hoarse_per_minute": Metric(
        "hoarse patches", "natural", "a minute", "lower", "50 to 150 ms in which a note turns into loud hiss"
    ),
}
_BANDS = {"low": "below 1 kHz", "mid": "1 to 4 kHz", "high": "4 to 8 kHz"}
METRICS |= {
    f"{name}_{band}{ending}": Metric(f"{label}, {where}", "natural", unit, better, meaning)
    for name, ending, label, unit, better, meaning in (
        ("harmonic_error", "_db", "harmonic error", "dB", "lower", "of the singer's own harmonics, sung anew"),
        (
            "movement",
            "",
            "movement",
            "%",
            "",
            "of the harmonics from frame to frame; 100 % is the source's",
        ),
        (
            "tone_to_noise",
            "_db",
            "tone to noise",
            "dB",
            "",
            "beside the source's; below 0 there is more hiss",
        ),
    )
    for band, where in _BANDS.items()
}


@dataclass(frozen=True)
class Row:
    """The figures of one kind of clips, by metric; a metric that is not defined for the row is left out."""

    name: str  # one of ROWS
    n: int  # clips
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Item:
    """One clip that was judged."""

    name: str  # unique; the stem of its files
    row: str  # one of ROWS
    recording: str  # the source recording, by which the bootstrap draws; posix path
    source_singer: str
    target_singer: str
    transpose_semitones: float
    scores: dict[str, float]  # by metric; what is not defined for it is left out
    predicted: Annotated[dict[str, str], settings.FormerName("heard")]  # judge -> the singer that it names
    files: dict[str, str] = field(default_factory=dict)  # "source", "conversion" ... -> path below the report's folder
    texts: dict[str, str] = field(default_factory=dict)  # "source", "conversion" -> what Whisper reads in it
    f0_low_hz: float | None = None  # of the source recording, see `audio.pitch.range_of`; None where it has no pitch
    f0_high_hz: float | None = None

    def __post_init__(self) -> None:
        for path in self.files.values():
            for parts in (PurePosixPath(path), PureWindowsPath(path)):  # a report may come from another system
                if parts.anchor or ".." in parts.parts:
                    raise ValueError(f"{path} leaves the report's folder")


@dataclass(frozen=True)
class Judge:
    """A singer classifier, and its accuracy on real recordings that were held out."""

    name: str  # key of `Report.confusion` and `Item.predicted`
    description: str
    real_accuracy: Figure | None  # on held-out real recordings; None where there were none
    real_confusion: list[list[int]]  # singer x predicted, of the same recordings


@dataclass(frozen=True)
class SingerData:
    """What a model could learn of one singer."""

    name: str
    train_minutes: float
    n_test: int  # held-out recordings
    f0_low_hz: float | None
    f0_high_hz: float | None
    noise_dbfs: float | None = None  # of the pauses, where singing is at -23; None in reports of older versions
    clipped_fraction: float = 0.0  # of the samples of its recordings


@dataclass(frozen=True)
class Report:
    """All that an evaluation found."""

    title: str
    command: str  # repeats it
    created: str  # ISO date
    software: str
    singers: list[SingerData]
    judges: list[Judge]
    rows: list[Row]
    items: list[Item]
    confusion: dict[str, list[list[int]]]  # judge -> conversions, target x predicted, in the order of `singers`
    verdict: list[str]  # sentences for a musician, the most important first
    notes: list[str]  # how the figures were made, and what they cannot say
    model: dict[str, Any]  # what is known about the model; empty for conversions of others
    curves: dict[str, list[list[float]]]  # training curves, name -> [step, value]; empty where there is no journal
    tables: dict[str, list[list[str]]] = field(default_factory=dict)  # further tables: title -> rows, head first

    def row(self, name: str) -> Row | None:
        """The row of that name, if there is one."""
        return next((row for row in self.rows if row.name == name), None)


def save(report: Report, folder: Path) -> Path:
    """Write `report.json` into a folder, whole or not at all."""
    path = folder / FILE
    content = {"format": FORMAT, "version": VERSION} | dataclasses.asdict(report)
    atomic.write(path, (json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode())
    return path


def load(path: Path) -> Report:
    """Read a report from its file, or from its folder.

    Raises:
        DataError: it is not there, not a report, of another version, or damaged.
    """
    path = path / FILE if path.is_dir() else path
    try:
        content = documents.from_json(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such report; make one with `moksori evaluate MODEL DATA -o REPORT`") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a report: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise DataError(f"{path}: not a moksori report of version {VERSION}; run `moksori evaluate` again")
    try:
        return settings.build(Report, {key: content[key] for key in content if key not in _FRAME}, str(path))
    except UserError as error:
        raise DataError(f"{error}: a damaged report; run `moksori evaluate` again") from None
