"""Short runs, in one sitting or in several."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from moksori.data.corpus import Corpus
from moksori.training.folder import RunFolder
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions, open_run


def trained(folder: Path, corpus: Corpus, recipe: Recipe, *stops: int) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Train, opened anew after each stop: all that the next step would depend on, and the last figures."""
    for stop in stops:
        trainer = open_run(RunFolder(folder), corpus, recipe, RunOptions(seed=1))
        trainer.run(Budget(stop))
    return {key: tensor.clone() for key, tensor in trainer._tensors().items()}, trainer.figures
