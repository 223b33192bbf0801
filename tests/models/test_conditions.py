from __future__ import annotations

import math

import pytest
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


def test_a_melody_is_octaves_above_a3_voicing_and_level() -> None:
    f0_hz, level_dbfs = torch.tensor([[220.0, 440.0, 0.0, 110.0]]), torch.tensor([[-40.0, -20.0, -60.0, 0.0]])
    channels = conditions.melody(f0_hz, level_dbfs)
    assert channels.tolist() == [[[0, 1, 0, -1], [1, 1, 0, 1], [0, 1, -1, 2]]]


def test_a_neper_is_8_7_decibels() -> None:
    nepers = torch.tensor([0.0, -math.log(10.0), math.log(2.0)])
    assert conditions.dbfs(nepers).tolist() == pytest.approx([0.0, -20.0, 6.0206], abs=1e-4)


def test_with_a_melody_the_latent_is_held_and_the_condition_has_the_melodys_frames() -> None:
    latent = torch.tensor([[[1.0, 2.0]]])  # [1, 1, 2]
    melody = torch.arange(12.0).reshape(1, 3, 4)
    joined = conditions.join(latent, torch.tensor([[7.0]]), 160, melody)
    assert joined.frames[0].tolist() == [[1, 1, 2, 2], [7, 7, 7, 7], *melody[0].tolist()]
    assert joined.hop_samples == 80 and joined.n_samples == 320
