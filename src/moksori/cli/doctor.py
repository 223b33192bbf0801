"""`moksori doctor`: what this machine can do for Moksori, a test of each stage, and what to do about what fails."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from moksori.cli import console


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Test this installation: packages, extras, devices, disk, the engine, and each stage of a conversion.

    It reads, tracks, encodes, sings and writes two seconds of sound, and says of whatever fails what to do; the exit
    code is then 1. The first call also tries the engine out, which takes about half a minute; the answer is remembered.
    """
    import torch

    import moksori
    from moksori import benchmark, checkup
    from moksori.generation.engine import trial

    engine = benchmark.engine_in_words(trial.verdict())
    found = {"moksori": moksori.__version__, **benchmark.machine(), "engine": engine}
    for name, extra in checkup.EXTRAS.items():
        missing = checkup.missing_modules(extra)
        found[f"extra [{name}]"] = (
            f"missing {', '.join(missing)} ({extra.gives}); pip install 'moksori[{name}]', "
            f"{extra.megabytes} MB on the disk"
            if missing
            else f"there ({extra.gives})"
        )
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name(0)
    if not as_json:
        _print(found)
    checks = []
    for check in checkup.run():
        checks.append(check)
        if not as_json:
            _print({check.name: _in_words(check)}, width=max(map(len, found)))
    unwell = [check for check in checks if not check.is_well]
    if as_json:
        told: dict[str, Any] = {
            **found,
            "checks": [dataclasses.asdict(check) for check in checks],
            "is_well": not unwell,
        }
        typer.echo(json.dumps(told, indent=2))
    else:
        typer.echo(f"\n{len(unwell)} of {len(checks)} checks failed" if unwell else "\nAll is well.")
    if unwell:
        raise typer.Exit(1)


def _in_words(check: Any) -> str:
    took = f", {check.seconds:.1f} s" if check.seconds else ""
    return f"well: {check.found}{took}" if check.is_well else f"FAILED: {check.found}\n  -> {check.advice}"


def _print(found: dict[str, str], width: int = 0) -> None:
    width = max(width, *map(len, found))
    for name, value in found.items():
        typer.echo(console.harmless(f"{name:<{width}}  {value}"))
