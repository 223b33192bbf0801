"""What is said in a terminal: names of songs are text, whatever letters they have."""

from __future__ import annotations

import io
import re

import pytest
import terminals
from rich.cells import cell_len

from moksori.cli import console

NAME = "\x1b[2J\x1b]0;owned\x07an\u202ea.wav"


@pytest.mark.parametrize("way", ["result", "say"])
def test_a_songs_name_is_no_command_to_a_terminal(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes in the names of files once reached the terminal, and could clear it."""
    with console.side_by_side([NAME]) as bars:
        getattr(bars, way)(f"{NAME} -> out")
    console.say(NAME)
    said = "".join(capsys.readouterr())
    assert "a.wav -> out" in said
    assert not any(letter in said for letter in "\x1b\x07\u202e")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_long_note_breaks_between_words_and_stays_under_its_mark(width: int) -> None:
    text = "  ! 민호: " + " ".join(["pauses", "음높이가", "dBFS"] * 12)
    lines = console.wrap(text, width).split("\n")
    assert max(map(cell_len, lines)) <= width < cell_len(text)
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == text.strip()


def test_a_path_longer_than_the_line_stays_whole() -> None:
    path = "a" * 70
    assert console.wrap(f"  note: {path} is none", 60) == f"  note: {path}\n        is none"
    assert console.wrap("Trained 3 steps.", 60) == "Trained 3 steps."


# A terminal of 80 columns, in which a result longer than a line is told while a bar stands there.
CONVERTED = """
from moksori.cli import console
from moksori.progress import Progress
with console.side_by_side(["song.flac"]) as bars:
    bars(Progress(0.5))
    bars.result("song.flac -> " + "long-" * 20 + "song.kumi.flac (33 s of sound)")
    bars.say("  note: sung an octave lower than the song")
    bars(Progress(1.0))
"""


def test_the_bar_of_a_conversion_eats_no_line_of_its_result() -> None:
    """At 80 columns the bar, drawn again, once erased the end of what was told past it."""
    shown = terminals.written(CONVERTED, 80)
    # A line stays where its end comes before the next erasure.
    kept = re.sub(r"[^\n]*\x1b\[2K", "", re.sub(r"\x1b\[(?!2K)[0-9;?]*[A-Za-z]", "", shown).replace("\r", ""))
    assert "song.kumi.flac (33 s of sound)\n" in kept
    assert "  note: sung an octave lower than the song\n" in kept


@pytest.mark.parametrize("head", ["terms of minho  ", "목소리의 조건  "])
def test_facts_stand_below_each_other_in_a_terminal(head: str) -> None:
    """Parameters and terms were once cut through words at the edge of the terminal."""
    text = "Trained on recordings of anna, minho; no terms were stated. Ask the singers."
    program = f"import sys; from moksori.cli import console; print(console.beside({head!r}, {text!r}, sys.stdout))"
    lines = [line.rstrip("\r") for line in terminals.written(program, 60).rstrip().split("\n")]
    assert len(lines) == 2 and lines[0].startswith(head) and all(cell_len(line) <= 60 for line in lines)
    assert lines[1].startswith(" " * cell_len(head))
    assert " ".join(" ".join(lines).split()) == f"{head.strip()} {text}"
    assert console.beside(head, text, io.StringIO()) == head + text
