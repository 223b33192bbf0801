"""`moksori compare`: is one voice better than another?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console


def command(
    first: Annotated[Path, typer.Argument(help="report.json, or its folder: what to compare with.")],
    second: Annotated[Path, typer.Argument(help="report.json, or its folder: better or worse?")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the table into this file.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals.")] = 0,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two reports: differences over the clips that both judged, with intervals.

    "No clear difference" means that the 95 % interval holds 0: with these clips nobody can tell.
    """
    from moksori.evaluation.report import compare
    from moksori.evaluation.report import data as report

    if output is not None:
        console.refuse_to_overwrite(output, force, [first, second])
    found = compare.compare(report.load(first), report.load(second), seed)
    text = compare.markdown(found, _name(first), _name(second))
    if output is not None:
        console.save(output, text)
    plain = json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=1) + "\n"
    typer.echo(plain if as_json else text, nl=False)


def _name(path: Path) -> str:
    """What a report is called: its path, without the file's name."""
    return str(path.parent if path.name == "report.json" else path).replace("|", "/")
