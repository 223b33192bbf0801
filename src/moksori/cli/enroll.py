"""`moksori enroll`: a trained voice takes up another singer, in under a minute."""

from __future__ import annotations

import json
import shlex
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from moksori import language
from moksori.cli import console, names
from moksori.cli.prepare import prepare, print_doctor
from moksori.errors import UserError
from moksori.language import Words
from moksori.run_files import BASE


def command(
    model: Annotated[
        Path, typer.Argument(help="Model file, or a run's folder; `base` is the shipped voice. It is not changed.")
    ],
    takes: Annotated[Path, typer.Argument(help="Folder of the singer's recordings: half a minute to five minutes.")],
    name: Annotated[str, typer.Option(help="The singer's name; default: that of the folder.")] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="New model file; default: MODEL.NAME.safetensors, here.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="Longest time for fitting the singer's vector.")] = 30.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of excerpts and perturbations.")] = 0,
    licence: Annotated[str, typer.Option(help="Terms of the recordings; they are added to the model's.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the new file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Add a singer to a voice of recipe swift, from a few takes.

    Only what tells this singer from others is learned, a vector: whoever sang before sings as before, bit for bit. For
    a voice that comes nearer, train: `moksori train TAKES -o RUN`.
    """
    if not takes.is_dir():
        raise UserError(f"{takes}: no such folder; expected the recordings of one singer")
    known = names.singers_of(None if str(model) == BASE else model)
    singer = name or takes.resolve().name
    if known and singer in known:
        raise UserError(f"{model}: has a singer named {singer!r} already; choose another name with --name")
    stem = model.name.removesuffix(".safetensors")
    destination = output or Path(f"{stem}.{console.file_label(singer)}.safetensors")
    console.refuse_to_overwrite(destination, force, [model])
    _enroll(model, takes, singer, destination, seconds, seed, licence, force=force, as_json=as_json)


def _enroll(
    model: Path,
    takes: Path,
    singer: str,
    destination: Path,
    seconds: float,
    seed: int,
    licence: str,
    *,
    force: bool,
    as_json: bool,
) -> None:
    import moksori
    from moksori import checkpoint
    from moksori.data import doctor
    from moksori.data.prepare_config import PrepareConfig
    from moksori.training import enrol, recipe

    began = time.monotonic()
    voice = moksori.load(None if str(model) == BASE else model)
    config = enrol.EnrolConfig(max_seconds=seconds, seed=seed)
    with tempfile.TemporaryDirectory(prefix="moksori-enroll-") as folder:
        corpus = prepare(takes, Path(folder) / "data", PrepareConfig(singer=singer))
        if not as_json:
            print_doctor(corpus, Words(language.choose(None)), for_training=False)
        with console.counted("enrolling") as progress:
            grown, provenance = enrol.enrol(
                voice.model, voice.provenance, corpus, recipe.load(enrol.RECIPE), config, licence, progress
            )
        minutes = doctor.examine(corpus)[0].sung_minutes
    console.make_folder(destination.parent)
    checkpoint.write_model(destination, grown, provenance, is_new=not force)
    taken = time.monotonic() - began
    if as_json:
        answer = {"model": str(destination), "singer": singer, "minutes": round(minutes, 2), "seconds": round(taken, 1)}
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    typer.echo(
        console.harmless(
            f"\n{destination}: {singer} sings, too; from {minutes:.1f} minutes of takes, in {taken:.0f} s."
        )
    )
    typer.echo(
        console.harmless(f"Convert: moksori convert SONG -m {shlex.quote(str(destination))} -s {shlex.quote(singer)}")
    )
