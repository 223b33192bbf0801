"""What the verbs share in talking to a person: a progress bar, durations, tables."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from moksori import atomic, ownership
from moksori.errors import ModelFileError, UserError
from moksori.progress import OnProgress, Progress

if TYPE_CHECKING:
    from moksori.audio.transposition import Outside

_LEAST_COLUMNS = 20  # beside a head; where there are fewer, the terminal breaks the line
_SHOWN = 6  # places listed of notes outside a range, or bars
_LINE_SECONDS = 30.0  # between two lines on a plain stream, where no bar can be drawn
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # letters that turn the ones behind them round
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


Language = Annotated[
    str | None,
    typer.Option("--lang", help="Language of pages and advice: en or ko; default: the environment's (LANG)."),
]

# Options that several verbs have, with one name and one text each.
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing files.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Licence = Annotated[str, typer.Option(help="Terms of the recordings; travels with the model file.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be given several times."),
]
_MODEL = "Model file, or the folder of a training run"
ModelFile = Annotated[Path, typer.Argument(help=f"{_MODEL}.")]
VoiceFile = Annotated[Path | None, typer.Argument(help=f"{_MODEL}; default: the shipped voice.")]
VoiceOption = Annotated[Path | None, typer.Option("-m", "--model", help=f"{_MODEL}; default: the shipped voice.")]


def stderr() -> Console:
    """Where progress goes, so that results on standard output can be piped."""
    return Console(stderr=True)


def duration_seconds(text: str) -> float:
    """Read a duration such as 90s, 30m, 1h30m.

    Raises:
        UserError: not a duration.

    >>> duration_seconds("1h30m")
    5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text.lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.lower():
        raise UserError(f"{text!r} is not a duration; write 90s, 30m, 2h or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def duration_text(seconds: float) -> str:
    """Write a duration for a person.

    >>> duration_text(3725), duration_text(59)
    ('1 h 02 min', '59 s')
    """
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextlib.contextmanager
def counted(what: str) -> Iterator[OnProgress]:
    """A progress bar with counts and names; on a plain stream, a line each half minute."""
    console, lines = stderr(), _Lines()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", style="dim"),
    )
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, name="", total=None)

        def tell(progress: Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.total, name=progress.name[-40:])
            if bar.disable:
                lines.tell(what, progress)

        yield tell


class _Lines:
    """Progress on a plain stream: a line now and then, so that nobody takes long work for stuck."""

    def __init__(self) -> None:
        self._next_seconds = time.monotonic() + _LINE_SECONDS

    def tell(self, what: str, progress: Progress) -> None:
        """Say how far the work is, if nothing was said for a while."""
        if time.monotonic() >= self._next_seconds:
            say(f"{what}: {math.floor(progress.done)} of {math.floor(progress.total)}")
            self._next_seconds = time.monotonic() + _LINE_SECONDS


