"""`moksori studio`: convert, train and listen in a browser."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console
from moksori.errors import UserError


def command(
    folder: Annotated[
        Path, typer.Option(help="Where songs, results, voices and trainings are kept.", show_default="~/Moksori")
    ] = Path("~/Moksori"),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; default: 7860, or the next free one; 0 for any.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to be reached at. Anything but 127.0.0.1 asks everybody for a token.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name that the studio may be asked by, such as a proxy's.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page in a browser.")] = False,
) -> None:
    """Open the studio: a page in the browser to convert songs, mix singers, train voices and listen.

    Nothing leaves this machine. Conversions go on when the page is closed, and trainings when the studio is.
    """
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"the studio needs {' and '.join(missing)}: pip install 'moksori[studio]'")
    from moksori.studio import server

    server.serve(
        folder.expanduser(),
        host,
        port,
        lambda address: console.say(f"The studio is open at {address}  (Ctrl-C closes it)"),
        hosts=allow_host or [],
        opens_browser=not no_browser,
    )
