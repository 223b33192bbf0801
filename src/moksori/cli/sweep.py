"""`moksori sweep`: arms of a recipe x seeds, each trained and judged, side by side with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console
from moksori.errors import UserError


def command(
    source: Annotated[Path, typer.Argument(help="Folder of singers, or one that `moksori prepare` made.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the runs; what is there is kept.")],
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME: KEY=VALUE, ...",
            help="An arm and the settings of the recipe that it changes, none for the recipe itself; several times. "
            "Others are compared with the first.",
        ),
    ] = None,
    arms: Annotated[
        Path | None, typer.Option(help="The same as a TOML file: a table for each arm, with the settings it changes.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each arm, seeds 0, 1, ...")] = 3,
    recipe: Annotated[str, typer.Option("-r", "--recipe", help="Shipped recipe, or a TOML file.")] = "swift",
    budget: Annotated[str | None, typer.Option("--for", help="Training time of each run, such as 30m.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Training steps of each run.")] = None,
    clips: Annotated[
        int | None, typer.Option(min=1, help="Held-out recordings of each singer; see `moksori evaluate`.")
    ] = None,
    texts: Annotated[Path | None, typer.Option(help="Table of what is sung, columns file and text.")] = None,
) -> None:
    """Compare settings of a recipe: what each is worth, and how sure that is.

    Every arm is trained with every seed and judged as `moksori evaluate` does. OUT/sweep.md has the figures of each arm
    and their differences to the first one, with 95 % intervals over seeds and recordings. Stopped, the same command
    goes on; with more seeds or arms it adds to what is there.
    """
    if not arm and arms is None:
        raise UserError("no arms to compare; give --arm several times, or --arms FILE")
    console.refuse_missing_takes(source)
    seconds = console.duration_seconds(budget) if budget else None

    from moksori import sweep
    from moksori.evaluation.conversions import Options

    chosen = (*(sweep.read_arms(arms) if arms else ()), *(sweep.parse_arm(text) for text in arm or ()))
    asked = sweep.Sweep(
        chosen, seeds, recipe, seconds / 60 if seconds else None, max_steps, texts, Options(clips, whisper="auto")
    )
    console.make_folder(output)
    typer.echo(sweep.run(source, output, asked, console.say), nl=False)
