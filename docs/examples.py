"""A Markdown extension for the API reference: examples in docstrings (`>>> ...`) become code instead of quotations."""

from __future__ import annotations

import re

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

_FENCE = re.compile(r"^\s*(```|~~~)")


class _Fenced(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        """Put a fence around each stretch from `>>> ` to the next empty line."""
        told: list[str] = []
        is_code = is_example = False
        for line in [*lines, ""]:
            if _FENCE.match(line):
                is_code = not is_code
            if not is_code and not is_example and line.lstrip().startswith(">>> "):
                told += ["", "```pycon"]
                is_example = True
            if is_example and not line.strip():
                told += ["```", ""]
                is_example = False
            told.append(line)
        return told[:-1]


class Examples(Extension):
    """See the module."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Register before fenced code is taken out of the text."""
        md.preprocessors.register(_Fenced(md), "examples", 40)


def makeExtension(**options: object) -> Examples:
    """What Markdown looks for in a module of extensions."""
    return Examples(**options)
