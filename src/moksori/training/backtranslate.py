"""Phase 2: clips sung back by virtual singers; the model learns the way home.

Phase 1 never asks the decoder for a voice that is not the source's own, so nothing there punishes a voice that leaks
through the latent. Here the clip that the encoder hears has been sung by somebody else, and the clip to be rebuilt is
the true one: what leaks is wrong, and the decoder learns to take the voice from the singer's vector alone.

    clip of A --E--> z --D(u)--> sung by u, between A and B --E--> z' --D(v_A)--> should be the clip of A
    '---------- no gradient, sampled ----------'              '-------- learnt, teacher-forced --------'

Synthetic on the input side, real on the output side, as in the back-translation of text (Sennrich et al. 2016).

Source: Nachmani and Wolf 2019, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from moksori.data.batches import Batch, Batches
from moksori.training import mixup
from moksori.training.media import Medium
from moksori.training.mixup import MixupConfig
from moksori.training.phases import Phase, Update


@dataclass(frozen=True)
class BackTranslationConfig:
    """When phase 2 comes in, and how much is sung for it."""

    start_step: int = 200_000  # the first step of phase 2; from 0 on, or beyond the run's end for none
    refresh_every_steps: int = 2000  # a new pool is sung this often; phase-1 steps fill the time between
    pool_batches: int = 12  # batches sung at once, in lockstep: 96 clips of a batch of 8
    uses: int = 1  # times each batch of the pool is learnt from
    mixup: MixupConfig = field(default_factory=MixupConfig)

    def __post_init__(self) -> None:
        if min(self.refresh_every_steps, self.pool_batches, self.uses) < 1 or self.start_step < 0:
            raise ValueError(f"back-translation counts must be at least 1, start_step at least 0: {self}")
        if self.steps_per_pool > self.refresh_every_steps:
            raise ValueError(
                f"a pool of {self.pool_batches} batches used {self.uses} times lasts {self.steps_per_pool} steps, "
                f"longer than refresh_every_steps = {self.refresh_every_steps}"
            )

    @property
    def steps_per_pool(self) -> int:
        """Steps of back-translation after each refresh."""
        return self.pool_batches * self.uses

    def is_back_translation(self, step: int) -> bool:
        """Whether a step, counted from 0, learns from the pool."""
        since = step - self.start_step
        return since >= 0 and since % self.refresh_every_steps < self.steps_per_pool

    def is_refresh(self, step: int) -> bool:
        """Whether a new pool is sung before a step."""
        return self.is_back_translation(step) and (step - self.start_step) % self.refresh_every_steps == 0


@dataclass(frozen=True)
class Translated(Batch):
    """True clips with their singers, and the same clips sung by virtual singers."""

    heard: Tensor  # like the clips: what the encoder is given


class BackTranslation:
    """Learns from a pool of translated clips; the pool is what it keeps between steps."""

    name = "back-translation"

    def __init__(self, medium: Medium, batches: Batches, config: BackTranslationConfig) -> None:
        self._medium = medium
        self._batches = batches
        self._config = config
        self._pool: dict[str, Tensor] = {}  # clips, singer, heard: [pool_batches, B, ...]

    def batch(self, step: int, attempt: int) -> Translated:
        """The translated batch of a step; sings a new pool first where one is due.

        Raises:
            ValueError: a step that is not back-translation's, or without a pool.
        """
        if self._config.is_refresh(step):
            self._pool = self._sing(step, attempt)
        since = (step - self._config.start_step) % self._config.refresh_every_steps
        if not self._pool or not self._config.is_back_translation(step):
            raise ValueError(f"step {step} has no pool to learn from")
        index = since % self._config.pool_batches
        return Translated(*(self._pool[name][index] for name in ("clips", "singer", "heard")))

    def updates(self, batch: Translated, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One update: rebuild the true clip from the translated one, with the true singer's vector.

        Teacher-forced with the true clip. There is no confusion term, as in the one runnable relative.
        """
        medium = self._medium
        z = medium.encode(batch.heard, generator)
        yield Update("autoencoder", {"back_translation": medium.loss(batch.clips, z, medium.singers(batch.singer))})

    def tensors(self) -> dict[str, Tensor]:
        """The pool."""
        return dict(self._pool)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the pool."""
        self._pool = dict(tensors)

    def _sing(self, step: int, attempt: int) -> dict[str, Tensor]:
        """Let virtual singers sing a pool's worth of batches, all clips in lockstep; a function of its arguments."""
        sources = [self._batches.batch(step + i, attempt) for i in range(self._config.pool_batches)]
        clips, singer = (torch.cat([getattr(batch, name) for batch in sources]) for name in ("clips", "singer"))
        chance = np.random.default_rng(np.random.SeedSequence(self._batches.seed, spawn_key=(step, attempt, 2)))
        heard = self.translate(clips, singer, chance)
        pool = {"clips": clips, "singer": singer, "heard": heard}
        return {name: torch.unflatten(tensor, 0, (len(sources), -1)) for name, tensor in pool.items()}

    @torch.no_grad()
    def translate(self, clips: Tensor, singer: Tensor, chance: np.random.Generator) -> Tensor:
        """Sing clips with virtual singers between their own and another one.

        Args:
            clips: `[N, ...]`.
            singer: `[N]`, whose clips they are.
            chance: draws partners, shares and the seed of the sampling.

        Returns:
            Clips of the same shape on the CPU, with no gradient.
        """
        medium = self._medium
        table = medium.singers
        device = table.table.weight.device
        other = torch.from_numpy(mixup.partners(singer.numpy(), len(table.names), chance))
        share = torch.from_numpy(mixup.shares(self._config.mixup, len(singer), chance)).float()
        seed = int(chance.integers(2**63))
        vectors = table.between(singer.to(device), other.to(device), share.to(device))
        z = medium.encode(clips.to(device), None)
        return medium.generate(clips.to(device), z, vectors, seed).cpu()


class TwoPhases:
    """Phase 1 from the beginning; from `start_step` on, phase 2 takes the steps after each refresh."""

    def __init__(self, reconstruction: Phase, back_translation: BackTranslation, config: BackTranslationConfig) -> None:
        self._reconstruction = reconstruction
        self._back_translation = back_translation
        self._config = config

    def phase_at(self, step: int) -> Phase:
        """See `phases.Plan.phase_at`."""
        return self._back_translation if self._config.is_back_translation(step) else self._reconstruction

    def phases(self) -> list[Phase]:
        """See `phases.Plan.phases`."""
        return [self._reconstruction, self._back_translation]
