"""Perturbation: nothing at size nought, bands move and colours change otherwise, by the generator alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from moksori.audio import features
from moksori.audio.envelopes import EnvelopeConfig, Envelopes
from moksori.audio.features import FeatureConfig
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


@pytest.mark.parametrize("wrong", [{"stretch": -0.1}, {"stretch": 1.0}, {"tone": -1.0}, {"tract": -0.1}])
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        PerturbConfig(**wrong)


def _excerpts() -> Tensor:
    """Four excerpts of a sung formant at a moving level, with features of a recording's mean."""
    config, n_frames = FeatureConfig(), 40
    hz = config.envelope.bands_hz[:, None]
    curve = np.log(0.05 / (1 + (hz / 1500) ** 2)) + np.exp(-(((hz - 2500) / 300) ** 2)) + np.zeros(n_frames)
    loudness = np.sin(np.arange(n_frames) / 5)
    f0_hz = np.where(np.arange(n_frames) < 30, 200.0, 0.0)
    measured = Envelopes(f0_hz, curve + loudness, curve - 3.0 + loudness)
    measured_features = features.of_envelopes(measured, config)
    return features.excerpt(measured_features, features.loud_mean(measured_features, config)[0])[None].repeat(4, 1, 1)


def test_perturbed_envelopes_keep_pitch_level_and_what_is_to_be_rebuilt() -> None:
    excerpts, config = _excerpts(), FeatureConfig()
    changed = perturb.perturbed_densities(excerpts, PerturbConfig(), config, torch.Generator().manual_seed(0))
    assert torch.equal(changed[:, : features.LEVEL + 1], excerpts[:, : features.LEVEL + 1])
    one, other = (features.shape_of(e, config) for e in (excerpts, changed))
    torch.testing.assert_close(one[1], other[1], atol=3e-3, rtol=0)
    assert (one[0] - other[0]).abs().mean() > 0.1
    assert not torch.equal(other[0][0], other[0][1])  # each clip its own way
    again = perturb.perturbed_densities(excerpts, PerturbConfig(), config, torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)


def test_no_perturbation_changes_no_envelope() -> None:
    none = PerturbConfig(tract=0.0, sparse_probability=0.0, noise_probability=0.0, colour=0.0)
    excerpts = _excerpts()
    changed = perturb.perturbed_densities(excerpts, none, FeatureConfig(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(changed, excerpts, atol=3e-3, rtol=0)


def test_a_longer_tract_moves_the_mean_along_so_that_it_is_no_detail() -> None:
    only = PerturbConfig(tract=0.3, sparse_probability=0.0, noise_probability=0.0, colour=0.0)
    config = FeatureConfig()
    changed = perturb.perturbed_densities(_excerpts(), only, config, torch.Generator().manual_seed(1))
    shapes = [features.shape_of(excerpts, config)[0] for excerpts in (_excerpts(), changed)]
    assert (shapes[0] - shapes[1]).abs().amax(dim=(1, 2)).min() > 0.1  # the formant has moved in every clip
    for excerpts, shape in zip((_excerpts(), changed), shapes, strict=True):
        detail = shape[:, :64, 5] - features.mean_shape(excerpts)[:, :64, 0]
        assert (detail - detail.mean(dim=1, keepdim=True)).abs().max() < 0.1


def test_a_voice_shows_its_envelope_at_its_harmonics_only() -> None:
    config = EnvelopeConfig()
    seen = perturb.through_harmonics(torch.tensor([100.0, 400.0]), config)
    torch.testing.assert_close(seen.sum(dim=2), torch.ones(2, 64))
    hz = torch.from_numpy(config.bands_hz).float()
    narrow = torch.exp(-(((hz - 1000) / 100) ** 2))  # between 800 and 1200 Hz, where 400 Hz has its harmonics
    assert float((seen[0] @ narrow).max()) > 0.7 and float((seen[1] @ narrow).max()) < 0.1


def _peak_hz(sound: Tensor) -> Tensor:
    """Where the spectrum of clips of a second at 8 kHz is largest, `[B]`."""
    spectrum: Tensor = torch.fft.rfft(sound * torch.hann_window(8000)).abs()
    return spectrum.argmax(dim=1).float()


def test_a_sound_is_moved_on_the_frequency_axis_at_its_own_time() -> None:
    sine = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000).repeat(100, 1)
    sine[:, :4000] = 0.0
    config = PerturbConfig(sound_tract=0.2)
    moved = perturb.perturbed_sound(sine, config, torch.Generator().manual_seed(0))
    assert moved.shape == sine.shape
    octaves = torch.log(_peak_hz(moved) / 1000).abs()
    assert 0.17 < octaves.max() < 0.21
    quiet, loud = moved[:, :3700].square().mean(dim=1), moved[:, 4300:7700].square().mean(dim=1)
    assert (quiet < 1e-6).all() and (loud > 0.02).all()


def test_a_sound_is_coloured_without_moving_and_stays_as_it_is_at_size_nought() -> None:
    sound = 0.1 * torch.randn(4, 4000, generator=torch.Generator().manual_seed(0))
    config = PerturbConfig()
    assert not config.is_of_sound
    torch.testing.assert_close(perturb.perturbed_sound(sound, config, torch.Generator()), sound, atol=1e-5, rtol=1e-4)
    coloured = perturb.perturbed_sound(sound, PerturbConfig(sound_tone=1.0), torch.Generator().manual_seed(0))
    ratio = (coloured.square().mean(dim=1) / sound.square().mean(dim=1)).log()
    assert ratio.std() > 0.1
