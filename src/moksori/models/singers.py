"""Singers by name: a learned vector each, and voices in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from moksori import arguments
from moksori.errors import UserError


class SingerTable(nn.Module):
    """Singer names <-> rows of a learned table `[N, E]`.

    A width of 0 is for a model that is not conditioned on the singer: it keeps the names alone. Beside what is learned
    a vector may have a part that is measured of the singer's recordings (`measured` `[N, M]`, set before training), and
    then is `[E + M]` long.

    Source: Nachmani and Wolf 2019, section 3: a vector v_j a singer, trained together with encoder and decoder.
    """

    def __init__(self, names: Sequence[str], width: int, n_measured: int = 0) -> None:
        super().__init__()
        if not names or len(set(names)) != len(names):
            raise ValueError(f"singer names must be given, each once: {list(names)}")
        self.names = tuple(names)
        # Filled here: PyTorch warns when it is to fill a table of no columns with chance; and on the meta device, where
        # a file's model is built without memory, it loads its compiler to draw nothing, which takes seconds.
        start = torch.empty(len(names), width)
        if width and not start.is_meta:
            nn.init.normal_(start)
        self.table = nn.Embedding(len(names), width, _weight=start)
        self.measured: Tensor | None
        self.register_buffer("measured", torch.zeros(len(names), n_measured) if n_measured else None)

    def forward(self, singer: Tensor) -> Tensor:
        """Singer numbers `[B]` -> their vectors `[B, E]`."""
        vectors: Tensor = self.table(singer)
        return vectors if self.measured is None else torch.cat([vectors, self.measured[singer]], dim=-1)

    def rows_of_singers(self) -> dict[str, int]:
        """See `roster.OfSingers`."""
        return {"table.weight": 1} | ({} if self.measured is None else {"measured": 1})

    def index(self, name: str) -> int:
        """Number of a singer.

        Raises:
            UserError: nobody of that name; the message lists who there is.
        """
        if name not in self.names:
            raise UserError(f"this model has no singer named {name!r}; it knows {', '.join(self.names)}")
        return self.names.index(name)

    def vector(self, singer: str | Mapping[str, float]) -> Tensor:
        """The vector `[E]` of a singer by name, or of a mix of singers, with no gradient; see `mix`."""
        if not isinstance(singer, str | Mapping):
            raise TypeError(
                f"singer is {singer!r:.80}; expected a name, such as 'kumi', or a mix, such as {{'a': 0.7, 'b': 0.3}}"
            )
        with torch.no_grad():
            return self.mix({singer: 1.0} if isinstance(singer, str) else singer)

    def mix(self, shares: Mapping[str, float]) -> Tensor:
        """The vector of one singer, or of a voice between several.

        Args:
            shares: singer name -> share; shares are positive and are scaled to sum to 1.

        Returns:
            `[E]`; with a single singer exactly that singer's row.

        Raises:
            UserError: an unknown singer, no singer, or a share that is not a positive number.
        """
        for share in shares.values():
            arguments.number(share, "share of a singer", "0.7")
        bad = {name: share for name, share in shares.items() if not 0 < share < float("inf")}
        if bad or not shares:
            raise UserError(f"shares of a mix must be positive numbers, such as a=0.7,b=0.3; not {bad or 'nothing'}")
        numbers = torch.tensor([self.index(name) for name in shares], device=self.table.weight.device)
        total = sum(shares.values())
        weights = self.table.weight.new_tensor([share / total for share in shares.values()])
        mixed: Tensor = weights @ self(numbers)  # [n] @ [n, E] -> [E]
        return mixed

    def between(self, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
        """Vectors of virtual singers: `share` of the first singer, the rest of the second.

        Args:
            first: singer numbers `[B]`.
            second: singer numbers `[B]`.
            share: `[B]`, in [0, 1]; 1 gives exactly the first singer's row.

        Returns:
            `[B, E]`.

        Source: Nachmani and Wolf 2019, section 3.2.
        """
        weight = share.unsqueeze(1)
        mixed: Tensor = weight * self(first) + (1 - weight) * self(second)
        return mixed
