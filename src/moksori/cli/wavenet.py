"""`moksori wavenet`: a WaveNet by itself."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli import console
from moksori.cli import train as training
from moksori.errors import UserError
from moksori.progress import Progress

if TYPE_CHECKING:
    from moksori.audio.clip import Clip
    from moksori.models.solo import SoloConfig
    from moksori.soloist import Request
    from moksori.training.recipe import Recipe

app = typer.Typer(
    help="A WaveNet by itself: it babbles, or sings by its conditioning; as a vocoder it sings a recording again.",
    no_args_is_help=True,
)

CONDITIONINGS = ("singer", "melody", "phase", "mel")
_SINGER_CHANNELS = 16  # where the recipe does not say
_PHASE_SECONDS = 0.001  # a hop of the melody is divided until it is no longer than this
_MEL_SECONDS = 0.064  # the window that is nearest to this


@app.command("train")
def train(
    source: Annotated[Path, typer.Argument(help="Folder of singers, or one that `moksori prepare` made.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder; an existing run goes on.")],
    tell: Annotated[
        list[str] | None,
        typer.Option(
            "--conditioning",
            "--tell",
            help="Conditioning: singer, melody, phase, mel; several, each with --tell. Default: the recipe's.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("-r", "--recipe", help="Shipped recipe, or a TOML file; default: the run's, or wavenet."),
    ] = None,
    budget: Annotated[str | None, typer.Option("--for", help="Training time in all, such as 30m or 2h.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Training steps in all.")] = None,
    changes: console.Changes = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and batches.")] = 0,
    device: console.Device = "auto",
    licence: console.Licence = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Train a WaveNet by itself, or go on training it.

    Conditioned on nothing it learns to babble like the recordings; `--tell singer` conditions it on who sings (global
    conditioning), `--tell melody` on pitch and loudness, `--tell phase` on these and where within its period the voice
    stands, `--tell mel` on the log-mel (local conditioning; the last makes it a vocoder).
    """
    training.refuse_slips(source, budget)

    from moksori.training import recipe as recipes  # slow to load, so what can be refused has been

    chosen = recipes.changed(conditioned(training.recipe_of(output, recipe, "wavenet"), tell), changes or [])
    training.train(training.Request(source, output, budget, max_steps, seed, device, licence, as_json), chosen)


