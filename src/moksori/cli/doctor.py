"""`moksori doctor`: what this machine can do for Moksori, a test of each stage, and what to do about what fails."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len

from moksori import language
from moksori.cli import console
from moksori.language import Words

if TYPE_CHECKING:
    from moksori.checkup import Check


def command(
    lang: console.Language = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, in English.")] = False,
) -> None:
    """Test this installation: packages, extras, devices, disk, the engine, and each stage of a conversion.

    It reads, tracks, encodes, sings and writes two seconds of sound, and says of whatever fails what to do; the exit
    code is then 1. The first call also tries the engine out, which takes about half a minute; the answer is remembered.
    """
    if as_json:
        answer = _data()
        typer.echo(json.dumps(answer, indent=2))
        well = answer["is_well"]
    else:
        well = _told(Words(language.choose(lang)))
    if not well:
        raise typer.Exit(1)


def _data() -> dict[str, Any]:
    """What a program asks for, as numbers, flags and lists."""
    import torch

    import moksori
    from moksori import benchmark, checkup
    from moksori.data import threads
    from moksori.generation.engine import trial

    verdict = trial.verdict()
    extras = {}
    for name, extra in checkup.EXTRAS.items():
        missing = checkup.missing_modules(extra)
        extras[name] = {
            "is_installed": not missing,
            "missing_modules": missing,
            "gives": extra.gives,
            "install": f"pip install 'moksori[{name}]'",
            "megabytes": extra.megabytes,
        }
    checks = [dataclasses.asdict(check) for check in checkup.run(say=Words("en"))]
    return {
        "moksori": moksori.__version__,
        "processor": benchmark.machine()["processor"],
        "n_cores": threads.n_cores(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "engine": {
            "is_used": bool(verdict.precisions),
            "vectors": verdict.tier,
            "arithmetics": dict(zip(verdict.precisions, verdict.arithmetics, strict=True)),
            "usual_precision": verdict.usual_precision if verdict.precisions else None,
            "reason": verdict.reason,
        },
        "extras": extras,
        "checks": checks,
        "is_well": all(check["is_well"] for check in checks),
    }


def _told(say: Words) -> bool:
    """The same in words, each check as soon as it is done; whether all is well."""
    import torch

    import moksori
    from moksori import benchmark, checkup
    from moksori.generation.engine import trial

    engine = benchmark.engine_in_words(trial.verdict(), say)
    found = {"moksori": moksori.__version__, **benchmark.machine(), "engine": engine}
    for name, extra in checkup.EXTRAS.items():
        missing = checkup.missing_modules(extra)
        found[f"extra [{name}]"] = (
            say(
                "missing {modules} ({gives}); {command}, {n} MB on the disk",
                modules=", ".join(missing),
                gives=say(extra.gives),
                command=f"pip install 'moksori[{name}]'",
                n=extra.megabytes,
            )
            if missing
            else say("there ({gives})", gives=say(extra.gives))
        )
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name(0)
    _print(found, say)
    checks = []
    for check in checkup.run(say=say):
        checks.append(check)
        _print({check.name: _in_words(check, say)}, say, width=max(cell_len(_head(name, say)) for name in found))
    unwell = [check for check in checks if not check.is_well]
    failed = say("{n} of {total} checks failed", n=len(unwell), total=len(checks))
    typer.echo("\n" + (failed if unwell else say("All is well.")))
    return not unwell


def _in_words(check: Check, say: Words) -> str:
    took = say(", {n} s", n=f"{check.seconds:.1f}") if check.seconds else ""
    if check.is_well:
        return say("well: {found}", found=check.found) + took
    return say("FAILED: {found}", found=check.found) + f"\n  -> {check.advice}"


def _head(name: str, say: Words) -> str:
    kind, _, which = name.partition(" ")
    return f"{say(kind)} {which}" if kind in ("extra", "package") else say(name)


def _print(found: dict[str, str], say: Words, width: int = 0) -> None:
    heads = {name: _head(name, say) for name in found}
    width = max(width, *map(cell_len, heads.values()))
    for name, value in found.items():
        head = heads[name] + " " * (width - cell_len(heads[name]) + 2)
        typer.echo(console.harmless(console.beside(head, value, sys.stdout)))
