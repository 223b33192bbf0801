"""Localisation of the pages: one file of strings, `words.toml`, and which language a reader wants."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

from moksori import documents
from moksori.errors import UserError

LANGUAGES = {"en": "English", "ko": "한국어"}


@functools.cache
def all_words() -> dict[str, dict[str, str]]:
    """Language -> key -> text; every key in every language."""
    table = documents.from_toml(resources.files("moksori.studio").joinpath("words.toml").read_text(encoding="utf-8"))
    return {language: {key: texts[language] for key, texts in table.items()} for language in LANGUAGES}


def language_for(asked: str | None, accepted: str) -> str:
    """The language of a reader: the one that was chosen, else the first that the browser accepts and we speak.

    >>> language_for(None, "fr;q=0.9, ko-KR;q=0.8, en;q=0.7"), language_for("en", "ko"), language_for("xx", "")
    ('ko', 'en', 'en')
    """
    if asked in LANGUAGES:
        return str(asked)
    for part in accepted.split(","):
        code = part.split(";")[0].strip().lower().split("-")[0]
        if code in LANGUAGES:
            return code
    return "en"


class StudioError(UserError):
    """Something that a user of the page can put right, said in the page's language.

    Args:
        key: of the words.
        status: of the HTTP answer.
        values: for the words' places.
    """

    def __init__(self, key: str, status: int = 400, **values: Any) -> None:
        self.key, self.status, self.values = key, status, values
        super().__init__(all_words()["en"][key].format(**values))
