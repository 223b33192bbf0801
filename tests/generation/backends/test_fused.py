"""The kernels beside the reference: played by Triton's interpreter, or by a GPU where there is one.

The interpreter takes some hundredths of a second for a kernel, so nets are tiny and clips last some eight samples. It
runs one program after another, whole: what threads could do to each other it does not show. That a kernel never reads
what it writes is therefore a test of its own.
"""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_generator import Case
from torch import Tensor

from moksori.errors import UserError
from moksori.generation import generator
from moksori.generation.backends import fused, sampling
from moksori.generation.backends.fused import FusedBackend
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig

triton = pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SMALL = Case(WaveNetConfig(blocks=1, layers=2, residual_channels=5, skip_channels=3), hop_samples=3, streams=2)
N_SAMPLES = 8

cases = st.builds(
    Case,
    config=st.builds(
        WaveNetConfig,
        blocks=st.just(1),
        layers=st.integers(1, 3),
        kernel_size=st.integers(2, 3),
        residual_channels=st.sampled_from([1, 6, 33]),  # less than a block, and more
        skip_channels=st.sampled_from([1, 6, 33]),
    ),
    condition_channels=st.sampled_from([0, 3]),
    hop_samples=st.integers(1, 4),
    streams=st.sampled_from([1, 17]),  # of one program, and of two
    seed=st.integers(0, 1000),
)


def made(case: Case, dtype: torch.dtype = torch.float32) -> FusedBackend:
    return FusedBackend(case.decoder().to(DEVICE), dtype)


def conditioning_of(case: Case, n_samples: int = N_SAMPLES) -> Conditioning:
    conditioning = case.conditioning(n_samples)
    return Conditioning(conditioning.frames.to(DEVICE), conditioning.hop_samples)


