from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from moksori import benchmark
from moksori.benchmark import Way
from moksori.generation import generator
from moksori.generation.engine.trial import Verdict
from moksori.models.autoencoder import ModelConfig
from moksori.models.encoder import EncoderConfig
from moksori.models.wavenet import WaveNetConfig
from moksori.training.recipe import Recipe


def test_products_of_a_sample_by_hand() -> None:
    """The paper's: 40 layers of 256 x 256 taps and 256 x 128 outputs, and a head of 128 x 128 and 256 x 128."""
    assert benchmark.decoder_multiply_adds(WaveNetConfig()) == 40 * (65_536 + 32_768) + 16_384 + 32_768
    #  2 layers of (3 taps x 4 -> 8) and (4 -> 4 + 6), and a head of 6 x 6 and 256 x 6
    assert benchmark.decoder_multiply_adds(WaveNetConfig(1, 2, 3, 4, 6)) == 2 * (96 + 40) + 36 + 1536


def test_products_of_the_encoder_by_hand() -> None:
    """The paper's: 30 layers of three taps and a 1x1, 128 x 128 each."""
    assert benchmark.encoder_multiply_adds(EncoderConfig()) == 30 * 4 * 128 * 128


def test_every_backend_has_its_turns(tiny_recipe: Recipe) -> None:
    assert isinstance(tiny_recipe.model, ModelConfig)
    calls: list[float] = []
    found = benchmark.measure(
        tiny_recipe.model, "tiny", rounds=2, seconds=0.01, progress=lambda now: calls.append(now.done)
    )
    assert {rate.way.backend for rate in found.rates} == {"streaming", *found.verdict.precisions}
    assert set(calls) == {0, 1} and len(calls) == 2 * (len(found.rates) + len(found.encoding))
    plain = found.rates[0]
    assert plain.way == Way("streaming", 1, 1) and plain.times_plain == 1.0 and plain.share_of_bare is None
    for rate in found.rates:
        assert rate.samples_per_second > 0 and rate.times_real_time == rate.samples_per_second / 4000
        assert rate.share_of_bare is None or 0 < rate.share_of_bare < 1
    assert [encoder.backend for encoder in found.encoding] == ["streaming", *found.verdict.precisions]
    assert found.encoding[0].times_plain == 1.0
    for encoder in found.encoding:
        assert encoder.samples_per_second > 0 and encoder.times_real_time == encoder.samples_per_second / 4000
        assert encoder.share_of_bare is None or 0 < encoder.share_of_bare < 1
    assert found.training is not None and found.training.seconds_per_second > 0
    assert all(found.tile[name] < 1.1 * bare for name, bare in found.bare.items())  # nothing beats bare multiply-adds
    assert json.loads(json.dumps(asdict(found)))["model"] == "tiny"
    tables = benchmark.markdown(found)
    assert tables.count("\n| ") == 4 + len(found.rates) + len(found.encoding) and "one core, float32" in tables


def test_a_stream_remembers_its_rings(tiny_recipe: Recipe) -> None:
    """Dilations 1, 2, 4 of 4 channels, padded to a block of rows; float32 all of it."""
    assert isinstance(tiny_recipe.model, ModelConfig)
    found = benchmark.measure(tiny_recipe.model, "tiny", rounds=1, seconds=0.01, is_training_measured=False)
    assert found.training is None
    alone = next(rate for rate in found.rates if rate.way.backend == "float32")
    assert alone.bytes_a_stream >= (1 + 2 + 4) * 4 * 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_has_its_own_backends(tiny_recipe: Recipe) -> None:
    assert isinstance(tiny_recipe.model, ModelConfig)
    found = benchmark.measure(tiny_recipe.model, "tiny", rounds=1, seconds=0.01, device=torch.device("cuda"))
    assert [rate.way for rate in found.rates] == benchmark.gpu_ways(has_triton=True)
    assert all(rate.samples_per_second > 0 and rate.share_of_bare is None for rate in found.rates)
    assert (
        found.training is not None
        and found.peak_memory_mb is not None
        and "of bare float32" not in benchmark.markdown(found)
    )


def test_what_is_measured_on_a_gpu_runs(tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as a CPU can: ways that replay a turn are run one by one there."""
    assert isinstance(tiny_recipe.model, ModelConfig)
    known = {way.backend for way in benchmark.gpu_ways(has_triton=True)}
    assert known == {"streaming", "graph", "fused", "fused16"} <= set(generator.BACKENDS)
    without_triton = benchmark.gpu_ways(has_triton=False)
    assert {way.backend for way in without_triton} == {"streaming", "graph"}
    monkeypatch.setattr(benchmark, "usual_ways", lambda *_: without_triton)
    found = benchmark.measure(tiny_recipe.model, "tiny", rounds=1, seconds=0.01, is_training_measured=False)
    one, several = (rate for rate in found.rates if rate.way.backend == "graph" and rate.way.n_streams in (1, 32))
    assert one.bytes_a_stream == several.bytes_a_stream > (1 + 2 + 4) * 4 * 4
    assert several.samples_per_second > one.samples_per_second > 0


def test_one_core_has_no_way_of_two() -> None:
    assert benchmark.usual_ways(1, 8, ["int8"]) == [
        Way("streaming", 1, 1),
        Way("streaming", 32, 1),
        Way("int8", 1, 1),
        Way("int8", 8, 1),
    ]
    assert Way("int8", 16, 2) in benchmark.usual_ways(2, 8, ["int8"])


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(reason="numba is missing"), "not used, torch serves instead: numba is missing"),
        (
            Verdict("avx512", ("float32", "int8"), "float32", ("float32", "int8-dot"), "bfloat16 is off by 3"),
            "avx512 vectors; float32, int8 (by int8-dot); float32 when nobody says. Missing: bfloat16 is off by 3",
        ),
    ],
)
def test_the_engine_in_words(verdict: Verdict, words: str) -> None:
    assert benchmark.engine_in_words(verdict) == words
