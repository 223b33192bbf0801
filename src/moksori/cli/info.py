"""`moksori info`: what a model file holds, without running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from moksori.cli import console


def command(
    model: Annotated[Path, typer.Argument(help="Model file, or the folder of a training run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show singers, sizes, origin, terms and the last held-out figures of a model."""
    found = _facts(model)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    origin, config = found["provenance"], found["config"]
    rows = {
        "singers": ", ".join(found["singers"]),
        "sample rate": f"{config['sample_rate']} Hz",
        "parameters": "  ".join(f"{part} {count:,}" for part, count in found["parameters"].items()),
        **({"receptive field": f"{found['receptive_field']:,} samples"} if "receptive_field" in found else {}),
        **{f"range of {name}": _range_text(bounds) for name, bounds in origin["ranges"].items()},
        "made by": f"{origin['software']}, recipe {origin['recipe'] or 'without a name'}",
        "training": f"{origin['steps']:,} steps, {console.duration_text(origin['training_seconds'])}",
        "data": origin["data_fingerprint"][:16],
        "terms": origin["licence_note"] or "none stated",
        **{f"held out: {name.replace('_', ' ')}": f"{value:.3f}" for name, value in origin["figures"].items()},
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(f"{name:<{width}}  {value}")


def _facts(path: Path) -> dict[str, Any]:
    import moksori
    from moksori import settings
    from moksori.models.autoencoder import Autoencoder

    voice = moksori.load(path)
    model = voice.model
    return {
        "singers": list(voice.singers),
        "config": settings.plain(model.config),
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()},
        **({"receptive_field": model.config.decoder.receptive_field} if isinstance(model, Autoencoder) else {}),
        "provenance": settings.plain(voice.provenance),
    }


def _range_text(bounds: dict[str, float]) -> str:
    from moksori.audio import pitch

    low, median, high = (pitch.note_name(bounds[name]) for name in ("low_hz", "median_hz", "high_hz"))
    return f"{low} to {high}, mostly around {median}"
