"""Who remembers for how long."""

from __future__ import annotations

import re

import pytest
import torch

from moksori_studies import memory
from moksori_studies.memory import N_SYMBOLS, Recall, accuracy, cell_of, draw, fading, report, trial


def test_a_row_is_a_symbol_and_then_noise_that_cannot_be_taken_for_one() -> None:
    rows = draw(500, 7, torch.Generator().manual_seed(0))
    assert rows.shape == (500, 8)
    assert set(rows[:, 0].tolist()) == set(range(8))
    assert set(rows[:, 1:].flatten().tolist()) == set(range(8, 12))


def test_an_untrained_net_is_at_chance() -> None:
    right = accuracy(Recall(cell_of("lstm")), 10, torch.Generator().manual_seed(0), n=4000)
    assert right < 2.0 / N_SYMBOLS


def test_a_plain_net_learns_to_wait_ten_steps() -> None:
    assert float(trial("plain", 10, 600, seed=0)["right"]) >= 0.99


def test_an_lstm_learns_to_wait_fifty_steps_and_a_plain_net_does_not() -> None:
    assert float(trial("lstm", 50, 300, seed=0)["right"]) >= 0.95
    assert float(trial("plain", 50, 100, seed=0)["right"]) < 0.4


def test_the_gradient_fades_in_a_plain_net_and_less_in_a_rotation() -> None:
    plain, rotation = fading("plain", 50, 0), fading("rotation", 50, 0)
    assert plain[0] == rotation[0] == 1.0
    assert plain[-1] < 1e-3
    assert rotation[-1] > 10 * plain[-1]


def test_a_cell_of_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no cell 'gru'; there are plain, rotation, lstm"):
        cell_of("gru")


def test_the_table_has_a_number_for_each_seed() -> None:
    trials = [{"kind": "lstm", "delay": 50, "seed": seed, "updates": 1, "right": 0.5 + seed / 4} for seed in range(3)]
    (row,) = [line for line in report(trials).splitlines() if "lstm" in line]
    assert row == "| lstm | - | - | 50, 75, 100 | - |"


def test_the_command_prints_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(memory, "DELAYS", (2,))
    memory.main(["--updates", "3", "--seeds", "1"])
    assert re.search(r"\| rotation \| \d+ \|", capsys.readouterr().out)
