from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from moksori.generation import generator, priming
from moksori.generation.backends import sampling
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig
from moksori.progress import Progress

HOP = 4


@pytest.fixture(autouse=True)
def one_chance() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def net() -> WaveNet:
    decoder = WaveNet(WaveNetConfig(blocks=1, layers=3, residual_channels=6, skip_channels=8), 2)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(3)  # so that scores depend on what was given
    return decoder


def uniforms(n_streams: int, start: int, stop: int) -> Tensor:
    return torch.stack([sampling.uniforms(0, stream, start, stop - start) for stream in range(n_streams)])


@pytest.mark.parametrize("backend", ["auto", "streaming", "reference"])
@pytest.mark.parametrize("n_given", [1, 7, 24])
def test_going_on_from_its_own_codes_is_as_if_it_had_never_stopped(backend: str, n_given: int) -> None:
    conditioning = Conditioning(torch.randn(2, 2, 12), HOP)
    decoder = generator.backend_for(net(), backend)
    whole = generator.generate(decoder, conditioning, uniforms(2, 0, 48))
    rest = priming.go_on(decoder, conditioning, whole[:, :n_given], uniforms(2, n_given, 48))
    assert torch.equal(rest, whole[:, n_given:])


def test_what_was_heard_longer_ago_than_a_receptive_field_changes_nothing() -> None:
    decoder, chance = net(), torch.Generator().manual_seed(1)
    field = 12  # samples, of which the net sees 9
    assert decoder.config.receptive_field <= field
    conditioning, backend = Conditioning(torch.randn(1, 2, 15), HOP), generator.backend_for(decoder)
    given = torch.randint(0, 256, (1, 40), generator=chance)
    from_all = priming.go_on(backend, conditioning, given, uniforms(1, 0, 20))
    late = Conditioning(conditioning.frames[:, :, (40 - field) // HOP :], HOP)
    assert torch.equal(from_all, priming.go_on(backend, late, given[:, -field:], uniforms(1, 0, 20)))
    other = given.clone()
    other[:, -1] = 255 - other[:, -1]
    assert not torch.equal(from_all, priming.go_on(backend, conditioning, other, uniforms(1, 0, 20)))


def test_progress_counts_what_is_new() -> None:
    conditioning, calls = Conditioning(torch.randn(1, 2, 60), HOP), []
    given = torch.full((1, 130), 128)
    priming.go_on(generator.backend_for(net()), conditioning, given, uniforms(1, 0, 101), progress=calls.append)
    assert calls[-1] == Progress(101, 101)


@pytest.mark.parametrize(("n_given", "n_new"), [(0, 4), (8, 41)])
def test_shapes_that_do_not_fit_are_refused(n_given: int, n_new: int) -> None:
    conditioning = Conditioning(torch.randn(1, 2, 12), HOP)
    given = torch.zeros(1, n_given, dtype=torch.int64)
    with pytest.raises(ValueError, match="do not fit a condition of 1 streams and 48 samples"):
        priming.go_on(generator.backend_for(net()), conditioning, given, uniforms(1, 0, n_new))
