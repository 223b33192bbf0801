"""How long does a recurrent net remember? A symbol is shown, then noise for a while; at the end it must be named again.

    python -m moksori_studies.memory

A plain recurrent net learns to wait 10 steps. Over 50 or 100 its gradient has died before it reaches the symbol. An
LSTM learns to wait as long as that; so may a plain net that begins as a rotation, because a rotation shortens nothing.

Source: the task is one of Hochreiter and Schmidhuber 1997, section 5, made smaller.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from moksori import atomic
from moksori_studies import commands, pages
from moksori_studies.recurrent import Cell, LongShortTermMemory, Plain, backward_through_time
from moksori_studies.training import chance

N_SYMBOLS = 8  # to be remembered; chance is 1/8
N_NOISE = 4  # other symbols, that mean nothing


class Recall(nn.Module):
    """A cell, and a layer that names the symbol from its last state."""

    def __init__(self, cell: Cell) -> None:
        """Build around a cell that reads one-hot symbols."""
        super().__init__()
        self.cell = cell
        self.name = nn.Linear(cell.n_states, N_SYMBOLS)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        """Symbols [B, T] -> scores of what the first one was [B, 8]."""
        inputs = one_hot(symbols, N_SYMBOLS + N_NOISE).to(self.name.weight)
        return torch.as_tensor(self.name(self.cell(inputs)[:, -1]))


def draw(n: int, delay: int, generator: torch.Generator) -> torch.Tensor:
    """`n` rows [n, 1 + delay]: a symbol to remember, 0 to 7, and noise, 8 to 11."""
    first = torch.randint(N_SYMBOLS, (n, 1), generator=generator)
    noise = torch.randint(N_SYMBOLS, N_SYMBOLS + N_NOISE, (n, delay), generator=generator)
    return torch.cat([first, noise], dim=1)


def learn(model: Recall, delay: int, n_updates: int, generator: torch.Generator) -> int:
    """Train until 20 batches in a row were named rightly, at most `n_updates`; how many were made."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    n_right = 0
    for step in range(n_updates):
        symbols = draw(64, delay, generator)
        scores = model(symbols)
        optimiser.zero_grad()
        cross_entropy(scores, symbols[:, 0]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        n_right = n_right + 1 if bool((scores.argmax(1) == symbols[:, 0]).all()) else 0
        if n_right == 20:
            return step + 1
    return n_updates


@torch.no_grad()
def accuracy(model: Recall, delay: int, generator: torch.Generator, n: int = 1000) -> float:
    """Share of new rows whose symbol is named."""
    symbols = draw(n, delay, generator)
    return float((model(symbols).argmax(1) == symbols[:, 0]).double().mean())


KINDS = ("plain", "rotation", "lstm")
DELAYS = (10, 20, 50, 100)


def cell_of(kind: str, n_states: int = 32) -> Cell:
    """A fresh cell of one of the `KINDS`."""
    size = N_SYMBOLS + N_NOISE
    if kind == "lstm":
        return LongShortTermMemory(size, n_states, forget_bias=4.0)  # open for about exp(4) = 55 steps
    if kind in KINDS:
        return Plain(size, n_states, is_rotation=kind == "rotation")
    raise ValueError(f"no cell {kind!r}; there are {', '.join(KINDS)}")


def trial(kind: str, delay: int, n_updates: int, seed: int) -> dict[str, float | int | str]:
    """Train one net of a kind for one delay, and test it on new rows."""
    with chance(seed) as generator:
        model = Recall(cell_of(kind))
        made = learn(model, delay, n_updates, generator)
        return {"kind": kind, "delay": delay, "seed": seed, "updates": made, "right": accuracy(model, delay, generator)}


def fading(kind: str, n_steps: int, seed: int) -> list[float]:
    """How much of the gradient is left after each step back, in a fresh plain net: from 1 down."""
    with chance(seed) as generator:
        cell = cell_of(kind)
        assert isinstance(cell, Plain)
        inputs = one_hot(draw(64, n_steps - 1, generator), N_SYMBOLS + N_NOISE).to(cell.bias)
        _, lengths = backward_through_time(cell, inputs, torch.randn(64, cell.n_states, generator=generator))
        return [length / lengths[0] for length in lengths]


def report(trials: Sequence[dict[str, float | int | str]]) -> str:
    """Make a table of the shares named rightly: a row a kind, a column a delay, a number a seed."""
    rows = []
    for kind in KINDS:
        cells = [kind]
        for delay in DELAYS:
            found = [t for t in trials if (t["kind"], t["delay"]) == (kind, delay)]
            cells.append(", ".join(f"{100 * float(t['right']):.0f}" for t in found) or "-")
        rows.append(cells)
    return pages.table(["right, % of new rows, a number a seed", *(f"after {delay} steps" for delay in DELAYS)], rows)


def draw_fading(path: Path) -> None:
    """Draw how the gradient fades."""
    figure, (axis,) = pages.panels(1, 4.6)
    for kind, colour in zip(KINDS[:2], pages.COLOURS, strict=False):
        for seed in range(3):
            axis.semilogy(fading(kind, 100, seed), color=colour, label=kind if seed == 0 else None)
    pages.label(axis, "steps back", "what is left of the gradient", "before anything is learnt")
    pages.write_svg(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="memory", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--updates", type=int, default=800, help="at most, of each training (800)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind and delay (3)")
    parser.add_argument("--page", type=Path, help="put the table into this page, and beside it memory.svg, memory.json")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)  # steps as small as these are not worth sharing
    trials = []
    for delay in DELAYS:
        for kind in KINDS:
            for seed in range(asked.seeds):
                trials.append(trial(kind, delay, asked.updates, seed))
                right = float(trials[-1]["right"])
                print(f"{kind}, seed {seed}: {right:.1%} right after {delay} steps", flush=True)
    print("\n" + report(trials))
    if asked.page is not None:
        pages.put(asked.page, "results", report(trials))
        draw_fading(asked.page.with_name("memory.svg"))
        atomic.write(asked.page.with_name("memory.json"), (json.dumps(trials, indent=1) + "\n").encode())


if __name__ == "__main__":
    commands.start(main)
