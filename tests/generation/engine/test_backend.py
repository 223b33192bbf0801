"""The engine beside the decoder itself. That float32 is the reference is tested over the table of backends, in
`tests/generation/test_generator.py`; here stand the lower precisions, and what is the engine's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from moksori.generation import generator
from moksori.generation.backends import calibration, sampling
from moksori.generation.engine import backend as engine_backend
from moksori.generation.engine import cpu, kernel, trial
from moksori.generation.engine.backend import EngineBackend
from moksori.generation.engine.trial import Verdict
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig

RMS_BOUND = {"float32": 1e-5, "bfloat16": 0.03, "int8": 0.1}
KL_BOUND_NATS = {"float32": 1e-8, "bfloat16": 3e-4, "int8": 3e-3}
every_precision = pytest.mark.parametrize("precision", list(cpu.PRECISIONS))


def decoder(config: WaveNetConfig, condition: int = 3, seed: int = 0) -> WaveNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        own = WaveNet(config, condition)
    with torch.no_grad():
        for weight in own.parameters():
            weight *= 1.5  # a fresh net hardly listens to its past; this one does
    return own


def conditioning_of(n_streams: int, n_frames: int, condition: int = 3, hop_samples: int = 7) -> Conditioning:
    chance = torch.Generator().manual_seed(1)
    return Conditioning(torch.randn(n_streams, condition, n_frames, generator=chance), hop_samples)


def codes_for(conditioning: Conditioning) -> Tensor:
    shape = conditioning.frames.shape[0], conditioning.n_samples
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(2))


def made(own: WaveNet, precision: str, conditioning: Conditioning, **options: Any) -> EngineBackend:
    peaks = calibration.layer_peaks(own, codes_for(conditioning), conditioning if own.condition_channels else None)
    return EngineBackend(own, precision, peaks, **options)


SMALL = WaveNetConfig(2, 4, 2, 20, 24)


@every_precision
@settings(max_examples=8, deadline=None)
@given(
    config=st.builds(
        WaveNetConfig,
        blocks=st.integers(1, 2),
        layers=st.integers(1, 5),
        kernel_size=st.integers(2, 3),
        residual_channels=st.integers(1, 40),
        skip_channels=st.integers(1, 40),
        bands=st.sampled_from([1, 4]),
        first_kernel_size=st.sampled_from([0, 5]),
    ),
    condition=st.sampled_from([0, 1, 5]),
    n_streams=st.integers(1, 11),
)
def test_scores_are_the_decoder_s_up_to_the_precision(
    precision: str, config: WaveNetConfig, condition: int, n_streams: int
) -> None:
    """Over three receptive fields, so that every ring goes round; any width, any number of streams."""
    own = decoder(config, condition)
    hop_samples = 7 * config.bands
    conditioning = conditioning_of(n_streams, 3 * config.receptive_field // hop_samples + 1, condition, hop_samples)
    codes = codes_for(conditioning)
    backend = made(own, precision, conditioning)
    scores, _ = backend.score(backend.start(conditioning), None, codes)
    with torch.no_grad():
        expected = own(codes, conditioning if condition else None)
    assert (scores - expected).square().mean().sqrt() <= RMS_BOUND[precision]
    own_law, other_law = expected.double().log_softmax(dim=1), scores.double().log_softmax(dim=1)
    divergence = (own_law.exp() * (own_law - other_law)).sum(dim=1).mean()
    assert divergence <= KL_BOUND_NATS[precision]


@every_precision
def test_the_lower_precision_is_the_less_exact(precision: str) -> None:
    """So that the name is no decoration: float32 is not what answers for all three."""
    own, conditioning = decoder(SMALL), conditioning_of(3, 12)
    codes = codes_for(conditioning)
    backend = made(own, precision, conditioning)
    scores, _ = backend.score(backend.start(conditioning), None, codes)
    with torch.no_grad():
        rms = (scores - own(codes, conditioning)).square().mean().sqrt()
    assert {"float32": 0 <= rms < 1e-6, "bfloat16": rms > 1e-5, "int8": rms > 1e-4}[precision]


@pytest.mark.parametrize("precision", [pytest.param("float32", marks=pytest.mark.slow), "int8"])
def test_the_width_of_the_vectors_changes_nothing_but_rounding(precision: str) -> None:
    """Sums of whole numbers are exact; what is left is a gate on the edge between two, and the head in bfloat16."""
    own, conditioning = decoder(SMALL), conditioning_of(9, 12)
    codes, found = codes_for(conditioning), []
    for tier in cpu.TIERS:
        if tier.needs <= cpu.features():
            backend = made(own, precision, conditioning, tier_name=tier.name)
            found.append(backend.score(backend.start(conditioning), None, codes)[0])
    assert len(found) >= 1
    for other in found[1:]:
        off = (other - found[0]).abs()
        assert off.max() <= {"float32": 1e-5, "int8": 0.05}[precision]
        assert off.square().mean().sqrt() <= {"float32": 1e-6, "int8": 3e-3}[precision]


@every_precision
@pytest.mark.parametrize("bands", [1, 4])
def test_scoring_in_pieces_is_scoring_at_once(precision: str, bands: int) -> None:
    """Also when a piece ends within a step of several codes."""
    own, conditioning = decoder(dataclasses.replace(SMALL, bands=bands)), conditioning_of(2, 10, hop_samples=8)
    codes = codes_for(conditioning)
    backend = made(own, precision, conditioning)
    whole, _ = backend.score(backend.start(conditioning), None, codes)
    state, previous, parts = backend.start(conditioning), None, []
    for start, stop in ((0, 1), (1, 30), (30, 33), (33, 80)):
        scores, state = backend.score(state, previous, codes[:, start:stop])
        parts.append(scores)
        previous = codes[:, stop - 1]
    assert torch.equal(torch.cat(parts, dim=2), whole)


@every_precision
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_how_far_ahead_the_past_is_multiplied_changes_nothing(
    precision: str, kernel_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, for dilations below and above it, and from calls that begin anywhere."""
    own, conditioning = decoder(WaveNetConfig(2, 5, kernel_size, 20, 24)), conditioning_of(3, 30)
    codes, found = codes_for(conditioning), []
    backend = made(own, precision, conditioning)
    for most in (1, 2, 8):
        monkeypatch.setattr(engine_backend, "_MOST_AHEAD", most)
        monkeypatch.setattr(engine_backend, "_ALL_AHEAD", 3 * most)
        state, previous, parts = backend.start(conditioning), None, []
        assert state.arrays.ahead.shape[1] == most
        for start, stop in ((0, 5), (5, 110), (110, 210)):
            scores, state = backend.score(state, previous, codes[:, start:stop])
            parts.append(scores)
            previous = codes[:, stop - 1]
        found.append(torch.cat(parts, dim=2))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@every_precision
