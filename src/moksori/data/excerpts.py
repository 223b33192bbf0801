"""Dataset of feature excerpts, each a function of (singer, generator), from the cache of the whole corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from moksori.audio import features
from moksori.audio.features import FeatureConfig
from moksori.data import feature_cache, splits
from moksori.data.corpus import SPLITS, Corpus, check_split
from moksori.data.feature_cache import Stretch, Stretches
from moksori.data.segments import Segment
from moksori.progress import OnProgress

_SUNG_BELOW_DB = 40.0  # a frame so far under the level of the singing is a rest


class _Singing:
    """The sung frames of all singers, one after the other: a number a stretch is kept, none a frame.

    Args:
        corpus: whose singers they are.
        stretches: clips, and copies of them.
        split: of the recordings that count.
        above_dbfs: level of a sung frame.
    """

    def __init__(self, corpus: Corpus, stretches: Sequence[Stretches], split: str, above_dbfs: float) -> None:
        self._stretches, self._above_dbfs = stretches, above_dbfs
        columns, code = corpus.columns, SPLITS.index(split)
        own = [np.flatnonzero(columns.split[part.numbers] == code) for part in stretches]
        source = np.repeat(np.arange(len(own)), [len(places) for places in own])
        there = list(zip(stretches, own, strict=True))
        singer = np.concatenate([columns.singer[part.numbers[places]] for part, places in there])
        n_sung = np.concatenate([part.n_sung(above_dbfs)[places] for part, places in there])
        order = np.argsort(singer, kind="stable")  # a singer's clips, then the copies of them
        self._source, self._place = source[order], np.concatenate(own)[order]
        self._singer = singer[order]
        # Singer s has the stretches from _first[s] up to _first[s + 1].
        self._first = np.searchsorted(self._singer, range(len(corpus.singers) + 1)).tolist()
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(n_sung[order])])  # sung frames before each

    def length(self, singer: int) -> int:
        """How many frames a singer has."""
        first, last = self._first[singer : singer + 2]
        return int(self._starts[last] - self._starts[first])

    def at(self, singer: int, position: int) -> tuple[Stretch, int]:
        """The position-th sung frame of a singer: its stretch, and its number there."""
        place = int(self._starts[self._first[singer]]) + position
        row = int(np.searchsorted(self._starts, place, side="right")) - 1
        stretch = self._stretches[self._source[row]][int(self._place[row])]
        frames = np.flatnonzero(stretch.levels_dbfs > self._above_dbfs)
        return stretch, int(frames[place - int(self._starts[row])])

    def sums(self, n_singers: int) -> tuple[Tensor, Tensor]:
        """Mean shapes of the clips, added up by singer; see `Stretches.sums`."""
        (clips,) = self._stretches
        return clips.sums(self._place, self._singer.astype(np.int64), n_singers)


class ExcerptTable:
    """Draws excerpts of one split of a corpus, as features.

    Args:
        corpus: what `prepare` made.
        split: "train", "validation" or "test"; only the first one has copies.
        config: of the features.
        n_frames: length of every excerpt.
        n_copies: of each clip for training, at other pitches.
        workers: threads that build the cache, 0 for one each core; they do not change its content.
        progress: called during the building of the cache.

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
        progress: OnProgress | None = None,
    ) -> None:
        if n_frames < 1 or n_copies < 0:
            raise ValueError(f"excerpts of {n_frames} frames, {n_copies} copies; expected at least 1 and at least 0")
        check_split(split)
        self.corpus, self.split, self.config, self.n_frames = corpus, split, config, n_frames
        clips = feature_cache.open_features(corpus, config, 0, workers=workers, progress=progress)
        copies = [
            feature_cache.open_features(corpus, config, copy, workers=workers, progress=progress)
            for copy in range(1, 1 + (n_copies if split == "train" else 0))
        ]
        above_dbfs = corpus.level_dbfs - _SUNG_BELOW_DB
        self._clips = _Singing(corpus, [clips], split, above_dbfs)
        self._all = _Singing(corpus, [clips, *copies], split, above_dbfs)

    @property
    def singers(self) -> tuple[str, ...]:
        """Names of all singers of the corpus, also of those without a recording in this split."""
        return self.corpus.singers

    def sung_length(self, singer: int) -> int:
        """Count the sung frames of a singer in this split, copies included."""
        return self._all.length(singer)

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
        stretch, frame = self._all.at(singer, int(generator.integers(self.sung_length(singer))))
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
        chosen = splits.evenly(there, most_singers or len(there))
        return [segment for singer in chosen for segment in self._fixed(singer, per_singer)]

    def _fixed(self, singer: int, n: int) -> Iterator[Segment]:
        for place in splits.middles(self._clips.length(singer), n):
            stretch, frame = self._clips.at(singer, place)
            start = stretch.inside(frame - self.n_frames // 2, self.n_frames)
            yield Segment(self._cut(stretch, start), singer, self.corpus.source(stretch.recording), start)

    def mean_shapes(self) -> Tensor:
        """The voices: the mean shape of every singer's recordings in this split, `[N, 2 N_BANDS]`; see `audio.shapes`.

        Copies do not count. A singer without a voiced frame has the mean of the others.
        """
        sums, n_loud = self._clips.sums(len(self.singers))
        counts = n_loud[:, None]
        everybody = sums.sum(dim=0) / counts.sum().clamp(min=1)
        return torch.where(counts > 0, sums / counts.clamp(min=1), everybody).float()

    def _cut(self, stretch: Stretch, start: int) -> Tensor:
        return features.excerpt(stretch.cut(start, self.n_frames), stretch.mean_shape)
