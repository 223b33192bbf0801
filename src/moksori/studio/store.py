"""The studio's folder: what users brought and what became of it, under names that the studio gives.

FOLDER/
songs/ID/      song.json, source.*, outline.json, tracked.f0.csv, melody.f0.csv (edited by hand), listen.flac
jobs/ID/       job.json, result.*, outline.json, tracked.f0.csv, melody.f0.csv (as edited when it was asked for)
voices/ID/     voice.json, model.safetensors
enrolments/ID/ enrolment.json, takes/*, until the singer is in a voice
trainings/ID/  training.json, takes/SINGER/*, data/, run/, log.txt

A name that a client sends is kept as text, to be shown; no path is ever made of it.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moksori import atomic, documents, ownership
from moksori.errors import UserError
from moksori.studio.words import StudioError

SONGS, JOBS, VOICES, ENROLMENTS, TRAININGS = "songs", "jobs", "voices", "enrolments", "trainings"
_FIRST = (SONGS, JOBS, VOICES, TRAININGS)  # a folder that has these is a studio's, of before enrolments, too
_KINDS = {kind: f"{kind.removesuffix('s')}.json" for kind in (*_FIRST, ENROLMENTS)}
_ID = re.compile(r"[0-9a-f]{16}")
TRACKED = "tracked.f0.csv"  # the melody as the tracker found it, of a song or of a result
_OLD_TRACKED = "heard.f0.csv"  # its name before 2026-11-27
_LONGEST_NAME = 120  # characters of a name that is shown
_SINGER = re.compile(r"\w[\w -]{0,38}\w|\w")  # a name that is a folder on every system
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}

Record = dict[str, Any]
"""What is known of a thing: its `id`, its `name`, when it was `added` (seconds since 1970), and more; JSON."""


class Store:
    """The studio's folder.

    Raises:
        UserError: the folder cannot be made, or holds anything and is no studio's.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            if not all((root / kind).is_dir() for kind in _FIRST) and (others := ownership.others_in(root)):
                raise UserError(
                    f"{root}: holds {', '.join(others[:3])} and is no folder of a studio; give another with --folder"
                )
            for kind in _KINDS:
                (root / kind).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror
            raise UserError(f"{root}: cannot be the studio's folder ({reason}); give another with --folder") from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second studio out of the folder; the system lets go of the lock however the process ends.

        Raises:
            UserError: another studio has it.
        """
        with ownership.lock(self.root, "another studio is open in this folder; use that one, or give --folder another"):
            self._rename_old()
            yield

    def _rename_old(self) -> None:
        """Rename what earlier versions called otherwise, so that their folders go on."""
        for path in self.root.glob(f"*/*/{_OLD_TRACKED}"):
            path.replace(path.with_name(TRACKED))
        for kind in _KINDS:
            for record in self.all(kind):
                if "wish" in record or record.get("state") == "hearing":
                    renamed = {"request" if key == "wish" else key: value for key, value in record.items()}
                    if renamed.get("state") == "hearing":
                        renamed["state"] = "analysing"
                    self.put(kind, renamed)

    def new(self, kind: str, record: Record) -> Record:
        """Make a place for a thing, and write what is known of it."""
        made = {"id": secrets.token_hex(8), "added": round(time.time(), 3), **record}
        (self.root / kind / made["id"]).mkdir()
        self.put(kind, made)
        return made

    def put(self, kind: str, record: Record) -> None:
        """Write what is known of a thing, whole or not at all."""
        content = json.dumps(record, ensure_ascii=False, indent=1).encode("utf-8", "replace")
        atomic.write(self.folder(kind, record["id"]) / _KINDS[kind], content)

    def get(self, kind: str, number: str) -> Record | None:
        """What is known of a thing; None where there is none, or nothing that can be read."""
        return None if not _ID.fullmatch(number) else _read(self.root / kind / number / _KINDS[kind])

    def known(self, kind: str, number: str) -> Record:
        """The same where there has to be one.

        Raises:
            StudioError: there is none.
        """
        record = self.get(kind, number)
        if record is None:
            raise StudioError(f"error.no_{kind.removesuffix('s')}", 404)
        return record

    def all(self, kind: str) -> list[Record]:
        """All things of a kind, the newest first."""
        folders = [path for path in (self.root / kind).iterdir() if _ID.fullmatch(path.name)]
        found = [record for path in folders if (record := _read(path / _KINDS[kind])) is not None]
        return sorted(found, key=lambda record: (-record["added"], record["id"]))

    def folder(self, kind: str, number: str) -> Path:
        """The folder of a thing.

        Raises:
            ValueError: not one of our names.
        """
        if not _ID.fullmatch(number):
            raise ValueError(f"{number!r} is no name of the studio's")
        return self.root / kind / number

    def remove(self, kind: str, number: str) -> None:
        """Remove a thing and all that belongs to it; one that is not there is gone already."""
        shutil.rmtree(self.folder(kind, number), ignore_errors=True)


def _read(path: Path) -> Record | None:
    try:
        found = documents.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_record = isinstance(found, dict) and found.get("id") == path.parent.name
    return found if is_record and isinstance(found.get("added"), int | float) else None


def shown_name(name: str) -> str:
    """A name as it is shown: the last part of a path, without control characters, not too long.

    >>> shown_name("C:\\\\songs\\\\아리랑.mp3"), shown_name("../../etc/passwd"), shown_name("\\n")
    ('아리랑.mp3', 'passwd', '?')
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C").strip()
    stem, dot, suffix = kept.rpartition(".")
    if len(kept) > _LONGEST_NAME:
        kept = stem[: _LONGEST_NAME - 10] + dot + suffix[:9] if stem and len(suffix) < 9 else kept[:_LONGEST_NAME]
    return kept or "?"


def singer_name(name: str) -> str:
    """A singer's name as it is kept, without spaces around it.

    Raises:
        StudioError: it cannot be a folder's.

    >>> singer_name(" 미나 ")
    '미나'
    """
    found = unicodedata.normalize("NFC", name.strip())
    if not _SINGER.fullmatch(found) or found.lower() in _RESERVED:
        raise StudioError("error.singer_name", name=shown_name(found))
    return found
