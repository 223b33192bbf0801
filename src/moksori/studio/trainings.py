"""Trainings: takes, what the data doctor says of them, and runs that are processes of their own.

    new -> checking -> checked -> running -> done | paused | failed | stopped;  paused, failed, stopped, done -> running

"stopped" is one whose process is gone without a word: the machine was switched off. It goes on from its last save.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request

from moksori import documents, ownership, run_files, settings
from moksori.errors import UserError
from moksori.studio.client import WorkerClient
from moksori.studio.events import Publish
from moksori.studio.schemas import TrainingRequest
from moksori.studio.store import TRAININGS, Record, Store, shown_name, singer_name
from moksori.studio.trainer import ALIVE, ENDED, LOG
from moksori.studio.uploads import SONG_BYTES, checked_suffix, receive
from moksori.studio.voices import REPORT
from moksori.studio.words import StudioError
from moksori.training.logging import journal

_STOPPED_CODES = (130, -signal.SIGTERM, -signal.SIGINT)
_LOOK_SECONDS = 1.0  # between two looks at runs that are under way
_MOST_POINTS = 400  # of a curve
_MOST_SAMPLES = 12
_READ = "classifier_accuracy"  # of held-out figures: how often the confusion network itself names the singer
_LOG_BYTES = 4000  # of the log's end


VoicePath = Callable[[str], str | None]
"""From the id of a voice to its file; None for the shipped one."""


class Trainings:
    """The trainings of a studio."""

    def __init__(
        self, store: Store, worker: WorkerClient, voice_path: Callable[[str], str | None], publish: Publish
    ) -> None:
        self._store, self._worker, self._voice_path, self._publish = store, worker, voice_path, publish
        self._background: set[asyncio.Task[None]] = set()
        self._children: list[subprocess.Popen[bytes]] = []  # to be waited for when they end
        self._shares: dict[str, float] = {}

    def start_watching(self) -> None:
        """Look after runs from now on; a check that was under way when the server ended is to be asked for again."""
        for record in self._store.all(TRAININGS):
            if record["state"] == "checking":
                self._changed({**record, "state": "new"})
        self._run(self._watch())

    async def stop_watching(self) -> None:
        """Leave the runs to themselves."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def all(self) -> list[Record]:
        """All trainings, the newest first, with how far they are."""
        return [self._with_progress(record) for record in self._store.all(TRAININGS)]

    def get(self, number: str) -> Record:
        """What is known of a training.

        Raises:
            StudioError: no such training.
        """
        return self._store.known(TRAININGS, number)

    def details(self, number: str) -> Record:
        """The same with how far it is, its curves, scores and samples."""
        record = self.get(number)
        return {**self._with_progress(record), **self._curves(record), "log": self._log_end(record)}

    def add(self, name: str) -> Record:
        """A new training without takes."""
        record = self._store.new(TRAININGS, {"name": shown_name(name), "takes": [], "state": "new", "doctor": None})
        self._changed(record)
        return record

    async def add_take(self, number: str, request: Request, name: str, singer: str) -> Record:
        """Take a recording of a singer.

        Raises:
            StudioError: the training has begun, or the singer's name cannot be a folder's.
        """
        self._not_begun(self.get(number))
        singer, name = singer_name(singer), shown_name(name)
        file = f"{secrets.token_hex(6)}{checked_suffix(name)}"
        folder = self.folder(number) / "takes" / singer
        folder.mkdir(parents=True, exist_ok=True)
        n_bytes = await receive(request, folder / file, SONG_BYTES)
        record = self._not_begun(self.get(number))  # others may have brought theirs meanwhile
        take = {"file": file, "singer": singer, "name": name, "n_bytes": n_bytes}
        record |= {"takes": [*record["takes"], take], "state": "new", "doctor": None}
        self._changed(record)
        return self._with_progress(record)

    def remove_take(self, number: str, file: str) -> Record:
        """Remove a recording."""
        record = self._not_begun(self.get(number))
        for take in record["takes"]:
            if take["file"] == file:
                (self.folder(number) / "takes" / take["singer"] / take["file"]).unlink(missing_ok=True)
        record |= {"takes": [take for take in record["takes"] if take["file"] != file], "state": "new", "doctor": None}
        self._changed(record)
        return self._with_progress(record)

    def check(self, number: str) -> Record:
        """Have the takes prepared, and ask the data doctor."""
        record = self._not_begun(self.get(number))
        if not record["takes"]:
            raise StudioError("error.no_takes")
        record |= {"state": "checking", "error": ""}
        self._changed(record)
        self._run(self._check(record))
        return self._with_progress(record)

    def start(self, number: str, request: TrainingRequest) -> Record:
        """Start a training, or go on with it.

        Raises:
            StudioError: it was not checked, is under way, or the voice that it is to begin from is not there.
        """
        record, folder = self.get(number), self.folder(number)
        if record["doctor"] is None:
            raise StudioError("error.not_checked", 409)
        if self._is_alive(number):
            raise StudioError("error.training_runs", 409)
        if (run := folder / "run" / run_files.RECIPE).is_file():
            recipe, base = str(run), []  # a run keeps its own
        else:
            recipe = record["recipe"] = request.recipe
            base = ["--from", self._voice_path(request.base) or run_files.BASE] if request.base else []
        (folder / ENDED).unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "moksori", "train", str(folder / "data"), "-o", str(folder / "run")]
        command += ["--recipe", recipe, *base, "--for", f"{round(request.minutes * 60)}s", "--json"]
        command += ["--licence", request.licence] if request.licence else []
        command += ["--report"] if request.is_judged else []
        with self._alive_lock(number) as lock:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "moksori.studio.trainer", str(folder), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[lock],
                start_new_session=True,  # it neither ends with the server nor hears its Ctrl-C
            )
        self._children.append(child)
        record |= {"state": "running", "pid": child.pid, "request": settings.plain(request), "error": ""}
        self._changed(record)
        return self._with_progress(record)

    def pause(self, number: str) -> Record:
        """Have a training save and stop."""
        record = self.get(number)
        if self._is_alive(number):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(record["pid"], signal.SIGTERM)
        return self._with_progress(record)

    def remove(self, number: str) -> None:
        """Remove a training, its takes and its voice.

        Raises:
            StudioError: it is under way; pause it first.
        """
        self.get(number)
        if self._is_alive(number):
            raise StudioError("error.training_runs", 409)
        self._store.remove(TRAININGS, number)
        self._publish("training", {"id": number, "state": "removed"})

    def data(self, number: str) -> Path:
        """Its recordings, prepared.

        Raises:
            StudioError: no such training, or it was not checked.
        """
        if self.get(number)["doctor"] is None:
            raise StudioError("error.not_checked", 409)
        return self.folder(number) / "data"

    def folder(self, number: str) -> Path:
        """Where a training lies."""
        return self._store.folder(TRAININGS, number)

    def sample(self, number: str, name: str) -> Path:
        """A converted clip of a run.

        Raises:
            StudioError: no such clip.
        """
        found = {path.name: path for path in self._samples(number)}
        if name not in found:
            raise StudioError("error.no_result", 404)
        return found[name]

    def _not_begun(self, record: Record) -> Record:
        """Refuse to change the data of a run."""
        if record["state"] not in ("new", "checked"):
            raise StudioError("error.training_begun", 409)
        return record

    async def _check(self, record: Record) -> None:
        folder = self.folder(record["id"])
        names = {f"{take['singer']}/{take['file']}": f"{take['singer']}/{take['name']}" for take in record["takes"]}

        def on_share(share: float) -> None:
            self._shares[record["id"]] = share
            self._publish("training", self._with_progress(record))

        try:
            takes, data = str(folder / "takes"), str(folder / "data")
            found = await self._worker.call("prepare", "data", on_share, takes=takes, data=data)
            text = json.dumps(found)
            for path, name in names.items():
                text = text.replace(json.dumps(path)[1:-1], json.dumps(name)[1:-1])
            record = {**record, "doctor": documents.from_json(text), "state": "checked"}
        except UserError as error:
            words = str(error)
            for path, name in names.items():
                words = words.replace(path, name)
            record = {**record, "state": "new", "error": words.replace(f"{folder}/", "")}
        self._shares.pop(record["id"], None)
        if self._store.get(TRAININGS, record["id"]) is not None:
            self._changed(record)

    async def _watch(self) -> None:
        """Publish how runs that are under way go, and when they end."""
        seen: dict[str, tuple[Any, ...]] = {}
        while True:
            self._children = [child for child in self._children if child.poll() is None]
            for record in self._store.all(TRAININGS):
                if record["state"] == "running":
                    number = record["id"]
                    if not self._is_alive(number):
                        self._ended(record)
                        continue
                    mark = tuple(
                        _size(path) for path in (self._run_of(number) / run_files.JOURNAL, self.folder(number) / LOG)
                    )
                    if seen.get(number) != mark:
                        seen[number] = mark
                        self._publish("training", self._with_progress(record))
            await asyncio.sleep(_LOOK_SECONDS)

    def _ended(self, record: Record) -> None:
        """A run that was under way is not any more: how it ended."""
        try:
            code = documents.from_json((self.folder(record["id"]) / ENDED).read_text(encoding="utf-8"))["code"]
        except (OSError, ValueError, KeyError):
            code = None
        states: dict[int | None, str] = {None: "stopped", 0: "done", **dict.fromkeys(_STOPPED_CODES, "paused")}
        record = {**record, "state": states.get(code, "failed")}
        if record["state"] == "failed":
            lines = [line for line in self._log_end(record).splitlines() if line.strip() and not line.startswith("{")]
            record["error"] = lines[-1].removeprefix("moksori: ") if lines else ""
            record["error"] = record["error"].replace(f"{self.folder(record['id'])}/", "")
        self._changed(record)

    def _alive_lock(self, number: str) -> contextlib.AbstractContextManager[int]:
        """A lock that whoever inherits it holds until its end."""
        return ownership.lock_file(self.folder(number) / ALIVE)

    def _is_alive(self, number: str) -> bool:
        try:
            with self._alive_lock(number):
                return False
        except BlockingIOError:
            return True

    def _run_of(self, number: str) -> Path:
        return self.folder(number) / "run"

    def _with_progress(self, record: Record) -> Record:
        """A training with the share that is done, and its losses as of now.

        Of a run that stands, the last save is later than the last line of losses: judges may have listened between.
        """
        known = {**record, "share": self._shares.get(record["id"], 0.0)}
        if "request" not in record:
            return known
        if (last := self._last_losses(record["id"])) is not None:
            known |= {"step": last["step"], "seconds": last["seconds"], "losses": last["losses"]}
        saved = run_files.header_value(self._run_of(record["id"]) / run_files.MODEL, "provenance")
        if saved and record["state"] != "running":
            known["step"] = max(known.get("step", 0), saved["steps"])
            known["seconds"] = max(known.get("seconds", 0.0), saved["training_seconds"])
        if "seconds" in known:
            known["share"] = min(1.0, known["seconds"] / (60 * record["request"]["minutes"]))
        return known

    def _last_losses(self, number: str) -> dict[str, Any] | None:
        path = self._run_of(number) / run_files.JOURNAL
        for line in reversed(_end_of(path, 20_000).splitlines()):
            with contextlib.suppress(ValueError):
                entry = documents.from_json(line)
                if entry.get("event") == "losses":
                    return dict(entry)
        return None

    def _curves(self, record: Record) -> Record:
        path = self._run_of(record["id"]) / run_files.JOURNAL
        entries = list(journal.read(path)) if path.is_file() else []
        losses = [entry for entry in entries if entry["event"] == "losses"]
        stride = max(1, len(losses) // _MOST_POINTS)
        thin = losses[::-1][::stride][::-1]  # the last one stays
        names = sorted({name for entry in thin for name in entry["losses"]})
        held_out = [entry for entry in entries if entry["event"] == "validation" and "loss" in entry["figures"]]
        scores = [entry for entry in entries if entry["event"] == "score"]
        return {
            "curves": {name: [[e["step"], e["losses"][name]] for e in thin if name in e["losses"]] for name in names},
            "held_out": [[entry["step"], entry["figures"]["loss"]] for entry in held_out],
            "adversary": [[e["step"], e["figures"][_READ]] for e in entries if _READ in e.get("figures", {})],
            "scores": [{key: entry[key] for key in ("step", "scores", "is_best")} for entry in scores],
            "samples": [path.name for path in self._samples(record["id"])],
            "usable_steps": self._usable_steps(record["id"]),
            "has_voice": run_files.model_file(self._run_of(record["id"])).is_file(),
            "has_report": (self.folder(record["id"]) / REPORT).is_file(),
        }

    def _usable_steps(self, number: str) -> int:
        """After how many steps its recipe makes a voice that is usable; 0 where nobody knows."""
        try:
            recipe = documents.from_toml((self._run_of(number) / run_files.RECIPE).read_text(encoding="utf-8"))
            return int(recipe["loop"]["usable_steps"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _samples(self, number: str) -> list[Path]:
        """The newest converted clips, the newest first."""
        return sorted((self._run_of(number) / run_files.SAMPLES).glob("step-*.flac"), reverse=True)[:_MOST_SAMPLES]

    def _log_end(self, record: Record) -> str:
        return _end_of(self.folder(record["id"]) / LOG, _LOG_BYTES)

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _changed(self, record: Record) -> None:
        self._store.put(TRAININGS, record)
        self._publish("training", self._with_progress(record))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _end_of(path: Path, n_bytes: int) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, _size(path) - n_bytes))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
