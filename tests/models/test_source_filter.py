"""The source-filter decoder: all that it is told is heard, and it reaches as far as it says."""

from __future__ import annotations

import pytest
import torch

from moksori.audio import features, shapes
from moksori.models import source_filter, synthesiser
from moksori.models.source_filter import SourceFilterConfig, SourceFilterDecoder
from moksori.models.synthesiser import SynthesiserConfig

CONFIG = SourceFilterConfig(channels=8, layers=2)


class TestDecoder:
    @pytest.fixture
    def decoder(self) -> SourceFilterDecoder:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            decoder = SourceFilterDecoder(CONFIG, latent_channels=4, singer_channels=3)
            torch.nn.init.normal_(decoder.last.weight, std=0.1)
            return decoder

    def test_shapes_for_latents_of_any_rate(self, decoder: SourceFilterDecoder) -> None:
        f0_hz, level_dbfs, singer = torch.full((2, 31), 200.0), torch.full((2, 31), -20.0), torch.randn(2, 3)
        for n_latents in (31, 16, 7):
            controls = decoder(torch.randn(2, 4, n_latents), f0_hz, level_dbfs, singer)
            assert controls.harmonics.shape == controls.noise.shape == (2, CONFIG.n_bands, 31)
            assert torch.equal(controls.f0_hz, f0_hz)

    @pytest.mark.parametrize("changed", ["z", "f0", "level", "singer"])
    def test_everything_that_is_told_is_heard(self, decoder: SourceFilterDecoder, changed: str) -> None:
        given = {"z": torch.randn(1, 4, 10), "f0": torch.full((1, 20), 200.0), "level": torch.full((1, 20), -20.0)}
        given["singer"] = torch.randn(1, 3)
        first = decoder(*given.values()).harmonics
        second = decoder(*(given | {changed: given[changed] * 1.5 + 0.1}).values()).harmonics
        assert not torch.allclose(first, second)

    def test_the_context_is_as_stated(self, decoder: SourceFilterDecoder) -> None:
        z, level_dbfs, singer = torch.randn(1, 4, 41), torch.full((1, 41), -20.0), torch.randn(1, 3)
        first = decoder(z, torch.full((1, 41), 200.0), level_dbfs, singer).harmonics
        z[:, :, 20] += 1.0
        moved = (decoder(z, torch.full((1, 41), 200.0), level_dbfs, singer).harmonics != first).any(dim=1)[0]
        places = torch.nonzero(moved).flatten()
        reach = CONFIG.context_frames
        assert (int(places.min()), int(places.max())) == (20 - reach, 20 + reach)

    def test_a_singers_vector_scales_and_shifts_what_a_layer_hears(self, decoder: SourceFilterDecoder) -> None:
        layer, singer = decoder.layers[0], torch.randn(2, 3)
        heard: list[torch.Tensor] = []
        layer.gated.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
        x = torch.randn(2, CONFIG.channels, 5)
        layer(x, singer)
        scale, shift = layer.modulation(singer)[:, :, None].chunk(2, dim=1)
        assert shift.abs().mean() > 0.1 and scale.abs().mean() > 0.1
        torch.testing.assert_close(heard[0], x * (1 + scale) + shift)

    def test_an_untrained_decoder_is_silent(self) -> None:
        decoder = SourceFilterDecoder(CONFIG, 4, 3)
        controls = decoder(torch.randn(1, 4, 10), torch.zeros(1, 10), torch.zeros(1, 10), torch.zeros(1, 3))
        assert float(controls.noise.detach().max()) == pytest.approx(-9.0)

    def test_gradients_of_the_expected_spectrum_reach_every_weight_and_are_finite(
        self, decoder: SourceFilterDecoder
    ) -> None:
        f0_hz = torch.full((1, 20), 220.5)  # some bins lie exactly a bin off a harmonic
        f0_hz[:, 10:] = 0.0
        controls = decoder(torch.randn(1, 4, 10), f0_hz, torch.full((1, 20), -20.0), torch.randn(1, 3))
        (synthesiser.expected_power(controls, SynthesiserConfig(), 512) + 1e-14).log().mean().backward()
        for name, weight in decoder.named_parameters():
            assert weight.grad is not None and torch.isfinite(weight.grad).all() and weight.grad.any(), name


@pytest.mark.parametrize("wrong", [{"kernel_size": 2}, {"n_bands": 1}, {"layers": 0}])
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least|odd"):
        SourceFilterConfig(**wrong)


def test_the_net_of_a_detail_path_gets_the_gain_from_minus_one_to_one_and_corrects_by_the_formula(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shape = (1 - gain) * the voice's mean + gain * what passes + correction, all of it smooth at gain 1."""
    config = SourceFilterConfig(channels=8, layers=2, has_detail=True, n_bands=features.N_BANDS)
    decoder = SourceFilterDecoder(config, latent_channels=4, singer_channels=3)
    n_values, n_frames = 2 * features.N_BANDS, 6
    generator = torch.Generator().manual_seed(0)
    said = torch.randn(3, n_values, n_frames, generator=generator)
    heard: list[torch.Tensor] = []

    def net(z: torch.Tensor, conditioning: list[torch.Tensor], singer: torch.Tensor) -> torch.Tensor:
        heard.extend(conditioning)
        assert singer.shape == (3, 3)
        return said

    monkeypatch.setattr(decoder, "_net", net)
    f0_hz, level_dbfs = torch.full((3, n_frames), 200.0), torch.full((3, n_frames), -20.0)
    singer = torch.randn(3, 3 + n_values, generator=generator)
    passing = torch.randn(3, n_values, n_frames, generator=generator)
    gain = torch.tensor([0.0, 0.5, 1.0])
    found = decoder.corrected(torch.zeros(3, 4, n_frames), f0_hz, level_dbfs, singer, passing, gain)
    melody, detail, channel = heard
    mean = shapes.by_frame(singer[:, 3:, None], f0_hz)
    assert melody.shape == (3, 3, n_frames)
    assert channel[:, 0].tolist() == [[-1.0] * n_frames, [0.0] * n_frames, [1.0] * n_frames]
    assert torch.allclose(detail, gain[:, None, None] * (passing - mean))
    assert torch.allclose(found[0], mean[0] + said[0], atol=1e-5)  # gain 0: all is the net's, however fine
    fine = found[2] - passing[2]
    halves = [shapes.smooth(part, source_filter._N_CORRECTED) for part in said[2].chunk(2, dim=0)]
    assert torch.allclose(fine, torch.cat(halves), atol=1e-5)  # gain 1: only what is smooth of it
