"""Tables and pictures go to their place in a page and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from moksori.errors import UserError
from moksori_studies import pages


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# A\n<!-- one -->\nold\n<!-- /one -->\n<!-- two -->\n<!-- /two -->\nend\n", encoding="utf-8")
    for _ in range(2):  # the second time changes nothing
        pages.put(page, "one", "new")
        assert page.read_text(encoding="utf-8") == (
            "# A\n<!-- one -->\nnew\n<!-- /one -->\n<!-- two -->\n<!-- /two -->\nend\n"
        )


@pytest.mark.parametrize("text", [None, "no place\n", "<!-- x -->\n<!-- /x -->\n<!-- x -->\n<!-- /x -->\n"])
def test_a_page_without_one_place_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.md").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.md: expected one place for the results, <!-- x --> \.\.\. <!-- /x -->"):
        pages.put(tmp_path / "a.md", "x", "new")


def test_the_same_picture_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        figure, (axis,) = pages.panels(1)
        axis.plot([1, 2], label="line")
        pages.label(axis, "x", "y")
        (tmp_path / name).mkdir()
        pages.write_svg(figure, tmp_path / name / "p.svg")
    text = (tmp_path / "a" / "p.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "b" / "p.svg").read_text(encoding="utf-8")
    assert ">line<" in text
