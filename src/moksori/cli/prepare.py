"""`moksori prepare`: a folder of singers becomes data to train on, with a doctor's word on each of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moksori.cli import console

if TYPE_CHECKING:
    from moksori.data.corpus import Corpus


def command(
    songs: Annotated[Path, typer.Argument(help="Folder with one sub-folder a singer; any depth, any audio format.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Data folder; made, or brought up to date.")],
    rate: Annotated[int, typer.Option(help="Sample rate of the prepared clips in Hz.")] = 24_000,
    workers: Annotated[int, typer.Option(min=0, help="Threads; 0 for one each core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Decode, trim, measure and split recordings by singer, and say what the data is like.

    Splits are by recording: no part of a validation or test recording is ever trained on. Run it again to add
    recordings, or after an interruption: what is done is kept.
    """
    from moksori.data.prepare import PrepareConfig

    corpus = prepare(songs, output, PrepareConfig(sample_rate=rate, workers=workers))
    if as_json:
        typer.echo(json.dumps(_report(corpus), ensure_ascii=False, indent=2))
    else:
        print_doctor(corpus)
        typer.echo(f"\nPrepared in {output}. Next: moksori train {shlex.quote(str(output))} -o RUN")


def prepare(songs: Path, output: Path, config: Any) -> Corpus:
    """Prepare with a progress bar."""
    from moksori.data import prepare as preparing

    with console.counted("preparing") as progress:
        return preparing.prepare(songs, output, config, progress)


def print_doctor(corpus: Corpus) -> None:
    """A line a singer, advice, and everything that was skipped with its reason."""
    from rich.table import Table

    from moksori.data import doctor

    found = doctor.examine(corpus)
    table = Table(box=None, pad_edge=False)
    measures = ["minutes", "sung", "recordings", "held out", "range", "clipping", "noise", "doubles"]
    for column in ["singer", *measures, "verdict"]:
        table.add_column(column, justify="left" if column in ("singer", "range", "verdict") else "right")
    for singer in found:
        held_out = singer.n_recordings["validation"] + singer.n_recordings["test"]
        table.add_row(
            singer.singer,
            f"{singer.minutes:.1f}",
            f"{singer.sung_minutes:.1f}",
            str(sum(singer.n_recordings.values())),
            str(held_out),
            singer.range_notes,
            f"{singer.clipped_fraction:.2%}",
            f"{singer.noise_dbfs:.0f} dBFS",
            str(singer.n_doubles),
            singer.verdict,
        )
    from rich.console import Console

    Console(width=None if Console().is_terminal else 120, highlight=False).print(table)
    own = [f"{singer.singer}: {line}" for singer in found for line in singer.advice]
    for advice in [*doctor.general_advice(corpus), *own]:
        typer.echo(f"  ! {advice}")
    if corpus.skipped:
        typer.echo(f"\nSkipped ({len(corpus.skipped)}):")
        for skip in corpus.skipped:
            typer.echo(f"  {skip.source}: {skip.reason}")


def _report(corpus: Corpus) -> dict[str, Any]:
    import dataclasses

    from moksori.data import doctor

    return {
        "singers": [dataclasses.asdict(singer) for singer in doctor.examine(corpus)],
        "advice": doctor.general_advice(corpus),
        "skipped": [dataclasses.asdict(skip) for skip in corpus.skipped],
        "fingerprint": corpus.fingerprint,
    }
