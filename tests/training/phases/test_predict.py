"""A WaveNet by itself in training: the phase, held-out figures, samples, and that the loop treats it like any other."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from tiny_recipes import TINY_ALONE
from torch.nn import functional

from moksori import checkpoint
from moksori.data.corpus import Corpus
from moksori.data.segments import Segment
from moksori.models.solo import Solo, SoloConfig
from moksori.models.wavenet import WaveNetConfig
from moksori.training import recipe as recipes
from moksori.training import run
from moksori.training.folder import RunFolder
from moksori.training.logging.events import Event, Logged, Sampled
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget, Trainer
from moksori.training.media.solo import SoloMedium
from moksori.training.perturb import PerturbConfig
from moksori.training.recipe import Recipe

FORMS = {
    "nothing": {},
    "singer": {"singer_channels": 3},
    "melody": {"is_melody_conditioned": True},
    "mel and singer": {"singer_channels": 3, "mel_window_samples": 512},
}


def recipe_for(form: str) -> Recipe:
    recipe = recipes.parse(TINY_ALONE, "the tiny recipe")
    rate = dataclasses.replace(recipe.optimiser.learning_rate, initial=2e-2)  # each form learns in 40 steps
    optimiser = dataclasses.replace(recipe.optimiser, learning_rate=rate)
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, **FORMS[form]), optimiser=optimiser)


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


def opened(corpus: Corpus, folder: Path, form: str) -> tuple[Trainer, Listener]:
    trainer = run.open_run(RunFolder(folder), corpus, recipe_for(form), run.RunOptions())
    listener = Listener()
    trainer.observers += [Journal(trainer.folder.journal), listener]
    return trainer, listener


def told_apart(folder: Path) -> list[dict[str, object]]:
    entries = [json.loads(line) for line in (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: entry[key] for key in entry if not key.startswith(("seconds", "steps_per"))} for entry in entries]


@pytest.mark.parametrize("form", FORMS)
def test_it_learns_and_a_run_that_is_stopped_goes_on_bit_for_bit(
    form: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    whole, listener = opened(tiny_corpus, tmp_path / "whole", form)
    whole.run(Budget(40))
    logged = [event.losses["reconstruction"] for event in listener.events if isinstance(event, Logged)]
    assert logged[0] == pytest.approx(math.log(256), abs=0.3)
    assert logged[-1] < logged[0] - 0.3
    for n_steps in (13, 40):
        parted, _ = opened(tiny_corpus, tmp_path / "parted", form)
        parted.run(Budget(n_steps))
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, parted.model.state_dict()[name]), name
    # Where it was stopped it was also looked at.
    lines = [line for line in told_apart(tmp_path / "parted") if line["step"] != 13]
    assert lines == told_apart(tmp_path / "whole")
    (sample, *_) = (event for event in listener.events if isinstance(event, Sampled))
    assert sample.clip.n_samples == 160
    model, provenance = checkpoint.read_model(tmp_path / "whole" / "model.safetensors")
    assert isinstance(model, Solo)
    assert model.config == recipe_for(form).model
    assert ("shuffled_loss" in provenance.figures) is (form != "nothing")


def test_one_update_is_the_mean_cross_entropy_of_the_true_codes(tiny_corpus: Corpus, tmp_path: Path) -> None:
    trainer, _ = opened(tiny_corpus, tmp_path / "run", "mel and singer")
    (phase,) = trainer.plan.phases()
    batch = phase.batch(0, 0)
    (update,) = phase.updates(batch, 0, torch.Generator())
    assert batch.clips.shape == (4, 3 + 60, 320)
    codes, model = batch.clips[:, 0].long(), trainer.model
    assert isinstance(model, Solo)
    conditioning = model.conditioning(batch.clips[:, 1:, ::80], model.singers(batch.singer))
    expected = functional.cross_entropy(model.decoder(codes, conditioning), codes)
    assert update.losses["reconstruction"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_noise_on_the_past_is_there_while_it_learns_only(tiny_corpus: Corpus, tmp_path: Path) -> None:
    trainer, _ = opened(tiny_corpus, tmp_path / "run", "mel and singer")
    model = trainer.model
    assert isinstance(model, Solo)
    clean, noisy = SoloMedium(model), SoloMedium(model, PerturbConfig(past_noise=40.0))
    (phase,) = trainer.plan.phases()
    batch = phase.batch(0, 0)
    given = (batch.clips, clean.local_features(batch.clips), model.singers(batch.singer))
    learning = [medium.loss(*given, torch.Generator().manual_seed(0)).item() for medium in (clean, noisy)]
    assert learning[0] == clean.loss(*given).item() == noisy.loss(*given).item() != learning[1]


@torch.no_grad()
def test_held_out_figures_are_means_with_the_conditioning_of_itself_and_of_another() -> None:
    torch.manual_seed(0)
    config = SoloConfig(
        sample_rate=8000,
        hop_samples=80,
        singer_channels=2,
        is_melody_conditioned=True,
        decoder=WaveNetConfig(blocks=1, layers=2, residual_channels=4, skip_channels=4),
    )
    model = Solo(config, ["a", "b"])
    rows = torch.tensor([[200.0], [-20.0]]).expand(-1, 160)
    clips = [torch.cat([torch.randint(0, 256, (1, 160)).float(), rows * (1 + 0.1 * i)]) for i in range(10)]
    segments = [Segment(clip, int(i >= 5), str(i), 0) for i, clip in enumerate(clips)]

    def loss(own: int, other: int) -> float:
        codes, local = clips[own][None, 0].long(), clips[other][None, 1:, ::80]
        scores = model.logits(codes, local, model.singers(torch.tensor([segments[other].singer])))
        return functional.cross_entropy(scores, codes).item()

    figures = SoloMedium(model).figures(segments)
    assert figures["loss"] == pytest.approx(sum(loss(i, i) for i in range(10)) / 10, abs=1e-5)
    assert figures["shuffled_loss"] == pytest.approx(sum(loss(i, (i + 5) % 10) for i in range(10)) / 10, abs=1e-5)
    with pytest.raises(ValueError, match="at least 2 segments"):
        SoloMedium(model).figures(segments[:1])
