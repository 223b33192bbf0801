"""Recurrent cells written out: a state is carried over time, and the same weights are used at every step.

Three of them, from the one that forgets to those that can decide to remember. Each reads inputs [B, T, I] and gives its
state after every step [B, T, H]. PyTorch has all three, faster; the tests hold them side by side.

Source: Elman 1990; Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; Cho et al. 2014.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class Cell(nn.Module):
    """What the three have in common: weights for input and state, and the walk through time."""

    def __init__(self, n_inputs: int, n_states: int, n_parts: int) -> None:
        """`n_parts` stacked blocks of weights: one for a plain cell, one for each gate otherwise."""
        super().__init__()
        self.n_states = n_states
        bound = n_states**-0.5
        self.from_input = nn.Parameter(torch.empty(n_parts * n_states, n_inputs).uniform_(-bound, bound))
        self.from_state = nn.Parameter(torch.empty(n_parts * n_states, n_states).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_parts * n_states))

    def start(self, batch_size: int) -> torch.Tensor:
        """Know nothing: zeros [B, H], or [B, 2 H] for a cell that carries a memory beside its state."""
        return self.bias.new_zeros(batch_size, self.n_states)

    def step(self, x: torch.Tensor, carried: torch.Tensor) -> torch.Tensor:
        """Input [B, I] and what is carried -> what is carried on."""
        raise NotImplementedError

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs [B, T, I] -> states [B, T, H]."""
        carried = self.start(len(inputs))
        states = []
        for x in inputs.unbind(1):
            carried = self.step(x, carried)
            states.append(carried[:, : self.n_states])
        return torch.stack(states, dim=1)


class Plain(Cell):
    """The plain recurrent net: the new state is a squashed mixture of input and old state."""

    def __init__(self, n_inputs: int, n_states: int, is_rotation: bool = False) -> None:
        """Build from the widths.

        The weights of the state are drawn at random, as large as keeps the states' variance (Glorot and Bengio 2010),
        or they are a random rotation, which keeps every state's length (Saxe et al. 2014).
        """
        super().__init__(n_inputs, n_states, 1)
        if is_rotation:
            nn.init.orthogonal_(self.from_state)
        else:
            nn.init.xavier_uniform_(self.from_state)

    def step(self, x: torch.Tensor, carried: torch.Tensor) -> torch.Tensor:
        """The new state h' = tanh(W x + U h + b)."""
        return torch.tanh(x @ self.from_input.T + carried @ self.from_state.T + self.bias)


class LongShortTermMemory(Cell):
    """A memory c that is kept as it is unless a gate says otherwise.

    The memory goes from step to step by a product with the forget gate and a sum, through no weights and no tanh. While
    the gate stays near 1, the gradient comes back along the same way undiminished: that is the whole trick.
    """

    def __init__(self, n_inputs: int, n_states: int, forget_bias: float = 1.0) -> None:
        """Build from the widths.

        A forget gate that begins open (`forget_bias` > 0) remembers for about exp(forget_bias) steps before anything is
        learnt (Gers et al. 2000; Jozefowicz et al. 2015; Tallec and Ollivier 2018).
        """
        super().__init__(n_inputs, n_states, 4)
        with torch.no_grad():
            self.bias[n_states : 2 * n_states] = forget_bias

    def start(self, batch_size: int) -> torch.Tensor:
        """State and memory side by side [B, 2 H]."""
        return self.bias.new_zeros(batch_size, 2 * self.n_states)

    def step(self, x: torch.Tensor, carried: torch.Tensor) -> torch.Tensor:
        """The new memory c' = f c + i tanh(...), h' = o tanh(c'); the gates i, f, o are sigmoids of input and state."""
        state, memory = carried.chunk(2, dim=1)
        sums = x @ self.from_input.T + state @ self.from_state.T + self.bias
        write, keep, new, show = sums.chunk(4, dim=1)
        memory = torch.sigmoid(keep) * memory + torch.sigmoid(write) * torch.tanh(new)
        return torch.cat([torch.sigmoid(show) * torch.tanh(memory), memory], dim=1)


class Gated(Cell):
    """The gated recurrent unit: memory and state in one, a single gate for keep and write. What the translators use."""

    def __init__(self, n_inputs: int, n_states: int) -> None:
        """Build from the widths."""
        super().__init__(n_inputs, n_states, 3)

    def step(self, x: torch.Tensor, carried: torch.Tensor) -> torch.Tensor:
        """The new state h' = z h + (1 - z) tanh(W x + r (U h)); the gates r, z are sigmoids of input and state."""
        of_input = (x @ self.from_input.T + self.bias).chunk(3, dim=1)
        of_state = (carried @ self.from_state.T).chunk(3, dim=1)
        reset = torch.sigmoid(of_input[0] + of_state[0])
        keep = torch.sigmoid(of_input[1] + of_state[1])
        new = torch.tanh(of_input[2] + reset * of_state[2])
        return keep * carried + (1 - keep) * new


def backward_through_time(
    cell: Plain, inputs: torch.Tensor, wanted: torch.Tensor
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Find the gradient of a plain cell by hand: the chain rule, walked backwards from the last step.

    The loss is half the squared distance of the last state from `wanted` [B, H]. With h' = tanh(a), a = W x + U h + b:

        dL/da = dL/dh' (1 - h'^2)      dL/dh = U^T dL/da      dL/dW += dL/da x^T      dL/dU += dL/da h^T

    Each step back multiplies by U^T and by 1 - h'^2 <= 1: unless U stretches as much as tanh squashes, the gradient
    shrinks by a factor at each step, and what came early cannot be learnt.

    Args:
        cell: the weights.
        inputs: [B, T, I].
        wanted: [B, H].

    Returns:
        The gradient of each weight, by its name; and the length of dL/dh after each step back, from the last state on.
    """
    with torch.no_grad():
        states = [cell.start(len(inputs)), *cell(inputs).unbind(1)]
        found = {name: torch.zeros_like(weight) for name, weight in cell.named_parameters()}
        of_state = states[-1] - wanted
        lengths = [float(of_state.norm())]
        for t in reversed(range(inputs.shape[1])):
            of_sum = of_state * (1 - states[t + 1] ** 2)
            found["from_input"] += of_sum.T @ inputs[:, t]
            found["from_state"] += of_sum.T @ states[t]
            found["bias"] += of_sum.sum(0)
            of_state = of_sum @ cell.from_state
            lengths.append(float(of_state.norm()))
    return found, lengths


def finite_differences(loss: Callable[[], torch.Tensor], weight: torch.Tensor, width: float = 1e-5) -> torch.Tensor:
    """Find the gradient of a loss by trying: each number of a float64 weight is moved a little up and down.

    Args:
        loss: computes the loss with the weight as it stands.
        weight: is moved and put back.
        width: how far; the error falls with its square until rounding takes over.
    """
    gradient = torch.zeros_like(weight)
    with torch.no_grad():
        numbers, slopes = weight.view(-1), gradient.view(-1)
        for i in range(len(numbers)):
            there = float(numbers[i])
            numbers[i] = there + width
            above = float(loss())
            numbers[i] = there - width
            slopes[i] = (above - float(loss())) / (2 * width)
            numbers[i] = there
    return gradient
