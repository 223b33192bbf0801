"""Commands that are named in messages, help, READMEs and notes are commands that the command line takes."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from moksori.cli.app import app

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / "src").rglob("*.md")])

# Of those after a word and a colon, as in "Next: moksori train data -o RUN".
_AFTER_A_COLON = re.compile(r"\b(?:Next|Convert|Then|Listen|hear it): (moksori [^\n;`]+)")
_IN_TICKS = re.compile(r"`(moksori [^`]+)`", re.S)


def commands_in(text: str) -> Iterator[str]:
    """Commands in a text: between backticks, after a colon, and in blocks for a shell."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.S | re.M):
        joined = block.replace("\\\n", " ")
        for line in joined.splitlines():
            if line.strip().startswith("moksori "):
                yield line.split("  # ")[0].strip()
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M)
    yield from (" ".join(found.split()) for found in _IN_TICKS.findall(prose))
    yield from (found.strip() for found in _AFTER_A_COLON.findall(prose))


def messages_of(path: Path) -> Iterator[str]:
    """Texts in a source, help and errors among them, with a word where something is put in at run time."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in pieces and isinstance(node, ast.Constant):
            continue  # of a text that is put together
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{\w+\}", "0", node.value)


def refused(line: str) -> str:
    """Why the command line would not take a command; "" where it would.

    A verb by itself is a mention, and so is one with options only: then these must exist.
    """
    command: Any = typer.main.get_command(app)
    whole = shlex.split(line, comments=True)[1:]
    ours = itertools.takewhile(lambda word: word not in (">", "|"), whole)  # the rest is the shell's
    words = [word for word in ours if word not in ("...", "…")]
    while hasattr(command, "commands") and words and words[0] not in ("--help", "--version"):
        if words[0] not in command.commands:
            return f"no verb {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    takes_any = command.context_settings.get("ignore_unknown_options")  # a study reads its options itself
    if not words or {"--help", "--version"} & set(words) or takes_any:
        return ""
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if unknown := [
        word
        for word in words
        if word.startswith("-") and not re.match(r"-\d", word) and word.partition("=")[0] not in known
    ]:
        return f"no option {', '.join(unknown)}"
    if words[0].startswith("-") and len(words) <= 2:
        return ""
    try:
        command.make_context("moksori", list(words))
    except Exception as error:
        format_message = getattr(error, "format_message", None)  # what the command line would print
        return format_message() if format_message else repr(error)
    return ""


def test_what_no_command_line_takes_is_found() -> None:
    """Once a message said `moksori prepare SONGS takes`, which lacks -o."""
    assert "'-o'" in refused("moksori prepare SONGS takes")
    assert refused("moksori prepare SONGS -o takes") == refused("moksori train --report") == refused("moksori") == ""
    assert refused("moksori prepair SONGS") == "no verb prepair"
    assert refused("moksori train takes -o x --four 2h") == "no option --four"
    assert list(
        commands_in("see `moksori info X`\n```sh\nmoksori doctor  # why\nls\n```\nNext: moksori train a -o b\n")
    ) == [
        "moksori doctor",
        "moksori info X",
        "moksori train a -o b",
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT / "src").as_posix())
def test_commands_in_messages_and_help_are_taken(path: Path) -> None:
    found = {line for text in messages_of(path) for line in commands_in(text)}
    assert {line: why for line in sorted(found) if (why := refused(line))} == {}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_pages_are_taken(path: Path) -> None:
    found = set(commands_in(path.read_text(encoding="utf-8")))
    assert {line: why for line in sorted(found) if (why := refused(line))} == {}
