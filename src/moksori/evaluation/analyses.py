"""What judges and measures find in the recordings of an evaluation: each is read and analysed once, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.data import threads
from moksori.errors import AudioFileError
from moksori.evaluation.judges.panel import Analysis, Panel
from moksori.progress import OnProgress, Progress

T = TypeVar("T")
R = TypeVar("R")


class Analyses:
    """Analyses by path, of the recordings that come up again and again; a file that cannot be read has none."""

    def __init__(self, panel: Panel, progress: OnProgress) -> None:
        self.panel = panel
        self.unreadable: list[str] = []  # messages, in no order
        self._progress = progress
        self._by_path: dict[Path, Analysis | None] = {}

    def add(self, paths: Iterable[Path], stage: str, *, with_words: bool = True) -> None:
        """Analyse the files that are not known yet, and keep what was found."""
        new = sorted(set(paths) - self._by_path.keys())

        def one(path: Path) -> Analysis | None:
            clip = self.read(path)
            return None if clip is None else self.panel.analyse(clip, with_words=with_words)

        self._by_path |= dict(zip(new, self.map(one, new, stage), strict=True))

    def of(self, path: Path) -> Analysis | None:
        """The analysis of a file that was added; None where it could not be read."""
        return self._by_path[path]

    def read(self, path: Path) -> Clip | None:
        """Read a file; None, and a note, where that cannot be done."""
        try:
            return files.read(path)
        except AudioFileError as error:
            self.unreadable.append(str(error))
            return None

    def map(self, work: Callable[[T], R], items: Sequence[T], stage: str) -> list[R]:
        """Apply `work` to every item on all cores, and tell the progress."""
        results = []
        for result in threads.map_in_order(work, items, workers=0):
            results.append(result)
            self._progress(Progress(len(results), len(items), stage))
        return results
