"""Progress of long work: one callback for all of it, from preparing a corpus to converting a song.

Who works calls `OnProgress` with a `Progress` now and then, from the thread of the caller; who watches may raise an
exception, which ends the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """How far a long work has come.

    >>> Progress(3, 12, "anna/1.wav").share
    0.25
    """

    done: float  # in any unit: recordings, steps, seconds; in [0, total]
    total: float = 1.0  # all there is to do in that unit; 1: `done` is the share itself
    name: str = ""  # the stage, or the file just done
    number: int = 0  # which of the works that go on side by side, in the order in which they were given

    @property
    def share(self) -> float:
        """What is done, 0..1; of nothing to do, all is done."""
        return min(1.0, self.done / self.total) if self.total > 0 else 1.0


OnProgress = Callable[[Progress], None]


def ignored(progress: Progress) -> None:
    """Tell nobody."""


def named(on_progress: OnProgress, name: str) -> OnProgress:
    """Tell the same under the name of a stage.

    >>> named(print, "converting")(Progress(1, 2))
    Progress(done=1, total=2, name='converting', number=0)
    """
    return lambda progress: on_progress(replace(progress, name=name))


def numbered(on_progress: OnProgress, number: int) -> OnProgress:
    """Tell the same as that of one of several works.

    >>> numbered(print, 3)(Progress(0.5))
    Progress(done=0.5, total=1.0, name='', number=3)
    """
    return lambda progress: on_progress(replace(progress, number=number))


def within(on_progress: OnProgress, n_before: float, n_all: float) -> OnProgress:
    """Tell the same as a piece of more work in the same unit: on top of what was done before, of all there is.

    >>> within(print, 100, 200)(Progress(3, 50))
    Progress(done=103, total=200, name='', number=0)
    """
    return lambda progress: on_progress(replace(progress, done=n_before + progress.done, total=n_all))


def part(on_progress: OnProgress, start: float, stop: float) -> OnProgress:
    """Tell the share of a whole of which this work is the part from `start` to `stop`, both 0..1.

    >>> part(print, 0.5, 1.0)(Progress(1, 2))
    Progress(done=0.75, total=1.0, name='', number=0)
    """
    return lambda progress: on_progress(replace(progress, done=start + (stop - start) * progress.share, total=1.0))


def summed(on_progress: OnProgress, n_works: int, n_before: int = 0) -> OnProgress:
    """Tell how far works that go on side by side are together, in works.

    Args:
        on_progress: called with the sum.
        n_works: how many there are; each tells its own by its number, 0..n_works - 1.
        n_before: works that were done already, which count as well.

    >>> both = summed(print, 2)
    >>> both(Progress(1, 4, number=1)); both(Progress(1.0, number=0))
    Progress(done=0.25, total=2, name='', number=0)
    Progress(done=1.25, total=2, name='', number=0)
    """
    shares = [0.0] * n_works

    def tell(progress: Progress) -> None:
        shares[progress.number] = progress.share
        on_progress(Progress(n_before + sum(shares), n_before + n_works))

    return tell
