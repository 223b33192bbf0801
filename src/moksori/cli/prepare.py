"""`moksori prepare`: a folder of singers becomes data to train on, with a doctor's word on each of them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moksori import language
from moksori.cli import catalogue, console
from moksori.errors import UserError
from moksori.language import Words
from moksori.workers import places
from moksori.workers.places import Place

if TYPE_CHECKING:
    from moksori.data.corpus import Corpus, Skipped
    from moksori.data.doctor import SingerHealth
    from moksori.data.splits import Listed
    from moksori.workers.pool import Pool


_MOST_DOUBLES = 3  # of a folder that are named
_PLAIN_COLUMNS = 120  # of a file or a pipe, which have no width
_UNBOUNDED = 10_000  # columns: more than any table needs


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SONGS", help="Folder, or URL, with one sub-folder a singer; any depth, any audio format."
        ),
    ],
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="DATA", help="Data folder, or URL; made, or brought up to date."),
    ],
    rate: Annotated[int, typer.Option(help="Sample rate of the prepared clips in Hz.")] = 24_000,
    layout: Annotated[
        str,
        typer.Option(
            help="Of a data set: nus48e, opensinger, m4singer, vocalset, csd, opencpop, rvc, sovits; its paths say who "
            "sings."
        ),
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="Threads, or Ray's workers; 0 for one each core.")] = 0,
    splits: Annotated[
        Path | None,
        typer.Option(
            help="Table (CSV or TSV) with columns file, a path below SONGS, and split: train, validation or test. What "
            "it does not name is never for a split that it names, but for train."
        ),
    ] = None,
    validation_share: Annotated[float, typer.Option(min=0, max=1, help="Of each singer's recordings.")] = 0.1,
    test_share: Annotated[float, typer.Option(min=0, max=1, help="Of each singer's recordings.")] = 0.1,
    split_seed: Annotated[int, typer.Option(min=0, help="Another one holds out others.")] = 0,
    whole_takes: Annotated[
        bool, typer.Option("--whole-takes", help="Do not cut long takes: each file is in one split.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", help="By Ray: auto (the cluster that runs), local, or a cluster's address; off: threads."
        ),
    ] = None,
    rights: Annotated[
        str,
        typer.Option(
            help="What the singers agreed to; a file CONSENT in a singer's folder goes before it. Every model made of "
            "the data carries it."
        ),
    ] = "",
    lang: console.Language = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Decode, trim, measure and split recordings by singer, and say what the data is like.

    Splits are by recording; a take longer than two minutes is cut at pauses, and whole stretches are held out, two
    seconds apart from what is trained on. What is for what depends on the sound alone: recordings that come or go move
    none. Run it again to add recordings, or after an interruption: what is done is kept. With --ray
    the data folder has to be one that all machines share; the result is the same.
    """
    from moksori.data import layouts
    from moksori.data.corpus import CACHE, MANIFEST
    from moksori.data.prepare_config import PrepareConfig
    from moksori.data.splits import Listed
    from moksori.data.stretches import StretchConfig

    say = Words(language.choose(lang))
    if layout:
        layouts.named(layout)  # a slip of the pen is refused before any work
    if validation_share + test_share >= 1:
        raise UserError("--validation-share and --test-share leave nothing to train on; expected less than 1 together")
    config = PrepareConfig(
        sample_rate=rate,
        workers=workers,
        layout=layout,
        rights=rights,
        validation_share=validation_share,
        test_share=test_share,
        split_seed=split_seed,
        stretches=StretchConfig(long_seconds=0.0) if whole_takes else StretchConfig(),
    )
    songs, listed = Place.of(source) if places.is_url(source) else Path(source), Listed.load(splits) if splits else None
    with catalogue.folder(output, ray, record=MANIFEST, without=[CACHE]) as folder:
        if ray is None:
            corpus = prepare(songs, folder, config, listed)
        else:
            with catalogue.pool(ray, workers) as pool:
                corpus = prepare(songs, folder, config, listed, pool)
        if as_json:
            typer.echo(json.dumps(_report(corpus, say), ensure_ascii=False, indent=2))
            return
        print_doctor(corpus, say)
    if places.is_url(output):
        typer.echo("\n" + say("Prepared in {folder}. Training wants a folder: fetch it first.", folder=output))
        return
    command = f"moksori train {shlex.quote(output)} -o RUN"
    typer.echo("\n" + say("Prepared in {folder}. Next: {command}", folder=output, command=command))


