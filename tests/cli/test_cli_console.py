"""What is said in a terminal: names of songs are text, whatever letters they have."""

from __future__ import annotations

import pytest
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
