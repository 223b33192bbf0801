"""Live: the latency is what is stated, blocks meet without a click, and the song is that of the offline way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_live import tiny_live_model

from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTracker
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice
from moksori.generation.songs.live import LiveConfig, LiveSong
from moksori.models.source_filter_model import SourceFilterModel

RATE, HOP = 24_000, 240


@pytest.fixture(scope="module")
def model() -> SourceFilterModel:
    return tiny_live_model()


def _song(seconds: float = 3.0, f0_hz: float = 220.0, rest: float = 0.0) -> Samples:
    times = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (f0_hz * times + 0.3 * np.sin(2 * np.pi * 5 * times))
    tone = 0.1 * sum(np.sin(k * phase) / k for k in range(1, 12))
    return (tone * (times >= rest)).astype(np.float32)


def _sung(live: LiveSong, samples: Samples) -> Samples:
    n = live.block_samples
    return np.concatenate([live.push(samples[at : at + n]) for at in range(0, len(samples) - n + 1, n)])


def _live(model: SourceFilterModel, **given: object) -> LiveSong:
    with torch.no_grad():
        vector = model.singers.mix({"tenor": 1.0})
    return LiveSong(model, vector, **given)  # type: ignore[arg-type]


def test_the_latency_is_at_most_120_ms_and_sound_comes_no_earlier_and_no_later(model: SourceFilterModel) -> None:
    live = _live(model, input_gain_db=0.0)
    assert live.latency_seconds <= 0.12
    begin = round(1.0 * RATE)
    sung = _sung(live, _song(2.0, rest=1.0))
    loud = np.flatnonzero(np.abs(sung) > 0.01)
    late = loud[0] - begin - live.delay_frames * HOP
    assert abs(late) <= 2 * HOP  # a frame's window, and the ramp between frames


@pytest.mark.parametrize("frames", [2, 4, 8])
def test_blocks_meet_without_a_click(model: SourceFilterModel, frames: int) -> None:
    """How much the sound bends at the edges of blocks is how much it bends anywhere."""
    live = _live(model, config=LiveConfig(block_frames=frames), input_gain_db=0.0)
    sung = _sung(live, _song())[RATE:]
    bend = np.abs(np.diff(sung, 2))
    edges = np.arange(live.block_samples - RATE % live.block_samples, len(bend) - 2, live.block_samples)
    at_edges = np.stack([bend[edges + offset] for offset in (-2, -1, 0)]).max(axis=0)
    assert np.median(at_edges) < 3 * np.median(np.stack([bend[100:-100], bend[101:-99], bend[102:-98]]).max(axis=0))
    assert at_edges.max() <= bend.max() * 1.001 and at_edges.max() < np.quantile(bend, 0.9999) * 1.5


def test_the_song_is_that_of_the_offline_way(model: SourceFilterModel) -> None:
    song = _song()
    live = _live(model, transpose_semitones=5.0)
    sung = _sung(live, song)[live.delay_frames * HOP :]
    expected = Voice(model, Provenance()).convert(song, RATE, singer="tenor", options=ConvertOptions(transpose=5))
    settled = slice(round(1.5 * RATE), len(sung) - HOP * 20)
    pitches = [np.median(PitchTracker().track(Clip(one[settled], RATE)).voiced_hz) for one in (sung, expected)]
    assert pitches[0] == pytest.approx(pitches[1], rel=0.01)
    spectra = []
    for one in (sung[settled], expected[settled]):
        windows = np.lib.stride_tricks.sliding_window_view(one, 2048)[::480] * np.hanning(2048)
        power = np.square(np.abs(np.fft.rfft(windows, axis=1))).mean(axis=0)
        spectra.append(10 * np.log10(np.add.reduceat(power, np.arange(0, 1024, 32)) + 1e-9))
    loud = spectra[1] > spectra[1].max() - 40
    assert np.sqrt(np.square(spectra[0] - spectra[1])[loud].mean()) < 2.0


def test_what_came_first_is_not_changed_by_what_comes_later(model: SourceFilterModel) -> None:
    live, other = _live(model), _live(model)
    first, second = _song(2.0), _song(2.0)
    second[RATE:] = 0.0
    n = (RATE - 2 * HOP) // live.block_samples * live.block_samples
    np.testing.assert_array_equal(_sung(live, first)[:n], _sung(other, second)[:n])


def test_silence_stays_silent(model: SourceFilterModel) -> None:
    live = _live(model)
    assert np.abs(_sung(live, np.zeros(RATE, np.float32))).max() < 1e-3


def test_what_cannot_be_live_is_refused(model: SourceFilterModel, tiny_swift: SourceFilterModel) -> None:
    live = _live(model)
    with pytest.raises(ValueError, match="expected float32"):
        live.push(np.zeros(100, np.float32))
    with pytest.raises(ValueError, match="whole latent frames"):
        _live(model, config=LiveConfig(block_frames=3))
    with pytest.raises(ValueError, match="detail path"):
        _live(tiny_swift)
