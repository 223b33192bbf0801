from __future__ import annotations

import dataclasses

import pytest
import torch

from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.classifier import ClassifierConfig
from moksori.models.encoder import EncoderConfig
from moksori.models.wavenet import WaveNetConfig

TINY = ModelConfig(
    sample_rate=8000,
    singer_channels=3,
    encoder=EncoderConfig(blocks=1, layers=3, channels=8, latent_channels=2, hop_samples=10),
    decoder=WaveNetConfig(blocks=1, layers=4, residual_channels=4, skip_channels=5),
    classifier=ClassifierConfig(channels=6),
)


@pytest.fixture
def model() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(TINY, ["ana", "kumi"])


def shapes(model: Autoencoder) -> dict[str, list[int]]:
    return {name: list(parameter.shape) for name, parameter in model.named_parameters()}


def codes(batch: int = 1, n_samples: int = 40) -> torch.Tensor:
    return torch.randint(0, 256, (batch, n_samples), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("form", ["convolutional", "pointwise"])
def test_one_more_singer_is_one_more_row_in_table_and_classifier_and_nothing_else(form: str) -> None:
    config = dataclasses.replace(TINY, classifier=ClassifierConfig(form, channels=6))
    two, three = (shapes(Autoencoder(config, names)) for names in (["a", "b"], ["a", "b", "c"]))
    assert two.keys() == three.keys()
    assert {name: (two[name], three[name]) for name in two if two[name] != three[name]} == {
        "singers.table.weight": ([2, 3], [3, 3]),
        "classifier.singers.weight": ([2, 6], [3, 6]),
        "classifier.singers.bias": ([2], [3]),
    }


def test_the_paper_s_model_has_the_sizes_of_its_parts() -> None:
    model = Autoencoder(ModelConfig(), [f"singer {i}" for i in range(12)])
    counts = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in model.named_children()}
    assert counts == {"encoder": 1_982_528, "singers": 12 * 64, "decoder": 5_356_544, "classifier": 50_612}


def test_a_clip_passes_through_encoder_and_decoder(model: Autoencoder) -> None:
    heard = codes(batch=2)
    z = model.encode(heard)
    vectors = model.singers(torch.tensor([1, 0]))
    assert z.shape == (2, 2, 4)
    conditioning = model.conditioning(z, vectors)
    assert (list(conditioning.frames.shape), conditioning.hop_samples) == ([2, 5, 4], model.config.latent_hop_samples)
    assert torch.equal(model.logits(heard, z, vectors), model.decoder(heard, conditioning))
    assert model.logits(heard, z, vectors).shape == (2, 256, 40)


@torch.no_grad()
def test_the_singer_changes_the_scores_of_the_same_latent(model: Autoencoder) -> None:
    heard = codes()
    z = model.encode(heard)
    ana, kumi = (model.logits(heard, z, model.singers(torch.tensor([i]))) for i in (0, 1))
    assert not torch.allclose(ana, kumi)


@torch.no_grad()
def test_the_encoder_is_told_nothing_about_the_singer(model: Autoencoder) -> None:
    before = model.encode(codes())
    model.singers.table.weight.zero_()
    assert torch.equal(before, model.encode(codes()))


def test_the_reconstruction_trains_everything_but_the_classifier(model: Autoencoder) -> None:
    heard = codes()
    loss = torch.nn.functional.cross_entropy(
        model.logits(heard, model.encode(heard), model.singers(torch.tensor([0]))), heard
    )
    loss.backward()
    untrained = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    last = "decoder.layers.3.residual."  # nothing comes after the last layer; only its skip is heard
    classifier = {name for name in untrained if name.startswith("classifier.")}
    assert untrained - classifier == {last + "weight", last + "bias"}
    assert len(classifier) == 6
    table = model.singers.table.weight.grad
    assert table is not None and table[1].abs().sum() == 0  # kumi did not sing


def test_an_untrained_model_is_near_the_uniform_guess(model: Autoencoder) -> None:
    heard = codes(batch=4, n_samples=400)
    loss = torch.nn.functional.cross_entropy(
        model.logits(heard, model.encode(heard), model.singers(torch.zeros(4, dtype=torch.long))), heard
    )
    assert loss.item() == pytest.approx(5.545, abs=0.15)  # ln 256


@pytest.mark.parametrize("change", [{"sample_rate": 999}, {"singer_channels": 0}])
def test_a_model_without_rate_or_singer_channels_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        dataclasses.replace(TINY, **change)
