"""A song through a detail path: stretches do not matter, and what passes is the song's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from moksori.audio import envelopes, features
from moksori.audio.clip import Samples
from moksori.generation.songs.detail import DetailSong
from moksori.models.source_filter import SourceFilterConfig
from moksori.models.source_filter_model import SourceFilterModel, SourceFilterModelConfig

N_FRAMES = 200


@pytest.fixture
def swift(tiny_swift: SourceFilterModel) -> SourceFilterModel:
    """A tiny model with a detail path for two singers, at 24 kHz; untrained, it corrects nothing."""
    config = replace(
        tiny_swift.config,
        sample_rate=24_000,
        hop_samples=240,
        decoder=SourceFilterConfig(channels=8, layers=2, has_detail=True),
    )
    assert isinstance(config, SourceFilterModelConfig)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SourceFilterModel(config, ["bass", "tenor"]).eval()


def _pitch() -> np.ndarray:
    f0_hz = 200.0 * 2 ** (0.05 * np.sin(np.arange(N_FRAMES) / 10))
    f0_hz[90:110] = 0.0
    return f0_hz


def _song() -> Samples:
    held = np.repeat(envelopes.held(_pitch()), 240)
    phase = 2 * np.pi * np.cumsum(held) / 24_000
    tone = sum(np.sin(k * phase) / k for k in range(1, 30))
    noise = np.random.default_rng(0).normal(0, 0.02, len(phase))
    loudness = 1 + 0.5 * np.sin(np.arange(len(phase)) / 4000)
    return np.asarray(0.1 * (tone * (np.repeat(_pitch(), 240) > 0) + noise) * loudness, np.float32)


def _source(song: Samples, block: int = 1000) -> Callable[[], Iterator[Samples]]:
    return lambda: (song[start : start + block] for start in range(0, len(song), block))


def _sung(
    model: SourceFilterModel, *, stretch_frames: int = 1000, gain: float | None = None, semitones: float = 0.0
) -> Samples:
    vector = model.singers(torch.tensor([1]))[0].detach()
    song = DetailSong(model, vector, _pitch() * 2 ** (semitones / 12), _pitch(), 0, gain, stretch_frames)
    return np.concatenate(list(song.converted(_source(_song()))))


@pytest.mark.parametrize("stretch_frames", [10, 64, 148])
def test_stretches_do_not_matter(swift: SourceFilterModel, stretch_frames: int) -> None:
    torch.nn.init.normal_(swift.decoder.last.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    whole = _sung(swift)
    assert len(whole) == N_FRAMES * 240 and np.abs(whole).max() > 0.01
    # A part in a thousand, -60 dB: soxr filters each stretch by itself.
    np.testing.assert_allclose(_sung(swift, stretch_frames=stretch_frames), whole, atol=1e-3)


def test_with_all_of_the_detail_a_voice_of_the_same_mean_sings_the_song_itself(swift: SourceFilterModel) -> None:
    config = swift.config.features
    measured = envelopes.measure(_song(), _pitch(), config.envelope)
    own = features.of_envelopes(measured, config)
    assert swift.singers.measured is not None
    swift.singers.measured[:] = features.loud_mean(own, config)[0].float()
    again = envelopes.measure(_sung(swift, gain=1.0), measured.f0_hz, config.envelope, refine=False)
    voiced = np.flatnonzero(_pitch() > 0)[10:-10]
    voiced = voiced[(voiced < 80) | (voiced > 120)]
    sung = slice(4, 40)  # bands up to 5 kHz: the thirtieth harmonic is the last
    assert np.abs(again.harmonics - measured.harmonics)[sung, voiced].mean() < 0.1  # nepers


def test_without_detail_the_mean_of_the_voice_is_sung(swift: SourceFilterModel) -> None:
    config = swift.config.features
    assert swift.singers.measured is not None
    tilt = torch.linspace(2.0, -4.0, 64)
    swift.singers.measured[1] = torch.cat([tilt, tilt - 3.0])
    again = envelopes.measure(_sung(swift, gain=0.0), _pitch(), config.envelope)
    shape, _ = features.shape_of(features.of_envelopes(again, config), config)
    middle = shape[10:60, 40:80] - tilt[10:60, None]
    assert (middle - middle.mean()).abs().mean() < 0.15


def test_as_loud_as_the_source_at_any_pitch_and_gain(swift: SourceFilterModel) -> None:
    chance = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(swift.decoder.last.weight, std=0.3, generator=chance)  # whatever the net says
    song = _song()
    for gain, semitones in ((0.0, 0.0), (1.0, 7.0), (0.5, -5.0)):
        sung = _sung(swift, gain=gain, semitones=semitones)
        levels = [20 * np.log10(np.sqrt(np.mean(x[2400 : 80 * 240] ** 2))) for x in (song, sung)]
        assert levels[1] == pytest.approx(levels[0], abs=1.5)


def test_a_song_without_a_voiced_frame_is_sung_as_noise(swift: SourceFilterModel) -> None:
    vector = swift.singers(torch.tensor([0]))[0].detach()
    silent = np.zeros(N_FRAMES)
    noise = np.random.default_rng(1).normal(0, 0.1, N_FRAMES * 240).astype(np.float32)
    sung = np.concatenate(list(DetailSong(swift, vector, silent, silent, 0).converted(_source(noise))))
    assert np.isfinite(sung).all() and 0.03 < np.sqrt(np.mean(sung**2)) < 0.3
