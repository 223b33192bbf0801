"""Singers of a model by name, read from the head of its file: a slip of the pen is an error before torch is loaded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from moksori import run_files
from moksori.errors import UserError


def singers_of(model: Path | None) -> list[str] | None:
    """Who sings in a model file, a run's folder, or the shipped voice; None where the head does not say."""
    file_of = run_files.shipped_voice() if model is None else run_files.model_file(model)
    names = run_files.header_value(file_of, "singers")
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def check(wanted: Iterable[str], known: list[str] | None) -> None:
    """Refuse singers that a model does not know, and say whom may have been meant.

    Raises:
        UserError: the first unknown one, who there is, and who is spelled like it.
    """
    for name in wanted if known else ():
        if name not in (known or ()):
            folded = {singer.casefold(): singer for singer in known or ()}
            close = difflib.get_close_matches(name.casefold(), folded, 1)
            meant = f"; did you mean {folded[close[0]]}?" if close else ""
            raise UserError(f"this model has no singer named {name!r}; it knows {', '.join(known or ())}{meant}")


def split(asked: list[str] | None, known: list[str] | None) -> list[str]:
    """The singers of `-s a -s b` and of `-s a,b`; a name that holds a comma itself stays whole.

    >>> split(["a,b", "c, d"], ["a", "b", "c, d"])
    ['a', 'b', 'c, d']
    """
    whole = set(known or ())
    parts = [[text] if text in whole else [part.strip() for part in text.split(",")] for text in asked or ()]
    return [name for part in parts for name in part if name]
