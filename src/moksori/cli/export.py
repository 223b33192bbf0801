"""`moksori export`: a voice for programs that have no torch."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from moksori.cli import console
from moksori.errors import UserError


def command(
    *,
    model: console.VoiceFile = None,
    onnx: Annotated[Path, typer.Option("--onnx", help="Folder for the ONNX files and voice.json; made if need be.")],
    force: console.Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the files as a JSON list.")] = False,
) -> None:
    """Write the nets of a voice as ONNX, run by onnxruntime; for voices of recipe swift.

    The files hold no code of ours; voice.json tells sizes, singers and terms. demo/sing_by_onnx.py sings by them.
    """
    if onnx.exists() and not onnx.is_dir():
        raise UserError(f"{onnx}: is a file; name a folder with --onnx")
    there = [path for path in (onnx / "voice.json", *sorted(onnx.glob("*.onnx"))) if path.exists()]
    if there and not force:
        raise UserError(f"{there[0]}: exists already; use --force to overwrite it, or another folder")
    from moksori import checkpoint, export, run_files

    with resources.as_file(run_files.shipped_voice() if model is None else run_files.model_file(model)) as path:
        read, provenance = checkpoint.read_model(path)
    console.make_folder(onnx)
    written = export.write(onnx, read, provenance, lambda name: console.say(f"{name}.onnx"))
    if as_json:
        typer.echo(json.dumps([str(path) for path in written]))
    else:
        size = sum(path.stat().st_size for path in written) / 1e6
        typer.echo(f"{onnx}: {len(written)} files, {size:.1f} MB, ONNX opset {export.OPSET}")
