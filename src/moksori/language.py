"""Localisation of reports, song pages and the data doctor: English sentences, and what they are in Korean.

English stands in the code; a language has a file `languages/<code>.toml` of pairs, English = translation.
"""

from __future__ import annotations

import os
from importlib import resources

from moksori import documents
from moksori.errors import UserError

LANGUAGES = ("en", "ko")
_ENVIRONMENT = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set counts, as POSIX has it


def choose(asked: str | None = None) -> str:
    """The language of a reader: the one asked for, else the environment's, else English.

    Raises:
        UserError: a language that we do not speak was asked for.
    """
    if asked is not None and asked not in LANGUAGES:
        raise UserError(f"unknown language {asked!r}; expected {' or '.join(LANGUAGES)}")
    locale = next((value for name in _ENVIRONMENT if (value := os.environ.get(name))), "")
    code = locale.split("_")[0].split(".")[0].lower()
    return asked or (code if code in LANGUAGES else "en")


class Words:
    """Says English sentences in a reader's language, with values in their places.

    What has no translation stays English.

    >>> Words("ko")("{n} conversions", n=3)
    '변환 3개'
    """

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._texts = table(language) if language != "en" else {}

    def __call__(self, text: str, **values: object) -> str:
        """The sentence. Its places are filled only where values are given, so other text may hold braces."""
        found = self._texts.get(text, text)
        return found.format(**values) if values else found


def table(language: str) -> dict[str, str]:
    """English -> translation."""
    path = resources.files("moksori").joinpath("languages", f"{language}.toml")
    return dict(documents.from_toml(path.read_text(encoding="utf-8")))


ENGLISH = Words()
