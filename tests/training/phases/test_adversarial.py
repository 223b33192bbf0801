"""Phase 1 with a critic: who is moved by what, and that it learns."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from running import trained
from torch import Tensor

from moksori.audio import features
from moksori.data.batches import Batch, Batches
from moksori.data.corpus import Corpus
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training import losses
from moksori.training.losses import LossWeights
from moksori.training.media.features import FeatureMedium
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.adversarial import CriticisedReconstruction
from moksori.training.phases.backtranslate import BackTranslation
from moksori.training.phases.mixup import MixupConfig
from moksori.training.phases.schedule import BackTranslationConfig, PhaseSchedule
from moksori.training.recipe import Recipe


@pytest.fixture
def batches(tiny_corpus: Corpus, tiny_swift: SourceFilterModel) -> Batches:
    table = FeatureMedium(tiny_swift, PerturbConfig()).table(tiny_corpus, "train", 1920, moved_copies=1)
    return Batches(table, 4, seed=0, is_augmented=False)


def _phase(model: SourceFilterModel) -> CriticisedReconstruction:
    return CriticisedReconstruction(FeatureMedium(model, PerturbConfig()), cast(Batches, None), [110.0, 220.0])


def _gradients(model: SourceFilterModel, loss: Tensor) -> set[str]:
    """Parts of the model that a loss would move."""
    named = list(model.named_parameters())
    found = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True, retain_graph=True)
    return {name.partition(".")[0] for (name, _), g in zip(named, found, strict=True) if g is not None and g.any()}


def _updates(model: SourceFilterModel, batch: Batch, seed: int = 0) -> list[tuple[str, dict[str, Tensor]]]:
    return [(u.learner, u.losses) for u in _phase(model).updates(batch, 0, torch.Generator().manual_seed(seed))]


def test_each_loss_moves_what_it_should(tiny_swift: SourceFilterModel, batches: Batches) -> None:
    updates = _updates(tiny_swift, batches.batch(0))
    assert [learner for learner, _ in updates] == ["classifier", "critic", "autoencoder"]
    named = {name: loss for _, own in updates for name, loss in own.items()}
    voice = {"encoder", "decoder", "singers"}
    assert _gradients(tiny_swift, named["classifier"]) == {"classifier"}
    assert _gradients(tiny_swift, named["critic"]) == {"critic"}
    assert _gradients(tiny_swift, named["reconstruction"]) == voice
    assert _gradients(tiny_swift, named["confusion"]) == {"encoder", "classifier"}
    assert _gradients(tiny_swift, named["adversarial"]) == voice | {"critic"}
    assert _gradients(tiny_swift, named["cycle"]) == voice


def test_the_learners_move_their_own_parts_only(
    tiny_swift: SourceFilterModel, batches: Batches, tiny_swift_recipe: Recipe
) -> None:
    learners = FeatureMedium(tiny_swift, PerturbConfig()).learners(tiny_swift_recipe)
    for update in _phase(tiny_swift).updates(batches.batch(0), 0, torch.Generator().manual_seed(0)):
        before = {name: p.detach().clone() for name, p in tiny_swift.named_parameters()}
        learner = learners[update.learner]
        learner.step(learner.gradients(losses.total(update.losses, tiny_swift_recipe.losses)), 0)
        moved = {
            name.partition(".")[0] for name, p in tiny_swift.named_parameters() if not torch.equal(p, before[name])
        }
        expected = {"autoencoder": {"encoder", "decoder", "singers"}}.get(update.learner, {update.learner})
        assert moved == expected


def test_chance_comes_from_the_generator_alone(tiny_swift: SourceFilterModel, batches: Batches) -> None:
    batch = batches.batch(0)
    one, two, other = (
        [loss.item() for _, own in _updates(tiny_swift, batch, seed) for loss in own.values()] for seed in (1, 1, 2)
    )
    assert one == two
    assert one != other


def test_conversions_are_into_others_only(tiny_swift: SourceFilterModel) -> None:
    generator = torch.Generator().manual_seed(0)
    singer = torch.arange(2).repeat(50)
    assert torch.equal(_phase(tiny_swift)._others(singer, generator), 1 - singer)


def test_conversions_are_moved_to_where_the_others_sing(tiny_swift: SourceFilterModel, batches: Batches) -> None:
    clips = batches.batch(0).clips[:1].repeat(400, 1, 1)
    features.f0_hz(clips)[:] = 110.0
    features.f0_hz(clips)[:, :3] = 0.0
    zeros = torch.zeros(400, dtype=torch.int64)
    moved = _phase(tiny_swift)._moved(clips, zeros, zeros + 1, torch.Generator().manual_seed(0))
    f0_hz = features.f0_hz(moved)
    assert f0_hz[:, :3].max() == 0.0
    assert set(f0_hz[:, 5].tolist()) == {110.0, 220.0}
    assert (f0_hz[:, 5] == 220.0).float().mean() == pytest.approx(0.8, abs=0.07)
    assert torch.equal(features.with_f0(moved, features.f0_hz(clips)), clips)  # nothing else


def test_nothing_is_moved_beyond_what_anybody_sings(tiny_swift: SourceFilterModel, batches: Batches) -> None:
    clips = batches.batch(0).clips[:1].repeat(50, 1, 1)
    features.f0_hz(clips)[:] = 1000.0
    zeros = torch.zeros(50, dtype=torch.int64)
    moved = _phase(tiny_swift)._moved(clips, zeros, zeros + 1, torch.Generator().manual_seed(0))
    assert features.f0_hz(moved).max() == 1000.0


def test_a_clip_that_would_cross_the_limit_is_not_moved_at_all(tiny_swift: SourceFilterModel, batches: Batches) -> None:
    """It was decided frame by frame: within a note, some frames jumped by an octave and others did not."""
    clips = batches.batch(0).clips[:1].repeat(50, 1, 1)
    features.f0_hz(clips)[:] = torch.linspace(700.0, 800.0, clips.shape[2])
    zeros = torch.zeros(50, dtype=torch.int64)
    moved = _phase(tiny_swift)._moved(clips, zeros, zeros + 1, torch.Generator().manual_seed(0))
    assert torch.equal(moved, clips)


class Noting:
    """A critic that notes which sound it is to take for what, and by whom."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Tensor, Tensor]] = []

    def candidates(self, singer: Tensor, generator: torch.Generator) -> str:
        return f"{len(singer)} and others"

    def loss_real(self, mel: Tensor, singer: Tensor, among: str) -> Tensor:
        assert among == f"{2 * len(singer)} and others"  # of both voices
        self.seen.append(("real", mel, singer))
        return torch.tensor(1.0)

    def loss_fake(self, mel: Tensor, singer: Tensor, among: str) -> Tensor:
        assert among == f"{2 * len(singer)} and others"
        self.seen.append(("fake", mel, singer))
        return torch.tensor(10.0)


