"""How the studies train a translator: pairs of sentences into batches, batches into updates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from moksori_studies.seq2seq import Translator
from moksori_studies.subwords import END, NULL, PAD, START, Subwords


@dataclass(frozen=True)
class Pair:
    """A source sentence and its translation, as numbers of pieces."""

    source: list[int]  # ends with END; or [NULL] where there is no source
    target: list[int]  # without start and end


@dataclass(frozen=True)
class Batch:
    """Several pairs, filled up with `PAD`."""

    source: torch.Tensor  # [B, S]
    target: torch.Tensor  # [B, T], each from START to END
    is_null: bool = False  # the source is only <null>: there is nothing to learn about the source language


@contextlib.contextmanager
def chance(seed: int) -> Iterator[torch.Generator]:
    """A generator for what we draw; PyTorch's own, for first weights and dropout, is seeded and put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def numbered(pairs: Sequence[tuple[str, str]], source: Subwords, target: Subwords) -> list[Pair]:
    """Sentences as numbers of pieces."""
    return [Pair([*source.encode(a), END], target.encode(b)) for a, b in pairs]


def collate(pairs: Sequence[Pair]) -> Batch:
    """One batch of these pairs."""
    is_null = all(pair.source == [NULL] for pair in pairs)
    return Batch(
        padded([pair.source for pair in pairs]),
        padded([[START, *pair.target, END] for pair in pairs]),
        is_null,
    )


def padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Rows of different lengths as one tensor [B, longest]."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])


def batches(pairs: Sequence[Pair], batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Batches without end. In each pass every pair comes once, beside pairs of similar length, to save filling."""
    pool = 20 * batch_size  # sentences among which neighbours in length are sought
    while True:
        order = torch.randperm(len(pairs), generator=generator).tolist()
        parts: list[list[int]] = []
        for i in range(0, len(order), pool):
            by_length = sorted(order[i : i + pool], key=lambda j: (len(pairs[j].target), len(pairs[j].source)))
            parts += [by_length[j : j + batch_size] for j in range(0, len(by_length), batch_size)]
        for k in torch.randperm(len(parts), generator=generator).tolist():
            yield collate([pairs[j] for j in parts[k]])


def alternating(first: Iterator[Batch], second: Iterator[Batch]) -> Iterator[Batch]:
    """One of each in turn."""
    while True:
        yield next(first)
        yield next(second)


def update(model: Translator, optimiser: torch.optim.Optimizer, batch: Batch) -> float:
    """Take one step down the loss of a batch, which is returned in nats a piece.

    On a batch without source the encoder and the attention are frozen (Sennrich, Haddow and Birch 2016, section 3.1):
    there is nothing they could learn, only something they could forget. They get no gradient at all rather than one of
    zero, because Adam would go on moving them by what it remembers of earlier batches.
    """
    optimiser.zero_grad(set_to_none=True)
    with frozen(model) if batch.is_null else contextlib.nullcontext():
        loss = model.loss(batch.source, batch.target)
        loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


@contextlib.contextmanager
def frozen(model: Translator) -> Iterator[None]:
    """Encoder and attention get no gradient."""
    attention = model.decoder.attention
    parameters = [*model.encoder.parameters(), *(attention.parameters() if attention is not None else ())]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def train(
    model: Translator,
    supply: Iterator[Batch],
    n_updates: int,
    learning_rate: Callable[[int], float],
    watch: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """`n_updates` of Adam; `watch` is called after each with the number of updates done and the loss of the batch."""
    optimiser = torch.optim.Adam(model.parameters())
    model.train()
    for step in range(n_updates):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step)
        loss = update(model, optimiser, next(supply))
        watch(step + 1, loss)
        model.train()


@torch.no_grad()
def cross_entropy_of(model: Translator, pairs: Sequence[Pair], batch_size: int = 100) -> float:
    """Mean over all target pieces, in nats, without dropout."""
    model.eval()
    total, n_pieces = 0.0, 0
    for part in _by_length(pairs, batch_size):
        batch = collate([pairs[i] for i in part])
        n = int((batch.target[:, 1:] != PAD).sum())
        total += float(model.loss(batch.source, batch.target)) * n
        n_pieces += n
    return total / n_pieces


def translate(
    model: Translator, sources: Sequence[list[int]], max_pieces: int, batch_size: int = 100
) -> list[list[int]]:
    """Greedy translations, in the order of the sources."""
    model.eval()
    result: list[list[int]] = [[] for _ in sources]
    for part in _by_length([Pair(source, []) for source in sources], batch_size):
        found = model.greedy(padded([sources[i] for i in part]), max_pieces)
        for i, pieces in zip(part, found, strict=True):
            result[i] = pieces
    return result


def _by_length(pairs: Sequence[Pair], batch_size: int) -> list[list[int]]:
    order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i].source), len(pairs[i].target)))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
