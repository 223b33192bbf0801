"""`moksori pack` and `moksori import`: a voice to pass on, and one that was received."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console
from moksori.errors import UserError

_SUFFIX = ".moksori.zip"


def pack(
    *,
    model: console.VoiceFile = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help=f"NAME{_SUFFIX}; without a suffix a folder, as a hub takes it.")
    ],
    report: Annotated[
        Path | None, typer.Option(help="Folder of an evaluation; its figures and words go along, no sounds.")
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite what is there.")] = False,
) -> None:
    """Put a voice with its card, terms, presets and figures into one file or folder, to pass on.

    No recording is in it. A voice whose terms are not stated is refused.
    """
    from moksori import ownership, run_files, sharing

    if output.suffix:
        console.refuse_to_overwrite(output, force, [] if model is None else [run_files.model_file(model)])
    else:
        ownership.refuse_foreign(output, sharing.MANIFEST, "a packed voice")
    files = sharing.contents(model, report)
    sharing.write(output, files, is_replaced=force)
    typer.echo(f"{output}: {', '.join(files)}, {sum(map(len, files.values())) / 1e6:.1f} MB")


def receive(
    package: Annotated[Path, typer.Argument(help="What moksori pack made: a file or a folder.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="NAME.safetensors; default: by the package's name, here.")
    ] = None,
    force: console.Force = False,
) -> None:
    """Check a voice that somebody packed, and put it here; nothing of it is run.

    Every file has to have the checksum that the package tells, and no other file may be in it.
    """
    from moksori import sharing

    name = package.resolve().name.removesuffix(_SUFFIX).removesuffix(".zip") or "voice"
    voice = output or Path(f"{name}.safetensors")
    if voice.suffix != ".safetensors":
        raise UserError(f"{voice}: a voice is a .safetensors file; name it so with -o")
    found = sharing.receive(package, voice, is_replaced=force)
    typer.echo(console.harmless(f"{found.voice}: {', '.join(found.singers)}"))
    console.say(console.harmless(f"terms: {found.terms or 'none stated'}"))
    for path in found.others:
        console.say(str(path))
