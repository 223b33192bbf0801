"""`moksori evaluate`: figures on recordings that the model never saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Model file, or the folder of a training run.")],
    data: Annotated[Path, typer.Argument(help="The data it was trained with (RUN/data, or what `prepare` made).")],
    split: Annotated[str, typer.Option(help="Recordings to score: test or validation.")] = "test",
    seed: Annotated[int, typer.Option(help="Seed of the probe.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure on held-out recordings whether the decoder uses the latent, and whether the latent hides the singer."""
    import moksori
    from moksori import settings
    from moksori.data.corpus import Corpus
    from moksori.evaluation import held_out

    figures = held_out.evaluate(moksori.load(model).model, Corpus.load(data), split, seed=seed)
    if as_json:
        typer.echo(json.dumps(settings.plain(figures), indent=2))
        return
    typer.echo(f"held-out segments of one second           {figures.n_segments}")
    typer.echo(f"cross-entropy, nats a sample              {figures.cross_entropy:.3f}  (5.545 knows nothing)")
    typer.echo(f"the same with another segment's latent    {figures.shuffled_cross_entropy:.3f}")
    typer.echo(f"singer read from the latent by a probe    {figures.probe_accuracy:.1%}  (chance {figures.chance:.1%})")
