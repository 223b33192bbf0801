"""Changing the singers of a model: rows of its embedding and heads are added, removed or renamed, all else stays.

What belongs to a singer are rows of a few tensors: of the table, and of the adversaries' last layers. Every other
weight is carried over, so whoever stays sings bit for bit as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, runtime_checkable

import torch
from torch import Tensor
from typing_extensions import Protocol

from moksori.errors import UserError
from moksori.models import kinds
from moksori.models.kinds import Model

AnyModel = TypeVar("AnyModel", bound=Model)


@runtime_checkable
class OfSingers(Protocol):
    """A module some of whose tensors have rows a singer."""

    def rows_of_singers(self) -> dict[str, int]:
        """Name of a tensor -> how many blocks of N rows it has, one row a singer in each."""


def with_singers(model: AnyModel, roster: Mapping[str, str | None]) -> AnyModel:
    """A copy of a model for other singers.

    Args:
        model: stays as it is.
        roster: the new singers in their order, each with the singer of the model whose rows it takes over; None for
            somebody new, who begins as the mean of all.

    Raises:
        UserError: an unknown singer, or nobody at all.
    """
    if not roster:
        raise UserError("a model needs at least one singer; leave one of them in")
    rows = [None if old is None else model.singers.index(old) for old in roster.values()]
    names, before = list(roster), model.state_dict()
    with torch.device("meta"):
        changed = kinds.build(model.config, names)
    n_blocks = {
        f"{path}.{name}" if path else name: count
        for path, module in model.named_modules()
        if isinstance(module, OfSingers)
        for name, count in module.rows_of_singers().items()
    }
    tensors = {name: _chosen(tensor, rows, n_blocks.get(name, 0)) for name, tensor in before.items()}
    changed.load_state_dict(tensors, assign=True)
    changed.train(model.training)
    return changed  # type: ignore[return-value]


def _chosen(tensor: Tensor, rows: list[int | None], n_blocks: int) -> Tensor:
    """Rows of each block by number, the mean of all where there is none; the whole tensor where there are no blocks."""
    if not n_blocks:
        return tensor.clone()
    blocks = tensor.chunk(n_blocks)
    chosen = [block[row] if row is not None else block.mean(dim=0) for block in blocks for row in rows]
    return torch.stack(chosen)
