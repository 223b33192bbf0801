"""The command `moksori`: its verbs, its exit codes, and the one place where errors become messages."""

from __future__ import annotations

import atexit
import gc
import inspect
import io
import os
import sys

import typer

import moksori
from moksori import surroundings
from moksori.cli import (
    bench,
    compare,
    console,
    convert,
    doctor,
    enroll,
    evaluate,
    export,
    info,
    listen,
    live,
    pack,
    prepare,
    separator,
    singers,
    studio,
    study,
    sweep,
    train,
    verify,
    wavenet,
)
from moksori.errors import UserError

# Waiting threads that spin bring torch to a crawl as soon as a neighbour wants a core. Read when torch is first loaded,
# which the verbs do when they are called.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    name="moksori",
    help="Unsupervised singing voice conversion: folders of recordings in, the same song in another voice out.",
    epilog=(
        "Exit codes: 0 done; 1 something you can put right (the message says what); 2 wrong usage; 3 a sound file; "
        "4 the data; 5 a model file; 6 training went astray; 7 some files of a batch failed; 130 interrupted."
    ),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"moksori {moksori.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command("prepare")(prepare.command)
app.command("train")(train.command)
app.command("enroll")(enroll.command)
app.command("convert")(convert.command)
app.command("evaluate")(evaluate.command)
app.command("compare")(compare.command)
app.add_typer(listen.app, name="listen")
app.command("live")(live.command)
app.command("separator")(separator.command)
app.command("export")(export.command)
app.command("pack")(pack.pack)
app.command("import")(pack.receive)
app.command("sweep")(sweep.command)
app.command("info")(info.command)
app.command("singers")(singers.command)
app.command("bench")(bench.command)
app.command("doctor")(doctor.command)
app.command("verify")(verify.command)
app.command("studio")(studio.command)
app.add_typer(wavenet.app, name="wavenet")
app.command("study", context_settings=study.SETTINGS)(study.command)


def _unwrap(verbs: typer.Typer) -> None:
    """Take the line ends of the source out of the paragraphs of help, which a terminal breaks to its own width."""
    for verb in verbs.registered_commands:
        if verb.help is None and verb.callback is not None:
            paragraphs = (inspect.getdoc(verb.callback) or "").split("\n\n")
            verb.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
    for group in verbs.registered_groups:
        if group.typer_instance is not None:
            _unwrap(group.typer_instance)


_unwrap(app)


def main() -> None:
    """Run the command line; a `UserError` becomes a message and its exit code, any other error keeps its traceback."""
    # The interpreter's last collections would look at every object of torch, half a second, to free what ends anyway.
    atexit.register(gc.freeze)
    surroundings.in_utf8()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file need not be text
    surroundings.before_pictures()
    try:
        app(prog_name="moksori")
    except UserError as error:
        typer.secho(console.harmless(f"moksori: {error}"), fg="red", err=True)
        sys.exit(error.exit_code)