def prepare(
    songs: Path | Place, output: Path, config: Any, listed: Listed | None = None, pool: Pool | None = None
) -> Corpus:
    """Prepare with a progress bar."""
    from moksori.data import prepare as preparing

    with console.counted("preparing") as progress:
        return preparing.prepare(songs, output, config, progress, listed=listed, pool=pool)


def print_doctor(corpus: Corpus, say: Words, *, for_training: bool = True) -> None:
    """A line a singer, advice, and everything that was skipped with its reason; see `doctor.general_advice`."""
    from moksori.data import doctor

    found = doctor.examine(corpus, say)
    _print_table({singer.singer: _cells(singer, say) for singer in found}, say)
    own = [f"{singer.singer}: {line}" for singer in found for line in singer.advice]
    for advice in [*doctor.general_advice(corpus, say, for_training=for_training), *own]:
        typer.echo(console.wrapped(f"  ! {advice}", sys.stdout))
    if corpus.skipped:
        typer.echo("\n" + say("Skipped ({n}):", n=len(corpus.skipped)))
        for line in _grouped(corpus.skipped, say):
            typer.echo(f"  {line}")


def _cells(found: SingerHealth, say: Words) -> dict[str, str]:
    """The cells of a singer's row, by the heads of the columns."""
    return {
        say("minutes"): f"{found.minutes:.1f}",
        say("sung minutes") if say.language != "en" else "sung": f"{found.sung_minutes:.1f}",
        say("recordings"): str(found.n_files),
        say("held out"): f"{found.sung_minutes - found.training_minutes:.1f}",
        say("range"): _range_text(found, say),
        say("clipping"): f"{found.clipped_fraction:.2%}",
        say("noise"): f"{found.noise_dbfs:.0f} dBFS",
        say("doubles"): str(found.n_doubles),
        say("verdict"): say(found.verdict),
    }


def _range_text(found: SingerHealth, say: Words) -> str:
    from moksori.audio import pitch

    if found.low_hz is None or found.high_hz is None:
        return say(found.range_notes)
    return say("{low} to {high}", low=pitch.note_name(found.low_hz), high=pitch.note_name(found.high_hz))


def _print_table(singers: dict[str, dict[str, str]], say: Words) -> None:
    """A table with a line a singer; where it is wider than the terminal, some lines a singer, and no word is cut."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    screen = Console(highlight=False)
    screen = screen if screen.is_terminal else Console(width=_PLAIN_COLUMNS, highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column(say("singer"), no_wrap=True)
    for head in next(iter(singers.values())):
        table.add_column(head, justify="left" if head in (say("range"), say("verdict")) else "right", no_wrap=True)
    for name, cells in singers.items():
        table.add_row(name, *cells.values())
    unbounded = screen.options.update(max_width=_UNBOUNDED)
    if Measurement.get(screen, unbounded, table).maximum <= screen.width:
        screen.print(table)
        return
    for name, cells in singers.items():
        *facts, verdict = cells.items()
        typer.echo(f"{name}: {verdict[1]}")
        line = ""
        for head, value in facts:
            longer = f"{line}, {head} {value}" if line else f"    {head} {value}"
            if line and cell_len(longer) > screen.width - len(","):
                typer.echo(f"{line},")
                longer = f"    {head} {value}"
            line = longer
        typer.echo(line)


def _grouped(skipped: Sequence[Skipped], say: Words) -> list[str]:
    """A line for each that was skipped; of doubles of one folder, which may be hundreds, only some."""
    from moksori.data.corpus import SAME_SOUND

    lines: list[str] = []
    doubles: dict[str, list[Skipped]] = {}
    for skip in skipped:
        if skip.reason.startswith(SAME_SOUND):
            doubles.setdefault(skip.source.rpartition("/")[0], []).append(skip)
        else:
            lines.append(f"{skip.source}: {skip.reason}")
    for folder, own in doubles.items():
        lines += [f"{skip.source}: {skip.reason}" for skip in own[:_MOST_DOUBLES]]
        if len(own) > _MOST_DOUBLES:
            lines.append(f"{folder}/: " + say("{n} more are doubles, too", n=len(own) - _MOST_DOUBLES))
    return lines


def _report(corpus: Corpus, say: Words) -> dict[str, Any]:
    import dataclasses

    from moksori.data import doctor

    return {
        "singers": [dataclasses.asdict(singer) for singer in doctor.examine(corpus, say)],
        "advice": doctor.general_advice(corpus, say),
        "skipped": [dataclasses.asdict(skip) for skip in corpus.skipped],
        "fingerprint": corpus.fingerprint,
    }