@pytest.mark.parametrize("n_streams", [3, 9])
def test_streams_that_are_over_change_nothing_for_the_others(precision: str, n_streams: int) -> None:
    """To the bit, left out at any sample: between two frames, and while sums lie ahead."""
    own, conditioning = decoder(WaveNetConfig(2, 5, 2, 20, 24)), conditioning_of(n_streams, 20)
    codes = codes_for(conditioning)
    backend = made(own, precision, conditioning)
    whole, _ = backend.score(backend.start(conditioning), None, codes)
    state, previous = backend.start(conditioning), None
    for start, stop, n_left in ((0, 45, n_streams), (45, 46, n_streams - 1), (46, 140, 1)):
        state = backend.narrow(state, n_left)
        given = None if previous is None else previous[:n_left]
        scores, state = backend.score(state, given, codes[:n_left, start:stop])
        assert torch.equal(scores, whole[:n_left, :, start:stop])
        previous = codes[:n_left, stop - 1]
    assert state.arrays.rings.shape[1] == state.sizes.residual


def test_streams_that_are_over_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they cost as much as the others until the longest is over."""
    backend, asked = EngineBackend(decoder(SMALL), "float32"), []
    sample = backend.sample

    def noted(state: Any, previous: Tensor | None, uniforms: Tensor, temperature: float) -> Any:
        asked.append(uniforms.shape[0])
        return sample(state, previous, uniforms, temperature)

    monkeypatch.setattr(backend, "sample", noted)
    monkeypatch.setattr(backend, "call_samples", lambda n_streams: 7)
    generator.generate(backend, conditioning_of(3, 10), torch.full((3, 70), 0.5), workers=1, lengths=[28, 70, 8])
    assert asked == [3, 3, 2, 2, 1, 1, 1, 1, 1, 1]


@every_precision
def test_threads_change_nothing(precision: str) -> None:
    own, conditioning = decoder(SMALL), conditioning_of(9, 8)
    backend = made(own, precision, conditioning)
    uniforms = torch.stack([sampling.uniforms(0, stream, 0, 56) for stream in range(9)])
    alone = generator.generate(backend, conditioning, uniforms, workers=1)
    assert torch.equal(alone, generator.generate(backend, conditioning, uniforms, workers=3))
    assert torch.equal(alone, generator.generate(backend, conditioning, uniforms, workers=2))
    assert torch.equal(alone, generator.generate(backend, conditioning, uniforms, workers=9))  # a stream each


@every_precision
def test_with_bounds_checked_the_same_comes_out(precision: str) -> None:
    own, conditioning = decoder(WaveNetConfig(1, 3, 3, 9, 17)), conditioning_of(7, 6)
    codes = codes_for(conditioning)
    plain, checked = made(own, precision, conditioning), made(own, precision, conditioning, is_checked=True)
    expected, _ = plain.score(plain.start(conditioning), None, codes)
    found, _ = checked.score(checked.start(conditioning), None, codes)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    one = Conditioning(conditioning.frames[:1], 7)
    found, _ = checked.score(checked.start(one), None, codes[:1])
    torch.testing.assert_close(found, expected[:1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("field", ["taps", "outputs", "hidden", "logits", "condition"])
def test_the_checked_kernel_notices_weights_that_end_early(field: str) -> None:
    """Else the checked copy would prove nothing."""
    own, conditioning = decoder(SMALL), conditioning_of(2, 2)
    backend = made(own, "float32", conditioning, is_checked=True)
    weights = backend._net.weights
    short = getattr(weights, field)[..., :-1].copy()
    state = backend.start(conditioning)
    with pytest.raises(IndexError):
        backend._kernel.run(
            state.sizes,
            weights._replace(**{field: short}),
            state.arrays,
            state.frames,
            0,
            np.full(2, -1),
            np.zeros((1, 2)),
            1.0,
            np.full((1, 2), -1),
            np.empty((0, 0), np.float32),
        )


def test_weights_that_overflow_are_noticed_when_they_do() -> None:
    own, conditioning = decoder(SMALL), conditioning_of(2, 4)
    with torch.no_grad():
        own.logits.weight.fill_(3e38)
    backend = EngineBackend(own, "float32")
    with pytest.raises(ValueError, match="not finite"):
        generator.generate(backend, conditioning, torch.full((2, 20), 0.5))


def test_a_decoder_of_double_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"from float32 weights, not torch\.float64"):
        EngineBackend(decoder(SMALL).double(), "float32")


def test_a_louder_song_than_the_calibration_is_clipped_not_wrapped() -> None:
    """Inputs twice the peak: int8 that wraps around would be off by the whole scale, clipping is off by half."""
    own, conditioning = decoder(SMALL), conditioning_of(2, 8)
    codes = codes_for(conditioning)
    peaks = calibration.layer_peaks(own, codes, conditioning)
    backend = EngineBackend(own, "int8", [peak / 2 for peak in peaks])
    scores, _ = backend.score(backend.start(conditioning), None, codes)
    with torch.no_grad():
        expected = own(codes, conditioning)
    assert (scores - expected).square().mean().sqrt() < 0.3 * expected.std()


def test_picking_is_that_of_the_reference_code_by_code() -> None:
    """Excused only where a uniform lies on the edge between two codes."""
    own, conditioning = decoder(SMALL), conditioning_of(8, 40)
    backend = EngineBackend(own, "float32")
    for temperature in (0.0, 1e-40, 0.5, 1.0, 2.0):
        uniforms = torch.stack([sampling.uniforms(3, stream, 0, 280) for stream in range(8)])
        codes = generator.generate(backend, conditioning, uniforms, temperature)
        scores, _ = backend.score(backend.start(conditioning), None, codes)
        for position in range(280):
            picked = sampling.pick(scores[:, :, position], uniforms[:, position], temperature)
            for stream in (picked != codes[:, position]).nonzero().flatten().tolist():
                assert temperature > 1e-30  # without chance there is no excuse
                edges = torch.softmax(scores[stream, :, position].double() / temperature, dim=0).cumsum(dim=0)
                assert (edges - uniforms[stream, position]).abs().min() < 1e-5


def test_calls_are_short_enough_to_be_stopped() -> None:
    backend = EngineBackend(decoder(SMALL), "float32")
    for n_streams in (1, 32, 10_000):
        n_samples = backend.call_samples(n_streams)
        assert n_samples == 1 or n_samples * n_streams * backend.multiply_adds <= 2e8
    assert backend.call_samples(1) > backend.call_samples(10_000) >= 1


def test_what_does_not_fit_is_refused_before_memory_is_touched() -> None:
    """Each of these read or wrote beyond an array."""
    backend, conditioning = EngineBackend(decoder(SMALL), "float32"), conditioning_of(2, 3)
    for n_channels in (0, 2, 4):
        with pytest.raises(ValueError, match=f"a condition of 3 channels, not {n_channels}"):
            backend.start(conditioning_of(2, 3, n_channels))
    with pytest.raises(ValueError, match="the condition ends before sample 22"):
        backend.score(backend.start(conditioning), None, torch.zeros(2, 22, dtype=torch.int64))
    for n_streams in (1, 3):
        with pytest.raises(ValueError, match=rf"2 streams, codes \[{n_streams}, 5\]"):
            backend.score(backend.start(conditioning), None, torch.zeros(n_streams, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match="2 streams"):
        backend.step(backend.start(conditioning), torch.zeros(3, dtype=torch.int64))


def test_a_condition_of_no_frames_gives_no_samples() -> None:
    backend = EngineBackend(decoder(SMALL), "float32")
    assert generator.generate(backend, conditioning_of(2, 0), torch.zeros(2, 0)).shape == (2, 0)


def test_the_tier_that_was_found_to_work_is_the_one_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial's fallback was not: the backend took the widest vectors all the same."""
    monkeypatch.delenv(cpu.TIER_VARIABLE, raising=False)
    monkeypatch.setattr(trial, "verdict", lambda: Verdict("portable", ("float32",), "float32", ("float32",)))
    made = generator.backend_for(decoder(SMALL), "float32")
    assert isinstance(made, EngineBackend) and made.tier.name == "portable"


def test_kernels_are_made_once() -> None:
    tier = cpu.tier(cpu.features())
    assert kernel.build(tier, "float32", "float32") is kernel.build(tier, "float32", "float32")
