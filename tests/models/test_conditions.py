from __future__ import annotations

import torch

from moksori.models import conditions
from moksori.models.conditions import Conditioning


def test_join_puts_the_latent_first_and_repeats_the_singer_over_the_frames() -> None:
    latent = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]])  # [2, 1, 3]
    singer = torch.tensor([[7.0, 8.0], [9.0, 10.0]])  # [2, 2]
    joined = conditions.join(latent, singer, hop_samples=5)
    assert joined.frames.tolist() == [[[1, 2, 3], [7, 7, 7], [8, 8, 8]], [[4, 5, 6], [9, 9, 9], [10, 10, 10]]]
    assert joined.hop_samples == 5


def test_a_condition_describes_frames_times_hop_samples() -> None:
    assert Conditioning(torch.zeros(2, 3, 7), 160).n_samples == 1120
    assert Conditioning(torch.zeros(2, 0, 7), 160).n_samples == 1120  # a net without a condition: only the length


def test_gradients_reach_latent_and_singer() -> None:
    latent, singer = torch.zeros(1, 2, 3, requires_grad=True), torch.zeros(1, 4, requires_grad=True)
    conditions.join(latent, singer, 1).frames.sum().backward()
    assert latent.grad is not None and latent.grad.tolist() == [[[1, 1, 1], [1, 1, 1]]]
    assert singer.grad is not None and singer.grad.tolist() == [[3, 3, 3, 3]]  # once a frame
