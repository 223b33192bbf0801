"""Batches and updates; above all, what a batch without a source may not touch."""

from __future__ import annotations

import itertools

import pytest
import torch

from moksori_studies.seq2seq import Translator, TranslatorConfig
from moksori_studies.subwords import END, NULL, PAD, START
from moksori_studies.training import (
    Pair,
    alternating,
    batches,
    chance,
    collate,
    cross_entropy_of,
    frozen,
    train,
    translate,
    update,
)

N = 12


def pairs(n: int = 50) -> list[Pair]:
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(5, N, (1 + i % 6,), generator=generator).tolist() for i in range(n)]
    return [Pair([*row, END], row[::-1]) for row in rows]


def model(has_attention: bool = True) -> Translator:
    with chance(0):
        return Translator(TranslatorConfig(N, N, 16, has_attention, 0.0))


def nulls() -> list[Pair]:
    return [Pair([NULL], pair.target) for pair in pairs()]


def test_in_each_pass_every_pair_comes_once() -> None:
    supply = batches(pairs(50), 8, torch.Generator().manual_seed(0))
    for _ in range(2):
        seen = [row for batch in itertools.islice(supply, 7) for row in batch.target.tolist()]
        said = sorted([piece for piece in row if piece not in (PAD, START, END)] for row in seen)
        assert said == sorted(pair.target for pair in pairs(50))


def test_a_batch_is_filled_up_and_knows_whether_it_has_sources() -> None:
    batch = collate([Pair([6, 7, END], [8]), Pair([9, END], [10, 11])])
    assert batch.source.tolist() == [[6, 7, END], [9, END, PAD]]
    assert batch.target.tolist() == [[START, 8, END, PAD], [START, 10, 11, END]]
    assert not batch.is_null
    assert collate(nulls()).is_null


def test_batches_alternate_one_to_one() -> None:
    generator = torch.Generator().manual_seed(0)
    supply = alternating(batches(pairs(), 8, generator), batches(nulls(), 8, generator))
    assert [batch.is_null for batch in itertools.islice(supply, 6)] == [False, True] * 3


@pytest.mark.parametrize("has_attention", [True, False])
def test_a_batch_without_source_moves_neither_encoder_nor_attention(has_attention: bool) -> None:
    net = model(has_attention)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(3):  # so that Adam has something to remember
        update(net, optimiser, collate(pairs()))
    still = [*net.encoder.parameters()] + (
        [] if net.decoder.attention is None else [*net.decoder.attention.parameters()]
    )
    moving = [net.decoder.embedding.weight, net.decoder.bias, *net.decoder.recurrence.parameters()]
    before = [parameter.detach().clone() for parameter in (*still, *moving)]
    update(net, optimiser, collate(nulls()))
    after = [*still, *moving]
    for parameter, old in zip(after[: len(still)], before, strict=False):
        assert parameter.grad is None
        assert torch.equal(parameter, old)
    for parameter, old in zip(moving, before[len(still) :], strict=True):
        assert not torch.equal(parameter, old)


def test_after_a_batch_without_source_the_encoder_learns_again() -> None:
    net = model()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    update(net, optimiser, collate(nulls()))
    before = net.encoder.embedding.weight.detach().clone()
    update(net, optimiser, collate(pairs()))
    assert not torch.equal(net.encoder.embedding.weight, before)


def test_freezing_ends_even_after_an_error() -> None:
    net = model()
    with pytest.raises(RuntimeError, match="on purpose"), frozen(net):
        assert not any(parameter.requires_grad for parameter in net.encoder.parameters())
        raise RuntimeError("on purpose")
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_training_lowers_the_loss_and_watches_every_update() -> None:
    net, seen = model(), []
    before = cross_entropy_of(net, pairs())
    supply = batches(pairs(), 16, torch.Generator().manual_seed(0))
    train(net, supply, 60, lambda step: 0.01, lambda step, loss: seen.append(step))
    assert seen == list(range(1, 61))
    assert cross_entropy_of(net, pairs()) < 0.5 * before


def test_the_cross_entropy_does_not_depend_on_the_batches() -> None:
    net = model()
    assert cross_entropy_of(net, pairs(), 7) == pytest.approx(cross_entropy_of(net, pairs(), 100), rel=1e-5)


def test_translations_come_in_the_order_of_the_sources() -> None:
    net = model()
    those = [pair.source for pair in pairs()]
    assert translate(net, those, 8, 7) == [net.greedy(torch.tensor([source]), 8)[0] for source in those]


def test_chance_is_put_back() -> None:
    torch.randn(1)
    state = torch.get_rng_state()
    with chance(7) as generator:
        first = (torch.randn(1).item(), torch.randn(1, generator=generator).item())
    assert torch.equal(torch.get_rng_state(), state)
    with chance(7) as generator:
        assert first == (torch.randn(1).item(), torch.randn(1, generator=generator).item())