def sung(backend: FusedBackend, conditioning: Conditioning, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
    return generator.generate(backend, conditioning, uniforms, temperature).cpu()


def scored(backend: FusedBackend, conditioning: Conditioning, codes: Tensor) -> Tensor:
    """Logits `[B, 256, T]` of given codes."""
    state, previous, columns = backend.start(conditioning), None, []
    for position in range(codes.shape[1]):
        logits, state = backend.step(state, previous)
        columns.append(logits.cpu())
        previous = codes[:, position].to(DEVICE)
    return torch.stack(columns, dim=2)


def chance_codes(case: Case, n_samples: int) -> Tensor:
    return torch.randint(0, 256, (case.streams, n_samples), generator=torch.Generator().manual_seed(case.seed))


def by_definition(case: Case, codes: Tensor, n_samples: int) -> Tensor:
    padded = torch.nn.functional.pad(codes, (0, case.conditioning(n_samples).n_samples - n_samples))
    with torch.no_grad():
        conditioning = case.conditioning(n_samples) if case.condition_channels else None
        return case.decoder()(padded, conditioning)[:, :, :n_samples]


@settings(max_examples=3, deadline=None)
@given(case=cases, temperature=st.sampled_from([0.0, 0.5, 1.0]))
def test_the_same_uniforms_give_the_reference_s_codes(case: Case, temperature: float) -> None:
    """Excused only where a uniform lies on the edge of two codes; what follows is then another chain."""
    conditioning, uniforms = case.conditioning(N_SAMPLES), case.uniforms(N_SAMPLES)
    slow = generator.generate(
        generator.backend_for(case.decoder(), "reference"), conditioning, uniforms, temperature, workers=1
    )
    fast = sung(made(case), conditioning_of(case), uniforms, temperature)
    logits = by_definition(case, slow, N_SAMPLES)
    for stream in (slow != fast).any(dim=1).nonzero().flatten().tolist():
        position = int((slow[stream] != fast[stream]).nonzero()[0])
        scores = logits[stream, :, position].double()
        if temperature == 0:
            assert scores.max() - scores[fast[stream, position]] < 1e-4
            continue
        edges = torch.softmax(scores / temperature, dim=0).cumsum(dim=0)
        assert (edges - uniforms[stream, position]).abs().min() < 1e-5 / temperature


def test_scores_are_the_definition_s_though_every_ring_goes_round_again_and_again() -> None:
    case = dataclasses.replace(SMALL, config=dataclasses.replace(SMALL.config, kernel_size=3))
    n_samples = 3 * (2 * 2 + 1) + 1  # the longest ring three times
    codes = chance_codes(case, n_samples)
    found = scored(made(case), conditioning_of(case, n_samples), codes)
    torch.testing.assert_close(found, by_definition(case, codes, n_samples), rtol=0, atol=1e-5)


def test_a_clip_in_several_calls_is_the_clip_in_one() -> None:
    backend, uniforms = made(SMALL), SMALL.uniforms(6).to(DEVICE)
    whole, _ = backend.sample(backend.start(conditioning_of(SMALL)), None, uniforms, 1.0)
    state, previous, parts = backend.start(conditioning_of(SMALL)), None, []
    for first, last in [(0, 3), (3, 4), (4, 6)]:
        part, state = backend.sample(state, previous, uniforms[:, first:last], 1.0)
        previous = part[:, -1]
        parts.append(part)
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_a_clip_goes_on_from_what_it_is_told_and_not_from_what_it_would_have_picked() -> None:
    backend, codes, uniforms = made(SMALL), chance_codes(SMALL, 3).to(DEVICE), SMALL.uniforms(3).to(DEVICE)
    state, previous = backend.start(conditioning_of(SMALL)), None
    for position in range(3):
        _, state = backend.step(state, previous)
        previous = codes[:, position]
    found, _ = backend.sample(state, previous, uniforms, 1.0)
    streaming = generator.backend_for(SMALL.decoder(), "streaming")
    state, previous = streaming.start(SMALL.conditioning(N_SAMPLES)), None
    for position in range(3):
        _, state = streaming.step(state, previous)
        previous = codes[:, position].cpu()
    expected, _ = streaming.sample(state, previous, uniforms.cpu(), 1.0)
    assert torch.equal(found.cpu(), expected)


def test_a_stream_is_the_same_alone_and_as_the_first_of_a_second_program() -> None:
    case = dataclasses.replace(SMALL, streams=fused.STREAMS + 2)
    uniforms = case.uniforms(4)
    together = sung(made(case), conditioning_of(case, 4), uniforms)
    for stream in (0, fused.STREAMS):
        alone = Conditioning(conditioning_of(case, 4).frames[stream : stream + 1], case.hop_samples)
        assert torch.equal(sung(made(case), alone, uniforms[stream : stream + 1])[0], together[stream])
    assert not torch.equal(together[0], together[fused.STREAMS])


def test_half_precision_says_nearly_the_same() -> None:
    """Each factor is rounded to 11 bits."""
    codes = chance_codes(SMALL, N_SAMPLES)
    found, expected = (
        scored(made(SMALL, torch.float16), conditioning_of(SMALL), codes),
        by_definition(SMALL, codes, N_SAMPLES),
    )
    assert 1e-6 < (found - expected).abs().max() < 1e-2
    assert expected.std() > 0.3


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # of Triton's interpreter
def test_a_decoder_that_diverged_is_refused() -> None:
    decoder = SMALL.decoder()
    with torch.no_grad():
        decoder.hidden.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        sung(FusedBackend(decoder.to(DEVICE)), conditioning_of(SMALL, 2), SMALL.uniforms(2))


def launches(case: Case) -> list[tuple[str, tuple[int, ...], tuple[Any, ...], dict[str, Any]]]:
    """Name, programs and arguments of the kernels of a step, none of which is run."""
    found = []

    class Recorder:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getitem__(self, programs: tuple[int, ...]) -> Any:
            return lambda *taken, **sizes: found.append((self.name, programs, taken, sizes))

    backend = made(case)
    backend._kernels = SimpleNamespace(**{name: Recorder(name) for name in ("first", "layer", "head")})
    backend._advance(backend.start(conditioning_of(case)))
    return found


def test_a_turn_of_the_paper_s_decoder_is_42_kernels_of_a_program_for_16_streams() -> None:
    found = launches(Case(WaveNetConfig(), streams=33))
    assert [name for name, *_ in found] == ["first", *["layer"] * 40, "head"]
    assert {programs for _, programs, *_ in found} == {(3,)}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_kernel_reads_nothing_that_it_writes(layers: int) -> None:
    from moksori.generation.backends import fused_kernels

    written = {
        "first": {"now", "ring", "skips"},
        "layer": {"next_ring", "next_skips"},
        "head": {"position", "logits", "codes", "recent", "is_finite"},
    }
    case = dataclasses.replace(SMALL, config=dataclasses.replace(SMALL.config, layers=layers))
    before: dict[str, int] = {}
    for name, _, taken, _ in launches(case):
        arguments = dict(zip(getattr(fused_kernels, name).arg_names, taken, strict=False))
        tensors = {key: value.data_ptr() for key, value in arguments.items() if isinstance(value, Tensor)}
        outputs = {tensors[key] for key in written[name]}
        assert not outputs & {place for key, place in tensors.items() if key not in written[name]}
        if name == "layer":  # it goes on where the kernel before it left off
            assert tensors["ring"] == before.get("next_ring", before.get("ring"))
            assert tensors["skips"] == before.get("next_skips", before.get("skips"))
        if name == "head":
            assert tensors["skips"] == before["next_skips"]
        before = tensors


def test_where_triton_is_missing_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"not installed: pip install 'moksori\[gpu\]'"):
        generator.backend_for(SMALL.decoder(), "fused")


def test_without_a_gpu_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(UserError, match="the model is on cpu: choose --device cuda where there is one"):
        generator.backend_for(SMALL.decoder(), "fused16")


def test_training_the_decoder_further_does_not_reach_a_backend_that_was_made_before() -> None:
    decoder: WaveNet = SMALL.decoder().to(DEVICE)
    backend = FusedBackend(decoder)
    before, _ = backend.step(backend.start(conditioning_of(SMALL)), None)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(-3)
    after, _ = backend.step(backend.start(conditioning_of(SMALL)), None)
    assert torch.equal(before, after)


def test_both_precisions_are_in_the_table_of_backends() -> None:
    uniforms = sampling.uniforms(0, 0, 0, 2).expand(2, -1)
    for name in ("fused", "fused16"):
        backend = generator.backend_for(SMALL.decoder().to(DEVICE), name)
        assert isinstance(backend, FusedBackend) and sung(backend, conditioning_of(SMALL), uniforms).shape == (2, 2)
