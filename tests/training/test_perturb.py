"""Perturbation: nothing at size nought, bands move and colours change otherwise, by the generator alone."""

from __future__ import annotations

import pytest
import torch

from moksori.training import perturb
from moksori.training.perturb import PerturbConfig

NONE = PerturbConfig(0.0, 0.0, 0.0, 0.0)
MEL = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(0))


def _perturbed(config: PerturbConfig, seed: int = 1) -> torch.Tensor:
    return perturb.perturbed(MEL, config, torch.Generator().manual_seed(seed))


def test_no_size_changes_nothing() -> None:
    torch.testing.assert_close(_perturbed(NONE)[:, :-1], MEL[:, :-1])


def test_the_generator_decides() -> None:
    config = PerturbConfig()
    assert torch.equal(_perturbed(config), _perturbed(config))
    assert not torch.equal(_perturbed(config), _perturbed(config, seed=2))


def test_bands_move_together_by_no_more_than_the_shift() -> None:
    peak = torch.zeros(200, 40, 3)
    peak[:, 20] = 1.0
    moved = perturb.perturbed(peak, PerturbConfig(0.0, 3.0, 0.0, 0.0), torch.Generator().manual_seed(0))
    middle = (moved[:, :, 0] * torch.arange(40)).sum(dim=1) / moved[:, :, 0].sum(dim=1)
    assert 2.5 < (middle - 20).abs().max() < 3.5
    assert torch.equal(moved[:, :, 0], moved[:, :, 2])


def test_a_stretch_moves_high_bands_further() -> None:
    ramp = torch.arange(40.0)[None, :, None].expand(100, -1, 2)
    moved = perturb.perturbed(ramp, PerturbConfig(0.2, 0.0, 0.0, 0.0), torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved[:, 20, 0] / 20, moved[:, 10, 0] / 10)
    assert moved[:, 10, 0].min() < 8.5 and moved[:, 10, 0].max() > 11.5


@pytest.mark.parametrize("part", ["tone", "loudness"])
def test_colour_and_loudness_are_added_for_the_whole_clip(part: str) -> None:
    config = PerturbConfig(0.0, 0.0, **({"tone": 0.0, "loudness": 0.0} | {part: 0.5}))
    added = (_perturbed(config) - MEL)[:, :-1]
    torch.testing.assert_close(added[:, :, 0], added[:, :, 4])
    assert added.abs().max() > 0.1
    is_flat = (added.std(dim=1) < 1e-4).all()
    assert bool(is_flat) == (part == "loudness")


@pytest.mark.parametrize("wrong", [{"stretch": -0.1}, {"stretch": 1.0}, {"tone": -1.0}])
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        PerturbConfig(**wrong)
