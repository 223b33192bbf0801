"""The fresh probe: it finds what is there, and nothing where there is nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moksori.evaluation.judges import probe


def _latents(n: int, seed: int, offset: float) -> tuple[Tensor, Tensor]:
    """Noise `[n, 4, 5]` of two singers in turn; the second one's first channel is moved by `offset`."""
    singer = torch.arange(n) % 2
    z = torch.randn(n, 4, 5, generator=torch.Generator().manual_seed(seed))
    z[:, 0] += offset * singer.unsqueeze(1)
    return z, singer


def test_a_singer_that_stands_in_the_latent_is_found() -> None:
    assert probe.accuracy(*_latents(200, 0, 3.0), *_latents(100, 1, 3.0), seed=0, n_steps=60) > 0.95


def test_where_there_is_nothing_to_find_it_guesses() -> None:
    assert probe.accuracy(*_latents(200, 0, 0.0), *_latents(200, 1, 0.0), seed=0, n_steps=60) == pytest.approx(
        0.5, abs=0.12
    )


def test_swapped_names_are_always_wrong() -> None:
    z, singer = _latents(100, 1, 3.0)
    assert probe.accuracy(*_latents(200, 0, 3.0), z, 1 - singer, seed=0, n_steps=60) < 0.05


def test_the_scale_of_the_latent_does_not_matter() -> None:
    (train, train_singer), (test, test_singer) = _latents(200, 0, 3.0), _latents(100, 1, 3.0)
    tiny = probe.accuracy(train * 1e-3, train_singer, test * 1e-3, test_singer, seed=0, n_steps=60)
    assert tiny > 0.95


def test_the_same_seed_is_the_same_probe_and_the_global_generator_stays() -> None:
    before = torch.get_rng_state()
    once, again = (probe.accuracy(*_latents(40, 0, 0.5), *_latents(60, 1, 0.5), seed=7, n_steps=10) for _ in range(2))
    assert once == again
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_to_learn_from_is_refused() -> None:
    z, singer = _latents(4, 0, 0.0)
    with pytest.raises(ValueError, match="to train on"):
        probe.accuracy(z[:0], singer[:0], z, singer, seed=0)
    with pytest.raises(ValueError, match="tried on"):
        probe.accuracy(z, singer, z[:0], singer[:0], seed=0)
