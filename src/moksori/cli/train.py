"""`moksori train`: a folder becomes a voice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moksori import language, ownership, surroundings
from moksori.cli import console, evaluate
from moksori.cli.prepare import prepare, print_doctor
from moksori.cli.watcher import Watcher
from moksori.data import threads
from moksori.errors import UserError
from moksori.language import ENGLISH, Words

if TYPE_CHECKING:
    from moksori.checkpoint import Provenance
    from moksori.data.corpus import Corpus
    from moksori.models.kinds import Config, Model
    from moksori.training.choose import Score, Scorer
    from moksori.training.folder import RunFolder
    from moksori.training.logging.events import Event
    from moksori.training.loop import Counters, Trainer
    from moksori.training.ranks import Ranks
    from moksori.training.recipe import Recipe


_NOTHING = "none"  # what --from calls a beginning without any voice


def command(
    source: Annotated[
        Path, typer.Argument(help="Folder of singers, of one singer's takes, or one that `moksori prepare` made.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder; an existing run goes on.")],
    recipe: Annotated[
        str | None,
        typer.Option(
            "-r",
            "--recipe",
            help="Shipped recipe, or a TOML file; default: the run's; else swift, or adapt for one singer.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="VOICE",
            help="Voice to begin from: base (the shipped one), a model file, a run, or none; default: the recipe's.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Singer of takes right in the folder; default: the folder's name.")] = "",
    budget: Annotated[
        str | None, typer.Option("--for", help="Training time in all, such as 30m or 2h; preparing is not in it.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Training steps in all.")] = None,
    until_plateau: Annotated[
        bool, typer.Option("--until-plateau", help="Stop when conversions of validation recordings get no better.")
    ] = False,
    changes: console.Changes = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, batches and dropout.")] = 0,
    device: console.Device = "auto",
    licence: console.Licence = "",
    with_report: Annotated[
        bool, typer.Option("--report", help="Judge the voice afterwards, into RUN/report; see `moksori evaluate`.")
    ] = False,
    texts: Annotated[Path | None, typer.Option(help="For --report: table of what is sung, columns file, text.")] = None,
    songs: Annotated[
        Path | None, typer.Option(help="For --report: songs by others to judge it on, a folder or a file.")
    ] = None,
    lang: console.Language = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Train a voice, or go on training it.

    Given raw recordings it prepares them first, into RUN/data. Ctrl-C saves and stops; the same command goes on where
    it stopped, on a CPU bit for bit. `--for` and `--max-steps` count from the beginning: to train longer, ask for more.

    A single singer needs others to learn from: without a recipe, such a voice begins from the shipped one, which sings
    already (recipe adapt; five minutes are enough), and so do several with `--from base`. Other recipes begin from
    nothing.

    Now and then validation recordings are converted and scored. The best model is kept as RUN/best.safetensors, and
    `moksori convert -m RUN` takes it; the last one is RUN/model.safetensors.

    Several processes train one voice together: torchrun --nproc-per-node 2 -m moksori train ..., on one machine or on
    several. The batches and what is learnt are those of one process; --set segments.shards=N says into how many parts
    a batch is cut, which the number of processes has to divide. It may change from one sitting to the next.

    `--set back_translation.start=never` leaves phase 2 out; `--set back_translation.mixup.law=fixed` makes it plain
    back-translation, without mixed singers.
    """
    for option, value in {"--texts": texts, "--songs": songs}.items():
        if value is not None and not with_report:
            raise UserError(f"{option} is for judging the voice afterwards; add --report, or leave it out")
    if songs is not None and not songs.exists():
        raise UserError(f"{songs}: no such file or folder; expected songs to judge the voice on")
    say = Words(language.choose(lang))
    refuse_slips(source, budget)

    from moksori.training import ranks  # slow to load, so what can be refused has been
    from moksori.training import recipe as recipes

    if with_report:
        _refuse_other_report(output)
    request = Request(source, output, budget, max_steps, seed, device, licence, as_json, until_plateau, say, name)
    is_warm = base not in (None, _NOTHING) or (base is None and _is_one_singer(source))
    chosen = recipe_of(output, recipe, "adapt" if is_warm else "swift")
    if base is not None:
        chosen = dataclasses.replace(chosen, base="" if base == _NOTHING else base)
    chosen = recipes.changed(chosen, changes or [])
    with ranks.joined(device) as (among, own_device):
        folder, corpus = train(dataclasses.replace(request, device=own_device), chosen, among)
    if with_report and among.is_writer:
        _report(folder, corpus, texts, songs, say, as_json=as_json)


