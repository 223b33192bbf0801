"""The recipe: every setting of a training run in one TOML file. The one place where all Configs meet."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from moksori import documents, settings
from moksori.errors import UserError
from moksori.models import kinds
from moksori.models.autoencoder import ModelConfig
from moksori.training.learner import OptimiserConfig
from moksori.training.losses import LossWeights
from moksori.training.perturb import PerturbConfig
from moksori.training.phases.schedule import BackTranslationConfig

PRECISIONS = ("float32", "bfloat16", "auto")
_COLUMNS, _COMMENT_COLUMN = 120, 36  # of a written recipe
_LONGEST_SECONDS = 60.0  # of a segment: a batch of them has to fit into memory


@dataclass(frozen=True)
class SegmentsConfig:
    """What a batch is made of."""

    seconds: float = 1.0  # length of a segment, or of an excerpt of features; a whole number of latent frames
    batch_size: int = 8
    shards: int = 1  # equal parts of a batch, worked on side by side, one CPU core each
    is_balanced: bool = True  # every singer equally often
    is_augmented: bool = True  # codes: also reversed, negated, and both
    moved_copies: int = 0  # features: copies of each recording at other and moving pitches

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.shards < 1 or self.batch_size % self.shards:
            raise ValueError(f"batch_size must be a multiple of shards, both at least 1: {self}")
        if self.seconds > _LONGEST_SECONDS:
            raise ValueError(f"seconds is {self.seconds:g}; expected at most {_LONGEST_SECONDS:g}")
        if self.moved_copies < 0:
            raise ValueError(f"moved_copies must not be negative: {self}")


@dataclass(frozen=True)
class LoopConfig:
    """How long to train, and what to do how often."""

    max_steps: int = 300_000
    log_every_steps: int = 10
    validate_every_steps: int = 1000
    sample_every_steps: int = 5000
    save_every_steps: int = 1000
    score_every_steps: int = 1000  # conversions are scored this often, to choose the best model; 0: never
    save_every_minutes: float = 5.0  # of training, so that little is lost where steps are slow
    sample_every_minutes: float = 10.0
    score_every_minutes: float = 30.0  # where conversions are scored at all
    plateau_scores: int = 5  # scores in a row that bring no better model: where `--until-plateau` stops
    keep_states: int = 3  # training states kept on disk
    validation_segments: int = 4  # a singer
    sample_seconds: float = 2.0
    sample_pairs: int = 4  # conversions rendered as samples
    usable_steps: int = 0  # after which a voice is usable, as measured; 0: nobody knows
    good_steps: int = 0  # after which it is as good as the figures that are shown of this recipe; 0: nobody knows

    def __post_init__(self) -> None:
        may_be_zero = ("score_every_steps", "usable_steps", "good_steps")
        zero = [name for name, value in settings.plain(self).items() if value < (name not in may_be_zero) * 1e-9]
        if zero:
            raise ValueError(f"must be positive: {', '.join(zero)}")


@dataclass(frozen=True)
class Recipe:
    """A training run but for its data and seed."""

    name: str = ""
    description: str = ""
    base: str = ""  # voice that training begins from: "base" is the shipped one, else a file; "": from nothing
    precision: str = "float32"  # of the forward pass; auto: bfloat16 where the hardware is fast at it
    model: kinds.AnyConfig = field(default_factory=ModelConfig)
    segments: SegmentsConfig = field(default_factory=SegmentsConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    critic_optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)  # where the model has a critic
    average_decay: float = 0.0  # of the running average of the weights that is handed out; 0 for none
    perturbation: PerturbConfig = field(default_factory=PerturbConfig)  # of what an encoder, or a decoder's past, hears
    losses: LossWeights = field(default_factory=LossWeights)
    back_translation: BackTranslationConfig = field(default_factory=BackTranslationConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; known are {', '.join(PRECISIONS)}")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"average_decay must be in [0, 1): {self.average_decay}")
        hop = self.model.latent_hop_samples
        if self.segment_samples < hop or self.segment_samples % hop:
            raise ValueError(
                f"segments of {self.segments.seconds} s are {self.segment_samples} samples, "
                f"not a whole number of latent frames of {hop}"
            )

    @property
    def segment_samples(self) -> int:
        """Length of a training segment at the model's rate."""
        return round(self.segments.seconds * self.model.sample_rate)


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("moksori") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(name_or_path: str) -> Recipe:
    """Read a shipped recipe by name, or any TOML file by path.

    Raises:
        UserError: neither exists, the file is not TOML, or a setting is unknown or wrong.
    """
    if name_or_path in shipped():
        text = (resources.files("moksori") / "recipes" / f"{name_or_path}.toml").read_text(encoding="utf-8")
        return parse(text, f"recipe {name_or_path}")
    path = Path(name_or_path)
    if not path.is_file():
        raise UserError(
            f"no recipe named {name_or_path!r}, and no such file; shipped recipes are {', '.join(shipped())}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows may put a mark before it
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text in UTF-8 ({error}); a recipe is a TOML file") from error
    return parse(text, str(path))


def parse(text: str, where: str) -> Recipe:
    """Read a recipe from TOML.

    Raises:
        UserError: naming `where`, and the table and key that are wrong.
    """
    try:
        values = documents.from_toml(text)
    except ValueError as error:
        raise UserError(f"{where}: not valid TOML: {error}") from error
    return settings.build(Recipe, values, where)


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """A recipe with some settings changed.

    Args:
        recipe: any.
        changes: such as `back_translation.start=never`: the path of a setting, and its value as in TOML; the quotes of
            a word may be left out.

    Raises:
        UserError: no such setting (the known ones are listed), or a value that it cannot have.

    >>> changed(Recipe(), ["back_translation.mixup.law=fixed", "loop.max_steps=5"]).loop.max_steps
    5
    """
    values = settings.plain(recipe)
    for change in changes:
        path, sign, value = change.partition("=")
        *tables, key = path.strip().split(".")
        if not sign:
            raise UserError(f"{change!r} changes nothing; expected a setting and its value, such as loop.max_steps=500")
        table = values
        for name in tables:
            table = table.get(name, {})
            if not isinstance(table, dict):
                raise UserError(f"{change!r}: {name} is a setting, not a table of settings")
        if key not in table:
            known = ", ".join(table) or f"in {', '.join(values)}"
            raise UserError(f"{change!r}: no setting of that name; known are {known}")
        table[key] = _read_value(value.strip())
    return settings.build(Recipe, values, f"recipe {recipe.name}, changed by {' '.join(changes)}")


def _read_value(text: str) -> Any:
    try:
        return documents.from_toml(f"value = {text}")["value"]
    except ValueError:
        return text  # a word without quotes


def dump(recipe: Recipe) -> str:
    """Write a recipe as TOML, every setting spelled out and explained as its Config does; `parse(dump(r)) == r`."""
    lines: list[str] = []
    _dump_table(recipe, (), "", lines)
    return "\n".join(lines) + "\n"


def _dump_table(config: Any, path: tuple[str, ...], comment: str, lines: list[str]) -> None:
    if path:
        lines += ["", *_explained(f"[{'.'.join(path)}]", comment)]
    values, comments = settings.plain(config), settings.comments(config.__class__)
    # A TOML key belongs to the last table opened, so a table's own values come before its sub-tables.
    for key, value in values.items():
        if not isinstance(value, dict):
            lines += _explained(f"{key} = {_dump_value(value)}", comments.get(key, ""))
    for key, value in values.items():
        if isinstance(value, dict):
            _dump_table(getattr(config, key), (*path, key), comments.get(key, ""), lines)


def _explained(line: str, comment: str) -> list[str]:
    """A line with its comment beside it, or above where that is too long."""
    beside = f"{line:<{_COMMENT_COLUMN}}# {comment}"
    if not comment:
        return [line]
    return [beside] if len(beside) <= _COLUMNS else [*(f"# {part}" for part in textwrap.wrap(comment, 100)), line]


def _dump_value(value: Any) -> str:
    """JSON's way of writing numbers, words and flags is TOML's too, but for pairs of surrogates and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
