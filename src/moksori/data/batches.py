"""Training batches, each a pure function of (seed, step, attempt): resuming needs no saved state of a sampler."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from moksori.data import augment
from moksori.data.segments import SegmentTable
from moksori.errors import DataError


@dataclass(frozen=True)
class Batch:
    """Segments with their singers."""

    codes: torch.Tensor  # int64 [B, T], 0..255
    singer: torch.Tensor  # int64 [B], position in the corpus's singers


class Batches:
    """Draws singer-balanced, augmented batches from a table of segments.

    Args:
        table: where segments come from.
        batch_size: B, at least 1.
        seed: 0 or more; another seed is another sequence of batches.
        is_balanced: every singer the same number of times a batch, give or take one; otherwise by length of singing.
        is_augmented: each segment as it is, reversed, negated or both, a quarter each (see `augment`).

    Raises:
        ValueError: a batch size below 1 or a negative seed.
        DataError: a singer has no recording in the table's split.
    """

    def __init__(
        self,
        table: SegmentTable,
        batch_size: int,
        seed: int,
        *,
        is_balanced: bool = True,
        is_augmented: bool = True,
    ) -> None:
        if batch_size < 1 or seed < 0:
            raise ValueError(f"batch size {batch_size}, seed {seed}; expected at least 1 and at least 0")
        sung = np.array([table.sung_samples(singer) for singer in range(len(table.singers))])
        if not sung.all():
            names = ", ".join(table.singers[i] for i in np.flatnonzero(sung == 0))
            raise DataError(f"no recording in the {table.split} split of: {names}; add recordings and prepare again")
        self.table = table
        self.batch_size = batch_size
        self.seed = seed
        self.is_balanced = is_balanced
        self.is_augmented = is_augmented
        self._shares = sung / sung.sum()

    def batch(self, step: int, attempt: int = 0) -> Batch:
        """Return the batch of a step.

        Args:
            step: 0 or more.
            attempt: 0 or more; raised when a step is tried again with other data, after a divergence.

        Returns:
            The same batch for the same (seed, step, attempt), in whatever order and process it is asked for.
        """
        sequence = np.random.SeedSequence(self.seed, spawn_key=(step, attempt))
        generator = np.random.Generator(np.random.Philox(sequence))
        singers = self._singers(generator)
        codes = torch.stack([self._segment(singer, generator) for singer in singers.tolist()])  # [B, T]
        return Batch(codes, torch.from_numpy(singers))

    def _singers(self, generator: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        n_singers = len(self._shares)
        if not self.is_balanced:
            return generator.choice(n_singers, self.batch_size, p=self._shares).astype(np.int64)
        n_rounds = -(-self.batch_size // n_singers)
        rounds = [generator.permutation(n_singers) for _ in range(n_rounds)]
        return np.concatenate(rounds)[: self.batch_size].astype(np.int64)

    def _segment(self, singer: int, generator: np.random.Generator) -> torch.Tensor:
        codes = self.table.item(singer, generator)
        if not self.is_augmented:
            return codes
        return augment.augment(codes, int(generator.integers(augment.N_CHOICES)))
