"""The way from folders to a judged voice, from Python: `train` and `evaluate`, as thin as the verbs of those names.

>>> import moksori                                                          # doctest: +SKIP
>>> voice = moksori.train("takes", "runs/duo", minutes=30)                  # doctest: +SKIP
>>> moksori.evaluate("runs/duo", "runs/duo/data", "report")                 # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import datetime
import html
import math
import shlex
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import moksori
from moksori import arguments, checkpoint, language, surroundings
from moksori.conversion import Voice, load
from moksori.data import corpus as corpora
from moksori.data import threads
from moksori.data.corpus import Corpus
from moksori.data.prepare import in_use, prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.errors import UserError
from moksori.evaluation import folder as report_folder
from moksori.evaluation import runner, scorer
from moksori.evaluation.conversions import Options
from moksori.evaluation.pairs import Texts
from moksori.evaluation.report import data as reports
from moksori.evaluation.report import next_steps, pages
from moksori.evaluation.report.data import Report
from moksori.evaluation.report.gather import Origin
from moksori.language import Words
from moksori.models import kinds
from moksori.progress import ignored
from moksori.training import recipe as recipes
from moksori.training import run
from moksori.training.folder import RunFolder
from moksori.training.logging.events import Event, Logged, Observer, Saved, Scored
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe

_ALWAYS = 10**12  # steps: as many as the time allows


def train(
    source: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | Recipe = "swift",
    minutes: float | None = None,
    max_steps: int | None = None,
    until_plateau: bool = False,
    changes: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "auto",
    licence: str = "",
    observers: Sequence[Observer] = (),
    is_quiet: bool = False,
) -> Voice:
    """Train a voice, or go on with a run; an interrupt saves and returns what there is.

    Args:
        source: folder of singers, or one that `moksori prepare` made.
        output: run folder; an existing run goes on, a longer budget trains longer.
        recipe: shipped recipe, a TOML file, or a recipe.
        minutes: of training in all.
        max_steps: in all; where neither is given, those of the recipe.
        until_plateau: stop when conversions of validation recordings get no better.
        changes: settings of the recipe, such as `{"segments.batch_size": 8}`.
        seed: of weights, batches and dropout.
        device: "auto", "cpu", "cuda", ...
        licence: terms of the recordings; they travel with the model file.
        observers: are called with what happens, see `training.logging.events`.
        is_quiet: print nothing.

    Returns:
        The voice with the best conversions of validation recordings, if they were scored, else the last one.

    Raises:
        UserError: the folder holds another run, the data cannot be trained on, or a setting is unknown.
    """
    folder, given = RunFolder(arguments.path(output, "output")), arguments.path(source, "source")
    folder.refuse_foreign()
    chosen = recipe if isinstance(recipe, Recipe) else recipes.load(str(arguments.path(recipe, "recipe")))
    chosen = recipes.changed(chosen, [f"{key}={_toml(value)}" for key, value in (changes or {}).items()])
    if not kinds.converts(chosen.model):
        raise UserError(f"recipe {chosen.name} makes no voice to convert to; use moksori wavenet train for it")
    if not given.is_dir():
        raise UserError(f"{given}: no such folder; expected a folder with one sub-folder a singer")
    is_on = checkpoint.check_device(device)
    with folder.held(), contextlib.ExitStack() as stack:
        corpus = run.data_of(given, folder) or run.made_data(
            given, folder, lambda data: prepare(given, data, PrepareConfig())
        )
        stack.enter_context(in_use(corpus.folder))
        limits = Budget(
            max_steps or (_ALWAYS if minutes else chosen.loop.max_steps),
            60.0 * minutes if minutes else math.inf,
            until_plateau,
        )
        options = run.RunOptions(seed, is_on, licence or _no_terms(corpus), _software())
        _train(folder, corpus, chosen, options, limits, [*([] if is_quiet else [Lines()]), *observers])
    return load(folder.root)


def _train(
    folder: RunFolder,
    corpus: Corpus,
    chosen: Recipe,
    options: run.RunOptions,
    limits: Budget,
    observers: Sequence[Observer],
) -> None:
    """Train in a folder that is held.

    Raises:
        UserError: see `train`.
    """
    if limits.until_plateau and not corpus.of("validation"):
        raise UserError(
            f"{corpus.folder}: no recording is held out for validation, so nobody can tell when training gets no "
            "better; give minutes instead, or add recordings"
        )
    with _threads(folder.threads(max(1, threads.n_cores() // chosen.segments.shards))):
        trainer = run.open_run(folder, corpus, chosen, options)
        if chosen.loop.score_every_steps:
            trainer.scorer = scorer.gather(corpus, options.seed, ignored)
        trainer.observers += [Journal(folder.journal), *observers]
        with _stopped_by_interrupt(trainer.stop):
            trainer.run(limits, is_locked=True)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, and where it lies."""

    report: Report
    folder: Path

    @property
    def verdict(self) -> list[str]:
        """In words, the most important first."""
        return list(self.report.verdict)

    @property
    def next_steps(self) -> list[str]:
        """What to do next, in words."""
        return next_steps.write(self.report)

    @property
    def page(self) -> Path:
        """To read and to listen to."""
        return self.folder / pages.HTML

    def figures(self, row: str = reports.CONVERSION) -> dict[str, float]:
        """The means of a row by metric, see `evaluation.report.data.METRICS`.

        Raises:
            KeyError: the report has no such row.
        """
        found = self.report.row(row)
        if found is None:
            raise KeyError(f"no row {row!r}; there are {', '.join(known.name for known in self.report.rows)}")
        return {metric: figure.mean for metric, figure in found.figures.items()}

    def __repr__(self) -> str:
        """The verdict, a line a sentence, and the page."""
        return "\n".join([f"<Evaluation {self.page}", *(f"  - {sentence}" for sentence in self.report.verdict), ">"])

    def _repr_html_(self) -> str:
        """The verdict and what to do next, for notebooks."""
        said, todo = (
            "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
            for sentences in (self.report.verdict, self.next_steps)
        )
        return f"<ul>{said}</ul><b>What to do next</b><ul>{todo}</ul><code>{html.escape(str(self.page))}</code>"


