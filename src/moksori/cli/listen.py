"""`moksori listen`: a listening test for people, and what came out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Ask people: make a listening test out of a report, and analyse the answers.", no_args_is_help=True
)


@app.command("make")
def make(
    source: Annotated[Path, typer.Argument(metavar="REPORT", help="Folder of a report.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the test; new, or empty.")],
    per_row: Annotated[
        int, typer.Option(min=1, help="Clips of each kind: real recordings, reconstructions, conversions.")
    ] = 8,
    repeats: Annotated[int, typer.Option(min=0, help="Clips that come twice, to see who listens.")] = 3,
    title: Annotated[str, typer.Option(help="What raters read on top.")] = "Listening test",
    seed: Annotated[int, typer.Option(min=0, help="Of the names and of what is chosen.")] = 0,
) -> None:
    """Write a blind test: FOLDER/publish is for the raters, FOLDER/key.csv tells which clip is which, and is for you.

    The page works from a disk or from any web server, sends nothing anywhere, and gives each rater a CSV at the end.
    """
    from moksori.evaluation.report import data, listening

    report = data.load(source)
    folder = source if source.is_dir() else source.parent
    n_trials = listening.make(report, folder, output, listening.Options(per_row, repeats, seed, title))
    typer.echo(f"{n_trials} clips for each rater. Publish {output / listening.PUBLISH}, keep {output / listening.KEY}.")
    typer.echo(f"Then: moksori listen analyse {output} ANSWERS.csv ...")


@app.command("analyse")
def analyse(
    folder: Annotated[Path, typer.Argument(help="Folder of the test, with its key.")],
    results: Annotated[list[Path], typer.Argument(help="The CSV files of the raters.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Mean opinion scores with intervals over raters and clips; files that cannot be used are named and left out."""
    import dataclasses
    import json

    from moksori.evaluation.report import listening

    found = listening.analyse(folder, results, seed)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=1))
        return
    typer.echo(listening.markdown(found), nl=False)
