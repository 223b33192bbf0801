"""What a study found, as a table and a picture that a page can hold; the same results give the same text."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moksori import atomic
from moksori.errors import UserError

# Apart for colour-blind eyes (Okabe and Ito 2008), and from white and black.
COLOURS = ("#2f86b5", "#d95f3b", "#3a9d78", "#b8862b", "#a56a9e")
_INK = "#7f8693"  # is replaced by the colour of the page's own text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(table(["kind", "right"], [["lstm", "100 %"]]))
    | kind | right |
    | --- | --- |
    | lstm | 100 % |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands in a page between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        UserError: the page is not there or has no such place.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    whole = page.read_text(encoding="utf-8-sig") if page.exists() else ""
    if len(re.findall(f"{begin}.*?{end}", whole, re.S)) != 1:
        raise UserError(f"{page}: expected one place for the results, {begin} ... {end}; write it into the page")
    before, _, rest = whole.partition(begin)
    atomic.write(page, f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}".encode())


def panels(n: int, width: float = 3.4, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """An empty picture of `n` panels side by side, each so many inches."""
    figure = Figure(figsize=(n * width, height), layout="constrained")
    axes = [figure.add_subplot(1, n, i + 1) for i in range(n)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(colors=_INK)
        for spine in axis.spines.values():
            spine.set_color(_INK)
    return figure, axes


def label(axis: Axes, x: str, y: str, title: str = "") -> None:
    """Name the axes and the panel; explain the colours if any are named."""
    axis.set_xlabel(x, color=_INK)
    axis.set_ylabel(y, color=_INK)
    axis.set_title(title, color=_INK, fontsize=10)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, labelcolor=_INK, fontsize=8)


def write_svg(figure: Figure, path: Path) -> None:
    """Write the picture; its words stay text, its ink is that of the page around it, or grey where there is none."""
    content = io.StringIO()
    with rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    figure_text = "\n".join(line.rstrip() for line in content.getvalue().splitlines()) + "\n"
    atomic.write(path, figure_text.encode())
