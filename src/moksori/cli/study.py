"""`moksori study`: starts one of the studies, small programs about the ideas behind the method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from moksori.errors import UserError

NAMES = ("memory", "translation", "back-translation", "bayes", "speech")
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=f"{', '.join(NAMES)}.", show_default=False)] = "",
) -> None:
    """Run a study of an idea behind the method; what follows its name goes to the study (try --help there)."""
    if name in ("", "-h", "--help"):
        typer.echo(context.get_help())
        return
    if name not in NAMES:
        raise UserError(f"there is no study {name!r}; there are {', '.join(NAMES)}")
    _main_of(name)(context.args)


def _main_of(name: str) -> Callable[[Sequence[str]], None]:
    """Load a study only when it is asked for: nothing else in the package knows them."""
    if name == "memory":
        from moksori_studies import memory

        return memory.main
    if name == "translation":
        from moksori_studies import translation

        return translation.main
    if name == "back-translation":
        from moksori_studies import back_translation

        return back_translation.main
    if name == "bayes":
        from moksori_studies import bayes

        return bayes.main
    from moksori_studies import speech

    return speech.main
