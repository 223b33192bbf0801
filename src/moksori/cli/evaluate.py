"""`moksori evaluate`: how good a voice is, on recordings that it never saw."""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori import language as languages
from moksori.cli import catalogue, console
from moksori.errors import UserError
from moksori.language import Words
from moksori.progress import OnProgress
from moksori.workers import places
from moksori.workers.places import Place

if TYPE_CHECKING:
    from moksori.data.corpus import Corpus
    from moksori.evaluation.conversions import Options
    from moksori.evaluation.pairs import Texts
    from moksori.evaluation.report.data import Report
    from moksori.evaluation.report.gather import Origin


PLAYERS = 24  # pairs to listen to in a page

# Options that mean nothing where no report is written, or where the conversions were made by others.
_OF_CONVERSIONS = ("ray", "workers", "clips", "pairs", "parallel", "songs", "transpose", "temperature", "backend")
_OF_REPORTS = (*_OF_CONVERSIONS, "texts", "tracker", "players", "whisper", "language")


def command(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] DATA",
            help="Model file or run folder, and the data it was trained with (RUN/data, or what `prepare` made), a "
            "folder or a URL. With --conversions only DATA, the singers that the judges are to know.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="REPORT",
            help="Folder of the report, or URL. Without it, only a quick look inside.",
        ),
    ] = None,
    conversions: Annotated[
        Path | None,
        typer.Option(
            help="Judge conversions made elsewhere: a folder with a CSV of the columns conversion, source, target, and "
            "perhaps source_singer, transpose, text, truth."
        ),
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Held-out recordings of each singer, each into every singer; default: 3, or more where singers are "
            "few and the voice is fast.",
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            help="Only the pairs of this CSV or TSV: columns source, target, perhaps source_singer, text, truth.",
        ),
    ] = None,
    parallel: Annotated[
        Path | None,
        typer.Option(help="Recordings of the same words by several singers: <singer>/<name>.*, or a CSV of pairs."),
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="CSV or TSV of what is sung, columns file and text, to judge the vowels.")
    ] = None,
    songs: Annotated[
        Path | None,
        typer.Option(
            help="Songs by strangers, a folder or a file, each into every singer; lyrics may lie in a .txt beside each."
        ),
    ] = None,
    whisper: Annotated[
        str,
        typer.Option(
            help="Who reads the words: base or tiny.en of the extra `words`, a folder with a Whisper in CTranslate2's "
            "format, none (nor DistillMOS), or auto: base, if it is installed."
        ),
    ] = "auto",
    language: Annotated[
        str | None, typer.Option(help="What is sung, such as ko, ja or en; default: Whisper finds out, song by song.")
    ] = None,
    split: Annotated[str, typer.Option(help="Recordings to judge with: test or validation.")] = "test",
    tracker: Annotated[
        str,
        typer.Option(
            help="Of the pitch: swift-f0 or pyin; auto: another one than tells the voice its pitch, if it is there."
        ),
    ] = "auto",
    transpose: Annotated[
        str,
        typer.Option(help="Of the conversions of voices conditioned on the pitch: auto, nearest, or semitones."),
    ] = "auto",
    temperature: Annotated[float, typer.Option(min=0.0, help="Of the conversions.")] = 1.0,
    backend: Annotated[
        str,
        typer.Option(
            help="What computes the conversions of voices that sample codes: float32, bfloat16, int8, streaming, auto."
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of conversions, judges and intervals.")] = 0,
    players: Annotated[int, typer.Option(min=0, help="Pairs to listen to in the page.")] = PLAYERS,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Conversions are made by Ray: auto (the cluster that runs), local, or a cluster's address; off: here.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="With --ray: how many; 0 for one each core.")] = 0,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Replace the report of another evaluation, or one that was edited.")
    ] = False,
    lang: console.Language = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a voice: who is heard, is the melody kept, are the words, is it clean; with controls and intervals.

    Converts held-out recordings of every singer into every singer, lets independent judges listen, and writes
    report.html (one file, to read and to listen to), report.md and report.json. The judges are taught on the training
    recordings once, and kept in DATA/judges. Interrupted, the same command goes on.
    """
    if split not in ("test", "validation"):
        raise UserError(f"--split is {split!r}; expected test or validation")
    say = Words(languages.choose(lang))
    if listed and clips:
        raise UserError("--pairs says what is converted, --clips how much of all; leave one of them out")
    if workers and ray in (None, catalogue.OFF):
        raise UserError("--workers is for Ray's; add --ray local, or leave it out")
    if len(paths) != (1 if conversions else 2):
        raise UserError(
            "expected `moksori evaluate MODEL DATA`, or `moksori evaluate DATA --conversions FOLDER`; "
            f"found {len(paths)} path{'s' * (len(paths) != 1)}"
        )
    if not conversions:
        console.refuse_missing_model(Path(paths[0]))
    if conversions:
        _refuse(context, _OF_CONVERSIONS, "the conversions are there already, made by others; leave it out")
    if output is None and conversions is None:
        _refuse(context, _OF_REPORTS, "counts only where a report is written; add -o REPORT, or leave it out")
        with _data(paths[1], ray) as data:
            _look_inside(Path(paths[0]), data, split, seed, as_json)
        return
    if output is None:
        raise UserError("--conversions needs -o REPORT, the folder to write the report into")

    from moksori.data.corpus import Corpus
    from moksori.evaluation import folder as report_folder
    from moksori.evaluation import runner
    from moksori.evaluation.conversions import Options
    from moksori.evaluation.pairs import Texts
    from moksori.evaluation.report import data as reports

    options = Options(
        clips,
        split,
        seed=seed,
        temperature=temperature,
        backend=backend,
        transpose=console.transposition(transpose),
        tracker=tracker,
        whisper=whisper,
        language=language,
    )
    known = Texts.load(texts)
    given: list[object] = [*paths, "-o", output]
    named = {
        "--conversions": conversions,
        "--pairs": listed,
        "--parallel": parallel,
        "--songs": songs,
        "--texts": texts,
    }
    given += [part for name, value in named.items() if value for part in (name, value)]
    given += ["--split", split, "--tracker", tracker, "--seed", seed]
    given += ["--clips", clips] if clips is not None else []
    given += [] if conversions else ["--temperature", temperature]
    given += ["--transpose", transpose] if transpose != "auto" else []
    given += ["--whisper", whisper] if whisper != "auto" else []
    given += ["--language", language] if language else []
    given += ["--backend", backend] if backend != "auto" else []
    with _data(paths[-1], ray) as data, catalogue.folder(output, ray, record=reports.FILE) as folder:
        corpus = Corpus.load(data)
        origin = origin_of(given)
        report_folder.refuse_other(folder, origin.command, force)
        with report_folder.held(folder, corpus.folder):
            with console.staged() as progress:
                if conversions:
                    report = runner.evaluate_conversions(
                        conversions, corpus, folder, origin, progress, options=options, texts=known
                    )
                else:
                    model = Path(paths[0])
                    report = judge(
                        model, corpus, folder, given, progress, options, known, parallel, songs, listed, ray, workers
                    )
            show(report, folder, players, say, as_json=as_json, where=output)


def _data(text: str, ray: str | None) -> AbstractContextManager[Path]:
    """The folder of prepared recordings."""
    from moksori.data.corpus import CACHE, MANIFEST

    return catalogue.folder(text, ray, record=MANIFEST, without=[CACHE])


def _refuse(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Refuse options that would be ignored.

    Raises:
        UserError: one of them was given; it says which, and why it would not count.
    """
    for name in names:
        source = context.get_parameter_source({"pairs": "listed"}.get(name, name))
        if source is not None and source.name == "COMMANDLINE":
            raise UserError(f"--{name}: {why}")


def judge(
    model: Path,
    corpus: Corpus,
    output: Path,
    given: Sequence[object],
    progress: OnProgress,
    options: Options | None = None,
    texts: Texts | None = None,
    parallel: Path | None = None,
    songs: Path | None = None,
    listed: Path | None = None,
    ray: str | None = None,
    workers: int = 0,
) -> Report:
    """Judge a model file, or the model of a run; conversions are made by Ray where it is asked for."""
    import moksori
    from moksori.evaluation import runner
    from moksori.evaluation.conversions import Options

    run, voice = model if model.is_dir() else None, moksori.load(model)
    with catalogue.files_converter(ray, model, voice, [corpus.folder, output], workers) as convert_files:
        return runner.evaluate_voice(
            voice,
            corpus,
            output,
            origin_of(given),
            progress,
            options=options or Options(whisper="auto"),
            texts=texts,
            parallel=parallel,
            songs=songs,
            run=run,
            listed=listed,
            convert_files=convert_files,
        )


def origin_of(arguments: Sequence[object]) -> Origin:
    """What a report tells of the command that made it."""
    import moksori
    from moksori.evaluation.report.gather import Origin

    line = shlex.join(["moksori", "evaluate", *map(str, arguments)])
    return Origin(line, datetime.date.today().isoformat(), f"moksori {moksori.__version__}")


def show(report: Report, output: Path, players: int, say: Words, *, as_json: bool, where: str = "") -> None:
    """Write the report's files, and print its verdict and what to do next; `where` they are read, if not there."""
    from moksori.evaluation import folder as report_folder
    from moksori.evaluation.report import data as reports
    from moksori.evaluation.report import next_steps, pages

    path = reports.save(report, output)
    console.say("writing the page ...")
    page, _ = pages.write(report, output, n_players=players, say=say)
    report_folder.vouch(output)
    if as_json:
        typer.echo(path.read_text(encoding="utf-8"), nl=False)
        return
    for sentence in pages.verdict_in(report, say):
        typer.echo(f"- {sentence}")
    typer.echo("\n" + say("What to do next"))
    for sentence in next_steps.write(report, say):
        typer.echo(f"- {sentence}")
    shown = Place.of(where).where(page.name) if places.is_url(where) else page
    typer.echo("\n" + say("Read and listen: {page}", page=shown))


def _look_inside(model: Path, data: Path, split: str, seed: int, as_json: bool) -> None:
    """Losses in a minute: does the decoder use the latent, does the latent hide the singer?"""
    import moksori
    from moksori import settings
    from moksori.data.corpus import Corpus
    from moksori.evaluation import held_out

    figures = held_out.evaluate(moksori.load(model).model, Corpus.load(data), split, seed=seed)
    if as_json:
        typer.echo(json.dumps(settings.plain(figures), indent=2))
        return
    typer.echo(f"held-out segments of one second           {figures.n_segments}")
    nothing = "  (5.545 knows nothing)" if "nats" in figures.unit else ""
    typer.echo(f"{f'reconstruction loss, {figures.unit}':<42}{figures.loss:.3f}{nothing}")
    typer.echo(f"the same with another segment's latent    {figures.shuffled_loss:.3f}")
    typer.echo(f"singer read from the latent by a probe    {figures.probe_accuracy:.1%}  (chance {figures.chance:.1%})")
    console.say("For judges, melody, words and a page to listen to, add -o REPORT.")
