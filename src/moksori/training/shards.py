"""Data parallelism over threads: a batch in equal parts, worked on side by side.

On a CPU one thread a part beats all threads on one part by far (the small layers of a cut-down net spend more time
waiting for each other than computing). The parts are fixed by the recipe and summed in order, so the result does not
depend on how many cores there are. A GPU is given the whole batch at once: halves would keep it half as busy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from moksori.data.batches import Batch
from moksori.training.ranks import ALONE, Ranks

AnyBatch = TypeVar("AnyBatch", bound=Batch)
Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Differentiated:
    """What a part of a batch says about one update, or several parts averaged."""

    learner: str
    losses: dict[str, float]  # by name, unweighted
    total: float  # weighted
    gradients: list[Tensor | None]  # for the learner's parameters, in its order


def n_parts(n_shards: int, device: torch.device, ranks: Ranks = ALONE) -> int:
    """In how many parts a batch is worked on where a recipe says `n_shards`: so many on a CPU, one on a GPU.

    Where torchrun has started the process, so many on a GPU, too: what becomes of a part does not depend on how many
    processes there are, so their number may change from one sitting to the next.
    """
    return n_shards if device.type == "cpu" or ranks.is_launched else 1


def split(batch: AnyBatch, n_shards: int, device: torch.device) -> list[AnyBatch]:
    """Cut a batch, and whatever it carries besides, into equal parts, each on the device."""
    columns = [getattr(batch, field.name).to(device).chunk(n_shards) for field in dataclasses.fields(batch)]
    return [type(batch)(*part) for part in zip(*columns, strict=True)]


class Team:
    """Threads for this process's parts of a batch, kept from step to step, and the precision that all compute in.

    With fewer threads than parts a thread takes one part after the other: gradients are accumulated.
    """

    def __init__(
        self,
        n_parts: int,
        device: torch.device | str = "cpu",
        *,
        is_half: bool = False,
        ranks: Ranks = ALONE,
        n_threads: int | None = None,
    ) -> None:
        """Threads for the parts of a batch.

        Args:
            n_parts: of the whole batch, at least one.
            device: of the model.
            is_half: the forward pass runs in bfloat16.
            ranks: the processes that share the parts.
            n_threads: at most; by default one for each part of this process.

        Raises:
            UserError: the parts cannot be shared equally.
        """
        self.ranks = ranks
        self.own = ranks.share(n_parts)  # numbers of the parts that this process works on
        self.n_parts = len(self.own)
        self.device = torch.device(device)
        self.is_half = is_half
        n_threads = min(self.n_parts, n_threads or self.n_parts)
        self._threads = [ThreadPoolExecutor(1) for _ in range(n_threads)] if n_threads > 1 else []

    def forward(self) -> torch.autocast:
        """The mixed precision of a forward pass, to be entered in the thread that computes it.

        Nothing is kept of a weight in half precision: that memory is one for all threads and is emptied by none of them
        while another is inside, so after a learner's step it would hold weights of before.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_half, cache_enabled=False)

    def side_by_side(self, work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
        """Do the same work on at most `n_parts` parts, each in a thread of its own; results in order.

        A part has the same thread in every call. Autograd goes back through a graph in the order in which a thread made
        it; two threads that went on with one part in turns gave gradients whose last bit depended on who was first.
        """
        if not self._threads:
            return [work(part) for part in parts]
        if len(parts) > self.n_parts:
            raise ValueError(f"{len(parts)} parts for a team of {self.n_parts}")
        jobs = [self._threads[i % len(self._threads)].submit(work, part) for i, part in enumerate(parts)]
        return [job.result() for job in jobs]

    def mean(self, parts: Sequence[Differentiated]) -> Differentiated:
        """Average what all processes found in their parts of one update; the same on every one of them."""
        own = mean(parts)
        gradients, (total, *values) = self.ranks.mean(own.gradients, [own.total, *own.losses.values()])
        return Differentiated(own.learner, dict(zip(own.losses, values, strict=True)), total, gradients)


def mean(parts: Sequence[Differentiated]) -> Differentiated:
    """Average equal parts of one batch, summed in their order."""
    n = len(parts)
    names = parts[0].losses
    return Differentiated(
        learner=parts[0].learner,
        losses={name: sum(part.losses[name] for part in parts) / n for name in names},
        total=sum(part.total for part in parts) / n,
        gradients=[_mean_gradient(column) for column in zip(*(part.gradients for part in parts), strict=True)],
    )


def _mean_gradient(gradients: Sequence[Tensor | None]) -> Tensor | None:
    present: Iterator[Tensor] = (gradient for gradient in gradients if gradient is not None)
    first = next(present, None)
    if first is None:
        return None
    total = first
    for gradient in present:
        total = total + gradient
    return total / len(gradients)
