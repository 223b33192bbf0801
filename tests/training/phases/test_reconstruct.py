"""Phase 1: who learns from what, and whether the confusion term does what it is there for."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from noting import NotingLatent
from torch import Tensor

from moksori.data.batches import Batch, Batches
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.classifier import ClassifierConfig, SingerClassifier
from moksori.models.encoder import EncoderConfig
from moksori.models.wavenet import WaveNetConfig
from moksori.training import losses
from moksori.training.learner import Learner, OptimiserConfig, learners_for
from moksori.training.losses import LossWeights
from moksori.training.media.codes import CodeMedium
from moksori.training.phases.base import Update
from moksori.training.phases.reconstruct import Reconstruction
from moksori.training.schedules import LearningRateConfig

NO_BATCHES = cast(Batches, None)  # the updates below are given their batch
TWO_CLIPS = Batch(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 1]))  # of a number each, see `noting`


@pytest.fixture
def batch() -> Batch:
    return Batch(torch.randint(0, 256, (4, 80), generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1]))


@pytest.fixture
def learners(tiny_model: Autoencoder) -> dict[str, Learner]:
    return learners_for(tiny_model, OptimiserConfig(), {"classifier": OptimiserConfig()})


def _phase(model: Autoencoder) -> Reconstruction:
    return Reconstruction(CodeMedium(model), NO_BATCHES)


def _weights(model: Autoencoder) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def _changed(model: Autoencoder, before: dict[str, Tensor]) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}


def _step(learners: dict[str, Learner], update: Update) -> None:
    learner = learners[update.learner]
    learner.step(learner.gradients(losses.total(update.losses, LossWeights())), 0)


def test_classifier_first_then_autoencoder(tiny_model: Autoencoder, batch: Batch) -> None:
    updates = list(_phase(tiny_model).updates(batch, 0, torch.Generator()))
    assert [update.learner for update in updates] == ["classifier", "autoencoder"]
    assert [set(update.losses) for update in updates] == [{"classifier"}, {"reconstruction", "confusion"}]


def test_the_true_clips_are_rebuilt_from_perturbed_inputs_with_the_vectors_of_their_own_singers() -> None:
    medium = NotingLatent()
    list(Reconstruction(medium, NO_BATCHES).updates(TWO_CLIPS, 0, torch.Generator()))
    assert medium.of_loss == {
        "clips": [[1.0], [2.0]],
        "inputs": [[1.5], [2.5]],
        "z": [[15.0], [25.0]],
        "singer_vectors": [[3.0], [5.0]],
    }
    assert medium.of_adversaries == {"clips": [[1.0], [2.0]], "singer": [0, 1], "z": [[15.0], [25.0]]}


def test_every_adversary_and_companion_has_an_update_of_its_own_and_the_autoencoder_the_negative_of_adversaries() -> (
    None
):
    updates = Reconstruction(NotingLatent(), NO_BATCHES).updates(TWO_CLIPS, 0, torch.Generator())
    *others, (learner, losses_of_it), companion = [
        (update.learner, {name: loss.item() for name, loss in update.losses.items()}) for update in updates
    ]
    assert dict(others) == {"classifier": {"classifier": 4.0}, "notes": {"notes": 7.0}}
    assert (learner, losses_of_it) == (
        "autoencoder",
        {"reconstruction": 2.0, "confusion": -4.0, "pitch_confusion": -7.0},
    )
    assert companion == ("ear", {"ear": 3.0})  # of the true clips; nobody else learns from it


def test_the_classifier_update_changes_only_the_classifier(
    tiny_model: Autoencoder, learners: dict[str, Learner], batch: Batch
) -> None:
    before = _weights(tiny_model)
    _step(
        learners,
        next(_phase(tiny_model).updates(batch, 0, torch.Generator().manual_seed(0))),
    )
    changed = _changed(tiny_model, before)
    assert changed == {name for name in before if name.startswith("classifier.")}


def test_the_autoencoder_update_leaves_the_classifier_bit_for_bit(
    tiny_model: Autoencoder, learners: dict[str, Learner], batch: Batch
) -> None:
    _, update = _phase(tiny_model).updates(batch, 0, torch.Generator().manual_seed(0))
    before = _weights(tiny_model)
    _step(learners, update)
    changed = _changed(tiny_model, before)
    assert not {name for name in changed if name.startswith("classifier.")}
    for part in ("encoder.", "decoder.", "singers."):
        assert any(name.startswith(part) for name in changed), part


def test_the_classifier_loss_never_reaches_the_encoder(tiny_model: Autoencoder, batch: Batch) -> None:
    update = next(_phase(tiny_model).updates(batch, 0, torch.Generator().manual_seed(0)))
    others = [p for name, p in tiny_model.named_parameters() if not name.startswith("classifier.")]
    gradients = torch.autograd.grad(update.losses["classifier"], others, allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_the_confusion_term_reaches_the_encoder_and_nothing_of_the_decoder(
    tiny_model: Autoencoder, batch: Batch
) -> None:
    _, update = _phase(tiny_model).updates(batch, 0, torch.Generator().manual_seed(0))
    named = dict(tiny_model.named_parameters())
    gradients = torch.autograd.grad(update.losses["confusion"], list(named.values()), allow_unused=True)
    reached = {name.split(".")[0] for name, gradient in zip(named, gradients, strict=True) if gradient is not None}
    assert reached == {"encoder", "classifier"}  # the classifier's share belongs to no learner of this update


def test_the_second_update_sees_the_classifier_after_its_step(
    tiny_model: Autoencoder, learners: dict[str, Learner], batch: Batch
) -> None:
    def confusion(is_stepped: bool) -> float:
        updates = _phase(tiny_model).updates(batch, 0, torch.Generator().manual_seed(0))
        first = next(updates)
        if is_stepped:
            _step(learners, first)
        return next(updates).losses["confusion"].item()

    assert confusion(False) != confusion(True)


def test_chance_comes_from_the_generator_alone(tiny_model: Autoencoder, batch: Batch) -> None:
    def run(seed: int) -> list[float]:
        updates = _phase(tiny_model).updates(batch, 0, torch.Generator().manual_seed(seed))
        return [loss.item() for update in updates for loss in update.losses.values()]

    state = torch.get_rng_state()
    assert run(1) == run(1) != run(2)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_loss_begins_at_ignorance_and_falls(tiny_model: Autoencoder) -> None:
    # Two singers hold a code each: easily learnt.
    learners = learners_for(tiny_model, OptimiserConfig(), {"classifier": OptimiserConfig()})
    codes = torch.tensor([[100] * 80, [156] * 80])
    phase, seen = _phase(tiny_model), []
    for step in range(80):
        for update in phase.updates(Batch(codes, torch.tensor([0, 1])), step, torch.Generator().manual_seed(step)):
            learner = learners[update.learner]
            if update.learner == "autoencoder":
                seen.append(update.losses["reconstruction"].item())
            learner.step(learner.gradients(losses.total(update.losses, LossWeights())), step)
    assert seen[0] == pytest.approx(math.log(256), abs=0.5)
    assert seen[-1] < seen[0] - 1.0


HOP = 16
SMALL = ModelConfig(
    sample_rate=4000,
    singer_channels=4,
    encoder=EncoderConfig(blocks=1, layers=1, channels=8, kernel_size=3, latent_channels=2, hop_samples=HOP),
    decoder=WaveNetConfig(blocks=1, layers=1, kernel_size=2, residual_channels=8, skip_channels=8),
    classifier=ClassifierConfig("pointwise", channels=16, dropout_probability=0.0),
)


def _whistlers(n_clips: int, seed: int) -> Batch:
    """Clips of 3 frames: a melody of steps and some noise; singer 1 whistles the highest tone there is above it."""
    generator = torch.Generator().manual_seed(seed)
    singer = torch.arange(n_clips) % 2
    melody = torch.randint(-40, 41, (n_clips, 3), generator=generator).repeat_interleave(HOP, dim=1)
    noise = torch.randint(-8, 9, (n_clips, 3 * HOP), generator=generator)
    whistle = 64 * torch.tensor([1, -1]).repeat(3 * HOP // 2)
    return Batch(128 + melody + noise + singer[:, None] * whistle, singer)


def _trained(confusion_weight: float, seed: int, n_steps: int = 300) -> Autoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Autoencoder(SMALL, ["plain", "whistler"])
    config = OptimiserConfig(LearningRateConfig(initial=1e-2, decay=1.0))
    learners = learners_for(model, config, {"classifier": config})
    weights = LossWeights(confusion=confusion_weight)
    for step in range(n_steps):
        for update in _phase(model).updates(_whistlers(16, 1000 + step), step, torch.Generator()):
            learner = learners[update.learner]
            learner.step(learner.gradients(losses.total(update.losses, weights)), step)
    return model


@torch.no_grad()
def _latents(model: Autoencoder, seed: int) -> tuple[Tensor, Tensor]:
    """Latents of fresh clips, scaled to mean 0 and deviation 1: hiding is not whispering."""
    batch = _whistlers(512, seed)
    z = model.encode(batch.clips)
    return (z - z.mean((0, 2), keepdim=True)) / z.std((0, 2), keepdim=True), batch.singer


def _probe_accuracy(model: Autoencoder) -> float:
    """How often a classifier trained afresh on the frozen latents names the singer of other clips."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        probe = SingerClassifier(SMALL.classifier, latent_channels=2, n_singers=2)
    learner = Learner(probe.named_parameters(), OptimiserConfig(LearningRateConfig(initial=1e-2, decay=1.0)))
    z, singer = _latents(model, seed=1)
    for step in range(200):
        learner.step(learner.gradients(losses.classifier(probe(z), singer)), step)
    z, singer = _latents(model, seed=2)
    return (probe(z).argmax(dim=1) == singer).double().mean().item()


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_the_confusion_term_hides_the_singer_from_a_fresh_probe(seed: int) -> None:
    # Measured: 0.79 and 0.99 without the term, 0.52 and 0.51 with it; 0.5 is a guess.
    assert _probe_accuracy(_trained(0.0, seed)) > 0.7
    assert _probe_accuracy(_trained(1.0, seed)) < 0.65
