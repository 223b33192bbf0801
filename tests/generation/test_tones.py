"""Small nets learn to sing tones, and sing them when they are asked to: forward pass, training and generation agree.

The criteria are those of the best known public WaveNet's tests: a chord learnt by heart, and a voice for each id.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from moksori.audio import mulaw
from moksori.generation import generator
from moksori.generation.backends import sampling
from moksori.models import conditions
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig

RATE = 2000  # Hz
HOP = 50  # samples
LOW, HIGH = 150.0, 250.0  # Hz


@pytest.fixture(autouse=True)
def one_chance() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def learn(decoder: WaveNet, codes: Tensor, conditioning: Conditioning | None, n_steps: int) -> list[float]:
    """Train on one batch over and over; the losses."""
    optimiser = torch.optim.Adam(decoder.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1, 2 * (n_steps - step) / n_steps))
    losses = []
    for _ in range(n_steps):
        loss = functional.cross_entropy(decoder(codes, conditioning), codes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def sing(decoder: WaveNet, conditioning: Conditioning) -> Tensor:
    """Waveforms `[B, T]`, sampled freely."""
    n_streams = conditioning.frames.shape[0]
    uniforms = torch.stack([sampling.uniforms(0, stream, 0, conditioning.n_samples) for stream in range(n_streams)])
    return mulaw.decode(generator.generate(generator.backend_for(decoder), conditioning, uniforms))


def power(waveform: Tensor, hz: float, width_hz: float = 6) -> float:
    """Power of a waveform within a band around a tone."""
    spectrum = torch.fft.rfft(waveform * torch.hann_window(len(waveform))).abs() ** 2
    near = (torch.fft.rfftfreq(len(waveform), 1 / RATE) - hz).abs() <= width_hz
    return float(spectrum[near].sum())


def test_a_chord_is_learnt_by_heart_and_sung() -> None:
    tones = 155.56, 196.00, 233.08
    seconds = torch.arange(500) / RATE
    chord = torch.stack([torch.sin(2 * math.pi * hz * seconds) for hz in tones]).mean(dim=0)
    decoder = WaveNet(WaveNetConfig(blocks=1, layers=7, residual_channels=16, skip_channels=64))
    losses = learn(decoder, mulaw.encode(chord).unsqueeze(0), None, n_steps=250)
    assert losses[0] == pytest.approx(math.log(256), abs=0.3)
    assert losses[-1] < 0.1
    assert losses[-1] < 0.02 * losses[0]
    sung = sing(decoder, Conditioning(torch.zeros(1, 0, 1000), 1))[0]  # twice as long as what it has heard
    each = [power(sung, hz) for hz in tones]
    assert sum(each) > 0.7 * power(sung, RATE / 2, RATE)
    assert max(each) < 3 * min(each)  # all three, not one of them
    assert sung.square().mean().item() == pytest.approx(chord.square().mean().item(), rel=0.3)


def voice(singer: int, notes: list[int]) -> Tensor:
    """A sine for singer 0; singer 1 adds its third harmonic. A note lasts a hop."""
    hz = torch.tensor([LOW, HIGH])[notes].repeat_interleave(HOP)
    phase = 2 * math.pi * hz.cumsum(dim=0) / RATE
    return 0.5 * torch.sin(phase) + 0.25 * singer * torch.sin(3 * phase)


def telling(singer: int, notes: list[int]) -> Tensor:
    """The note as local, the singer as global condition: `[1, 4, F]`."""
    note = functional.one_hot(torch.tensor(notes), 2).float().T.unsqueeze(0)
    return conditions.join(note, functional.one_hot(torch.tensor([singer]), 2).float(), HOP).frames


def test_note_and_singer_are_controlled_apart_and_in_time() -> None:
    """Two by two: the local condition says what, the global one by whom; the note changes where it is told to."""
    takes = [(singer, notes) for singer in (0, 1) for notes in ([0, 0, 1, 1, 1, 0], [1, 1, 0, 0, 0, 1])]
    codes = torch.stack([mulaw.encode(voice(*take)) for take in takes])
    conditioning = Conditioning(torch.cat([telling(*take) for take in takes]), HOP)
    decoder = WaveNet(WaveNetConfig(blocks=1, layers=6, residual_channels=16, skip_channels=32), 4)
    losses = learn(decoder, codes, conditioning, n_steps=150)
    assert losses[-1] < 0.1 * losses[0]

    notes = [0] * 8 + [1] * 8  # longer notes than any it has heard
    sung = sing(decoder, Conditioning(torch.cat([telling(singer, notes) for singer in (0, 1)]), HOP))
    settling = decoder.config.receptive_field
    assert settling < 100
    for singer in (0, 1):
        for part, own, other in ((sung[singer, :400], LOW, HIGH), (sung[singer, 400 + settling :], HIGH, LOW)):
            assert power(part, own, 12) > 10 * power(part, other, 12)
            timbre = power(part, 3 * own, 12) / power(part, own, 12)  # 1/4 = (0.25 / 0.5)^2 for singer 1
            assert 0.15 < timbre < 0.4 if singer else timbre < 0.02
