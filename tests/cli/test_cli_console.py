"""What is said in a terminal: names of songs are text, whatever letters they have."""

from __future__ import annotations

import pytest

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