class SongBars:
    """Bars of works that go on together: one for all, and one for each under way; and lines beside them.

    Whoever writes to the terminal past the bars is overwritten by them, so lines go through here. On a plain stream
    there are no bars, but a line now and then.
    """

    def __init__(self, names: Sequence[str], bar: Bars) -> None:
        self._names, self._bar, self._lines = names, bar, _Lines()
        self._whole = bar.add_task(f"{len(names)} songs", total=len(names), visible=len(names) > 1)
        self._shares: dict[int, float] = {}
        self._under_way: dict[int, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        """Tell how far a work is, by its number."""
        bar, names, under_way = self._bar, self._names, self._under_way
        number, share = progress.number, progress.share
        self._shares[number] = share
        done = sum(self._shares.values())
        bar.update(self._whole, completed=done)
        if bar.disable and len(names) > 1:
            self._lines.tell("songs", Progress(done, len(names)))
        elif bar.disable:
            self._lines.tell(names[0], Progress(round(100 * share), 100))
        if number not in under_way and share < 1 and len(under_way) < _SHOWN:
            under_way[number] = bar.add_task(names[number], total=1.0)
        if number in under_way:
            bar.update(under_way[number], completed=share)
            if share >= 1:
                bar.remove_task(under_way.pop(number))

    def result(self, text: str) -> None:
        """A line of the result, on standard output."""
        if self._bar.disable or not sys.stdout.isatty():
            typer.echo(harmless(text))  # the name of a song may be anything
        else:
            self._bar.console.print(harmless(text), highlight=False, markup=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line for the person at the terminal, above the bars."""
        if self._bar.disable:
            say(text)
        else:
            lines = wrap(harmless(text), self._bar.console.width)
            self._bar.console.print(lines, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def side_by_side(names: Sequence[str]) -> Iterator[SongBars]:
    """Bars of works that go on together, see `SongBars`."""
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield SongBars(names, bar)


@contextlib.contextmanager
def staged() -> Iterator[OnProgress]:
    """A bar for each named stage of a long work; on a plain stream, a line each half minute, and when it is done."""
    console, lines = stderr(), _Lines()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(progress: Progress) -> None:
            stage = progress.name
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=progress.total)
            bar.update(tasks[stage], completed=progress.done, total=progress.total)
            if bar.disable and progress.done >= progress.total:
                say(f"{stage}: {math.floor(progress.total)}")
            elif bar.disable:
                lines.tell(stage, progress)

        yield tell


def refuse_missing_takes(source: Path) -> None:
    """Refuse a folder of singers that is not there, before anything slow is loaded.

    Raises:
        UserError: so it is.
    """
    if not os.path.isdir(source):
        raise UserError(f"{source}: no such folder; expected a folder with one sub-folder a singer")


def refuse_missing_model(model: Path) -> None:
    """Refuse a model that is not there, before anything slow is loaded.

    Raises:
        ModelFileError: so it is.
    """
    if not os.path.lexists(model):
        raise ModelFileError(f"{model}: no such file; expected a model (.safetensors), or the folder of a run")


def wrapped(text: str, stream: TextIO) -> str:
    """A sentence broken between words for a terminal, so that none is cut; as it is for a file or a pipe.

    Lines after the first are indented by what the first begins with: spaces, and a mark such as "!" or "note:".
    """
    if not stream.isatty():
        return text
    return wrap(text, shutil.get_terminal_size().columns)


def wrap(text: str, width: int) -> str:
    """Break a sentence between words, see `wrapped`; a word longer than a line stays whole.

    >>> print(wrap("  ! anna: The pauses are loud.", 22))
      ! anna: The pauses
        are loud.
    """
    lead = re.match(r"\s*(?:!\s+|note:\s+)?", text)
    assert lead is not None  # it matches nothing as well
    lines, line = [], lead[0]
    for word in text[lead.end() :].split(" "):
        longer = f"{line}{word}" if line.endswith(" ") or not line else f"{line} {word}"
        if cell_len(longer) > width and line.strip() and line != lead[0]:
            lines.append(line)
            longer = " " * len(lead[0]) + word
        line = longer
    return "\n".join([*lines, line])


def beside(head: str, text: str, stream: TextIO) -> str:
    """A head and a text, whose further lines stand below its first in a terminal; one line for a file or a pipe."""
    indent, width = cell_len(head), shutil.get_terminal_size().columns
    if not stream.isatty() or width - indent < _LEAST_COLUMNS:
        return head + text
    return head + wrap(" " * indent + text, width)[indent:]


def say(text: str) -> None:
    """A line for the person at the terminal, beside the result."""
    typer.echo(harmless(text), err=True)


def harmless(text: str) -> str:
    """A text out of somebody else's file, for a terminal: control characters that it would obey become escapes.

    >>> harmless("an\\x1b[2Jna, terms:\\n\\tfree")
    'an\\\\x1b[2Jna, terms:\\n\\tfree'
    """
    return "".join(
        repr(letter)[1:-1]
        if (unicodedata.category(letter) == "Cc" and letter not in "\n\t") or letter in _TURNING
        else letter
        for letter in text
    )


def file_label(name: str) -> str:
    """A singer's name as part of a file's name; never a path.

    At most 80 bytes long: a file's name holds 255, and an emoji takes four.

    >>> file_label("../민호?")
    '.._민호_'
    """
    label = "".join("_" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in name)
    return label.encode()[:80].decode(errors="ignore")


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        UserError: the disk refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another place with -o") from error


def refuse_to_overwrite(path: Path, force: bool, others: Iterable[Path] = ()) -> None:
    """The one rule for a file that a user names; see `ownership.refuse_to_overwrite`."""
    ownership.refuse_to_overwrite(path, force, others)


def save(path: Path, text: str) -> None:
    """Write a result into a file, whole or not at all.

    Raises:
        UserError: the disk refused.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, text.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place with -o") from error


def transposition(text: str) -> float | str:
    """What `--transpose` says: a word, or semitones."""
    try:
        return float(text)
    except ValueError:
        return text


def semitones_text(semitones: float) -> str:
    """How far, in words.

    >>> semitones_text(-12), semitones_text(24), semitones_text(1), semitones_text(-3.5)
    ('an octave lower', '2 octaves higher', '1 semitone higher', '3.5 semitones lower')
    """
    size, way = abs(semitones), "higher" if semitones > 0 else "lower"
    if size and size % 12 == 0:
        return f"an octave {way}" if size == 12 else f"{size // 12:.0f} octaves {way}"
    return f"{size:g} semitone{'' if size == 1 else 's'} {way}"


def outside_text(outside: Sequence[Outside]) -> str:
    """Where a song leaves its singer's range, in a line."""
    shown = [f"{part.note} at {clock_text(part.start_seconds)}" for part in outside[:_SHOWN]]
    more = f", and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
    return f"outside what this singer sang in training: {', '.join(shown)}{more}; these may sound unlike them"


def clock_text(seconds: float) -> str:
    """A place in a song.

    >>> clock_text(83.25)
    '1:23.2'
    """
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}:{rest:04.1f}"
