"""The voices of a studio: the shipped one, those that were brought as files or trained here, and those made of these.

A voice is made of another when a singer is taken up, renamed or left out: it is a new file, and the old one stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.requests import Request

from moksori import run_files
from moksori.errors import UserError
from moksori.studio.client import WorkerClient
from moksori.studio.events import Publish
from moksori.studio.schemas import SingersRequest
from moksori.studio.store import TRAININGS, VOICES, Record, Store, shown_name, singer_name
from moksori.studio.uploads import receive
from moksori.studio.words import StudioError

SHIPPED = "shipped"
MODEL_BYTES = 2 << 30
REPORT = Path("run/report/report.html")  # of a training
_FILE = "model.safetensors"


class Voices:
    """The voices of a studio."""

    def __init__(self, store: Store, worker: WorkerClient, publish: Publish) -> None:
        self._store, self._worker, self._publish = store, worker, publish
        self._cards: dict[tuple[str, int], dict[str, Any]] = {}

    def tidy(self) -> None:
        """Remove places for voices that did not come, because the server ended."""
        for record in self._store.all(VOICES):
            if not self._file(record).is_file():
                self._store.remove(VOICES, record["id"])

    def path(self, number: str) -> str | None:
        """The model file, or the folder of the run, of a voice; None for the shipped one.

        Raises:
            StudioError: no such voice.
        """
        if number == SHIPPED:
            return None
        if self._store.get(VOICES, number) is not None:
            return str(self._store.folder(VOICES, number) / _FILE)
        if self._store.get(TRAININGS, number) is not None:
            run = self._store.folder(TRAININGS, number) / "run"
            if run_files.model_file(run).is_file():
                return str(run)
        raise StudioError("error.no_voice", 404)

    def file(self, number: str) -> tuple[Path, str]:
        """The model file of a voice that can be exported, and the name that it is given.

        Raises:
            StudioError: no such voice, or the shipped one, which everybody has.
        """
        path = self.path(number)
        if path is None:
            raise StudioError("error.no_voice", 404)
        record = self._store.get(VOICES, number) or self._store.get(TRAININGS, number) or {"name": number}
        taken_up = [change["what"] for change in record.get("changes", []) if change["change"] == "enrolled"]
        return run_files.model_file(path), f"{'+'.join([Path(record['name']).stem or SHIPPED, *taken_up])}.safetensors"

    def names(self) -> list[Record]:
        """All voices, without their cards: the shipped one first, then the newest."""
        own = [{**record, "kind": _kind(record)} for record in self._store.all(VOICES) if self._file(record).is_file()]
        trained = [
            {
                "id": record["id"],
                "added": record["added"],
                "name": record["name"],
                "kind": "trained",
                "has_report": (self._store.folder(TRAININGS, record["id"]) / REPORT).is_file(),
            }
            for record in self._store.all(TRAININGS)
            if run_files.model_file(self._store.folder(TRAININGS, record["id"]) / "run").is_file()
        ]
        others = sorted([*own, *trained], key=lambda record: -record["added"])
        return [{"id": SHIPPED, "name": "", "added": 0, "kind": "shipped"}, *others]

    async def all(self) -> list[Record]:
        """All voices with their cards, or why a file cannot be used."""
        found = []
        for record in self.names():
            try:
                found.append({**record, "card": await self.card(record["id"])})
            except UserError as error:
                found.append({**record, "error": str(error)})
        return found

    async def card(self, number: str) -> dict[str, Any]:
        """What the file of a voice tells.

        Raises:
            StudioError: no such voice.
            UserError: the file is no voice.
        """
        path = self.path(number)
        stamp = 0 if path is None else run_files.model_file(path).stat().st_mtime_ns
        key = (path or "", stamp)
        if key not in self._cards:
            self._cards[key] = await self._worker.call("card", voice=path)
        return self._cards[key]

    async def add(self, request: Request, name: str) -> Record:
        """Take a model file: it is read strictly, as the command line does, before it is kept.

        Raises:
            UserError: it is no voice.
        """
        name = shown_name(name)
        record = self._store.new(VOICES, {"name": name})
        file = self._store.folder(VOICES, record["id"]) / _FILE
        try:
            await receive(request, file, MODEL_BYTES)
            card = await self.card(record["id"])
        except StudioError:
            self._store.remove(VOICES, record["id"])
            raise
        except UserError as error:
            self._store.remove(VOICES, record["id"])
            raise UserError(str(error).replace(str(file), name)) from error
        return {**record, "kind": _kind(record), "card": card}

    @contextlib.contextmanager
    def new(self, base: str, change: str, what: str) -> Iterator[Path]:
        """A place for a voice that is made of another one, which stays as it is; no voice where that fails.

        Args:
            base: the voice that it is made of.
            change: "enrolled", "renamed" or "left_out".
            what: who that was.
        """
        of = next((record for record in self.names() if record["id"] == base), {"name": ""})
        changes = [*of.get("changes", []), {"change": change, "what": what}]
        record = self._store.new(VOICES, {"name": of["name"], "changes": changes})
        try:
            yield self._file(record)
        except BaseException:
            self._store.remove(VOICES, record["id"])
            raise
        self._publish("voice", record)

    async def change_singers(self, number: str, request: SingersRequest) -> Record:
        """Make a copy of a voice with other names, or without some singers.

        Raises:
            UserError: no such voice, or what is asked makes none.
        """
        path = self.path(number)
        renamed = {old: singer_name(new) for old, new in request.renamed.items()}
        change, names = ("renamed", [f"{old} → {new}" for old, new in renamed.items()]) if renamed else ("left_out", [])
        what = ", ".join([*names, *request.removed])
        with self.new(number, change, what) as destination:
            await self._worker.call(
                "change_singers",
                voice=path,
                destination=str(destination),
                renamed=renamed,
                removed=list(request.removed),
            )
        return {"id": destination.parent.name, "kind": "made"}

    def _file(self, record: Record) -> Path:
        return self._store.folder(VOICES, record["id"]) / _FILE

    def remove(self, number: str) -> None:
        """Remove a voice that was brought as a file, or made of another one.

        Raises:
            StudioError: it was not.
        """
        self._store.known(VOICES, number)
        self._store.remove(VOICES, number)


def _kind(record: Record) -> str:
    return "made" if "changes" in record else "imported"
