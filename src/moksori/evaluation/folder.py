"""Folder of a report: whose it is, and who is at work in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from moksori import ownership
from moksori.data import prepare
from moksori.errors import UserError
from moksori.evaluation import sounds
from moksori.evaluation.report import data, pages

_FILES = (data.FILE, pages.HTML, pages.MARKDOWN)
_BUSY = "another evaluation is writing here; wait until it is done, or choose another folder with -o"


def refuse_other(folder: Path, command: str, force: bool) -> None:
    """Refuse to write a report into a folder that is none of ours, or in the place of one that somebody may still want.

    That of the same command, as it was written, is replaced: an evaluation that is repeated goes on where it stopped.

    Args:
        folder: of the report; need not exist.
        command: what makes the report, as its `Origin` will say.
        force: replace another one all the same.

    Raises:
        UserError: so it would be.
    """
    ownership.refuse_foreign(folder, data.FILE, "a report's folder", own=(sounds.FOLDER, pages.HTML, pages.MARKDOWN))
    if force:
        return
    for name in _FILES:
        if not ownership.is_ours(folder / name):
            ownership.refuse_to_overwrite(folder / name, force)
    if os.path.lexists(folder / data.FILE) and (before := data.load(folder).command) != command:
        raise UserError(
            f"{folder}: holds the report of another evaluation ({before}); use --force to replace it, or choose "
            "another folder with -o"
        )


@contextlib.contextmanager
def held(folder: Path, recordings: Path) -> Iterator[None]:
    """Keep other evaluations out of a report's folder, and whoever would change the recordings away from them.

    Args:
        folder: of the report; made, and gone again if it stays empty.
        recordings: the data folder.

    Raises:
        UserError: somebody else is at work there.
    """
    with prepare.in_use(recordings), ownership.held(folder, _BUSY):
        yield


def vouch(folder: Path) -> None:
    """Note that the report's files are as we wrote them, so that the same evaluation may replace them."""
    ownership.vouch(folder, _FILES)
