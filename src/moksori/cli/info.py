"""`moksori info`: what a model file holds, without running it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moksori import run_files
from moksori.cli import console
from moksori.errors import UserError

if TYPE_CHECKING:
    from moksori.presets import Preset


def command(
    model: console.VoiceFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    losses: Annotated[
        bool, typer.Option("--losses", help="Print the curves of a run as CSV: losses, held-out figures, scores.")
    ] = False,
) -> None:
    """Show singers, sizes, origin, terms and the last held-out figures of a model.

    `moksori info RUN --losses > losses.csv` is for spreadsheets and plots: a line a step, a column a figure.
    """
    if model is not None:
        console.refuse_missing_model(model)
    if losses:
        typer.echo(_curves(model), nl=False)
        return
    found = _facts(model or Path(str(run_files.shipped_voice())))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    origin, config = found["provenance"], found["config"]
    rows = {
        **_kind(config),
        "singers": ", ".join(found["singers"]),
        "sample rate": f"{config['sample_rate']} Hz",
        "parameters": "  ".join(f"{part} {count:,}" for part, count in found["parameters"].items()),
        **({"receptive field": f"{found['receptive_field']:,} samples"} if "receptive_field" in found else {}),
        **{f"range of {name}": _range_text(bounds) for name, bounds in origin["ranges"].items()},
        "made by": f"{origin['software']}, recipe {origin['recipe'] or 'without a name'}",
        "training": f"{origin['steps']:,} steps, {console.duration_text(origin['training_seconds'])}",
        "data": origin["data_fingerprint"][:16],
        **({"made of": "; ".join(origin["lineage"])} if origin["lineage"] else {}),
        "terms": origin["licence_note"] or "none stated",
        **{f"rights of {name}": origin["rights"].get(name, "none stated") for name in found["singers"]},
        **{f"preset {name}": _preset_text(said) for name, said in found["presets"].items()},
        **{f"held out: {name.replace('_', ' ')}": f"{value:.3f}" for name, value in origin["figures"].items()},
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(console.harmless(console.beside(f"{name:<{width}}  ", value, sys.stdout)))


def _curves(run: Path | None) -> str:
    """The curves of a run as CSV.

    Raises:
        UserError: it is no run, or has written nothing down yet.
    """
    from moksori.training.folder import RunFolder
    from moksori.training.logging import journal

    if run is None or not RunFolder(run).journal.is_file():
        raise UserError(f"{run or 'the shipped voice'}: has no journal; --losses asks for the folder of a training run")
    return journal.table(RunFolder(run).journal)


def _facts(path: Path) -> dict[str, Any]:
    from moksori import checkpoint, presets, settings

    model, provenance = checkpoint.read_model(run_files.model_file(path))
    return {
        "singers": list(model.singers.names),
        "config": settings.plain(model.config),
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()},
        **({} if model.config.receptive_field is None else {"receptive_field": model.config.receptive_field}),
        "provenance": settings.plain(provenance),
        "presets": {name: _said(preset) for name, preset in presets.of(path).items()},
    }


def _kind(config: dict[str, Any]) -> dict[str, str]:
    """What a WaveNet by itself is conditioned on; nothing of a voice, which is what most model files are."""
    if config["kind"] != "wavenet-alone":
        return {}
    melody = "is_melody_conditioned" if "is_melody_conditioned" in config else "is_told_melody"  # in files of before
    conditioning = {
        "who sings": config["singer_channels"],
        "pitch and loudness": config[melody],
        "the phase of the pitch": config.get("phase_hop_samples"),
        "log-mel (a vocoder)": config["mel_window_samples"],
    }
    return {
        "kind": "a WaveNet by itself",
        "conditioned on": ", ".join(name for name, on in conditioning.items() if on) or "nothing",
    }


def _said(preset: Preset) -> dict[str, Any]:
    return {**({"about": preset.about} if preset.about else {}), **preset.options}


def _preset_text(said: dict[str, Any]) -> str:
    options = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items() if name != "about")
    return f"{options or 'as usual'}{' (' + said['about'] + ')' if 'about' in said else ''}"


def _range_text(bounds: dict[str, float]) -> str:
    from moksori.audio import pitch

    low, median, high = (pitch.note_name(bounds[name]) for name in ("low_hz", "median_hz", "high_hz"))
    return f"{low} to {high}, mostly around {median}"
