"""A fourth kind of voice: one record and three small classes, and all else goes on as with any other.

What it does is as little as can be learned: every singer has a gain, and a recording is played with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moksori.audio import mulaw, signals
from moksori.audio.clip import Clip, Samples
from moksori.conversion import ConvertOptions, load
from moksori.data.corpus import Corpus
from moksori.data.segments import Segment, SegmentTable
from moksori.errors import UserError
from moksori.generation.songs.base import Request, WholeSong
from moksori.models.kinds import KINDS, Kind
from moksori.models.singers import SingerTable
from moksori.training import learner
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.training.learner import Learner
from moksori.training.loop import Budget
from moksori.training.media import base
from moksori.training.media.base import Ingredients, Medium
from moksori.training.phases.base import Plan, SinglePhase
from moksori.training.phases.predict import Prediction
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions, open_run


@dataclass(frozen=True)
class GainConfig:
    """The settings."""

    kind: str = "gain"
    sample_rate: int = 8000
    melody_hop_samples: ClassVar[int] = 0
    latent_hop_samples: ClassVar[int] = 80
    has_detail: ClassVar[bool] = False
    depth: ClassVar[int] = 1
    receptive_field: ClassVar[None] = None
    longest_cycle: ClassVar[int] = 0


class Gain(nn.Module):
    """The model: a singer's vector is a log gain."""

    def __init__(self, config: GainConfig, names: Sequence[str]) -> None:
        super().__init__()
        self.config, self.singers = config, SingerTable(names, 1)

    def forward(self, waveform: Tensor, vectors: Tensor) -> Tensor:
        return waveform * vectors.exp()  # [B, T] by [B, 1]


class GainMedium(Medium):
    """In training: recordings are to come out half as loud as they are."""

    unit, is_augmentable = "square", True

    def __init__(self, model: Gain, perturbation: object) -> None:
        self._model, self.singers = model, model.singers

    def table(self, corpus: Corpus, split: str, n_samples: int, **how: Any) -> SegmentTable:
        return SegmentTable(corpus, split, self._model.config.sample_rate, n_samples, progress=how.get("progress"))

    def measure(self, corpus: Corpus) -> None: ...

    def learners(self, recipe: Recipe) -> dict[str, Learner]:
        return learner.learners_for(self._model, recipe.optimiser, {})

    def plan(self, given: Ingredients) -> Plan:
        return SinglePhase(Prediction(self, given.batches))

    def local_features(self, clips: Tensor) -> Tensor:
        return mulaw.decode(clips)

    def loss(
        self, clips: Tensor, local_features: Tensor, singer_vectors: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        return (
            self._model(local_features, singer_vectors) - 0.5 * local_features
        ).square().mean() / local_features.square().mean()

    @torch.no_grad()
    def figures(self, segments: Sequence[Segment]) -> dict[str, float]:
        clips, singer = base.stacked(self.singers, segments)
        return {"loss": self.loss(clips, self.local_features(clips), self.singers(singer)).item()}

    @torch.no_grad()
    def samples(self, segments: Sequence[Segment], seed: int) -> Iterator[tuple[str, Clip]]:
        clips, _ = base.stacked(self.singers, segments)
        yield from base.conversions(
            self.singers, segments, 8000, lambda vectors: list(self._model(self.local_features(clips), vectors).numpy())
        )

    def layer_peaks(self, segments: Sequence[Segment]) -> tuple[float, ...]:
        return ()


class GainSong(WholeSong):
    """On its way to a file: block after block."""

    def __init__(self, request: Request) -> None:
        def sing() -> Iterator[Samples]:
            for block in request.source():
                yield block * float(request.vector.exp())

        super().__init__(sing)


RECORD = Kind("gain", GainConfig, Gain, f"{__name__}:GainMedium", f"{__name__}:GainSong")

RECIPE = """
[model]
kind = "gain"

[segments]
seconds = 0.1
batch_size = 4
shards = 2

[optimiser.learning_rate]
initial = 0.1

[loop]
log_every_steps = 1
validate_every_steps = 1
sample_every_steps = 2
sample_seconds = 0.1
"""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "gain", RECORD)


def test_it_is_unknown_without_its_record() -> None:
    with pytest.raises(UserError, match="unknown kind 'gain'; known kinds are wavenet, source-filter, wavenet-alone"):
        recipes.parse(RECIPE, "the recipe")


@pytest.mark.usefixtures("registered")
def test_it_is_trained_saved_resumed_loaded_and_converts(tiny_corpus: Corpus, tmp_path: Path) -> None:
    recipe = recipes.parse(RECIPE, "the recipe")
    assert recipes.parse(recipes.dump(recipe), "its dump") == recipe
    losses = []
    for n_steps in (2, 60):  # two steps; and it goes on from what it has written
        trainer = open_run(RunFolder(tmp_path / "run"), tiny_corpus, recipe, RunOptions())
        trainer.run(Budget(n_steps))
        losses.append(trainer.figures["loss"])
        assert trainer.counters.step == n_steps
    assert losses[1] < 0.1 * losses[0]
    voice = load(tmp_path / "run")
    assert voice.singers == tiny_corpus.singers and not voice.is_pitch_conditioned and voice.backend_name() == ""
    clip = signals.glide(200.0, 300.0, 0.5, 16000, amplitude=0.1)
    sung = voice.convert(clip.samples, 16000, singer=voice.singers[0])
    gain = float(voice.model.singers.table.weight[0].detach().exp())
    assert gain == pytest.approx(0.5, abs=0.2)
    middle = slice(2000, 6000)  # the resampling reaches over the ends
    np.testing.assert_allclose(sung[middle], gain * clip.samples[middle], atol=2e-3)
    (alone,) = voice.convert_clips([clip], [{voice.singers[0]: 1.0}])
    np.testing.assert_allclose(alone.samples, sung, atol=1e-6)


@pytest.mark.usefixtures("registered")
def test_it_refuses_what_it_cannot(tiny_corpus: Corpus, tmp_path: Path) -> None:
    open_run(RunFolder(tmp_path / "run"), tiny_corpus, recipes.parse(RECIPE, "it"), RunOptions()).run(Budget(1))
    voice, silence = load(tmp_path / "run"), np.zeros(800, np.float32)
    for options, message in (
        (ConvertOptions(transpose=2), "is not conditioned on the pitch"),
        (ConvertOptions(detail=0.5), "has no detail path"),
        (ConvertOptions(backend="float32"), "samples no codes"),
    ):
        with pytest.raises(UserError, match=message):
            voice.convert(silence, 8000, singer=voice.singers[0], options=options)
    assert math.isclose(float(np.abs(voice.convert(silence, 8000, singer=voice.singers[0])).max()), 0.0)
