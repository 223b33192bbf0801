"""`moksori singers`: who there is to sing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console, names
from moksori.errors import ModelFileError


def command(
    model: Annotated[
        Path | None, typer.Argument(help="Model file, or the folder of a training run; default: the shipped voice.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the singers of a model, one a line, for `moksori convert -s`."""
    found = names.singers_of(model)
    if found is None:
        raise ModelFileError(f"{model}: no singers are told there; expected a model file, or the folder of a run")
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for name in found:
        typer.echo(console.harmless(name))
