"""Excerpts of features, each a function of (singer, generator), from the cache of the whole corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moksori.audio import features
from moksori.audio.features import FeatureConfig
from moksori.data import feature_cache, splits
from moksori.data.corpus import Corpus
from moksori.data.feature_cache import Stretch
from moksori.data.segments import Segment
from moksori.data.threads import Progress

_SUNG_BELOW_DB = 40.0  # a frame so far under the level of the singing is a rest


@dataclass(frozen=True)
class _Singing:
    """Stretches of one singer, and which of their frames are sung."""

    stretches: list[Stretch]
    sung: list[npt.NDArray[np.int64]]  # of each stretch, numbers of its sung frames
    ends: npt.NDArray[np.int64]  # sung frames up to the end of each stretch

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def at(self, position: int) -> tuple[Stretch, int]:
        """The position-th sung frame: its stretch, and its number there."""
        index = int(np.searchsorted(self.ends, position, side="right"))
        frames = self.sung[index]
        return self.stretches[index], int(frames[len(frames) - int(self.ends[index]) + position])


class ExcerptTable:
    """Draws excerpts of one split of a corpus, as features.

    Args:
        corpus: what `prepare` made.
        split: "train", "validation" or "test"; only the first one has copies.
        config: of the features.
        n_frames: length of every excerpt.
        n_copies: of each clip for training, at other pitches.
        workers: threads that build the cache, 0 for one each core; they do not change its content.
        progress: told about the building of the cache.

    Raises:
        ValueError: unknown split, or a length below 1.
        AudioFileError: a clip is missing or damaged.
        DataError: the cache cannot be written.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        config: FeatureConfig,
        n_frames: int,
        n_copies: int,
        *,
        workers: int = 0,
        progress: Progress | None = None,
    ) -> None:
        if n_frames < 1 or n_copies < 0:
            raise ValueError(f"excerpts of {n_frames} frames, {n_copies} copies; expected at least 1 and at least 0")
        corpus.of(split)  # refuses an unknown split before the long computation
        self.corpus, self.split, self.config, self.n_frames = corpus, split, config, n_frames
        clips = feature_cache.open_features(corpus, config, 0, workers=workers, progress=progress)
        copies = [
            stretch
            for copy in range(1, 1 + (n_copies if split == "train" else 0))
            for stretch in feature_cache.open_features(corpus, config, copy, workers=workers, progress=progress)
        ]
        self._clips = [self._singing(clips, name) for name in corpus.singers]
        self._all = [self._singing([*clips, *copies], name) for name in corpus.singers]

    @property
    def singers(self) -> tuple[str, ...]:
        """Names of all singers of the corpus, also of those without a recording in this split."""
        return self.corpus.singers

    def sung_length(self, singer: int) -> int:
        """Count the sung frames of a singer in this split, copies included."""
        return len(self._all[singer])

    def item(self, singer: int, generator: np.random.Generator) -> Tensor:
        """Draw one excerpt of a singer: a sung frame, and a place of it within the excerpt.

        Args:
            singer: position in `singers`.
            generator: two numbers are drawn from it.

        Returns:
            float32 `[N_VALUES + 2 N_BANDS + 1, n_frames]`, see `features.excerpt`. Where a clip is shorter, silence
            follows.

        Raises:
            ValueError: the singer has no singing in this split.
        """
        return self.draw(singer, generator)()

    def draw(self, singer: int, generator: np.random.Generator) -> Callable[[], Tensor]:
        """The same, read when what comes back is called; the numbers are drawn now."""
        if not self.sung_length(singer):
            raise ValueError(f"singer {self.singers[singer]!r} has no singing in the {self.split} split")
        stretch, frame = self._all[singer].at(int(generator.integers(self.sung_length(singer))))
        start = stretch.inside(frame - int(generator.integers(self.n_frames)), self.n_frames)
        return lambda: self._cut(stretch, start)

    def fixed_items(self, per_singer: int, most_singers: int = 0) -> list[Segment]:
        """Lay excerpts evenly over the singing of every singer, of the clips themselves: the same list at every call.

        Returns:
            Sorted by singer, then place; `start` counts frames. Singers without a recording in this split have none.
            `most_singers`, if not 0, takes so many of the others at most, evenly spread.
        """
        if per_singer < 1:
            raise ValueError(f"{per_singer} excerpts for each singer; expected at least 1")
        there = [singer for singer in range(len(self.singers)) if self.sung_length(singer)]
        chosen = splits.evenly(there, most_singers) if most_singers else there
        return [segment for singer in chosen for segment in self._fixed(singer, per_singer)]

    def _fixed(self, singer: int, n: int) -> Iterator[Segment]:
        clips = self._clips[singer]
        for i in range(n if len(clips) else 0):
            stretch, frame = clips.at((2 * i + 1) * len(clips) // (2 * n))
            start = stretch.inside(frame - self.n_frames // 2, self.n_frames)
            yield Segment(self._cut(stretch, start), singer, stretch.recording.source, start)

    def mean_shapes(self) -> Tensor:
        """The voices: the mean shape of every singer's recordings in this split, `[N, 2 N_BANDS]`; see `audio.shapes`.

        Copies do not count. A singer without a voiced frame has the mean of the others.
        """
        sums = torch.stack(
            [
                sum((s.n_loud * s.mean_shape for s in own.stretches), torch.zeros(2 * features.N_BANDS))
                for own in self._clips
            ]
        )
        counts = torch.tensor([sum(s.n_loud for s in own.stretches) for own in self._clips])[:, None]
        everybody = sums.sum(dim=0) / counts.sum().clamp(min=1)
        return torch.where(counts > 0, sums / counts.clamp(min=1), everybody).float()

    def _cut(self, stretch: Stretch, start: int) -> Tensor:
        return features.excerpt(stretch.cut(start, self.n_frames), stretch.mean_shape)

    def _singing(self, stretches: list[Stretch], singer: str) -> _Singing:
        own = [s for s in stretches if s.recording.split == self.split and s.recording.singer == singer]
        sung = [np.flatnonzero(stretch.levels_dbfs > self.corpus.level_dbfs - _SUNG_BELOW_DB) for stretch in own]
        return _Singing(own, sung, np.cumsum([len(frames) for frames in sung], dtype=np.int64))
