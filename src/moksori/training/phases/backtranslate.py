"""Phase 2, back-translation: clips converted to virtual singers (mixup), from which the model learns to convert back.

Phase 1 never asks the decoder for a voice that is not the source's own, so nothing there punishes a voice that leaks
through the latent. Here the clip that the encoder hears has been sung by somebody else, and the clip to be rebuilt is
the true one: what leaks is wrong, and the decoder learns to take the voice from the singer's vector alone.

    clip of A --E--> z --D(u)--> sung by u, between A and B --E--> z' --D(v_A)--> should be the clip of A
    '---------- no gradient, sampled ----------'              '-------- learnt, teacher-forced --------'

Synthetic on the input side, real on the output side, as in the back-translation of text (Sennrich et al. 2016).

Source: Nachmani and Wolf 2019, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moksori.data.batches import Batch, Batches
from moksori.training.phases import mixup
from moksori.training.phases.base import Latent, Phase, Update
from moksori.training.phases.schedule import PhaseSchedule
from moksori.training.shards import Team


@dataclass(frozen=True)
class Translated(Batch):
    """True clips with their singers, and the same clips sung by virtual singers."""

    inputs: Tensor  # of the encoder: like the clips


_FORMER_NAMES = {"heard": "inputs"}


class BackTranslation:
    """Learns from a pool of translated clips; the pool is what it keeps between steps."""

    name = "back-translation"

    def __init__(self, medium: Latent, batches: Batches, schedule: PhaseSchedule, team: Team | None = None) -> None:
        """The team sings; without one, the caller's thread does, in full precision."""
        self._medium = medium
        self._batches = batches
        self._schedule = schedule
        self._team = team or Team(1, medium.singers.table.weight.device)
        self._pool: dict[str, Tensor] = {}  # clips, singer, inputs: [pool_batches, B, ...]

    def batch(self, step: int, attempt: int) -> Translated:
        """The translated batch of a step; sings a new pool first where one is due.

        Raises:
            ValueError: a step that is not back-translation's, or without a pool.
        """
        place = self._schedule.place(step)
        if place == 0:
            self._pool = self._sing(step, attempt)
        if not self._pool or place is None:
            raise ValueError(f"step {step} has no pool to learn from")
        index, rows = place % self._schedule.config.pool_batches, self._batches.rows
        return Translated(*(self._pool[name][index][rows.start : rows.stop] for name in ("clips", "singer", "inputs")))

    def updates(self, batch: Translated, step: int, generator: torch.Generator) -> Iterator[Update]:
        """One update: rebuild the true clip from the translated one, with the true singer's vector.

        Teacher-forced with the true clip. There is no confusion term, as in the one runnable relative.
        """
        medium = self._medium
        inputs = medium.perturbed(batch.inputs, generator)
        z = medium.encode(inputs)
        loss = medium.loss(batch.clips, inputs, z, medium.singers(batch.singer))
        yield Update("autoencoder", {"back_translation": loss})

    def tensors(self) -> dict[str, Tensor]:
        """The pool."""
        return dict(self._pool)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the pool; states of earlier versions call the encoder's inputs otherwise."""
        self._pool = {_FORMER_NAMES.get(name, name): tensor for name, tensor in tensors.items()}

    def _sing(self, step: int, attempt: int) -> dict[str, Tensor]:
        """Let virtual singers sing a pool's worth of batches, all clips in lockstep; a function of its arguments.

        Processes that train together sing a share of the clips each, and then have all of them.
        """
        batches, ranks = self._batches, self._team.ranks
        steps = range(step, step + self._schedule.config.pool_batches)
        singer = torch.cat([batches.singers_of(at, attempt) for at in steps])
        own, size = ranks.share(len(singer)), batches.batch_size
        read = []
        for number, at in enumerate(steps):
            rows = range(max(own.start - number * size, 0), min(own.stop - number * size, size))
            if rows:
                read.append(batches.batch(at, attempt, rows).clips)
        clips = torch.cat(read)
        chance = np.random.default_rng(np.random.SeedSequence(batches.seed, spawn_key=(step, attempt, 2)))
        inputs_of_encoder = self.translate(clips, singer, chance, own.start)
        pool = {"clips": ranks.joined(clips), "singer": singer, "inputs": ranks.joined(inputs_of_encoder)}
        return {name: torch.unflatten(tensor, 0, (len(steps), -1)) for name, tensor in pool.items()}

    def translate(self, clips: Tensor, singer: Tensor, chance: np.random.Generator, place: int = 0) -> Tensor:
        """Sing clips with virtual singers between their own and another one, by the whole team where that helps.

        Args:
            clips: `[n, ...]`, some of N clips that follow each other.
            singer: `[N]`, whose clips all of them are.
            chance: draws partners, shares and the seed of the sampling.
            place: of the first clip among the N.

        Returns:
            Clips of the same shape on the CPU, with no gradient; the same whichever others are sung beside them.
        """
        medium, team = self._medium, self._team
        table = medium.singers
        other = torch.from_numpy(mixup.partners(singer.numpy(), len(table.names), chance))
        share = torch.from_numpy(mixup.shares(self._schedule.config.mixup, len(singer), chance)).float()
        seed = int(chance.integers(2**63))
        singer, other, share = (drawn[place : place + len(clips)] for drawn in (singer, other, share))
        places = torch.arange(place, place + len(clips))

        @torch.no_grad()
        def sing(part: tuple[Tensor, ...]) -> Tensor:
            *given, of_chance = part
            clips, first, second, share = (tensor.to(team.device) for tensor in given)
            vectors = table.between(first, second, share)
            with team.forward():
                return medium.generate(clips, medium.encode(clips), vectors, seed, int(of_chance[0])).cpu()

        n_parts = team.n_parts if medium.is_divisible else 1
        parts = zip(*(tensor.chunk(n_parts) for tensor in (clips, singer, other, share, places)), strict=True)
        return torch.cat(team.side_by_side(sing, list(parts)))


class TwoPhases:
    """Phase 1 from the beginning; once phase 2 has come in, it has the steps after each refresh."""

    def __init__(self, reconstruction: Phase, back_translation: BackTranslation, schedule: PhaseSchedule) -> None:
        self._reconstruction = reconstruction
        self._back_translation = back_translation
        self._schedule = schedule

    def phase_at(self, step: int) -> Phase:
        """See `base.Plan.phase_at`."""
        return self._back_translation if self._schedule.is_back_translation(step) else self._reconstruction

    def phases(self) -> list[Phase]:
        """See `base.Plan.phases`."""
        return [self._reconstruction, self._back_translation]

    def spend(self, step: int, share: float) -> bool:
        """See `base.Plan.spend`."""
        return self._schedule.spend(step, share)

    def validate(self, step: int, figures: Mapping[str, float]) -> bool:
        """See `base.Plan.validate`."""
        return self._schedule.validate(step, figures["loss"])

    def has_begun_the_last_phase(self, step: int) -> bool:
        """See `base.Plan.has_begun_the_last_phase`."""
        first = self._schedule.first_step
        return self._schedule.config.start == "never" or (first is not None and step > first)

    def tensors(self) -> dict[str, Tensor]:
        """See `base.Plan.tensors`."""
        return self._schedule.tensors()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """See `base.Plan.restore`."""
        self._schedule.restore(tensors)
