"""What the verbs share in talking to a person: a progress bar, durations, tables."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from moksori.errors import UserError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


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
def counted(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar for `progress(done, total, name)`; on a plain stream it stays silent."""
    console = stderr()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", style="dim"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, name="", total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, name=name[-40:])


Staged = Callable[[str, int, int], None]
"""Told a stage in words, what is done of it, and how much it is in all."""


@contextlib.contextmanager
def staged() -> Iterator[Staged]:
    """A bar for each stage of a long work; on a plain stream, a line when a stage is done."""
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)
            if done >= total and not console.is_terminal:
                say(f"{stage}: {total}")

        yield tell


def say(text: str) -> None:
    """A line for the person at the terminal, beside the result."""
    typer.echo(text, err=True)
