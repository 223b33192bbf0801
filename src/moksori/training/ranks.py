"""Processes that train one model together: data parallelism over `torch.distributed`.

Every process (a rank, of `world` many) has the whole model, works on its own parts of every batch, and takes the same
step as all others, because all see the same mean gradient:

    rank 0: parts 0 1 --gradients--.
                                    sum over ranks, / n parts --> the same Adam step on every rank
    rank 1: parts 2 3 --gradients--'

The parts of a batch, and the chance within each, are fixed by the recipe and by (seed, step, attempt), so the number of
ranks is no part of a run: it may change from one sitting to the next, as long as it divides the parts.

The gradients are summed here, not by DistributedDataParallel, for three reasons: a step has several updates, of
learners that share a graph and own different parameters, and DDP hooks into one backward pass over all of them; what
is summed also carries the losses, so that every rank tells a divergence in the same place; and what DDP gains, by
sending while the backward pass still computes, is small for a few million parameters. FSDP would save memory that
nobody misses: weights, gradients, average and Adam's moments of the largest recipe (7.5 million) fill 150 MB.

Rank 0 alone writes: states, model files, journal, board, samples. It also validates and scores alone: that is a few
seconds in a thousand steps, a score of conversions cannot be cut (its judges hear whole clips), and figures that
depended on the number of ranks would let a plateau come at another step. What it decides, and its clock, is broadcast.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed

from moksori import documents
from moksori.errors import UserError

_PATIENCE = datetime.timedelta(hours=12)  # of a rank for rank 0, which may have a corpus to prepare first


class Group(Protocol):
    """What ranks ask of whoever connects them; every rank calls the same in the same order."""

    def sum_(self, tensor: Tensor) -> None:
        """Put the sum over all ranks in the place of a tensor, of one shape everywhere."""

    def from_first_(self, tensor: Tensor) -> None:
        """Put the tensor of rank 0 in the place of everybody's, of one shape everywhere."""

    def all_of(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all ranks, in their order, of one shape."""


class TorchGroup:
    """All processes that torchrun has started, connected by gloo (CPU) or NCCL (GPU)."""

    def sum_(self, tensor: Tensor) -> None:
        """See `Group.sum_`."""
        distributed.all_reduce(tensor)

    def from_first_(self, tensor: Tensor) -> None:
        """See `Group.from_first_`."""
        distributed.broadcast(tensor, 0)

    def all_of(self, tensor: Tensor) -> list[Tensor]:
        """See `Group.all_of`."""
        found = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
        distributed.all_gather(found, tensor.contiguous())
        return found


@dataclass(frozen=True)
class Ranks:
    """A process among those that train one model together; alone, everything here costs nothing."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0  # among those of this machine
    local_world: int = 1
    group: Group | None = None  # None: this process trains alone
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))  # that the group speaks on

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.rank == 0

    @property
    def is_launched(self) -> bool:
        """Whether there is a group, be it of one: then the parts of a batch are those of the recipe on a GPU, too."""
        return self.group is not None

    def share(self, n: int) -> range:
        """The numbers of this rank's part of `n` things.

        Raises:
            UserError: they cannot be shared equally.
        """
        if n % self.world:
            raise UserError(
                f"{self.world} processes cannot share the {n} parts of a batch equally; begin the run with --set "
                f"segments.shards={self.world} (or a multiple, which divides segments.batch_size), or start as many "
                "processes as divide the parts"
            )
        size = n // self.world
        return range(self.rank * size, (self.rank + 1) * size)

    def mean(
        self, gradients: Sequence[Tensor | None], values: Sequence[float]
    ) -> tuple[list[Tensor | None], list[float]]:
        """The mean over ranks, which have worked on as much each, of gradients and of numbers beside them.

        Args:
            gradients: of one learner; None in the same places on every rank.
            values: losses and the like.
        """
        if self.group is None:
            return list(gradients), list(values)
        present = [gradient for gradient in gradients if gradient is not None]
        beside = torch.tensor(list(values), dtype=torch.float32, device=self.device)
        flat = torch.cat([*(gradient.reshape(-1).float() for gradient in present), beside])
        self.group.sum_(flat)
        flat /= self.world
        *found, means = torch.split(flat, [*(gradient.numel() for gradient in present), len(values)])
        shaped = iter(part.view_as(gradient).to(gradient) for part, gradient in zip(found, present, strict=True))
        return [None if gradient is None else next(shaped) for gradient in gradients], means.tolist()

    def joined(self, own: Tensor) -> Tensor:
        """What all ranks have, one after the other, of shares of one size; on the device of `own`."""
        if self.group is None:
            return own
        return torch.cat([part.to(own.device) for part in self.group.all_of(own.to(self.device))])

    def agreed(self, seconds: float, flag: bool) -> tuple[float, bool]:
        """The clock of rank 0, and whether any rank raises the flag: what all decide by."""
        if self.group is None:
            return seconds, flag
        # The clock is compared with earlier ones, so it has to be exact: float64.
        news = torch.tensor([seconds if self.is_writer else 0.0, float(flag)], dtype=torch.float64, device=self.device)
        self.group.sum_(news)
        first_seconds, n_flags = news.tolist()
        return first_seconds, n_flags > 0

    def broadcast(self, value: Any) -> Any:
        """Broadcast of rank 0: plain data as JSON knows it; what the others hand in does not count."""
        if self.group is None:
            return value
        content = self._bytes_of_first(json.dumps(value).encode() if self.is_writer else b"")
        return documents.from_json(content)

    def tensors_of_first(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """Named tensors of rank 0, on the CPU; the others may give None."""
        if self.group is None:
            return dict(tensors or {})
        content = b""
        if self.is_writer:
            content = save({name: tensor.detach().cpu().contiguous() for name, tensor in (tensors or {}).items()})
        content = self._bytes_of_first(content)
        return dict(tensors or {}) if self.is_writer else load(content)

    def align_(self, tensors: Sequence[Tensor]) -> None:
        """Let all ranks have the numbers of rank 0, so that machines that round differently do not drift apart."""
        if self.group is not None:
            for tensor in tensors:
                there = tensor.detach().to(self.device)
                self.group.from_first_(there)
                with torch.no_grad():
                    tensor.copy_(there)

    def check_same(self, what: str, text: str) -> None:
        """Refuse to train together on different things.

        Raises:
            UserError: on every rank that has another text than rank 0.
        """
        if self.broadcast(text) != text:
            raise UserError(
                f"process {self.rank} of {self.world} has {what} that the first one does not have; all processes need "
                "the same data, package and recipe"
            )

    def wait(self) -> None:
        """Wait until every rank is here."""
        self.agreed(0.0, False)

    @contextlib.contextmanager
    def one_a_machine_first(self) -> Iterator[None]:
        """Let one rank of each machine do what is in the `with` block before the others, which find it done."""
        if self.local_rank:
            self.wait()
        yield
        if not self.local_rank:
            self.wait()

    def _bytes_of_first(self, content: bytes) -> bytes:
        assert self.group is not None
        length = torch.tensor([len(content)], dtype=torch.int64, device=self.device)
        self.group.from_first_(length)
        buffer = torch.zeros(int(length.item()), dtype=torch.uint8, device=self.device)
        if self.is_writer:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self.group.from_first_(buffer)
        return buffer.cpu().numpy().tobytes()


ALONE = Ranks()


def is_launched() -> bool:
    """Whether torchrun has started this process."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"))


@contextlib.contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the processes that torchrun started; without torchrun, be alone.

    Args:
        device: "auto", or as torch names it; of several GPUs each rank takes the one of its number.

    Yields:
        This process among the others, and its device ("auto" where it is alone and nobody said).
    """
    if not is_launched():
        yield ALONE, device
        return
    local_rank, local_world = int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    is_on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if is_on_gpu and torch.cuda.device_count() < local_world:
        raise UserError(
            f"{local_world} processes on this machine, and {torch.cuda.device_count()} GPUs; start as many processes "
            "as there are GPUs (--nproc-per-node), or train with --device cpu"
        )
    own = torch.device("cuda", local_rank) if is_on_gpu else torch.device("cpu")
    if is_on_gpu:
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if is_on_gpu else "gloo", timeout=_PATIENCE)
    try:
        rank, world = distributed.get_rank(), distributed.get_world_size()
        yield Ranks(rank, world, local_rank, local_world, TorchGroup(), own), str(own)
    finally:
        distributed.destroy_process_group()