def refuse_slips(source: Path, budget: str | None) -> None:
    """Refuse what can be refused without torch.

    Raises:
        UserError: no such folder, or no duration.
    """
    console.refuse_missing_takes(source)
    if budget:
        console.duration_seconds(budget)


@dataclasses.dataclass(frozen=True)
class Request:
    """Options of a training run on the command line, besides its recipe."""

    source: Path
    output: Path
    budget: str | None
    max_steps: int | None
    seed: int
    device: str
    licence: str
    as_json: bool
    until_plateau: bool = False
    say: Words = ENGLISH  # advice in the reader's language
    name: str = ""  # of the one singer whose takes lie right in the folder


def _is_one_singer(source: Path) -> bool:
    """Whether a folder holds the recordings of a single singer; nothing of them is opened."""
    from moksori.data import corpus as corpora
    from moksori.data import sources

    if (source / corpora.MANIFEST).is_file():
        return len(corpora.Corpus.load(source).singers) == 1
    try:
        found, _ = sources.find_sources(source)
    except UserError:  # preparing tells it
        return False
    return len({one.singer for one in found}) == 1


def recipe_of(output: Path, named: str | None, usual: str) -> Recipe:
    """The recipe that is named; else the run's own, if it has begun, or the usual one."""
    from moksori.training import recipe as recipes
    from moksori.training.folder import RunFolder

    own = RunFolder(output).recipe
    return recipes.load(named or (str(own) if own.is_file() else usual))


def train(request: Request, chosen: Recipe, among: Ranks | None = None) -> tuple[RunFolder, Corpus]:
    """Train until the budget is spent; the run's folder, and its data.

    Args:
        request: what the command line says.
        chosen: the recipe.
        among: the processes that train together, of which one writes and talks.

    Raises:
        typer.Exit: it was stopped before.
    """
    from moksori.data.prepare import in_use
    from moksori.training import ranks
    from moksori.training.folder import RunFolder

    _check(request)
    folder, among = RunFolder(request.output), among or ranks.ALONE
    with contextlib.ExitStack() as stack:
        if among.is_writer:
            folder.refuse_foreign()  # before anything is written
            stack.enter_context(folder.held())  # from before its data is prepared
            corpus = _corpus(request.source, folder, request.say, request.name, is_quiet=request.as_json)
        among.wait()
        if not among.is_writer:
            corpus = _prepared(request.source, folder)
        stack.enter_context(in_use(corpus.folder))
        _train(request, chosen, folder, corpus, among)
    return folder, corpus


def _check(request: Request) -> None:
    """Refuse what can be refused before anything is done."""
    from moksori import checkpoint

    refuse_slips(request.source, request.budget)
    checkpoint.check_device(request.device)


