"""Cells written out beside PyTorch's, and gradients beside what trying gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moksori_studies.recurrent import (
    Cell,
    Gated,
    LongShortTermMemory,
    Plain,
    backward_through_time,
    finite_differences,
)
from moksori_studies.training import chance

CELLS = {"plain": Plain, "lstm": LongShortTermMemory, "gated": Gated}
TWINS = {"plain": nn.RNN, "lstm": nn.LSTM, "gated": nn.GRU}


def double(kind: str, n_inputs: int = 3, n_states: int = 5) -> Cell:
    with chance(1):
        return CELLS[kind](n_inputs, n_states).double()


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_written_out_says_what_that_of_pytorch_says(kind: str) -> None:
    cell = double(kind)
    twin = TWINS[kind](3, 5, batch_first=True).double()
    with torch.no_grad():
        twin.weight_ih_l0.copy_(cell.from_input)
        twin.weight_hh_l0.copy_(cell.from_state)
        twin.bias_ih_l0.copy_(cell.bias)
        twin.bias_hh_l0.zero_()
    inputs = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(cell(inputs), twin(inputs)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_the_gradient_of_every_weight_is_what_trying_gives(kind: str) -> None:
    cell = double(kind)
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    wanted = torch.randn(2, 5, generator=generator, dtype=torch.float64)

    def loss() -> torch.Tensor:
        return 0.5 * ((cell(inputs)[:, -1] - wanted) ** 2).sum()

    loss().backward()
    for name, weight in cell.named_parameters():
        tried = finite_differences(loss, weight)
        assert weight.grad is not None
        assert float((weight.grad - tried).norm() / tried.norm()) < 1e-5, name


def test_the_gradient_walked_back_by_hand_is_what_trying_gives() -> None:
    cell = double("plain")
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    wanted = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    found, lengths = backward_through_time(cell, inputs, wanted)

    def loss() -> torch.Tensor:
        return 0.5 * ((cell(inputs)[:, -1] - wanted) ** 2).sum()

    for name, weight in cell.named_parameters():
        tried = finite_differences(loss, weight)
        assert float((found[name] - tried).norm() / tried.norm()) < 1e-5, name
    assert len(lengths) == 7  # from the last state to the one before the first step


def test_trying_gives_the_slope_of_a_square() -> None:
    x = torch.tensor([1.0, -2.0], dtype=torch.float64)
    assert finite_differences(lambda: (x**2).sum(), x).tolist() == pytest.approx([2.0, -4.0], rel=1e-9)
    assert x.tolist() == [1.0, -2.0]  # put back


def test_an_open_gate_keeps_the_memory_as_it_is() -> None:
    cell = LongShortTermMemory(1, 2).double()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.bias[:2] = -50.0  # never write
        cell.bias[2:4] = 50.0  # always keep
    carried = torch.tensor([[0.0, 0.0, 0.3, -0.7]], dtype=torch.float64)
    for _ in range(100):
        carried = cell.step(torch.zeros(1, 1, dtype=torch.float64), carried)
    assert carried[0, 2:].tolist() == pytest.approx([0.3, -0.7], abs=1e-12)


def test_a_plain_cell_that_begins_as_a_rotation_turns_without_shortening() -> None:
    weights = Plain(3, 16, is_rotation=True).from_state.detach()
    torch.testing.assert_close(weights @ weights.T, torch.eye(16), rtol=0, atol=1e-5)