def test_the_critic_gets_true_labels_and_the_decoder_wants_to_be_taken_for_real(
    tiny_swift: SourceFilterModel, batches: Batches
) -> None:
    medium = FeatureMedium(tiny_swift, PerturbConfig())
    critic = medium.critic = Noting()  # type: ignore[assignment]
    phase = CriticisedReconstruction(medium, cast(Batches, None), [110.0, 220.0])
    batch = batches.batch(0)
    clips, singer = batch.clips, batch.singer
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        named = {name: loss for u in phase.updates(batch, 0, generator) for name, loss in u.losses.items()}
        generator = torch.Generator().manual_seed(0)  # the same draws once more, in the phase's order
        inputs = medium.perturbed(clips, generator)
        z = medium.encode(inputs)
        medium.classifier(z, generator)
        other = phase._others(singer, generator)
        moved = phase._moved(inputs, singer, other, generator)
        rebuilt = medium.sung(medium.controls(inputs, z, tiny_swift.singers(singer)))
        converted = medium.sung(medium.controls(moved, z, tiny_swift.singers(other)))
    assert not (other == singer).any()
    real = features.mels(clips)[features.ENCODER_WINDOW]
    own, says = critic.seen[:3], critic.seen[3:]
    assert [(kind, label.tolist()) for kind, _, label in own] == [
        ("fake", other.tolist()),
        ("fake", singer.tolist()),
        ("real", singer.tolist()),
    ]
    # What it hears is louder or softer by chance, evenly over a clip: so nothing is told by loudness.
    for (_, inputs, _), sound in zip(own, (converted, rebuilt, real), strict=True):
        gain = inputs - sound
        torch.testing.assert_close(gain, gain[:, :1, :1].expand_as(gain), atol=1e-4, rtol=0)
        assert gain[:, 0, 0].unique().numel() == len(gain) and gain.abs().max() < 0.3 * 5  # nepers
    assert [(kind, label.tolist()) for kind, _, label in says] == [
        ("real", other.tolist()),
        ("real", singer.tolist()),
    ]
    for (_, inputs, _), sound in zip(says, (converted, rebuilt), strict=True):
        torch.testing.assert_close(inputs, sound)
    assert named["critic"].item() == 1.0 + 0.5 * (10.0 + 10.0)
    assert named["adversarial"].item() == 1.0 + 0.5 * 1.0


def test_back_translation_keeps_the_melody_and_changes_the_sound(
    tiny_swift: SourceFilterModel, batches: Batches
) -> None:
    medium = FeatureMedium(tiny_swift, PerturbConfig())
    config = BackTranslationConfig(
        start_step=0, refresh_every_steps=2, pool_batches=1, mixup=MixupConfig("fixed", fixed_share=0.0)
    )
    translated = BackTranslation(medium, batches, PhaseSchedule(config)).batch(0, 0)
    source = batches.batch(0)
    assert torch.equal(translated.clips, source.clips)
    own, inputs = features.mels(source.clips), features.mels(translated.inputs)
    assert torch.equal(inputs[512], own[512])
    assert torch.equal(translated.inputs[:, features.N_MELS :], source.clips[:, features.N_MELS :])
    z = medium.encode(source.clips)
    sung = medium.sung(medium.controls(source.clips, z, tiny_swift.singers(1 - source.singer)))
    torch.testing.assert_close(inputs[features.ENCODER_WINDOW], sung.detach())
    assert not translated.inputs.requires_grad


def test_a_run_learns_and_resumes_bit_for_bit(tiny_corpus: Corpus, tiny_swift_recipe: Recipe, tmp_path) -> None:  # type: ignore[no-untyped-def]
    straight, figures = trained(tmp_path / "straight", tiny_corpus, tiny_swift_recipe, 40)
    stopped, _ = trained(tmp_path / "stopped", tiny_corpus, tiny_swift_recipe, 13, 40)
    assert straight.keys() == stopped.keys()
    assert all(torch.equal(tensor, stopped[name]) for name, tensor in straight.items())
    assert "average|decoder.last.weight" in straight
    _, untrained = trained(tmp_path / "untrained", tiny_corpus, tiny_swift_recipe, 1)
    assert figures["loss"] < untrained["loss"] - 0.08
    assert LossWeights().adversarial == 0.0  # a recipe asks for a critic, or there is none
