"""Shapes: envelopes without pitch and loudness, and the mean that tells the voice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from moksori.audio import shapes
from moksori.audio.envelopes import EnvelopeConfig
from moksori.generation.backends import sampling
from moksori.models import synthesiser
from moksori.models.synthesiser import Controls, SynthesiserConfig

CONFIG = EnvelopeConfig()


def _log_envelopes(n_frames: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    harmonics = -4.0 + torch.randn(1, 64, 1, generator=generator).cumsum(1) * 0.2
    return torch.cat([harmonics, harmonics - 2.0], dim=1).expand(-1, -1, n_frames)


def test_what_is_taken_apart_is_put_together_again() -> None:
    f0_hz = torch.full((1, 30), 220.0)
    shape, level = shapes.of(shapes.densities(_log_envelopes(), f0_hz, CONFIG), f0_hz, CONFIG)
    torch.testing.assert_close(shapes.level_nepers(shape, f0_hz, CONFIG), torch.zeros(1, 30), atol=1e-5, rtol=0)
    torch.testing.assert_close(shapes.log_envelopes(shape, level, f0_hz, CONFIG), _log_envelopes())
    # A shape may have any level of its own.
    torch.testing.assert_close(shapes.log_envelopes(shape + 3.0, level, f0_hz, CONFIG), _log_envelopes())


def test_the_level_is_that_of_the_sound() -> None:
    config = SynthesiserConfig()
    for hz in (110.0, 300.0, 0.0):
        f0_hz = torch.full((1, 60), hz)
        log_envelopes = _log_envelopes(60)
        harmonics, noise = log_envelopes.chunk(2, dim=1)
        white = sampling.white_noise(0, 0, 0, 60 * 240)
        controls = Controls(f0_hz, harmonics, noise)
        sound = synthesiser.render(controls, config, synthesiser.oscillation(f0_hz[0], config), white)
        level = shapes.level_nepers(shapes.densities(log_envelopes, f0_hz, CONFIG), f0_hz, CONFIG)
        rms = sound[10 * 240 : 50 * 240].square().mean().sqrt()
        assert float(level[0, 20]) == pytest.approx(float(rms.log()), abs=0.15)  # 1.3 dB: harmonics are few


def test_a_shape_sounds_as_loud_at_any_pitch() -> None:
    low, high = torch.full((1, 30), 110.0), torch.full((1, 30), 440.0)
    shape, level = shapes.of(shapes.densities(_log_envelopes(), low, CONFIG), low, CONFIG)
    moved = shapes.log_envelopes(shape, level, high, CONFIG)
    # A fourth of the harmonics have twice the amplitude each; noise stays.
    torch.testing.assert_close(moved[:, :64], _log_envelopes()[:, :64] + np.log(2.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[:, 64:], _log_envelopes()[:, 64:])


def test_unvoiced_frames_have_noise_alone() -> None:
    f0_hz = torch.zeros(1, 30)
    densities = shapes.densities(_log_envelopes(), f0_hz, CONFIG)
    torch.testing.assert_close(densities[:, :64], densities[:, 64:])
    torch.testing.assert_close(shapes.total(densities, f0_hz), densities[:, 64:])
    mean = torch.cat([torch.zeros(1, 64, 1), torch.full((1, 64, 1), -1.0)], dim=1)
    framed = shapes.by_frame(mean, torch.tensor([[200.0, 0.0]]))
    assert framed[0, [0, 64], 0].tolist() == [0.0, -1.0]
    both = 0.5 * np.log(1 + np.exp(-2.0))
    assert framed[0, [0, 64], 1].tolist() == pytest.approx([both, both])


def _cosine(order: int) -> Tensor:
    return torch.cos(torch.pi * order * (torch.arange(64) + 0.5) / 64)[None, :, None]


def test_what_is_smooth_stays_and_what_is_fine_goes() -> None:
    for order in (0, 1, 11):
        torch.testing.assert_close(shapes.smooth(_cosine(order), 12), _cosine(order), atol=1e-5, rtol=0)
    for order in (12, 40):
        assert float(shapes.smooth(_cosine(order), 12).abs().max()) < 1e-5


def test_the_colour_is_what_is_smooth_between_two_voices() -> None:
    flat = torch.cat([torch.zeros(1, 64, 1), torch.full((1, 64, 1), -3.0)], dim=1)
    tilted = flat + torch.cat([_cosine(1) + 0.5 * _cosine(30)] * 2, dim=1)  # tone and noise alike
    colour = shapes.colour(flat, tilted)
    torch.testing.assert_close(colour, _cosine(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(shapes.colour(tilted, tilted), torch.zeros(1, 64, 1))

    shape, f0_hz = torch.randn(1, 128, 12, generator=torch.Generator().manual_seed(0)), torch.full((1, 12), 200.0)
    f0_hz[:, 6:] = 0.0
    moved = shapes.coloured(shape, f0_hz, colour) - shape
    torch.testing.assert_close(moved[:, :64], moved[:, 64:])
    torch.testing.assert_close(moved[:, :64, :5], _cosine(1).expand(-1, -1, 5))
    torch.testing.assert_close(moved[:, :64, 7:], 0.4 * _cosine(1).expand(-1, -1, 5))
    torch.testing.assert_close(moved[:, :64, 5:7], _cosine(1) * torch.tensor([0.8, 0.6]))  # from one to the other


def test_the_mean_is_of_loud_voiced_frames_however_it_is_cut() -> None:
    # Ten loud frames of shape 1, ten that are 20 dB softer of shape 5, ten unvoiced of shape 9.
    shape = torch.cat([torch.full((128, 10), value) for value in (1.0, 5.0, 9.0)], dim=1)
    level = torch.cat([torch.full((10,), value) for value in (-2.0, -4.4, -2.0)])
    f0_hz = torch.cat([torch.full((20,), 200.0), torch.zeros(10)])
    whole, parts = shapes.MeanShape(64), shapes.MeanShape(64)
    whole.push(shape, level, f0_hz)
    for start in range(0, 30, 7):
        part = slice(start, start + 7)
        parts.push(shape[:, part], level[part], f0_hz[part])
    for mean in (whole, parts):
        value, n_frames = mean.result()
        assert n_frames == 10 and torch.equal(value, torch.ones(128, dtype=torch.float64))


def test_without_singing_there_is_no_mean() -> None:
    mean = shapes.MeanShape(64)
    mean.push(torch.ones(128, 5), torch.zeros(5), torch.zeros(5))
    value, n_frames = mean.result()
    assert n_frames == 0 and not value.any()


def test_what_is_kept_from_a_conversion_can_be_trained_with() -> None:
    shapes._cosines.cache_clear()
    shapes._widths.cache_clear()
    with torch.inference_mode():
        shapes.smooth(torch.zeros(1, 64, 1), 12)
        shapes.level_nepers(torch.zeros(1, 128, 1), torch.zeros(1, 1), CONFIG)
    curves = torch.zeros(1, 128, 3, requires_grad=True)
    level = shapes.level_nepers(curves, torch.full((1, 3), 200.0), CONFIG)
    (shapes.smooth(curves[:, :64], 12).sum() + level.sum()).backward()  # type: ignore[no-untyped-call]
    assert curves.grad is not None and curves.grad.any()
