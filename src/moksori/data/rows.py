"""Reader of CSV and TSV tables that people write."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from moksori.errors import DataError


def read(
    path: Path, required: Sequence[str], optional: Sequence[str], *, is_open: bool = False
) -> list[dict[str, str]]:
    """Read the rows of a table.

    Args:
        path: a CSV with a head, or a TSV by its suffix.
        required: columns that must be there.
        optional: columns that may be.
        is_open: it may have any others, too.

    Returns:
        Text by column; blanks around it are gone.

    Raises:
        DataError: it cannot be read, lacks a column, or has one that is not known.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            columns = list(reader.fieldnames or ())
            rows = [{key: (row[key] or "").strip() for key in columns} for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}") from None
    missing = [column for column in required if column not in columns]
    unknown = [column for column in columns if column not in (*required, *optional)]
    if missing or (unknown and not is_open):
        wrong = f"no column {', '.join(missing)}" if missing else f"unknown column {', '.join(unknown)}"
        raise DataError(
            f"{path}: {wrong}; expected {', '.join(required)} and perhaps {', '.join(optional) or 'no more'}"
        )
    return rows
