"""The filter bank, by algebra; and the codes that are made of its bands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from moksori.audio import bands, mulaw

EDGE = bands.EDGE_SAMPLES


def noise(n_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(seed))


def sine(frequency: float, n_samples: int = 4000) -> torch.Tensor:
    """Of amplitude 0.5; the frequency as a share of the sample rate."""
    return 0.5 * torch.sin(2 * torch.pi * frequency * torch.arange(n_samples, dtype=torch.float64)).float()


def test_filters_are_orthonormal_to_each_other_at_every_distance_of_whole_steps() -> None:
    filters = bands.filters().double()
    for steps in range(bands.TAPS // bands.N_BANDS):
        moved = functional.pad(filters, (bands.N_BANDS * steps, 0))[:, : bands.TAPS]
        expected = torch.eye(bands.N_BANDS, dtype=torch.float64) if steps == 0 else torch.zeros(4, 4).double()
        torch.testing.assert_close(filters @ moved.T, expected, atol=1e-6, rtol=0)


def test_bands_put_together_are_the_waveform() -> None:
    waveform = noise(4000).expand(2, 4000) * torch.tensor([[1.0], [-2.0]])
    split = bands.analyse(waveform)
    assert split.shape == (2, 4, 1000)
    torch.testing.assert_close(bands.join(split)[:, EDGE:-EDGE], waveform[:, EDGE:-EDGE], atol=1e-6, rtol=0)


def test_energy_stays() -> None:
    waveform = noise(4000)
    waveform[:40] = waveform[-40:] = 0
    assert bands.analyse(waveform).square().sum() == pytest.approx(float(waveform.square().sum()), rel=1e-5)


@pytest.mark.parametrize("band", range(4))
def test_a_tone_in_the_middle_of_a_band_is_hardly_in_any_other(band: int) -> None:
    """Neighbours begin to rest there, at 26 dB; further bands rest at 45 dB."""
    power = bands.analyse(sine((2 * band + 1) / 16))[:, 20:-20].square().mean(dim=1)
    assert power[band] == pytest.approx(
        4 * 0.5**2 / 2, rel=0.02
    )  # a quarter as many values, four times the energy each
    for other in range(4):
        if other != band:
            assert power[other] / power[band] < (10**-2.6 if abs(other - band) == 1 else 10**-4.5)


def test_errors_of_the_codes_are_as_small_as_those_of_a_waveform() -> None:
    for clip in (noise(4000), sine(0.03), sine(0.2)):
        found = bands.decode(bands.encode(clip))
        whole = slice(EDGE, -EDGE)
        error = (found - clip)[whole].square().mean() / clip[whole].square().mean()
        assert 10 * torch.log10(error) < -35


def test_codes_of_a_step_lie_side_by_side_lowest_band_first() -> None:
    low = bands.encode(sine(1 / 16)).reshape(-1, 4)[20:-20]
    high = bands.encode(sine(7 / 16)).reshape(-1, 4)[20:-20]
    loudest_low, loudest_high = ((codes - mulaw.SILENCE).abs().amax(dim=0) for codes in (low, high))
    assert loudest_low.argmax() == 0 and loudest_high.argmax() == 3


def test_silence_is_silence() -> None:
    assert bands.encode(torch.zeros(40)).tolist() == [mulaw.SILENCE] * 40
    assert bands.decode(torch.full((40,), mulaw.SILENCE)).abs().max() < 1e-3


def test_one_band_is_plain_mu_law() -> None:
    clip = noise(1001)
    assert torch.equal(bands.encode(clip, 1), mulaw.encode(clip))
    assert torch.equal(bands.decode(mulaw.encode(clip), 1), mulaw.decode(mulaw.encode(clip)))


@pytest.mark.parametrize("n_bands", [1, 4])
@pytest.mark.parametrize("lengths", [[1000], [1, 2, 3, 500, 0, 7, 490], [999], [5], [30, 1]])
def test_blocks_have_the_codes_of_the_whole(lengths: list[int], n_bands: int) -> None:
    clip = noise(sum(lengths)).numpy()
    blocks = np.split(clip, np.cumsum(lengths)[:-1])
    padded = torch.from_numpy(np.pad(clip, (0, -len(clip) % n_bands)))
    found = np.concatenate(list(bands.encode_blocks(iter(blocks), n_bands)))
    assert found.tolist() == bands.encode(padded, n_bands).tolist()


def test_half_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        bands.encode(noise(4002))