@app.command("generate")
def generate(
    model: console.ModelFile,
    output: Annotated[Path, typer.Option("-o", "--output", help="File for one clip, folder for several.")],
    seconds: Annotated[
        float, typer.Option(min=0.0, help="Length; with --like, at most that of the recording, and all of it if 0.")
    ] = 0.0,
    singers: Annotated[
        list[str] | None, typer.Option("-s", "--singer", help="Who shall sing; several, for a clip from each.")
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recording whose log-mel, or pitch and loudness, conditions it; several, for a clip like each."
        ),
    ] = None,
    prime: Annotated[Path | None, typer.Option(help="Recording to go on from.")] = None,
    keep_prime: Annotated[bool, typer.Option("--keep-prime", help="Begin with the recording of --prime.")] = False,
    count: Annotated[int, typer.Option(min=1, help="Clips of each kind, all different.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    temperature: Annotated[float, typer.Option(min=0.0, help="1 samples, less is tamer, 0 takes the likeliest.")] = 1.0,
    device: console.Device = "auto",
    force: console.Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a clip.")] = False,
) -> None:
    """Generate clips with a WaveNet by itself, at its own rate.

    A vocoder with `--like` sings the recording again (copy-synthesis), by voice `-s` if it is conditioned on singers.
    """
    console.refuse_missing_model(model)

    import torch

    import moksori
    from moksori import checkpoint
    from moksori.audio import files
    from moksori.soloist import Request, SoloOptions

    torch.set_num_threads(1)  # the steps of one sample are too small to share
    soloist = moksori.load_wavenet(model, checkpoint.check_device(device))
    references = {path: files.read(path) for path in [*(like or []), *([prime] if prime else [])]}
    primed = references[prime] if prime else None
    requests: list[Request] = []
    names: list[str] = []
    paths: list[Path | None] = [*like] if like else [None]
    voices: list[str | None] = [*singers] if singers else [None]
    for path, singer, number in itertools.product(paths, voices, range(count)):
        requests.append(Request(seconds, singer, references[path] if path else None, None, primed))
        names.append(
            ".".join(
                [path.stem if path else "clip", *([console.file_label(singer)] if singer else []), f"{number:02d}"]
            )
        )
    places = _places(output, names, force, [*references, model])
    console.make_folder(places[0].parent)
    with console.counted("generating") as progress:
        clips = soloist.generate_all(
            requests,
            SoloOptions(seed, temperature),
            lambda now: progress(Progress(round(100 * now.share), 100, "%")),
        )
    for place, request, clip in zip(places, requests, clips, strict=True):
        files.write(place, _behind(primed, clip) if primed is not None and keep_prime else clip)
        if as_json:
            typer.echo(json.dumps({"result": str(place), "singer": request.singer, "seconds": clip.seconds}))
        else:
            typer.echo(f"{place} ({clip.seconds:.1f} s at {clip.sample_rate} Hz)")


def conditioned(recipe: Recipe, tell: list[str] | None) -> Recipe:
    """The recipe with the conditioning of its WaveNet; None leaves it as it is.

    Raises:
        UserError: the recipe is of another kind of model, or there is no conditioning of that name.
    """
    from moksori.audio import features
    from moksori.models import kinds

    config = recipe.model
    if not kinds.are_of_solo(config):
        raise UserError(f"recipe {recipe.name or 'without a name'} trains a voice to convert to; use moksori train")
    if tell is None:
        return recipe
    unknown = sorted(set(tell) - set(CONDITIONINGS))
    if unknown:
        raise UserError(f"--tell {unknown[0]}: a WaveNet can be conditioned on {', '.join(CONDITIONINGS)}")
    window = min(features.WINDOWS, key=lambda samples: abs(samples / config.sample_rate - _MEL_SECONDS))
    changed = dataclasses.replace(
        config,
        singer_channels=(config.singer_channels or _SINGER_CHANNELS) if "singer" in tell else 0,
        is_melody_conditioned="melody" in tell or "phase" in tell,
        phase_hop_samples=_phase_hop(config) if "phase" in tell else 0,
        mel_window_samples=(config.mel_window_samples or window) if "mel" in tell else 0,
    )
    return dataclasses.replace(recipe, model=changed)


def _phase_hop(config: SoloConfig) -> int:
    """A hop for the phase: a step of bands, else the longest up to `_PHASE_SECONDS` that divides the melody's."""
    bands = config.decoder.bands
    if bands > 1:
        return bands
    longest = max(1, round(_PHASE_SECONDS * config.sample_rate))
    return max(hop for hop in range(1, longest + 1) if config.hop_samples % hop == 0)


def _places(output: Path, names: list[str], force: bool, read: list[Path]) -> list[Path]:
    """Where the clips go: one to a file, or all into a folder."""
    is_file = len(names) == 1 and output.suffix and not os.path.isdir(output)
    places = [output] if is_file else [output / f"{name}.flac" for name in names]
    if len(set(places)) < len(places):
        raise UserError("two recordings of --like have the same name; generate them in two calls")
    for place in places:
        console.refuse_to_overwrite(place, force, read)
    return places


def _behind(primed: Clip, clip: Clip) -> Clip:
    """A clip behind the recording that it goes on from."""
    import numpy as np

    from moksori.audio import resample
    from moksori.audio.clip import Clip

    before = resample.resample(primed.samples, primed.sample_rate, clip.sample_rate)
    return Clip(np.concatenate([before, clip.samples]), clip.sample_rate)
