"""Training batches, each a pure function of (seed, step, attempt): resuming needs no saved state of a sampler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from moksori.data import augment
from moksori.errors import DataError


@dataclass(frozen=True)
class Batch:
    """Clips with their singers."""

    clips: torch.Tensor  # codes, int64 [B, T], 0..255; or features, float32 [B, N_VALUES, F]
    singer: torch.Tensor  # int64 [B], position in the corpus's singers


class Table(Protocol):
    """Where clips are drawn from: a `segments.SegmentTable`, or an `excerpts.ExcerptTable`."""

    split: str

    @property
    def singers(self) -> tuple[str, ...]:
        """Names of all singers."""

    def sung_length(self, singer: int) -> int:
        """How much there is of a singer, in any unit; 0 for nothing."""

    def draw(self, singer: int, generator: np.random.Generator) -> Callable[[], torch.Tensor]:
        """Draw one clip of a singer, all of one shape; it is read when what comes back is called."""


class Batches:
    """Draws singer-balanced, augmented batches from a table of clips.

    Args:
        table: where clips come from.
        batch_size: B, at least 1.
        seed: 0 or more; another seed is another sequence of batches.
        is_balanced: every singer the same number of times a batch, give or take one; otherwise by length of singing.
        is_augmented: (codes only) each segment as it is, reversed, negated or both, a quarter each (see `augment`).
        rows: of every batch, the ones that are read here; all of them by default. Processes that train together read
            different rows of the same batch.

    Raises:
        ValueError: a batch size below 1, a negative seed, or rows that no batch has.
        DataError: a singer has no recording in the table's split.
    """

    def __init__(
        self,
        table: Table,
        batch_size: int,
        seed: int,
        *,
        is_balanced: bool = True,
        is_augmented: bool = True,
        rows: range | None = None,
    ) -> None:
        if batch_size < 1 or seed < 0:
            raise ValueError(f"batch size {batch_size}, seed {seed}; expected at least 1 and at least 0")
        self.rows = range(batch_size) if rows is None else rows
        if not 0 <= self.rows.start < self.rows.stop <= batch_size:
            raise ValueError(f"rows {self.rows} of batches of {batch_size}")
        sung = np.array([table.sung_length(singer) for singer in range(len(table.singers))])
        if not sung.all():
            names = ", ".join(table.singers[i] for i in np.flatnonzero(sung == 0))
            raise DataError(f"no recording in the {table.split} split of: {names}; add recordings and prepare again")
        self.table = table
        self.batch_size = batch_size
        self.seed = seed
        self.is_balanced = is_balanced
        self.is_augmented = is_augmented
        self._shares = sung / sung.sum()

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """How often each singer is drawn, `[N]`; they sum to 1."""
        n_singers = len(self._shares)
        return np.full(n_singers, 1 / n_singers) if self.is_balanced else self._shares

    def batch(self, step: int, attempt: int = 0, rows: range | None = None) -> Batch:
        """Return the batch of a step, or rows of it.

        Args:
            step: 0 or more.
            attempt: 0 or more; raised when a step is tried again with other data, after a divergence.
            rows: the ones that are wanted; by default those that are read here.

        Returns:
            The same batch for the same (seed, step, attempt), in whatever order and process it is asked for. All rows
            are drawn, so that each has the same numbers whoever asks; only those wanted are read.
        """
        generator = self._generator(step, attempt)
        singers = self._singers(generator)
        drawn = [self._drawn(singer, generator) for singer in singers.tolist()]
        wanted = self.rows if rows is None else rows
        clips = torch.stack([drawn[row]() for row in wanted])
        return Batch(clips, torch.from_numpy(singers[wanted.start : wanted.stop]))

    def singers_of(self, step: int, attempt: int = 0) -> torch.Tensor:
        """The singers `[batch_size]` of all rows of a step's batch; nothing is read."""
        return torch.from_numpy(self._singers(self._generator(step, attempt)))

    def _generator(self, step: int, attempt: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=(step, attempt))))

    def _singers(self, generator: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        n_singers = len(self._shares)
        if not self.is_balanced:
            return generator.choice(n_singers, self.batch_size, p=self._shares).astype(np.int64)
        n_rounds = -(-self.batch_size // n_singers)
        rounds = [generator.permutation(n_singers) for _ in range(n_rounds)]
        return np.concatenate(rounds)[: self.batch_size].astype(np.int64)

    def _drawn(self, singer: int, generator: np.random.Generator) -> Callable[[], torch.Tensor]:
        read = self.table.draw(singer, generator)
        if not self.is_augmented:
            return read
        choice = int(generator.integers(augment.N_CHOICES))
        return lambda: augment.augment(read(), choice)
