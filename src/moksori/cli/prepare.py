"""`moksori prepare`: a folder of singers becomes data to train on, with a doctor's word on each of them."""

from __future__ import annotations

import json
import shlex
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
    from moksori.data.splits import Listed
    from moksori.workers.pool import Pool


_MOST_DOUBLES = 3  # of a folder that are named


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SONGS", help="Folder, or URL, with one sub-folder a singer; any depth, any audio format."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Data folder; made, or brought up to date.")],
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
    from moksori.data.prepare import PrepareConfig
    from moksori.data.splits import Listed
    from moksori.data.stretches import StretchConfig

    say = Words(language.choose(lang))
    if layout:
        layouts.named(layout)  # a slip of the pen is told before any work
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
    if ray is None:
        corpus = prepare(songs, output, config, listed)
    else:
        with catalogue.pool(ray, workers) as pool:
            corpus = prepare(songs, output, config, listed, pool)
    if as_json:
        typer.echo(json.dumps(_report(corpus, say), ensure_ascii=False, indent=2))
    else:
        print_doctor(corpus, say)
        command = f"moksori train {shlex.quote(str(output))} -o RUN"
        typer.echo("\n" + say("Prepared in {folder}. Next: {command}", folder=output, command=command))


def prepare(
    songs: Path | Place, output: Path, config: Any, listed: Listed | None = None, pool: Pool | None = None
) -> Corpus:
    """Prepare with a progress bar."""
    from moksori.data import prepare as preparing

    with console.counted("preparing") as progress:
        return preparing.prepare(songs, output, config, progress, listed=listed, pool=pool)


def print_doctor(corpus: Corpus, say: Words) -> None:
    """A line a singer, advice, and everything that was skipped with its reason."""
    from rich.table import Table

    from moksori.data import doctor

    found = doctor.examine(corpus, say)
    table = Table(box=None, pad_edge=False)
    heads = {
        "singer": say("singer"),
        "minutes": say("minutes"),
        "sung": say("sung minutes") if say.language != "en" else "sung",
        "recordings": say("recordings"),
        "held out": say("held out"),
        "range": say("range"),
        "clipping": say("clipping"),
        "noise": say("noise"),
        "doubles": say("doubles"),
        "verdict": say("verdict"),
    }
    for column, head in heads.items():
        table.add_column(head, justify="left" if column in ("singer", "range", "verdict") else "right")
    for singer in found:
        table.add_row(
            singer.singer,
            f"{singer.minutes:.1f}",
            f"{singer.sung_minutes:.1f}",
            str(singer.n_files),
            f"{singer.sung_minutes - singer.training_minutes:.1f}",
            say(singer.range_notes),
            f"{singer.clipped_fraction:.2%}",
            f"{singer.noise_dbfs:.0f} dBFS",
            str(singer.n_doubles),
            say(singer.verdict),
        )
    from rich.console import Console

    Console(width=None if Console().is_terminal else 120, highlight=False).print(table)
    own = [f"{singer.singer}: {line}" for singer in found for line in singer.advice]
    for advice in [*doctor.general_advice(corpus, say), *own]:
        typer.echo(f"  ! {advice}")
    if corpus.skipped:
        typer.echo("\n" + say("Skipped ({n}):", n=len(corpus.skipped)))
        for line in _grouped(corpus.skipped, say):
            typer.echo(f"  {line}")


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