def _train(request: Request, chosen: Recipe, folder: RunFolder, corpus: Corpus, among: Ranks) -> None:
    """Train in a folder that is held, by the first of those who train together."""
    import torch

    import moksori
    from moksori import checkpoint
    from moksori.models import kinds
    from moksori.training import run, shards
    from moksori.training.logging import tensorboard as board
    from moksori.training.logging.journal import Journal
    from moksori.training.loop import Budget
    from moksori.training.media import base as media

    output, budget, max_steps = request.output, request.budget, request.max_steps
    licence, as_json = request.licence, request.as_json
    seconds = console.duration_seconds(budget) if budget else float("inf")
    chosen_device = checkpoint.check_device(request.device)
    if request.until_plateau and not corpus.of("validation"):
        raise UserError(
            f"{corpus.folder}: no recording is held out for validation, so nobody can tell when training gets no "
            "better; train --for a time instead, or add recordings (three or more a singer) and prepare them again"
        )
    note = licence or f"Trained on recordings of {', '.join(corpus.singers)}; no terms were stated. Ask the singers."
    # Shards are worked on side by side, so each gets its share of the cores; but no other number than when it began.
    n_own = len(among.share(shards.n_parts(chosen.segments.shards, torch.device(chosen_device), among)))
    usual = max(1, threads.n_cores() // (n_own * among.local_world))
    n_threads = int(among.broadcast(folder.threads(usual) if among.is_writer else usual))
    torch.set_num_threads(surroundings.torch_threads(n_threads))
    options = run.RunOptions(request.seed, chosen_device, note, f"moksori {moksori.__version__}")
    with console.counted("computing features") as progress:
        trainer = run.open_run(folder, corpus, chosen, options, progress, among)
    if chosen.loop.score_every_steps and kinds.converts(chosen.model):
        trainer.scorer = scorer_of(corpus, request.seed, among)
    limits = Budget(max_steps or (10**12 if budget else chosen.loop.max_steps), seconds, request.until_plateau)
    unit = media.class_of(chosen.model).unit
    _stop_on_signal(trainer.stop)
    if not among.is_writer:
        trainer.run(limits)
        if trainer.stop.is_set():
            raise typer.Exit(130)
        return
    watcher = JsonLines() if as_json else Watcher(limits, chosen, len(trainer.model.singers.names), unit, folder.sample)
    trainer.observers += [Journal(folder.journal), SampleFiles(folder), watcher]
    if board.is_available():
        trainer.observers.append(board.Board(folder.tensorboard))
    try:
        trainer.run(limits, is_locked=True)
    finally:
        watcher.close()
    is_plateau = request.until_plateau and trainer.has_reached_a_plateau
    _say_how_it_ended(trainer, _next_command(chosen.model, output, corpus), is_plateau=is_plateau)
    if trainer.stop.is_set():
        raise typer.Exit(130)


def _refuse_other_report(output: Path) -> None:
    """Refuse a report that somebody has edited, before training for hours."""
    from moksori.evaluation.report import data as reports
    from moksori.evaluation.report import pages

    for name in (reports.FILE, pages.HTML, pages.MARKDOWN):
        path = output / "report" / name
        if os.path.lexists(path) and not ownership.is_ours(path):
            raise UserError(f"{path}: was edited, or is none of ours; move it away for --report, or leave --report out")


def _report(
    folder: RunFolder, corpus: Corpus, texts: Path | None, songs: Path | None, say: Words, *, as_json: bool
) -> None:
    """Judge the voice on the recordings that were held back."""
    from moksori.evaluation import folder as report_folder
    from moksori.evaluation.pairs import Texts

    output, known = folder.root / "report", Texts.load(texts)
    given = [folder.root, corpus.folder, "-o", output, *(["--songs", songs] if songs else [])]
    given += ["--texts", texts] if texts else []
    with report_folder.held(output, corpus.folder):
        with console.staged() as progress:
            report = evaluate.judge(folder.root, corpus, output, given, progress, texts=known, songs=songs)
        evaluate.show(report, output, evaluate.PLAYERS, say, as_json=as_json)


def _corpus(source: Path, folder: RunFolder, say: Words, name: str, *, is_quiet: bool) -> Corpus:
    """The prepared data: the source itself if it is that, else made of it.

    Raises:
        UserError: the run has begun with other recordings. Nothing is written then: what is away for a moment (a disk
            that is not mounted, a decoder that is missing) can come back.
    """
    from moksori.data.prepare_config import PrepareConfig
    from moksori.training import run

    there = run.data_of(source, folder, name)
    if there is not None:
        return there
    config = PrepareConfig(singer=name)
    prepared = run.made_data(source, folder, lambda data: prepare(source, data, config))
    if not is_quiet:
        print_doctor(prepared, say)
    return prepared


def _prepared(source: Path, folder: RunFolder) -> Corpus:
    """The data that the first process has prepared."""
    from moksori.data import corpus as corpora

    return corpora.Corpus.load(source if (source / corpora.MANIFEST).is_file() else folder.root / "data")


def scorer_of(corpus: Corpus, seed: int, among: Ranks) -> Scorer | None:
    """Who scores conversions: in the first process, or there; None in all where nothing can be judged."""
    from moksori.evaluation import scorer

    judge = None
    if among.is_writer:
        with console.counted("teaching a judge") as progress:
            judge = scorer.gather(corpus, seed, progress)
    is_there = among.broadcast(judge is not None)
    return judge if among.is_writer or not is_there else _Elsewhere()


class _Elsewhere:
    """Stands for the scorer of the first process, in the others, which get its scores."""

    def score(self, model: Model, provenance: Provenance) -> Score:
        """Is never asked."""
        raise AssertionError("only the first process scores")


def _stop_on_signal(stop: threading.Event) -> None:
    """The first Ctrl-C, SIGTERM or SIGHUP (a terminal closed) ends after this step and saves; a second ends at once."""

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        console.say("\nstopping after this step, and saving; press Ctrl-C again to stop without saving")

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` ignores it
        signal.signal(signal.SIGHUP, ask)


def _next_command(config: Config, output: Path, corpus: Corpus) -> str:
    """What one does with a run, as a command."""
    from moksori.models import kinds

    run, singer = shlex.quote(str(output)), f" -s {shlex.quote(corpus.singers[0])}"
    if not kinds.are_of_solo(config):
        return f"Convert: moksori convert SONG -m {run}{singer}"
    length = " --like RECORDING" if config.has_local_conditioning else " --seconds 4"
    return (
        f"Listen: moksori wavenet generate {run}{length}{singer if config.has_global_conditioning else ''} -o OUT.flac"
    )


def _say_how_it_ended(trainer: Trainer, next_command: str, *, is_plateau: bool) -> None:
    reached, chosen = trainer.counters, trainer.chosen
    state = f"{reached.step} steps in {console.duration_text(reached.seconds)}"
    if trainer.stop.is_set():
        console.say(f"Stopped and saved at {state}. The same command goes on from there.")
    elif is_plateau:
        console.say(f"Trained {state}, until it got no better.")
    else:
        console.say(f"Trained {state}.")
    for line in [*_what_was_reached(trainer), *_what_is_missing(trainer)]:
        console.say(console.wrapped(line, sys.stderr))
    if chosen:
        last = f"; the last one is {trainer.folder.model}" if chosen.step != reached.step else ""
        best = f"The best conversions were those after {chosen.step} steps: convert takes that model, "
        console.say(console.wrapped(f"{best}{trainer.folder.best}{last}.", sys.stderr))
    console.say(next_command)


def _what_was_reached(trainer: Trainer) -> list[str]:
    """What the recipe promises, where the run came to it."""
    loop, step = trainer.recipe.loop, trainer.counters.step
    if loop.good_steps and step >= loop.good_steps:
        return [f"Past the {loop.good_steps} steps after which a voice of this recipe is as good as the shipped one."]
    if loop.usable_steps and step >= loop.usable_steps:
        return [f"Past the {loop.usable_steps} steps after which a voice of this recipe is usable."]
    return []


def _what_is_missing(trainer: Trainer) -> list[str]:
    """What the run did not come to, and how long that would take at the speed it had."""
    from moksori.training import horizon
    from moksori.training.loop import Budget

    recipe, reached = trainer.recipe, trainer.counters
    if not reached.step or not reached.seconds:
        return []
    speed = reached.step / reached.seconds
    whole = Budget(10**12)
    found = horizon.milestones(recipe, len(trainer.model.singers.names), whole, *_place(reached), speed)
    who = f"recipe {recipe.name}" if recipe.name else "this recipe"
    lines = []
    for place in found:
        when = console.duration_text(place.seconds)
        if place.name == horizon.PHASE_2 and not trainer.plan.has_begun_the_last_phase(reached.step):
            lines.append(f"Stopped before phase 2 began, which comes at step {place.step}: about {when} in all.")
        elif place.name == horizon.USABLE:
            lines.append(
                f"Not usable yet: {who} needs about {place.step} steps, here about {when} in all. "
                f"The same command with --for {horizon.budget_text(place.seconds)} goes on."
            )
        elif place.name == horizon.GOOD and reached.step >= recipe.loop.usable_steps:
            lines.append(
                f"As good as the shipped voice after about {place.step} steps, here about {when} in all: "
                f"the same command with --for {horizon.budget_text(place.seconds)} goes on."
            )
    return lines


def _place(reached: Counters) -> tuple[int, float]:
    return reached.step, reached.seconds


class SampleFiles:
    """Writes samples as FLAC files."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def tell(self, event: Event) -> None:
        """See `events.Observer.tell`."""
        from moksori.audio import files
        from moksori.training.logging.events import Sampled

        if isinstance(event, Sampled):
            self._folder.samples.mkdir(exist_ok=True)
            files.write(self._folder.sample(event.step, event.name), event.clip)


class JsonLines:
    """Prints events as JSON lines, for programs."""

    def tell(self, event: Event) -> None:
        """See `events.Observer.tell`; sound is left out, and steps, which are many."""
        from moksori.training.logging.events import Sampled, Stepped

        if isinstance(event, Stepped):
            return
        fields = {"step": event.step, "name": event.name} if isinstance(event, Sampled) else dataclasses.asdict(event)
        typer.echo(json.dumps({"event": type(event).__name__.lower(), **fields}, default=str))

    def close(self) -> None:
        """Nothing to put away."""
