"""The ear: pitches heard where nobody taught them, silence and noise that have none, the same in another octave."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from moksori.audio import pitch
from moksori.models.autoencoder import ModelConfig
from moksori.models.ear import BINS_PER_OCTAVE, Ear, EarConfig

RATE, HOP = 8000, 80


def _voice(f0_hz: Tensor, n_samples: int, chance: torch.Generator) -> Tensor:
    """Harmonics of amplitudes and phases of their own: `[B] -> [B, T]`."""
    seconds = torch.arange(n_samples) / RATE
    sound = torch.zeros(len(f0_hz), n_samples)
    for number in range(1, 12):
        size, phase = torch.rand(2, len(f0_hz), 1, generator=chance)
        wave = torch.sin(2 * torch.pi * (number * f0_hz[:, None] * seconds + phase))
        sound += size * wave * (number * f0_hz[:, None] < RATE / 2)
    return 0.05 * sound + 0.003 * torch.randn(sound.shape, generator=chance)


@pytest.fixture(scope="module")
def taught() -> Ear:
    """An ear that was taught tones of one octave, 100 to 200 Hz, and noise."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ear = Ear(EarConfig(8), RATE, HOP)
    adam, chance = torch.optim.Adam(ear.parameters(), 3e-3), torch.Generator().manual_seed(0)
    for _ in range(150):
        f0_hz = 100 * 2 ** torch.rand(6, generator=chance)
        sound = _voice(f0_hz, 1600, chance)
        sound[0] = 0.02 * torch.randn(1600, generator=chance)
        f0_hz[0] = 0.0
        loss = ear.loss(sound, f0_hz[:, None].expand(-1, 20))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return ear


@pytest.mark.parametrize("octaves", [-0.5, 0.0, 1.0])
def test_pitches_are_heard_in_octaves_that_were_not_taught(taught: Ear, octaves: float) -> None:
    chance = torch.Generator().manual_seed(1)
    f0_hz = 100 * 2**octaves * 2 ** torch.rand(20, generator=chance)
    heard, likely = taught.heard(_voice(f0_hz, 3200, chance))
    cents = 1200 * torch.log2(heard / f0_hz[:, None]).abs()
    assert heard.shape == likely.shape == (20, 40)
    assert (cents[:, 7:-7] < 50).float().mean() > 0.95
    assert (likely[:, 7:-7] > 0.5).float().mean() > 0.95


def test_noise_and_silence_are_no_voice(taught: Ear) -> None:
    noise = 0.05 * torch.randn(4, 3200, generator=torch.Generator().manual_seed(2))
    _, likely = taught.heard(noise)
    assert (likely[:, 7:-7] < 0.5).float().mean() > 0.95
    hz, likely = taught.heard(torch.zeros(1, 3200))
    assert torch.isfinite(hz).all() and torch.isfinite(likely).all()


def test_loudness_plays_no_part(taught: Ear) -> None:
    sound = _voice(torch.tensor([150.0]), 3200, torch.Generator().manual_seed(3))
    torch.testing.assert_close(taught.heard(sound)[0], taught.heard(0.25 * sound)[0], rtol=1e-2, atol=0)


def test_an_octave_up_is_the_same_picture_an_octave_higher() -> None:
    ear = Ear(EarConfig(4), RATE, HOP)
    tones = torch.stack([torch.sin(2 * torch.pi * hz * torch.arange(3200) / RATE) for hz in (250.0, 500.0)])
    low, high = ear.stacked(tones)[:, :, :, 20].argmax(dim=2).float()
    place = BINS_PER_OCTAVE * math.log2(500 / pitch.LOW_HZ)
    assert abs(float(high[1]) - place) <= 3  # at itself
    assert ((high - low - BINS_PER_OCTAVE).abs() <= 3)[1:4].all()


def test_a_stretch_with_its_context_is_heard_as_in_the_whole(taught: Ear) -> None:
    sound = _voice(torch.tensor([130.0]), 8000, torch.Generator().manual_seed(4))
    edge = taught.context_frames
    whole, part = taught.heard(sound)[0], taught.heard(sound[:, 30 * HOP : 80 * HOP])[0]
    torch.testing.assert_close(part[:, edge:-edge], whole[:, 30 + edge : 80 - edge])


def test_the_loss_of_an_ear_that_knows_nothing_is_that_of_guessing() -> None:
    ear = Ear(EarConfig(4), RATE, HOP)
    for last in (ear.salience, ear.voicing):
        torch.nn.init.zeros_(last.weight)
        assert last.bias is not None
        torch.nn.init.zeros_(last.bias)
    sound, f0_hz = torch.randn(2, 3200, generator=torch.Generator().manual_seed(5)), torch.full((2, 40), 200.0)
    n_bins = 1 + math.floor(BINS_PER_OCTAVE * math.log2(pitch.HIGH_HZ / pitch.LOW_HZ))
    assert ear.loss(sound, f0_hz).item() == pytest.approx(math.log(n_bins) + math.log(2), rel=1e-5)
    assert ear.loss(sound, torch.zeros_like(f0_hz)).item() == pytest.approx(math.log(2), rel=1e-5)


def test_sizes_that_make_no_ear_are_refused(tiny_recipe: object) -> None:
    with pytest.raises(ValueError, match="0 \\(none\\) to 512"):
        EarConfig(-1)
    model = tiny_recipe.model  # type: ignore[attr-defined]
    assert isinstance(model, ModelConfig)
    with pytest.raises(ValueError, match="set melody_hop_samples"):
        dataclasses.replace(model, melody_hop_samples=0, ear=EarConfig(4))
