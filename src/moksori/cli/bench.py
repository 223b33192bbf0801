"""`moksori bench`: how fast this machine generates and trains, and what of its speed is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console
from moksori.errors import UserError

FILES = ("speed.json", "speed.md")


def command(
    recipe: Annotated[
        str, typer.Option("-r", "--recipe", help="Whose sizes: a recipe's name, or a TOML file.")
    ] = "paper",
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of every backend; their medians are shown.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.05, help="About how long a measurement lasts.")] = 1.0,
    device: Annotated[str, typer.Option(help="cpu, or a GPU: cuda, cuda:1.")] = "cpu",
    training: Annotated[bool, typer.Option(help="Also time a training step.")] = True,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for speed.json and speed.md; default: only print.")
    ] = None,
    force: console.Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure samples a second of every backend, all in turns within one run, beside what the processor could do.

    Weights are random: how fast a net is does not depend on what it learnt. With `--device cuda` the backends of a GPU
    are measured, the fused ones where Triton is installed.
    """
    if output is not None:
        for name in FILES:  # before minutes of measuring
            console.refuse_to_overwrite(output / name, force)

    import json
    from dataclasses import asdict

    import torch

    from moksori import benchmark, checkpoint
    from moksori.models import kinds
    from moksori.training import recipe as recipes

    torch.set_num_threads(1)
    chosen_device = torch.device(checkpoint.check_device(device))
    if chosen_device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: only cpu and cuda can be measured; choose one of them")
    settings = recipes.load(recipe)
    if not kinds.are_of_autoencoder(settings.model):
        raise UserError(
            f"recipe {recipe} trains no voice that samples codes; choose paper, melody or small. To see how fast swift "
            "sings, let it convert a song: `moksori convert SONG -s kumi`"
        )
    with console.counted("measuring") as progress:
        found = benchmark.measure(
            settings.model,
            settings.name,
            rounds,
            seconds,
            training,
            chosen_device,
            progress,
        )
    tables, plain = benchmark.markdown(found), json.dumps(asdict(found), indent=2)
    if output is not None:
        for name, text in zip(FILES, (plain, tables), strict=True):
            console.save(output / name, text)
    typer.echo(plain if as_json else tables)