def evaluate(
    model: str | Path | Voice,
    data: str | Path,
    output: str | Path,
    *,
    options: Options | None = None,
    texts: str | Path | None = None,
    parallel: str | Path | None = None,
    songs: str | Path | None = None,
    pairs: str | Path | None = None,
    lang: str | None = None,
    force: bool = False,
) -> Evaluation:
    """Judge a voice on recordings that it never saw, and write a page to read and to listen to.

    Args:
        model: model file, run folder, or a loaded voice.
        data: what it was trained with: RUN/data, or what `prepare` made.
        output: folder of the report; an evaluation that was interrupted goes on there.
        options: how much is converted, and how; see `evaluation.conversions.Options`.
        texts: table of what is sung, columns file and text.
        parallel: recordings of the same words by several singers.
        songs: by strangers, a folder or a file.
        pairs: table of what is to be converted, columns source and target, in place of all into all.
        lang: of the page, "en" or "ko"; the environment's when None.
        force: replace the report of another evaluation, or one that was edited.

    Returns:
        The report, and where it lies.

    Raises:
        UserError: the model does not know these singers, nothing is held out, a file cannot be read, the folder holds
            something else than this report, or another evaluation is at work there.
    """
    arguments.of_type(options, Options, "options", "Options(whisper='auto')")
    corpus, folder = Corpus.load(arguments.path(data, "data")), arguments.path(output, "output")
    voice = model if isinstance(model, Voice) else load(model)
    model_folder = None if isinstance(model, Voice) else arguments.path(model, "model")
    run_folder = model_folder if model_folder is not None and model_folder.is_dir() else None
    model_path = None if isinstance(model, Voice) else model
    line = shlex.join(
        ["moksori", "evaluate", *([str(model_path)] if model_path else ["MODEL"]), str(data), "-o", str(output)]
    )
    given = {"texts": texts, "parallel": parallel, "songs": songs, "pairs": pairs}
    line += "".join(f" --{name} {shlex.quote(str(path))}" for name, path in given.items() if path is not None)
    report_folder.refuse_other(folder, line, force)
    with report_folder.held(folder, corpus.folder):
        report = runner.evaluate_voice(
            voice,
            corpus,
            folder,
            Origin(line, datetime.date.today().isoformat(), _software()),
            ignored,
            options=options or Options(whisper="auto"),
            texts=Texts.load(_path(texts)),
            parallel=_path(parallel),
            songs=_path(songs),
            run=run_folder,
            listed=_path(pairs),
        )
        reports.save(report, folder)
        pages.write(report, folder, say=Words(language.choose(lang)))
        report_folder.vouch(folder)
    return Evaluation(report, folder)


class Lines:
    """An observer that prints a line for each log, score and save."""

    def tell(self, event: Event) -> None:
        """See `events.Observer.tell`."""
        if isinstance(event, Logged):
            losses = ", ".join(f"{name} {value:.3f}" for name, value in event.losses.items())
            print(f"step {event.step}, {event.steps_per_second:.2f} steps/s, {event.phase}: {losses}")
        elif isinstance(event, Scored):
            scores = ", ".join(f"{name} {value:.0%}" for name, value in event.scores.items())
            print(f"step {event.step}, conversions: {scores}{' (best so far)' if event.is_best else ''}")
        elif isinstance(event, Saved):
            print(f"step {event.step}, saved {event.path}")


def prepared(source: Path, output: Path) -> Path:
    """The data folder: the source itself if it is one, else what is prepared of it.

    Raises:
        UserError: there is no such folder, or see `data.prepare`.
    """
    if not source.is_dir():
        raise UserError(f"{source}: no such folder; expected a folder with one sub-folder a singer")
    if (source / corpora.MANIFEST).is_file():
        return source
    return prepare(source, output, PrepareConfig()).folder


def _software() -> str:
    return f"moksori {moksori.__version__}"


def _no_terms(corpus: Corpus) -> str:
    return f"Trained on recordings of {', '.join(corpus.singers)}; no terms were stated. Ask the singers."


def _toml(value: object) -> str:
    """A value as the command line's `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else arguments.path(given)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads of torch for a while: shards are worked on side by side, so each gets its share of the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(surroundings.torch_threads(count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _stopped_by_interrupt(stop: threading.Event) -> Iterator[None]:
    """The first interrupt (Ctrl-C, the stop of a notebook) ends after the present step and saves; a second at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only there signals can be caught
        return

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
