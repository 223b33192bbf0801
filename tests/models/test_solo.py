"""A WaveNet by itself: what it can be told, and that it does what it is told."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from moksori.audio import features, mulaw, phase
from moksori.audio.pitch import cents_between
from moksori.generation import generator
from moksori.generation.backends import sampling
from moksori.models.solo import Solo, SoloConfig
from moksori.models.wavenet import WaveNetConfig

RATE, HOP = 8000, 100
SMALL = WaveNetConfig(blocks=1, layers=6, residual_channels=16, skip_channels=32)
N_MELS = features.WINDOWS[512]


@pytest.fixture(autouse=True)
def one_chance() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def local_of(f0_hz: list[float], n_frames: int) -> Tensor:
    """Rows of tones at one level, each held for so many frames: `[2, F]`."""
    held = torch.tensor(f0_hz).repeat_interleave(n_frames)
    return torch.stack([held, torch.full_like(held, -9.0)])


def sine(f0_hz: Tensor, phase: float = 0.0) -> Tensor:
    """A sine whose pitch changes from frame to frame, without a break."""
    cycles = f0_hz.repeat_interleave(HOP).cumsum(dim=0) / RATE
    return 0.5 * torch.sin(2 * math.pi * cycles + phase)


def learn(model: Solo, codes: Tensor, local: Tensor, singer: Tensor, n_steps: int) -> list[float]:
    """Train on one batch over and over; the losses."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1, 2 * (n_steps - step) / n_steps))
    losses = []
    for _ in range(n_steps):
        loss = functional.cross_entropy(model.logits(codes, local, model.singers(singer)), codes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def sing(model: Solo, local: Tensor, singer: Tensor, backend: str = "streaming") -> Tensor:
    """Waveforms `[B, T]`, sampled freely."""
    conditioning = model.conditioning(local, model.singers(singer))
    uniforms = torch.stack([sampling.uniforms(0, stream, 0, conditioning.n_samples) for stream in range(len(local))])
    return mulaw.decode(generator.generate(generator.backend_for(model.decoder, backend), conditioning, uniforms))


def power(waveform: Tensor, hz: float) -> float:
    """Power of a waveform within 40 Hz of a tone."""
    spectrum = torch.fft.rfft(waveform * torch.hann_window(len(waveform))).abs() ** 2
    return float(spectrum[(torch.fft.rfftfreq(len(waveform), 1 / RATE) - hz).abs() <= 40].sum())


def test_each_of_three_singers_sings_their_own_sine() -> None:
    """The global condition, as the best known public WaveNet tests it, and here also with fast generation."""
    tones = [620.0, 800.0, 1040.0]
    model = Solo(SoloConfig(sample_rate=RATE, hop_samples=HOP, singer_channels=4, decoder=SMALL), ["a", "b", "c"])
    singer = torch.arange(3)
    codes = torch.stack([mulaw.encode(sine(torch.full((8,), hz))) for hz in tones])
    losses = learn(model, codes, torch.zeros(3, 0, 8), singer, n_steps=100)
    assert losses[-1] < 0.2 * losses[0]
    sung = sing(model, torch.zeros(3, 0, 14), singer)  # longer than what it has heard
    assert torch.equal(sung[:, :100], sing(model, torch.zeros(3, 0, 1), singer, "reference"))
    for number, own in enumerate(tones):
        for other in tones[:number] + tones[number + 1 :]:
            assert power(sung[number], own) > 10 * power(sung[number], other)


def pitch_hz(frames: Tensor) -> Tensor:
    """The strongest frequency of each frame `[F, n]`, of sines well apart from 0."""
    spectrum = torch.fft.rfft(frames * torch.hann_window(frames.shape[1]), n=8192).abs()
    return spectrum.argmax(dim=1) * RATE / 8192


def test_pitch_of_a_frame_is_found_to_a_tenth_of_a_semitone() -> None:
    found = pitch_hz(sine(torch.tensor([500.0, 500.0, 700.0, 700.0])).reshape(2, 2 * HOP))
    assert cents_between(found.numpy(), [500.0, 700.0]) == pytest.approx([0.0, 0.0], abs=10)


def test_a_pitch_track_is_followed() -> None:
    """Notes in an order that it never heard: within half a semitone in nine of ten frames."""
    config = SoloConfig(sample_rate=RATE, hop_samples=HOP, is_melody_conditioned=True, decoder=SMALL)
    model = Solo(config, ["a"])
    notes = [480.0 * 2 ** (step / 6) for step in range(7)]  # an octave of whole tones
    chance = torch.Generator().manual_seed(0)
    takes = [[notes[i] for i in torch.randperm(7, generator=chance)[:4].tolist()] for _ in range(8)]
    local = torch.stack([local_of(take, 2) for take in takes])
    codes = torch.stack([mulaw.encode(sine(rows[0], phase=number)) for number, rows in enumerate(local)])
    losses = learn(model, codes, local, torch.zeros(8, dtype=torch.int64), n_steps=100)
    assert losses[-1] < 0.4 * losses[0]
    asked = local_of([notes[i] for i in (0, 3, 6, 4, 1, 5, 2)], 4)
    sung = sing(model, asked[None], torch.zeros(1, dtype=torch.int64))[0]
    found = pitch_hz(sung.reshape(-1, 2 * HOP))
    is_right = np.abs(cents_between(found.numpy(), asked[0, ::2].numpy())) <= 50
    assert is_right.mean() >= 0.9


def test_the_phase_of_a_song_to_come_is_that_of_a_recording_that_follows_its_pitch() -> None:
    """The known answer: what a net learnt from recordings holds for a melody that nobody has sung."""
    config = SoloConfig(
        sample_rate=RATE, hop_samples=HOP, is_melody_conditioned=True, phase_hop_samples=4, decoder=SMALL
    )
    model, local, nobody = Solo(config, ["a"]), local_of([300.0], 20)[None], torch.zeros(1, 0)
    local[0, 0] *= 2 ** torch.linspace(0, 1, 20)
    cycles = phase.of_pitch(local[:, 0], HOP, RATE, 1)
    codes = mulaw.encode(0.5 * torch.cos(2 * math.pi * cycles))
    learnt, to_come = (model.conditioning(local, nobody, known) for known in (codes, None))
    assert learnt.hop_samples == to_come.hop_samples == 4 and learnt.n_samples == to_come.n_samples == 2000
    assert (learnt.frames - to_come.frames).abs().quantile(0.99) < 0.1


def test_the_phase_of_what_is_sung_already_goes_on() -> None:
    config = SoloConfig(
        sample_rate=RATE, hop_samples=HOP, is_melody_conditioned=True, phase_hop_samples=4, decoder=SMALL
    )
    model, local = Solo(config, ["a"]), local_of([440.0], 20)[None]
    codes = mulaw.encode(sine(local[0, 0], phase=2.0))[None]
    nobody = torch.zeros(1, 0)
    whole = model.conditioning(local, nobody, codes)
    assert whole.hop_samples == 4 and whole.n_samples == 2000
    begun = model.conditioning(local, nobody, codes[:, :1000])
    assert (whole.frames - begun.frames).abs().max() < 0.1
    assert (whole.frames - model.conditioning(local, nobody).frames).abs().max() > 1.0


@pytest.mark.parametrize(
    "wrong", [{"is_melody_conditioned": False}, {"phase_hop_samples": 7}, {"phase_hop_samples": -4}]
)
def test_a_phase_that_cannot_be_told_is_refused(wrong: dict[str, int]) -> None:
    right = {"sample_rate": RATE, "hop_samples": HOP, "is_melody_conditioned": True, "phase_hop_samples": 4}
    with pytest.raises(ValueError, match="phase_hop_samples must be 0, or divide the hop of 100"):
        SoloConfig(**(right | wrong))  # type: ignore[arg-type]


def test_a_condition_that_is_swapped_swaps_the_scores_from_there_on() -> None:
    """Up to the swap nothing changes, whatever comes; from its first sample on everything may."""
    config = SoloConfig(
        sample_rate=8000,
        hop_samples=80,
        singer_channels=3,
        is_melody_conditioned=True,
        mel_window_samples=512,
        decoder=SMALL,
    )
    model, singer = Solo(config, ["a", "b"]), torch.tensor([0, 1])
    codes = torch.randint(0, 256, (2, 800))
    local = torch.cat([local_of([220.0], 10), torch.randn(N_MELS, 10) - 5]).expand(2, -1, -1)
    for rows in (slice(0, 1), slice(1, 2), slice(2, None)):
        swapped = local.clone()
        swapped[:, rows, 5:] += 3.0
        with torch.no_grad():
            vectors = model.singers(singer)
            before, after = model.logits(codes, local, vectors), model.logits(codes, swapped, vectors)
        assert torch.equal(before[:, :, :400], after[:, :, :400])
        assert (before != after).any(dim=1)[:, 400:].all()


@pytest.mark.parametrize(("singer", "melody", "window"), list(itertools.product((0, 5), (False, True), (0, 512))))
def test_it_hears_what_its_settings_say_and_nothing_else(singer: int, melody: bool, window: int) -> None:
    config = SoloConfig(
        sample_rate=8000,
        hop_samples=80,
        singer_channels=singer,
        is_melody_conditioned=melody,
        mel_window_samples=window,
        decoder=SMALL,
    )
    assert config.condition_channels == singer + 3 * melody + N_MELS * bool(window)
    model, codes = Solo(config, ["a", "b"]), torch.randint(0, 256, (1, 240))
    local = torch.cat([local_of([220.0], 3), torch.randn(config.n_mels, 3)])[None]

    def scores(rows: Tensor, number: int) -> Tensor:
        with torch.no_grad():
            return model.logits(codes, rows, model.singers(torch.tensor([number])))

    before, higher, other = scores(local, 0), local.clone(), local.clone()
    higher[:, 0] *= 1.5
    other[:, 2:] += 1.0
    assert torch.equal(before, scores(local, 1)) is (singer == 0)
    assert torch.equal(before, scores(higher, 0)) is (not melody)
    assert torch.equal(before, scores(other, 0)) is (window == 0)


def test_rows_that_are_missing_are_refused() -> None:
    config = SoloConfig(sample_rate=8000, hop_samples=80, mel_window_samples=512, decoder=SMALL)
    with pytest.raises(ValueError, match=r"is conditioned on 62 rows of a recording, not 2"):
        Solo(config, ["a"]).conditioning(torch.zeros(1, 2, 4), torch.zeros(1, 0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mel_window_samples": 300}, r"must be 0 or one of 512, 1024, 2048, not 300"),
        ({"singer_channels": -1}, "must not be negative"),
        ({"hop_samples": 0}, "hop_samples at least 1"),
        ({"sample_rate": 6000, "mel_window_samples": 512}, "sample_rate must be 8000"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SoloConfig(**wrong)  # type: ignore[arg-type]
