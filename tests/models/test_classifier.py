from __future__ import annotations

import pytest
import torch

from moksori.models.classifier import FORMS, ClassifierConfig, SingerClassifier, dropout


def n_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_convolutional_form_has_50_612_parameters_at_12_singers() -> None:
    # 64*100*3+100, 100*100*3+100, 100*12+12
    assert n_parameters(SingerClassifier(ClassifierConfig(), 64, 12)) == 19_300 + 30_100 + 1_212 == 50_612


def test_the_pointwise_form_has_27_912_parameters_at_12_singers() -> None:
    # 64*100+100, twice 100*100+100, 100*12+12
    config = ClassifierConfig(form="pointwise")
    assert n_parameters(SingerClassifier(config, 64, 12)) == 6_500 + 2 * 10_100 + 1_212 == 27_912


@pytest.mark.parametrize("form", FORMS)
def test_every_clip_gets_a_score_for_every_singer_whatever_its_length(form: str) -> None:
    classifier = SingerClassifier(ClassifierConfig(form, channels=6), 4, 3)
    for n_frames in (1, 2, 9):
        assert classifier(torch.zeros(2, 4, n_frames)).shape == (2, 3)


def test_the_pointwise_form_knows_no_order() -> None:
    torch.manual_seed(0)
    z = torch.randn(1, 4, 7)
    pointwise = SingerClassifier(ClassifierConfig("pointwise", channels=6), 4, 3)
    convolutional = SingerClassifier(ClassifierConfig("convolutional", channels=6), 4, 3)
    torch.testing.assert_close(pointwise(z), pointwise(z.flip(2)))
    assert not torch.allclose(convolutional(z), convolutional(z.flip(2)))


def test_the_pointwise_form_averages_logits_over_time() -> None:
    """Averaging before the last 1x1, as written, is averaging the logits after it, as in the source."""
    torch.manual_seed(0)
    classifier = SingerClassifier(ClassifierConfig("pointwise", channels=6), 4, 3)
    z = torch.randn(2, 4, 5)
    frame_by_frame = torch.stack([classifier(z[:, :, frame : frame + 1]) for frame in range(5)])
    torch.testing.assert_close(classifier(z), frame_by_frame.mean(dim=0))


@pytest.mark.parametrize("form", FORMS)
def test_dropout_needs_a_generator(form: str) -> None:
    torch.manual_seed(0)
    classifier = SingerClassifier(ClassifierConfig(form, channels=6, dropout_probability=0.5), 4, 3)
    z = torch.randn(2, 4, 9)
    assert classifier.training
    assert torch.equal(classifier(z), classifier(z))
    assert not torch.equal(classifier(z), classifier(z, generator()))
    assert torch.equal(classifier(z, generator(1)), classifier(z, generator(1)))
    assert not torch.equal(classifier(z, generator(1)), classifier(z, generator(2)))


def test_without_a_dropout_probability_the_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    classifier = SingerClassifier(ClassifierConfig(channels=6, dropout_probability=0), 4, 3)
    source, z = generator(), torch.randn(1, 4, 9)
    before = source.get_state()
    assert torch.equal(classifier(z), classifier(z, source))
    assert torch.equal(before, source.get_state())


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_dropout_zeroes_its_share_and_keeps_the_mean(probability: float) -> None:
    n = 100_000
    dropped = dropout(torch.ones(n), probability, generator())
    assert dropped.unique().tolist() == [0, pytest.approx(1 / (1 - probability))]
    # Five standard deviations of a binomial share.
    assert (dropped == 0).float().mean() == pytest.approx(
        probability, abs=5 * (probability * (1 - probability) / n) ** 0.5
    )
    assert dropped.mean() == pytest.approx(1, abs=5 * (probability / (1 - probability) / n) ** 0.5)


def test_dropout_uses_no_global_chance() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    dropout(torch.ones(5), 0.5, generator())
    assert torch.equal(before, torch.get_rng_state())


def test_an_unknown_form_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'recurrent'; known forms are convolutional, pointwise"):
        ClassifierConfig(form="recurrent")


@pytest.mark.parametrize("probability", [-0.1, 1.0, float("nan")])
def test_a_dropout_probability_outside_0_to_1_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="dropout_probability"):
        ClassifierConfig(dropout_probability=probability)


def test_a_classifier_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="channels must be at least 1"):
        ClassifierConfig(channels=0)
