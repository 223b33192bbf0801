"""The encoder of log-mels: shapes, and how far it reaches."""

from __future__ import annotations

import pytest
import torch

from moksori.models.mel_encoder import MelEncoder, MelEncoderConfig

CONFIG = MelEncoderConfig(channels=8, layers=4, kernel_size=3, latent_channels=5)


@pytest.fixture
def encoder() -> MelEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MelEncoder(CONFIG, n_bands=7)


@pytest.mark.parametrize(("n_frames", "n_latents"), [(1, 1), (2, 1), (3, 2), (40, 20)])
def test_a_latent_frame_for_every_two(encoder: MelEncoder, n_frames: int, n_latents: int) -> None:
    assert encoder(torch.randn(2, 7, n_frames)).shape == (2, 5, n_latents)


def test_the_context_is_as_stated(encoder: MelEncoder) -> None:
    mel = torch.randn(1, 7, 81)
    first = encoder(mel)
    mel[:, :, 40] += 1.0
    places = torch.nonzero((encoder(mel) != first).any(dim=1)[0]).flatten()
    reach = CONFIG.context_frames
    assert int(places.min()) * 2 in (40 - reach - 1, 40 - reach)
    assert int(places.max()) * 2 in (40 + reach - 1, 40 + reach)


def test_a_stretch_with_its_context_has_the_latent_of_the_whole(encoder: MelEncoder) -> None:
    mel, reach = torch.randn(1, 7, 100), CONFIG.context_frames + CONFIG.context_frames % 2
    part = encoder(mel[:, :, 40 - reach : 60 + reach])[:, :, reach // 2 : -reach // 2]
    torch.testing.assert_close(part, encoder(mel)[:, :, 20:30])


@pytest.mark.parametrize("wrong", [{"kernel_size": 2}, {"pool_frames": 0}, {"latent_channels": 0}, {"layers": 0}])
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least|odd"):
        MelEncoderConfig(**wrong)


def test_each_layer_hears_its_input_normalised_over_the_channels_of_a_frame(encoder: MelEncoder) -> None:
    heard: list[torch.Tensor] = []
    encoder.layers[0].dilated.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    encoder(torch.randn(1, 7, 10))
    louder = 100.0 + 50.0 * torch.randn(1, CONFIG.channels, 10)
    encoder.layers[0](louder)
    plain = (louder - louder.mean(dim=1, keepdim=True)) / louder.std(dim=1, keepdim=True, unbiased=False)
    torch.testing.assert_close(heard[1], torch.nn.functional.silu(plain), atol=1e-4, rtol=1e-4)
