"""A run's folder: what stands where, who may write, and how the last good state is found.

RUN/
recipe.toml            every setting of the run, spelled out
run.json               seed, singers, fingerprint of the data, threads of its first sitting
model.safetensors      the model as of the last save; all that conversion needs
best.safetensors       the model whose conversions were scored best, if they were; conversion takes it, if it is there
states/                the newest few training states
journal.jsonl          losses and figures
samples/               held-out clips, converted now and then
tensorboard/           the same for TensorBoard
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moksori import atomic, checkpoint, documents, ownership, run_files, settings
from moksori.errors import ModelFileError, UserError
from moksori.training import recipe as recipes
from moksori.training.recipe import Recipe

_BUSY = "another training is writing here; wait, or choose another -o"
_STATE = "training-state"
_THREADS = "threads"  # in run.json
# Parts of the recipe that steps depend on.
_FIXED = (
    "base",
    "precision",
    "model",
    "segments",
    "optimiser",
    "critic_optimiser",
    "average_decay",
    "perturbation",
    "losses",
    "back_translation",
)


@dataclass(frozen=True)
class Identity:
    """What must not change between two sittings of one run."""

    seed: int
    singers: list[str]
    data_fingerprint: str
    began_from: str = ""  # a line on the voice that it began from; "": from nothing
    other_singers: dict[str, float] = field(default_factory=dict)  # of that voice, with the middle of each range in Hz


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run's folder, and its training states."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The run's recipe, every setting spelled out."""
        return self.root / run_files.RECIPE

    @property
    def model(self) -> Path:
        """The model file."""
        return self.root / run_files.MODEL

    @property
    def best(self) -> Path:
        """The file of the model whose conversions were scored best so far."""
        return self.root / run_files.BEST

    @property
    def journal(self) -> Path:
        """The journal, JSON lines."""
        return self.root / run_files.JOURNAL

    @property
    def samples(self) -> Path:
        """Folder of the converted clips."""
        return self.root / run_files.SAMPLES

    def sample(self, step: int, name: str) -> Path:
        """The file of a converted clip; see `events.Sampled`."""
        return self.samples / f"step-{step:09d}.{name}.flac"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's files."""
        return self.root / "tensorboard"

    def refuse_foreign(self) -> None:
        """Refuse a folder that holds anything but is no run of ours; only data may have been prepared in it.

        Raises:
            UserError: it does, or it cannot be listed.
        """
        ownership.refuse_foreign(self.root, run_files.FACTS, "a run's folder", own=("data",))

    def claim(self, identity: Identity, recipe: Recipe) -> None:
        """Make the folder this run's, or check that it is.

        Raises:
            UserError: it holds a run with other data, singers, seed or recipe, or something that is no run; or it
                cannot be read or written.
        """
        try:
            self._claim(identity, recipe)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.root}: cannot be used as a run's folder ({error}); choose another with -o"
            ) from error

    def _claim(self, identity: Identity, recipe: Recipe) -> None:
        facts, recipe_file = self.root / run_files.FACTS, self.recipe
        if not facts.exists():
            self.refuse_foreign()
            self.root.mkdir(parents=True, exist_ok=True)
            atomic.write(recipe_file, recipes.dump(recipe).encode())
            own = settings.plain(identity) | {_THREADS: torch.get_num_threads()}
            text = json.dumps(own, ensure_ascii=False, indent=2) + "\n"
            atomic.write(facts, text.encode())
            return
        before = documents.from_json(facts.read_text(encoding="utf-8"))
        if not isinstance(before, dict):
            raise ValueError(f"{facts} does not describe a run")
        usual = settings.plain(Identity(0, [], ""))  # what files of before do not tell
        changed = [key for key, value in settings.plain(identity).items() if before.get(key, usual[key]) != value]
        if changed:
            raise UserError(
                f"{self.root}: holds a run with another {', '.join(changed).replace('_', ' ')}; to go on with it, give "
                "it the same data and seed; to begin anew, choose another folder with -o"
            )
        text = recipe_file.read_text(encoding="utf-8-sig")
        old = recipes.parse(text, str(recipe_file))
        changed = [part for part in _FIXED if getattr(old, part) != getattr(recipe, part)]
        if changed:
            raise UserError(
                f"{self.root}: holds a run with another recipe (differs in {', '.join(changed)}); to go on with it, "
                f"train with --recipe {recipe_file}; to begin anew, choose another folder with -o"
            )
        if old == recipe:
            return  # also if somebody wrote comments into it
        if text != recipes.dump(old):
            atomic.write(self._free_name(recipe_file), text.encode())
        atomic.write(recipe_file, recipes.dump(recipe).encode())

    def began_from(self) -> tuple[str, dict[str, float]] | None:
        """What `Identity` tells of the voice that a run with states began from; None where there is no such run yet."""
        try:
            written = documents.from_json((self.root / "run.json").read_text(encoding="utf-8"))
            line, others = written.get("began_from", ""), written.get("other_singers", {})
        except (OSError, ValueError, AttributeError):  # a new run; `claim` looks closer
            return None
        return (line, others) if self._states() else None

    def threads(self, usual: int) -> int:
        """How many threads each shard is computed by: as many as when the run began, if there are that many.

        Another number adds in another order, and then a run that goes on differs in its last bits from one that was
        never stopped.
        """
        try:
            begun = documents.from_json((self.root / run_files.FACTS).read_text(encoding="utf-8"))[_THREADS]
        except (OSError, ValueError, TypeError, KeyError):  # a new run, or one of before; `claim` looks closer
            return usual
        return begun if type(begun) is int and 1 <= begun <= usual else usual

    @property
    def data_fingerprint(self) -> str | None:
        """Of the data that the run has begun with; None where none has begun, or its record cannot be read."""
        try:
            written = documents.from_json((self.root / run_files.FACTS).read_text(encoding="utf-8"))
            return str(written["data_fingerprint"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @staticmethod
    def _free_name(path: Path) -> Path:
        """`recipe.1.toml` or, where that is taken, the next: for a file that somebody edited, before it is replaced."""
        names = (path.with_name(f"{path.stem}.{number}{path.suffix}") for number in itertools.count(1))
        return next(name for name in names if not name.exists())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out of the folder; the system lets go of the lock when the process ends, however it ends.

        Raises:
            UserError: another run is writing here.
        """
        with ownership.lock(self.root, _BUSY):
            yield

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The same for a folder that need not exist; one that stays empty goes again.

        Raises:
            UserError: another run is writing here, or the folder cannot be made.
        """
        with ownership.held(self.root, _BUSY):
            yield

    def discard_newest_state(self) -> None:
        """Remove the newest training state, if there is one before it; it may be what makes training diverge."""
        newest, *older = self._states()
        if older:
            newest.unlink()

    def save_state(self, step: int, tensors: Mapping[str, Tensor], header: Mapping[str, Any], keep: int) -> Path:
        """Write a training state, then remove all but the newest `keep`.

        A state of a later step can only be a damaged one that `load_state` passed over; it is removed, too.
        """
        states = self.root / "states"
        states.mkdir(exist_ok=True)
        path = states / f"step-{step:09d}.safetensors"
        checkpoint.write(path, _STATE, tensors, {"run": json.dumps(header)})
        found = self._states()
        kept = found[found.index(path) :][:keep]
        leftovers = states.glob(".*.part")  # of saves that were killed
        for other in [*leftovers, *(state for state in found if state not in kept)]:
            other.unlink()
        return path

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any], list[str]] | None:
        """The newest training state that is whole.

        Returns:
            Tensors, header, and a warning for every damaged state that was passed over; None where there is no state.

        Raises:
            UserError: there are states, and none can be read.
        """
        warnings: list[str] = []
        for path in self._states():
            try:
                tensors, header = checkpoint.read(path, _STATE)
                return tensors, documents.from_json(header["run"]), warnings
            except ModelFileError as error:
                warnings.append(f"{error}; taking the state before it")
            except (KeyError, ValueError) as error:  # its sums fit, and what stands in it is no run's
                warnings.append(f"{path}: its header says nothing of a run ({error}); taking the state before it")
        if warnings:
            raise UserError(f"{self.root}: no training state can be read:\n  " + "\n  ".join(warnings))
        return None

    def _states(self) -> list[Path]:
        """Training states, newest first."""
        return sorted((self.root / "states").glob("step-*.safetensors"), reverse=True)
