"""The notebook of the docs runs from the first cell to the last, and what it ends cells with shows itself."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CELLS = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]


def run(cell: dict[str, Any], names: dict[str, Any]) -> object:
    """Execute a cell as a notebook does; the value of its last expression."""
    *statements, last = ast.parse("".join(cell["source"])).body
    is_shown = isinstance(last, ast.Expr)
    exec(compile(ast.Module(statements if is_shown else [*statements, last], []), cell["id"], "exec"), names)
    return eval(compile(ast.Expression(last.value), cell["id"], "eval"), names) if isinstance(last, ast.Expr) else None


def run_all(desk: Path, *, is_slow: bool) -> list[object]:
    (desk / "demo").symlink_to(ROOT / "demo")
    names: dict[str, Any] = {}
    chosen = [cell for cell in CELLS if cell["cell_type"] == "code"]
    tagged = [cell for cell in chosen if "slow" in cell["metadata"].get("tags", [])]
    assert 0 < len(tagged) < len(chosen)
    return [run(cell, names) for cell in chosen if is_slow or cell not in tagged]


def test_no_output_is_kept_and_both_languages_are_there() -> None:
    assert all(not cell["outputs"] for cell in CELLS if cell["cell_type"] == "code")
    for cell in CELLS:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            assert any("가" <= letter <= "힣" for letter in text) and any("a" <= letter <= "z" for letter in text)


def test_cells_run_and_show_a_voice_players_and_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    voice, song, sung, inside = run_all(tmp_path, is_slow=False)
    assert "kumi" in voice._repr_html_()  # type: ignore[attr-defined]
    assert all("<audio" in clip._repr_html_() for clip in (song, sung))  # type: ignore[attr-defined]
    assert isinstance(inside, dict) and inside["envelopes differ by, nepers"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("quick_judges")
def test_slow_cells_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    *_, voice, found, _ = run_all(tmp_path, is_slow=True)
    assert voice.provenance.steps == 20  # type: ignore[attr-defined]
    assert "What to do next" in found._repr_html_()  # type: ignore[attr-defined]
    assert "| open | 2 |" in capsys.readouterr().out
