"""`moksori verify`: whether a sound file says, or carries the mark, that it is a conversion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console


def command(
    file: Annotated[Path, typer.Argument(help="A sound file.")],
    key: Annotated[str, typer.Option("--mark-key", help="Key of the mark; default: the public one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether a recording is a conversion by Moksori: by what its file says, and by the mark in its sound.

    The exit code is 0 if either says so, else 1. A file without both may still be a conversion: words are lost when a
    file is written anew, and the mark is only there where it was asked for, with convert --mark.
    """
    from moksori.audio import files, mark
    from moksori.conversion.song import CREDIT

    said = files.comment(file)
    said = said if said.startswith(CREDIT) else ""
    found = mark.detect(files.read(file), key or mark.PUBLIC_KEY)
    if as_json:
        answer = {
            "file": str(file),
            "says": said,
            "is_marked": found.is_marked,
            "score": found.score,
            "threshold": mark.THRESHOLD,
            "shift_semitones": found.shift_semitones,
            "seconds": round(found.seconds, 3),
        }
        typer.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        there = "found" if found.is_marked else "not found"
        typer.echo(console.harmless(f"says   {said or 'nothing of a conversion'}"))
        typer.echo(f"mark   {there}: {found.score:.1f} deviations, {mark.THRESHOLD:g} are enough")
    if not said and not found.is_marked:
        raise typer.Exit(1)
