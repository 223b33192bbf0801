"""What a training run tells those who watch it: the console, the journal, the board, a studio."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from moksori.audio.clip import Clip
from moksori.errors import AudioFileError


@dataclass(frozen=True)
class Resumed:
    """The run goes on, or begins at step 0."""

    step: int
    seconds: float  # trained before
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stepped:
    """A step was taken; an event for each, so that a slow machine shows signs of life."""

    step: int  # steps taken so far
    phase: str  # whose the step was
    seconds: float  # of training so far, earlier sittings included


@dataclass(frozen=True)
class Logged:
    """Losses of a phase, averaged over its steps since the last look; one such event for each phase that had any."""

    step: int  # steps taken so far
    phase: str
    losses: dict[str, float]
    learning_rate: float
    seconds: float  # of training so far, earlier sittings included
    steps_per_second: float


@dataclass(frozen=True)
class Validated:
    """Figures on held-out recordings."""

    step: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Scored:
    """How good conversions of held-out recordings are; see `choose.Score`."""

    step: int
    scores: dict[str, float]  # each 0..1
    merit: float  # of them all
    is_best: bool  # so far; then the model lies in a file of its own


@dataclass(frozen=True)
class Sampled:
    """A held-out clip, converted by the present model."""

    step: int
    name: str  # "take_03.alys-to-ibuki"
    clip: Clip


@dataclass(frozen=True)
class Saved:
    """A state from which the run can resume is on disk, and the model file beside it."""

    step: int
    path: Path


@dataclass(frozen=True)
class RolledBack:
    """Training diverged and was rolled back to the last good state."""

    step: int  # at which it went astray
    to_step: int
    reason: str


@dataclass(frozen=True)
class Unrecorded:
    """Something could not be written down, such as a line of the journal on a full disk; training goes on."""

    step: int
    reason: str


Event = Resumed | Stepped | Logged | Validated | Scored | Sampled | Saved | RolledBack | Unrecorded


class Observer(Protocol):
    """Somebody who wants to know."""

    def tell(self, event: Event) -> None:
        """Take note of an event; must not change the run."""


def tell_all(observers: list[Observer], event: Event) -> list[str]:
    """Pass an event on to every observer.

    Returns:
        What hindered an observer from writing it down, such as a full disk. That is no reason to end a run; a closed
        pipe is, since then nobody listens any more.
    """
    hindered = []
    for observer in observers:
        try:
            observer.tell(event)
        except BrokenPipeError:
            raise
        except OSError as error:
            hindered.append(f"{error.filename or type(observer).__name__}: {error.strerror or error}")
        except AudioFileError as error:
            hindered.append(str(error))
    return hindered
