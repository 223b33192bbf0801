"""The run's record: one JSON object a line, the same after a resume as without one.

Lines carry `event` ("losses", "validation", "score", "rollback") and `step`. A run that is killed has written lines
beyond its last saved state; when it resumes there, those are taken back before the same steps are taken again.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from moksori import atomic, documents
from moksori.training.logging.events import Event, Logged, Resumed, RolledBack, Scored, Validated


class Journal:
    """Writes events to a file; see the module's description for the format."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def tell(self, event: Event) -> None:
        """See `events.Observer.tell`; samples and saves leave files of their own and no line."""
        match event:
            case Resumed(step=step):
                # A rollback is a fact about the step at which it went astray; that step will be taken again, too.
                self._cut(lambda entry: entry.get("diverged_at", entry["step"]) <= step)
            case Logged():
                self._append(
                    event="losses",
                    step=event.step,
                    phase=event.phase,
                    learning_rate=event.learning_rate,
                    losses=event.losses,
                    seconds=round(event.seconds, 3),
                    steps_per_second=round(event.steps_per_second, 4),
                )
            case Validated():
                self._append(event="validation", step=event.step, figures=event.figures)
            case Scored():
                self._append(
                    event="score", step=event.step, scores=event.scores, merit=event.merit, is_best=event.is_best
                )
            case RolledBack():
                self._cut(lambda entry: entry["step"] <= event.to_step)
                self._append(event="rollback", step=event.to_step, diverged_at=event.step, reason=event.reason)

    def _append(self, **entry: Any) -> None:
        line = (json.dumps(entry) + "\n").encode()
        with open(self._path, "ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                if file.write(line) < len(line):  # the disk was full in the middle of it
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            except OSError:
                file.truncate(end)  # half a line would hide all that come after it
                raise

    def _cut(self, is_kept: Callable[[dict[str, Any]], bool]) -> None:
        """Take back the entries that will be written anew, and a last line that a kill cut in two."""
        if not self._path.exists():
            return
        kept = [entry for entry in read(self._path) if is_kept(entry)]
        atomic.write(self._path, "".join(json.dumps(entry) + "\n" for entry in kept).encode())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a journal, oldest first; a last line that was cut in two by a kill is left out."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield documents.from_json(line)
        except ValueError:
            return


def table(path: Path) -> str:
    """The curves of a journal as CSV, a line a step, for spreadsheets and plots.

    Columns are `step`, `seconds` of training, `learning_rate`, then `PHASE/LOSS`, `held-out/FIGURE` and
    `conversions/SCORE`, in the order in which they came up; a cell is empty where a step has no such figure.
    """
    rows: dict[int, dict[str, float]] = {}
    for entry in read(path):
        if entry["event"] == "rollback":
            continue
        row = rows.setdefault(entry["step"], {"step": entry["step"]})
        match entry["event"]:
            case "losses":
                row |= {"seconds": entry["seconds"], "learning_rate": entry["learning_rate"]}
                row |= {f"{entry['phase']}/{name}": value for name, value in entry["losses"].items()}
            case "validation":
                row |= {f"held-out/{name}": value for name, value in entry["figures"].items()}
            case "score":
                scores = entry["scores"] | {"merit": entry["merit"]}
                row |= {f"conversions/{name}": value for name, value in scores.items()}
    columns = dict.fromkeys(["step", "seconds", "learning_rate", *(name for row in rows.values() for name in row)])
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[step] for step in sorted(rows))
    return out.getvalue()
