"""TensorBoard: losses, held-out figures and converted clips, if the `tensorboard` extra is installed."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import torch

from moksori.training.logging.events import Event, Logged, Resumed, RolledBack, Sampled, Saved, Scored, Validated


def is_available() -> bool:
    """Whether TensorBoard can be written here."""
    return importlib.util.find_spec("tensorboard") is not None


class Board:
    """Writes events for TensorBoard into a folder; steps that a resume takes again replace the earlier ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def tell(self, event: Event) -> None:
        """See `events.Observer.tell`."""
        match event:
            case Resumed(step=step) | RolledBack(to_step=step):
                self._open(step)
            case Logged():
                for name, value in event.losses.items():
                    self._writer.add_scalar(f"losses/{name}", value, event.step)
                self._writer.add_scalar("training/learning_rate", event.learning_rate, event.step)
                self._writer.add_scalar("training/steps_per_second", event.steps_per_second, event.step)
            case Validated():
                for name, value in event.figures.items():
                    self._writer.add_scalar(f"held_out/{name}", value, event.step)
            case Scored():
                for name, value in (event.scores | {"merit": event.merit}).items():
                    self._writer.add_scalar(f"conversions/{name}", value, event.step)
            case Sampled():
                sound = torch.from_numpy(event.clip.samples)
                self._writer.add_audio(event.name, sound, event.step, sample_rate=event.clip.sample_rate)
            case Saved():
                self._writer.flush()  # what is written to TensorBoard is no older than what a resume starts from

    def _open(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # an extra, and slow to import

        if self._writer is not None:
            self._writer.close()
        _await_later_second(self._folder)
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)


def _await_later_second(folder: Path) -> None:
    """Wait, a second at most, until a new event file would sort after those in `folder`.

    TensorBoard reads a folder's files in the order of their names, `events.out.tfevents.<seconds>.<host>.<pid>.<n>`.
    Two of the same second would be read in any order (10 sorts before 9), and the purge of retaken steps be lost.
    """
    stamps = [int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.*")]
    while stamps and max(stamps) == int(time.time()):
        time.sleep(0.05)
