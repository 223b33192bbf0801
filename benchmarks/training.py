"""Which way of computing a training step is fastest: parts of the WaveNet at the paper's size, in turns in one run.

    python benchmarks/training.py [--rounds 5]

Every row computes the same numbers, which is checked, forward and backward over half a second of sound, on one thread;
CPU seconds, so that a neighbour does not count. The share is of the multiply-adds that a core could do at best.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from moksori.generation.engine import cpu, yardstick
from moksori.generation.engine.tile import ARITHMETICS
from moksori.models import layers

WIDTH, DILATION, N_SAMPLES = 128, 64, 8000


class FusedGate(Function):
    """The gate as one operation, whose gradient is written into one tensor instead of two that are added."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        """`[B, 2R, T] -> [B, R, T]`."""
        switch, signal = scores.chunk(2, dim=1)
        switch, signal = torch.sigmoid(switch), torch.tanh(signal)
        ctx.save_for_backward(switch, signal)
        return switch * signal

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """D sigmoid = s (1 - s), d tanh = 1 - t^2."""
        switch, signal = ctx.saved_tensors
        width = gradient.shape[1]
        both = gradient.new_empty(gradient.shape[0], 2 * width, gradient.shape[2])
        upper = gradient * switch
        torch.addcmul(upper, upper, signal * signal, value=-1, out=both[:, width:])
        upper.mul_(signal)
        torch.addcmul(upper, upper, switch, value=-1, out=both[:, :width])
        return both


def fused_gate(scores: Tensor) -> Tensor:
    """`[B, 2R, T] -> [B, R, T]`."""
    gated: Tensor = FusedGate.apply(scores)  # type: ignore[no-untyped-call]
    return gated


def by_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """As the models do it."""
    return functional.conv1d(functional.pad(x, (DILATION, 0)), weight, dilation=DILATION)


def by_product(x: Tensor, weight: Tensor) -> Tensor:
    """Past and present one above the other, and one product of matrices."""
    padded = functional.pad(x, (DILATION, 0))
    both = torch.cat([padded[:, :, : x.shape[2]], padded[:, :, DILATION:]], dim=1)
    return torch.matmul(weight.permute(0, 2, 1).reshape(weight.shape[0], -1), both)


def by_rows(x: Tensor, weight: Tensor) -> Tensor:
    """The same with time before channels, as a linear layer."""
    padded = functional.pad(x, (DILATION, 0)).transpose(1, 2)
    both = torch.cat([padded[:, : x.shape[2]], padded[:, DILATION:]], dim=2)
    return functional.linear(both, weight.permute(0, 2, 1).reshape(weight.shape[0], -1)).transpose(1, 2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(1, WIDTH, N_SAMPLES, generator=chance, requires_grad=True)
    taps = (torch.randn(2 * WIDTH, WIDTH, 2, generator=chance) / 16).requires_grad_()
    scores = torch.randn(1, 2 * WIDTH, N_SAMPLES, generator=chance, requires_grad=True)
    products = 3 * 2 * WIDTH * 2 * WIDTH * N_SAMPLES  # forward, and backward to inputs and to weights
    groups: dict[str, tuple[int, dict[str, Callable[[], Tensor]], list[Tensor]]] = {
        "dilated convolution": (
            products,
            {
                "convolution `[B, C, T]`": lambda: by_convolution(x, taps),
                "one product `[B, C, T]`": lambda: by_product(x, taps),
                "linear `[B, T, C]`": lambda: by_rows(x, taps),
            },
            [x, taps],
        ),
        "gate": (0, {"plain": lambda: layers.gate(scores), "fused": lambda: fused_gate(scores)}, [scores]),
    }
    tier = cpu.tier(cpu.features())
    run, each = yardstick.bare(ARITHMETICS["float32"], tier)
    run(1)
    seconds: dict[tuple[str, str], list[float]] = {}
    bare = 0.0
    for round_number in range(rounds + 1):
        began = time.thread_time()
        run(int(2e8 / each))
        bare = max(bare, 2e8 / (time.thread_time() - began))
        for group, (_, ways, leaves) in groups.items():
            results = []
            for way, compute in ways.items():
                began = time.process_time()
                out = compute()
                gradients = torch.autograd.grad(out.square().sum(), leaves)
                if round_number:  # the first round warms up
                    seconds.setdefault((group, way), []).append(time.process_time() - began)
                results.append([out.detach(), *gradients])
            for other in results[1:]:
                for a, b in zip(results[0], other, strict=True):
                    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-2)
    print("| part | way | milliseconds | to the first way | of bare multiply-adds |\n| --- | --- | --- | --- | --- |")
    for (group, way), found in seconds.items():
        first = seconds[group, next(iter(groups[group][1]))]
        ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
        share = f"{groups[group][0] / (statistics.median(found) * bare):.0%}" if groups[group][0] else ""
        print(f"| {group} | {way} | {1000 * statistics.median(found):.0f} | {ratio:.2f} | {share} |")


if __name__ == "__main__":
    main()
