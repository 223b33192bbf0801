"""Every way to generate, over the table of backends: a backend that joins the table joins these tests."""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from moksori.errors import UserError
from moksori.generation import generator
from moksori.generation.backends import sampling
from moksori.generation.backends.stepwise import Stepwise
from moksori.generation.backends.streaming import StreamingBackend
from moksori.generation.engine import trial
from moksori.generation.engine.trial import Verdict
from moksori.generation.generator import BACKENDS
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig
from moksori.progress import Progress

# Backends that are the reference but for rounding; the engine's lower precisions have tests of their own.
EXACT = ["float32", "streaming", "graph", "reference"]
every_backend = pytest.mark.parametrize("backend", EXACT)

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}  # of logits; the usual bound between two orders of summation


@dataclass(frozen=True)
class Case:
    """A small net, and what it is told."""

    config: WaveNetConfig
    condition_channels: int = 3
    hop_samples: int = 5
    streams: int = 2
    dtype: torch.dtype = torch.float32
    seed: int = 0

    def decoder(self) -> WaveNet:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            decoder = WaveNet(self.config, self.condition_channels).to(self.dtype)
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter *= 2  # a fresh net hardly listens to its past; this one does
        return decoder

    def conditioning(self, n_samples: int) -> Conditioning:
        chance = torch.Generator().manual_seed(self.seed)
        hop_samples = self.hop_samples * self.config.bands  # a step has one frame
        shape = self.streams, self.condition_channels, -(-n_samples // hop_samples)
        return Conditioning(torch.randn(shape, generator=chance, dtype=self.dtype), hop_samples)

    def uniforms(self, n_samples: int) -> Tensor:
        return torch.stack([sampling.uniforms(self.seed, stream, 0, n_samples) for stream in range(self.streams)])


TINY = Case(WaveNetConfig(blocks=2, layers=3, residual_channels=4, skip_channels=6))

cases = st.builds(
    Case,
    config=st.builds(
        WaveNetConfig,
        blocks=st.integers(1, 3),
        layers=st.integers(1, 4),
        kernel_size=st.integers(2, 3),
        residual_channels=st.integers(1, 6),
        skip_channels=st.integers(1, 6),
        bands=st.sampled_from([1, 4]),
        first_kernel_size=st.sampled_from([0, 5]),
    ),
    condition_channels=st.sampled_from([0, 1, 4]),
    hop_samples=st.integers(1, 12),
    streams=st.integers(1, 3),
    dtype=st.sampled_from(list(TOLERANCE)),
    seed=st.integers(0, 1000),
)


def as_it_can(backend: str, case: Case) -> Case:
    """The case in a type that the backend computes in, with as many codes a step as it can make."""
    if backend == "graph":
        return dataclasses.replace(case, config=dataclasses.replace(case.config, bands=1, first_kernel_size=0))
    return dataclasses.replace(case, dtype=torch.float32) if backend == "float32" else case


def forced(name: str, decoder: WaveNet, conditioning: Conditioning, codes: Tensor) -> Tensor:
    """Logits `[B, 256, T]` of a backend that is given the codes one by one."""
    backend = generator.backend_for(decoder, name)
    state, previous, columns = backend.start(conditioning), None, []
    for position in range(codes.shape[1]):
        logits, state = backend.step(state, previous)
        columns.append(logits.clone())
        previous = codes[:, position]
    return torch.stack(columns, dim=2)


@every_backend
@settings(max_examples=12, deadline=None)
@given(case=cases)
def test_a_backend_scores_every_sample_as_one_pass_over_the_clip_does(backend: str, case: Case) -> None:
    """Over three receptive fields, so that every ring goes round several times."""
    case = as_it_can(backend, case)
    decoder = case.decoder()
    conditioning = case.conditioning(3 * case.config.receptive_field)
    chance = torch.Generator().manual_seed(case.seed)
    codes = torch.randint(0, 256, (case.streams, conditioning.n_samples), generator=chance)
    with torch.no_grad():
        whole = decoder(codes, conditioning)
    worst = (forced(backend, decoder, conditioning, codes) - whole).abs().max()
    assert worst <= TOLERANCE[case.dtype]


@pytest.mark.parametrize(
    "blocks_layers", [(1, 8), pytest.param((4, 10), marks=pytest.mark.slow)], ids=["one cycle", "the paper's cycles"]
)
@pytest.mark.parametrize("backend", [name for name in EXACT if name != "reference"])  # it would take an hour
def test_a_backend_agrees_over_long_dilations(backend: str, blocks_layers: tuple[int, int]) -> None:
    config = WaveNetConfig(*blocks_layers, residual_channels=2, skip_channels=2)
    case = Case(config, hop_samples=160, streams=1)
    decoder, conditioning = case.decoder(), case.conditioning(3 * config.receptive_field)
    codes = torch.randint(0, 256, (1, conditioning.n_samples), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = decoder(codes, conditioning)
    assert (forced(backend, decoder, conditioning, codes) - whole).abs().max() <= 1e-4


@every_backend
@settings(max_examples=8, deadline=None)
@given(case=cases, temperature=st.sampled_from([0.3, 1.0]))
def test_the_same_uniform_picks_the_same_code_as_in_the_reference(backend: str, case: Case, temperature: float) -> None:
    """Step by step on the reference's own codes; excused only where a uniform lies on the edge of two codes."""
    case = as_it_can(backend, case)
    decoder, n_samples = case.decoder(), case.config.receptive_field + 20
    conditioning, uniforms = case.conditioning(n_samples), case.uniforms(n_samples)
    codes = generator.generate(generator.backend_for(decoder, "reference"), conditioning, uniforms, temperature)
    logits = forced(backend, decoder, conditioning, codes)
    for position in range(n_samples):
        picked = sampling.pick(logits[:, :, position], uniforms[:, position], temperature)
        for stream in (picked != codes[:, position]).nonzero().flatten().tolist():
            edges = torch.softmax(logits[stream, :, position].double() / temperature, dim=0).cumsum(dim=0)
            nearest = (edges - uniforms[stream, position]).abs().min()
            assert nearest < TOLERANCE[case.dtype] / temperature


@every_backend
@settings(max_examples=6, deadline=None)
@given(case=cases)
def test_free_running_gives_the_reference_s_clip(backend: str, case: Case) -> None:
    """In double precision no uniform of these lies near enough to an edge to be excused, and hardly one in single."""
    case = as_it_can(backend, dataclasses.replace(case, dtype=torch.float64))
    decoder, n_samples = case.decoder(), case.config.receptive_field + 20
    conditioning, uniforms = case.conditioning(n_samples), case.uniforms(n_samples)
    slow, fast = (
        generator.generate(generator.backend_for(decoder, name), conditioning, uniforms)
        for name in ("reference", backend)
    )
    if torch.equal(slow, fast):
        return
    assert case.dtype == torch.float32
    stream, position = (slow != fast).nonzero()[0].tolist()  # the first difference; what follows is another chain
    with torch.no_grad():
        scores = decoder(slow, conditioning if case.condition_channels else None)[stream, :, position]
    edges = torch.softmax(scores.double(), dim=0).cumsum(dim=0)
    assert (edges - uniforms[stream, position]).abs().min() < 1e-5


@every_backend
def test_the_first_sample_follows_silence_as_in_training(backend: str) -> None:
    decoder, conditioning = TINY.decoder(), TINY.conditioning(10)
    codes = torch.randint(0, 256, (2, 10), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trained = decoder(codes, conditioning)
    made = generator.backend_for(decoder, backend)
    first, state = made.step(made.start(conditioning), None)
    torch.testing.assert_close(first, trained[:, :, 0], rtol=0, atol=1e-5)
    second, _ = made.step(state, codes[:, 0])
    torch.testing.assert_close(second, trained[:, :, 1], rtol=0, atol=1e-5)


@every_backend
def test_a_frame_of_the_condition_is_heard_from_its_first_sample_on(backend: str) -> None:
    decoder, conditioning = TINY.decoder(), TINY.conditioning(20)
    codes = torch.randint(0, 256, (2, 20), generator=torch.Generator().manual_seed(0))
    frames = conditioning.frames.clone()
    frames[:, :, 2] += 1
    before = forced(backend, decoder, conditioning, codes)
    after = forced(backend, decoder, Conditioning(frames, 5), codes)
    assert torch.equal(before[:, :, :10], after[:, :, :10])
    assert (before[:, :, 10] != after[:, :, 10]).all(dim=1).all()


@every_backend
def test_streams_in_lockstep_are_the_streams_alone(backend: str) -> None:
    case = as_it_can(backend, Case(TINY.config, streams=7, dtype=torch.float64))
    decoder, conditioning, uniforms = case.decoder(), case.conditioning(60), case.uniforms(60)
    together = generator.generate(generator.backend_for(decoder, backend), conditioning, uniforms)
    for stream in range(7):
        alone = Conditioning(conditioning.frames[stream : stream + 1], conditioning.hop_samples)
        codes = generator.generate(generator.backend_for(decoder, backend), alone, uniforms[stream : stream + 1])
        assert torch.equal(codes[0], together[stream])
    assert not torch.equal(together[0], together[1])


@every_backend
def test_the_same_uniforms_give_the_same_clip_and_others_another(backend: str) -> None:
    made, conditioning = generator.backend_for(TINY.decoder(), backend), TINY.conditioning(60)
    codes = generator.generate(made, conditioning, TINY.uniforms(60))
    assert codes.dtype == torch.int64 and codes.shape == (2, 60)
    assert codes.min() >= 0 and codes.max() <= 255
    assert torch.equal(codes, generator.generate(made, conditioning, TINY.uniforms(60)))
    assert not torch.equal(codes, generator.generate(made, conditioning, TINY.uniforms(60).flip(1)))


@every_backend
def test_the_most_probable_codes_need_no_chance(backend: str) -> None:
    made, conditioning = generator.backend_for(TINY.decoder(), backend), TINY.conditioning(30)
    one, other = (generator.generate(made, conditioning, torch.full((2, 30), u), temperature=0) for u in (0.1, 0.9))
    assert torch.equal(one, other)


@every_backend
def test_a_clip_may_end_before_its_condition(backend: str) -> None:
    made, conditioning = generator.backend_for(TINY.decoder(), backend), TINY.conditioning(30)
    whole = generator.generate(made, conditioning, TINY.uniforms(30))
    assert torch.equal(whole[:, :23], generator.generate(made, conditioning, TINY.uniforms(30)[:, :23]))
    assert generator.generate(made, conditioning, torch.zeros(2, 0)).shape == (2, 0)


@every_backend
def test_generating_leaves_the_decoder_and_the_world_as_they_were(backend: str) -> None:
    decoder = TINY.decoder().train()
    decoder.first.weight.requires_grad_(False)
    weights = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    flags = [parameter.requires_grad for parameter in decoder.parameters()]
    chance = torch.get_rng_state()
    generator.generate(generator.backend_for(decoder, backend), TINY.conditioning(30), TINY.uniforms(30))
    assert all(torch.equal(weights[name], tensor) for name, tensor in decoder.state_dict().items())
    assert flags == [parameter.requires_grad for parameter in decoder.parameters()]
    assert all(parameter.grad is None and not parameter.is_inference() for parameter in decoder.parameters())
    assert decoder.training
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert torch.equal(chance, torch.get_rng_state())


@every_backend
def test_what_was_generated_can_be_trained_on(backend: str) -> None:
    """Back-translation listens to it; no gradient flows back through the sampling, not even to the condition.

    The codes were inference tensors, and as targets of a loss they were an error.
    """
    decoder, given = TINY.decoder(), TINY.conditioning(30)
    frames = given.frames.clone().requires_grad_()
    codes = generator.generate(generator.backend_for(decoder, backend), Conditioning(frames, 5), TINY.uniforms(30))
    assert not codes.requires_grad
    functional.cross_entropy(decoder(codes, given), codes).backward()
    assert frames.grad is None
    assert all(parameter.grad is not None for name, parameter in decoder.named_parameters() if "layers.5.r" not in name)


@every_backend
def test_a_decoder_that_diverged_is_refused(backend: str) -> None:
    decoder = TINY.decoder()
    with torch.no_grad():
        decoder.hidden.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        generator.generate(generator.backend_for(decoder, backend), TINY.conditioning(30), TINY.uniforms(30))


@every_backend
@pytest.mark.parametrize("workers", [1, 2])
def test_clips_of_several_lengths_are_sung_as_if_they_were_of_one(backend: str, workers: int) -> None:
    """Whether the backend leaves out what comes after a clip's end, or not."""
    case = as_it_can(backend, dataclasses.replace(TINY, streams=5))
    made, conditioning, uniforms = (
        generator.backend_for(case.decoder(), backend),
        case.conditioning(90),
        case.uniforms(90),
    )
    calls: list[Progress] = []
    whole = generator.generate(made, conditioning, uniforms, workers=workers)
    lengths = [20, 90, 1, 64, 90]
    found = generator.generate(made, conditioning, uniforms, 1.0, calls.append, workers, lengths)
    for codes, expected, length in zip(found, whole, lengths, strict=True):
        assert torch.equal(codes[:length], expected[:length])
    assert (calls[-1].done, calls[-1].total) == (90, 90)


@pytest.mark.parametrize("workers", [1, 2])
def test_codes_are_tensors_of_the_mode_in_which_they_were_asked_for(workers: int) -> None:
    """Threads have modes of their own; codes made in the caller's could not be written there."""
    backend, case = generator.backend_for(TINY.decoder(), "reference"), dataclasses.replace(TINY, streams=3)
    plain = generator.generate(backend, case.conditioning(9), case.uniforms(9), workers=workers)
    with torch.inference_mode():
        inferred = generator.generate(backend, case.conditioning(9), case.uniforms(9), workers=workers)
    assert not plain.is_inference() and inferred.is_inference() and torch.equal(plain, inferred)


class Flat(Stepwise):
    """A backend that holds every code for equally likely and counts its steps."""

    def __init__(self) -> None:
        self.heard: list[Tensor | None] = []

    def call_samples(self, n_streams: int) -> int:
        return 100

    def start(self, conditioning: Conditioning) -> Any:
        return 0

    def step(self, state: Any, previous: Tensor | None) -> tuple[Tensor, Any]:
        assert state == len(self.heard)  # the state that the last step returned
        assert torch.is_inference_mode_enabled()  # or memory would grow with the song
        self.heard.append(previous)
        return torch.zeros(1, 256), state + 1


def silent(n_samples: int) -> Conditioning:
    return Conditioning(torch.zeros(1, 0, n_samples), 1)


def test_each_code_is_told_to_the_next_step() -> None:
    backend = Flat()
    codes = generator.generate(backend, silent(3), torch.tensor([[0.0, 0.5, 0.999]]))
    assert codes.tolist() == [[0, 128, 255]]
    assert backend.heard[0] is None
    assert [int(code) for code in backend.heard[1:] if code is not None] == [0, 128]


@pytest.mark.parametrize(
    ("n_samples", "counts"), [(250, [100, 200, 250]), (200, [100, 200]), (99, [99]), (1, [1]), (0, [])]
)
def test_progress_rises_to_the_length(n_samples: int, counts: list[int]) -> None:
    found: list[Progress] = []
    generator.generate(Flat(), silent(n_samples), torch.zeros(1, n_samples), progress=found.append)
    assert found == [Progress(done, n_samples) for done in counts]


def test_an_exception_in_progress_stops_the_generation() -> None:
    class Cancelled(Exception):
        pass

    def cancel(progress: Progress) -> None:
        raise Cancelled

    backend = Flat()
    with pytest.raises(Cancelled):
        generator.generate(backend, silent(1000), torch.zeros(1, 1000), progress=cancel)
    assert len(backend.heard) == 100


def test_an_unknown_backend_is_told_the_known_ones() -> None:
    with pytest.raises(UserError, match=f"'abacus'; known backends are auto, {', '.join(BACKENDS)}"):
        generator.backend_for(TINY.decoder(), "abacus")


def test_the_usual_backend_is_the_engine_and_torch_where_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert generator.usual_backend(TINY.decoder()) in ("float32", "bfloat16")
    assert generator.usual_backend(TINY.decoder().double()) == "streaming"
    only = Verdict("avx2", ("int8",), "float32", ("int8",), "float32 is off by 1")
    monkeypatch.setattr(trial, "verdict", lambda: only)
    assert generator.usual_backend(TINY.decoder()) == "streaming"
    monkeypatch.setattr(trial, "verdict", lambda: Verdict(reason="numba is not here"))
    assert generator.usual_backend(TINY.decoder()) == "streaming"
    assert isinstance(generator.backend_for(TINY.decoder()), StreamingBackend)


def test_a_backend_that_does_not_work_here_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "verdict", lambda: Verdict(precisions=("float32",), reason="int8 is off by 3"))
    with pytest.raises(UserError, match="'int8' does not work here: int8 is off by 3; choose among float32, streaming"):
        generator.backend_for(TINY.decoder(), "int8", [1.0])


def test_int8_asks_for_a_calibrated_model() -> None:
    with pytest.raises(UserError, match="never calibrated"):
        generator.backend_for(TINY.decoder(), "int8")


class Working(Flat):
    """The same, for two threads side by side."""

    is_parallel = True

    def start(self, conditioning: Conditioning) -> Any:
        return conditioning.frames.shape[0]

    def step(self, state: Any, previous: Tensor | None) -> tuple[Tensor, Any]:
        return torch.zeros(state, 256), state


def test_shares_of_the_streams_are_told_as_one() -> None:
    calls: list[Progress] = []
    conditioning = Conditioning(torch.zeros(3, 0, 250), 1)
    uniforms = torch.linspace(0, 0.99, 750).reshape(3, 250)
    codes = generator.generate(Working(), conditioning, uniforms, progress=calls.append)
    assert torch.equal(codes, (uniforms.double() * 256).floor().long())
    assert calls[-1] == Progress(250, 250) and len(calls) > 1


def test_an_exception_in_progress_stops_every_share() -> None:
    class Cancelled(Exception):
        pass

    def cancel(progress: Progress) -> None:
        raise Cancelled

    backend, silence, before = Working(), Conditioning(torch.zeros(2, 0, 100_000), 1), threading.active_count()
    with pytest.raises(Cancelled):
        generator.generate(backend, silence, torch.zeros(2, 100_000), progress=cancel)
    assert threading.active_count() == before  # nobody works on behind the caller's back


def test_a_fault_in_one_share_ends_the_others() -> None:
    class Faulty(Working):
        calls = 0

        def step(self, state: Any, previous: Tensor | None) -> tuple[Tensor, Any]:
            self.calls += 1
            if state == 1:
                raise ValueError("a fault")
            return torch.zeros(state, 256), state

    backend = Faulty()
    with pytest.raises(ValueError, match="a fault"):
        generator.generate(backend, Conditioning(torch.zeros(3, 0, 100_000), 1), torch.zeros(3, 100_000))
    assert backend.calls < 100_000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backend", ["streaming", "graph"])
def test_a_gpu_generates_what_the_cpu_does(backend: str) -> None:
    """In double precision, so that another order of sums leaves no uniform on another side of an edge."""
    case = Case(TINY.config, streams=5, dtype=torch.float64)
    decoder, conditioning, uniforms = case.decoder(), case.conditioning(200), case.uniforms(200)
    slow = generator.generate(generator.backend_for(decoder, "streaming"), conditioning, uniforms)
    on_gpu = Conditioning(conditioning.frames.cuda(), conditioning.hop_samples)
    fast = generator.generate(generator.backend_for(decoder.cuda(), backend), on_gpu, uniforms)
    assert torch.equal(slow, fast.cpu())


@pytest.mark.parametrize("temperature", [-1.0, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be a number, and not negative"):
        generator.generate(Flat(), silent(3), torch.zeros(1, 3), temperature)


@pytest.mark.parametrize("shape", [(1, 31), (2, 30), (0, 30)])
def test_uniforms_that_do_not_fit_the_condition_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="do not fit a condition of 1 streams and 30 samples"):
        generator.generate(Flat(), silent(30), torch.zeros(shape))


@every_backend
def test_a_step_does_not_care_what_other_clips_are_under_way(backend: str) -> None:
    """One backend, two clips in turns: all that a clip remembers is in its own state."""
    made, case = generator.backend_for(TINY.decoder(), backend), TINY
    tellings = [case.conditioning(40), Conditioning(-case.conditioning(40).frames, 5)]
    codes = torch.randint(0, 256, (2, 40), generator=torch.Generator().manual_seed(0))
    states, interleaved = [made.start(local) for local in tellings], [[], []]  # type: ignore[var-annotated]
    for position, clip in itertools.product(range(40), range(2)):
        previous = codes[:, position - 1] if position else None
        logits, states[clip] = made.step(states[clip], previous)
        interleaved[clip].append(logits.clone())
    for local, columns in zip(tellings, interleaved, strict=True):
        alone = forced(backend, TINY.decoder(), local, codes)
        torch.testing.assert_close(torch.stack(columns, dim=2), alone, rtol=0, atol=1e-6)
