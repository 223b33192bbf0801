"""Experiments: arms of a recipe x seeds, each trained and judged, side by side in a table with intervals.

    OUT/<arm>-<seed>/          a training run
    OUT/<arm>-<seed>/report/   what judges say of it
    OUT/sweep.md, sweep.json   the table so far

What is there is kept, so a sweep that was stopped goes on, and one with more seeds or arms adds to the last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moksori import atomic, documents, workflow
from moksori.errors import UserError
from moksori.evaluation.conversions import Options
from moksori.evaluation.report import arms, data
from moksori.evaluation.report.arms import Scores
from moksori.training import recipe as recipes

TABLE, FIGURES = "sweep.md", "sweep.json"
COLUMNS = (
    "identified",
    "leak",
    "identified_public",
    "raw_pitch_accuracy",
    "vowel_accuracy",
    "character_error_rate",
    "content_kept",
    "distill_mos",
)

Notify = Callable[[str], None]
"""Callback for progress, a line at a time."""


@dataclass(frozen=True)
class Arm:
    """A recipe with some settings changed."""

    name: str  # part of a folder's name
    changes: tuple[str, ...]  # such as "losses.confusion=0"; none: the recipe itself


@dataclass(frozen=True)
class Sweep:
    """What is trained, how long, and how it is judged."""

    arms: tuple[Arm, ...]  # the first one is what others are compared with
    seeds: int = 3
    recipe: str = "swift"
    minutes: float | None = None  # of training of each run
    max_steps: int | None = None
    texts: Path | None = None
    options: Options | None = None

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) < len(names):
            raise UserError(f"arms are {', '.join(names) or 'missing'}; expected one or more, each of its own name")
        for name in names:
            if not name or not all(letter.isalnum() or letter in "-_" for letter in name):
                raise UserError(f"an arm is called {name!r}; expected letters, digits, - and _")
        if self.seeds < 1:
            raise UserError(f"seeds are {self.seeds}; expected 1 or more")


def read_arms(path: Path) -> tuple[Arm, ...]:
    """Read arms from a TOML file: a table each, with the settings that it changes.

        [whole]

        [no-confusion]
        "losses.confusion" = 0.0

    Raises:
        UserError: it cannot be read, or holds something else than tables of settings.
    """
    try:
        tables = documents.from_toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as arms ({error}); expected TOML, a table for each arm") from None
    found = []
    for name, changes in tables.items():
        if not isinstance(changes, dict):
            raise UserError(f"{path}: {name} is no table; expected one for each arm, [{name}]")
        found.append(Arm(name, tuple(f"{key}={_value(value)}" for key, value in _settings(changes))))
    return tuple(found)


def parse_arm(text: str) -> Arm:
    """An arm as the command line has it.

    >>> parse_arm("no-mixup: back_translation.mixup.law=fixed, loop.max_steps=5")
    Arm(name='no-mixup', changes=('back_translation.mixup.law=fixed', 'loop.max_steps=5'))
    """
    name, _, changes = text.partition(":")
    return Arm(name.strip(), tuple(change.strip() for change in changes.split(",") if change.strip()))


def run(source: Path, output: Path, sweep: Sweep, tell: Notify = print) -> str:
    """Train and judge every arm with every seed, and put them side by side.

    Args:
        source: folder of singers, or one that `moksori prepare` made.
        output: folder of the runs.
        sweep: what is done.
        tell: called with what is going on.

    Returns:
        The table, in Markdown, as it stands in OUT/sweep.md.

    Raises:
        UserError: an arm changes an unknown setting, which is said before any work, or see `workflow.train`.
    """
    whole = recipes.load(sweep.recipe)
    chosen = {arm.name: recipes.changed(whole, arm.changes) for arm in sweep.arms}
    found: dict[str, dict[int, Scores]] = {arm.name: {} for arm in sweep.arms}
    table, corpus = "", workflow.prepared(source, output / "data")  # all arms learn from the same data
    for seed in range(sweep.seeds):
        for arm in sweep.arms:
            folder = output / f"{arm.name}-{seed}"
            tell(f"{arm.name}, seed {seed}: training in {folder}")
            voice = workflow.train(
                corpus,
                folder,
                recipe=chosen[arm.name],
                minutes=sweep.minutes,
                max_steps=sweep.max_steps,
                seed=seed,
                is_quiet=True,
            )
            tell(f"{arm.name}, seed {seed}: {voice.provenance.steps} steps; judging")
            judged = workflow.evaluate(folder, corpus, folder / "report", options=sweep.options, texts=sweep.texts)
            found[arm.name][seed] = arms.scores_of(judged.report.items, data.CONVERSION)
            table = _save({name: runs for name, runs in found.items() if runs}, output, sweep.arms[0].name)
    return table


def _save(found: Mapping[str, Mapping[int, Scores]], output: Path, reference: str) -> str:
    table = arms.tables(found, COLUMNS, reference)
    atomic.write(output / TABLE, table.encode())
    atomic.write(output / FIGURES, json.dumps(found, ensure_ascii=False, indent=1).encode())
    return table


def _settings(table: Mapping[str, object], above: Sequence[str] = ()) -> Iterator[tuple[str, object]]:
    """Dotted keys and values of nested tables."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _settings(value, [*above, key])
        else:
            yield ".".join([*above, key]), value


def _value(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | list) else str(value)
