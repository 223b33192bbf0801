"""`moksori singers`: who there is to sing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console, names
from moksori.errors import ModelFileError, UserError


def command(
    model: console.VoiceFile = None,
    renamed: Annotated[
        list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Give a singer another name.")
    ] = None,
    removed: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="Leave a singer out of the new file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="New model file for --rename and --remove.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the new file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the singers of a model, one a line, for `moksori convert -s`; rename or remove some in a copy of it.

    A removed singer's vector, range, name and rows are not in the new file. What their recordings did to the weights
    that all singers share stays: only training without them takes that away.
    """
    found = names.singers_of(model)
    if found is None:
        raise ModelFileError(f"{model}: no singers are listed there; expected a model file, or the folder of a run")
    if renamed or removed:
        found = _changed(model, found, renamed or [], removed or [], output, force=force)
    elif output is not None:
        raise UserError("-o is for a changed copy; say what to change with --rename OLD=NEW or --remove NAME")
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for name in found:
        typer.echo(console.harmless(name))


def _changed(
    model: Path | None, known: list[str], renamed: list[str], removed: list[str], output: Path | None, *, force: bool
) -> list[str]:
    """Write a copy with other singers, and say who they are."""
    if output is None:
        raise UserError("a changed voice is a new file, and the old one stays; say where with -o FILE")
    pairs = dict(part.partition("=")[::2] for part in renamed)
    names.check([*pairs, *removed], known)
    if bad := [old for old, new in pairs.items() if not new.strip()]:
        raise UserError(f"--rename takes OLD=NEW; no new name is given for {', '.join(bad)}")
    console.refuse_to_overwrite(output, force, [] if model is None else [model])

    import moksori
    from moksori import checkpoint

    voice = moksori.load(model)
    changed, provenance = checkpoint.with_singers(voice.model, voice.provenance, pairs, removed)
    console.make_folder(output.parent)
    checkpoint.write_model(output, changed, provenance, is_new=not force)
    return list(changed.singers.names)
