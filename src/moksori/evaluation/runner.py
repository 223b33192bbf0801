"""Evaluate a model, or conversions made elsewhere, on held-out recordings: from files to a report.

    pairs -> conversions on disk -> analyses -> scores, beside controls -> sounds -> report

Beside the conversions stand controls whose figures are known beforehand; see `scoring`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from moksori import settings, whisper_files
from moksori.conversion import Voice
from moksori.conversion.catalogue import FilesConverter
from moksori.data.corpus import Corpus
from moksori.errors import DataError
from moksori.evaluation import conversions, held_out, scoring, sounds
from moksori.evaluation import pairs as test_pairs
from moksori.evaluation.analyses import Analyses
from moksori.evaluation.conversions import Options
from moksori.evaluation.judges import distill_mos, resemblyzer, whisper
from moksori.evaluation.judges import singer as singer_classifier
from moksori.evaluation.judges import vowels as recogniser
from moksori.evaluation.judges.panel import Panel, Transcriber
from moksori.evaluation.judges.singer import SingerClassifier
from moksori.evaluation.measures import melody
from moksori.evaluation.pairs import Pair, Texts
from moksori.evaluation.report import data as report
from moksori.evaluation.report import gather
from moksori.evaluation.report.data import Item, Report
from moksori.evaluation.report.gather import Origin, Subject
from moksori.progress import OnProgress, named
from moksori.training.folder import RunFolder
from moksori.training.logging import journal

T = TypeVar("T")

_ENOUGH, _FEWEST_CLIPS = 60, 3  # conversions that tell something; recordings of a singer, where singers are many
_EVERY_PAIR = (report.CONVERSION, report.RECONSTRUCTION)  # rows whose sources have controls


def evaluate_voice(
    voice: Voice,
    corpus: Corpus,
    folder: Path,
    origin: Origin,
    progress: OnProgress,
    *,
    options: Options | None = None,
    texts: Texts | None = None,
    parallel: Path | None = None,
    songs: Path | None = None,
    run: Path | None = None,
    listed: Path | None = None,
    convert_files: FilesConverter | None = None,
) -> Report:
    """Judge a model on recordings that it never saw.

    Args:
        voice: the model.
        corpus: the data it was trained with; its held-out recordings are converted.
        folder: of the report; conversions that lie there already, made by the same model in the same way, are kept.
        origin: by what and when, for the report.
        progress: called with what is going on.
        options: how much is converted.
        texts: what is sung.
        parallel: recordings of the same words by several singers; see `pairs.parallel`.
        songs: by strangers; see `pairs.strangers`.
        run: folder of the training run, for its curves.
        listed: pairs in place of all held-out recordings into all singers; see `pairs.listed`.
        convert_files: who converts; None for the voice itself, on this machine.

    Raises:
        DataError: a singer has no held-out recording, or the model has other singers.
        UserError: the voice cannot be computed by the backend of the options.
    """
    _check_singers(voice, corpus)
    options, texts = options or Options(), texts or Texts({})
    options = _with_tracker(options, melody.SwiftF0.name if voice.is_pitch_conditioned else None)
    backend, audio = voice.backend_name(options.backend), folder / sounds.FOLDER

    if listed is not None:
        pairs = test_pairs.listed(listed, corpus, audio, texts)
    else:
        options = replace(options, per_singer=options.per_singer or _usual_clips(voice, corpus))
        pairs = test_pairs.held_out(corpus, options.split, options.per_singer or 0, audio, texts)
    if parallel is not None:
        pairs += test_pairs.parallel(parallel, corpus.singers, options.per_pair, audio, texts)
    if songs is not None:
        pairs += test_pairs.strangers(songs, corpus.singers, audio)
    panel = gather_judges(corpus, texts, options, progress)  # what is missing is said before the long work
    pairs = conversions.transposed(voice, pairs, options)
    tell = named(progress, "converting")
    conversions.convert(voice, pairs, audio, options, tell, corpus.fingerprint, convert_files)
    tell = named(progress, "converting back")
    cycled = conversions.convert_back(voice, pairs, options, tell, convert_files)

    analyses = Analyses(panel, progress)
    items = sounds.keep(scoring.conversions(analyses, pairs), pairs, corpus, folder)
    items = scoring.with_cycles(analyses, items, cycled)
    items += scoring.moved(analyses, pairs) + scoring.frames(analyses, corpus, pairs)
    items += scoring.copy_synthesis(analyses, voice, [pair for pair in pairs if pair.row != report.STRANGERS])
    items += _known(analyses, corpus, pairs, options, texts)

    subject = Subject(
        f"{run.name if run else voice.provenance.recipe or 'A voice'}: how good are its conversions?",
        _notes_on_voice(voice, corpus, options, backend, listed) + _notes_on_judges(analyses),
        _described(voice, backend),
        _curves(RunFolder(run).journal) if run else {},
        {"Inside the model, on held-out recordings": _inside(voice, corpus, options)},
    )
    return gather.report(subject, origin, items, _names(panel), corpus, options.split, options.seed)


def evaluate_conversions(
    folder_of_conversions: Path,
    corpus: Corpus,
    folder: Path,
    origin: Origin,
    progress: OnProgress,
    *,
    options: Options | None = None,
    texts: Texts | None = None,
) -> Report:
    """Judge conversions that somebody else made, named in a CSV in their folder; see `pairs.from_table`.

    A conversion that cannot be read, or whose source cannot, is left out, and named in the report's notes.

    Raises:
        DataError: no such table, or nothing in it that can be judged.
    """
    options, texts = _with_tracker(options or Options(), None), texts or Texts({})
    pairs, refused = test_pairs.from_table(folder_of_conversions, corpus, texts)
    name = folder_of_conversions.name
    conversions.begin(folder / sounds.FOLDER, {"conversions": name})  # they may have changed since the last time
    panel = gather_judges(corpus, texts, options, progress)

    analyses = Analyses(panel, progress)
    items = sounds.keep(scoring.conversions(analyses, pairs), pairs, corpus, folder)
    if not items:
        raise DataError(f"{folder_of_conversions}: no pair can be read; the first: {min(analyses.unreadable)}")
    items += scoring.moved(analyses, pairs) + scoring.frames(analyses, corpus, pairs)
    items += _known(analyses, corpus, pairs, options, texts)

    notes = [f"{len(pairs)} conversions made elsewhere, from {name}.", *(f"Left out: {line}." for line in refused)]
    subject = Subject(f"{name}: how good are these conversions?", notes + _notes_on_judges(analyses))
    return gather.report(subject, origin, items, _names(panel), corpus, options.split, options.seed)


def gather_judges(corpus: Corpus, texts: Texts, options: Options, progress: OnProgress) -> Panel:
    """Gather the judges, fitted on the corpus's training recordings; fitted once, they are kept beside the data."""
    tracker, seed = melody.tracker(options.tracker), options.seed
    classifiers: list[SingerClassifier] = []
    has_others = len(corpus.singers) > 1  # whoever knows one singer only names that one, whatever is heard
    if has_others:
        tell = named(progress, "teaching the judge of singers")
        classifiers.append(singer_classifier.load_or_fit(corpus, seed, tell))
    if has_others and resemblyzer.is_available():
        classifiers.append(resemblyzer.load_or_fit(corpus, named(progress, "asking the public speaker encoder")))
    known = {r.source: text for r in corpus.recordings if (text := texts.of(r.source))}
    words = None
    if known:
        words = recogniser.load_or_fit(corpus, known, seed, named(progress, "teaching the recogniser of vowels"))
    missing: list[str] = []
    is_wanted = options.whisper != conversions.NOBODY
    reader = _present(lambda: whisper.load(options.whisper, options.language), missing) if is_wanted else None
    rater = _present(distill_mos.load, missing) if is_wanted else None
    transcriber = Transcriber(reader, options.language) if reader else None
    return Panel(classifiers, tracker, words, transcriber, rater, missing)


def _present(load: Callable[[], T], missing: list[str]) -> T | None:
    """A judge that may not be installed; why it is not goes to `missing`."""
    try:
        return load()
    except (whisper_files.Unavailable, distill_mos.Unavailable) as error:
        missing.append(str(error))
        return None


def _known(analyses: Analyses, corpus: Corpus, pairs: Sequence[Pair], options: Options, texts: Texts) -> list[Item]:
    """Real recordings, and controls."""
    truth = scoring.ground_truth(analyses, corpus, options.split, texts)
    own = [pair for pair in pairs if pair.row in _EVERY_PAIR]
    return truth + scoring.controls(analyses, corpus, own, options.split)


def _usual_clips(voice: Voice, corpus: Corpus) -> int:
    """How many recordings of each singer are converted unless somebody says so: more, where singers are few.

    A voice that samples codes is slow, and gets the fewest.
    """
    n_pairs = len(corpus.singers) * (len(corpus.singers) - 1)
    return max(_FEWEST_CLIPS, -(-_ENOUGH // max(1, n_pairs))) if voice.is_pitch_conditioned else _FEWEST_CLIPS


def _check_singers(voice: Voice, corpus: Corpus) -> None:
    if voice.singers != corpus.singers:
        raise DataError(
            f"{corpus.folder}: its singers are {', '.join(corpus.singers)}; the model knows "
            f"{', '.join(voice.singers)}; evaluate on the data it was trained with"
        )


def _with_tracker(options: Options, own_tracker: str | None) -> Options:
    if options.tracker != melody.AUTO:
        return options
    return replace(options, tracker=melody.independent_of(own_tracker))


def _names(panel: Panel) -> Mapping[str, str]:
    return {classifier.name: classifier.description for classifier in panel.classifiers}


def _described(voice: Voice, backend: str) -> dict[str, object]:
    return {
        "fingerprint": voice.fingerprint,
        "sample_rate": voice.sample_rate,
        "singers": list(voice.singers),
        "parameters": sum(weights.numel() for weights in voice.model.parameters()),
        "backend": backend,  # what computed its codes; "" if it samples none
    } | settings.plain(voice.provenance)


def _notes_on_voice(voice: Voice, corpus: Corpus, options: Options, backend: str, listed: Path | None) -> list[str]:
    """How the conversions were made, and what a reader should know before trusting the figures."""
    is_unseen = voice.provenance.data_fingerprint == corpus.fingerprint
    count = f"{options.per_singer} recordings (or all there are) of each singer's {options.split} split"
    chosen = f"the pairs of {listed.name}" if listed else f"{count} into every singer"
    computed = f", backend {backend}" if backend else ""
    notes = [
        f"Converted were {chosen}; seed {options.seed}, temperature {options.temperature:g}{computed}. "
        + (
            "The model saw none of them."
            if is_unseen
            else "CAUTION: the model was trained on other data than this, and may have seen some of them."
        )
    ]
    if measured := [name for name in voice.singers if voice.provenance.measured_seconds(name)]:
        notes.append(f"CAUTION: {', '.join(measured)}: measured from takes, not trained.")
    if voice.is_pitch_conditioned:
        way = {"auto": "by whole octaves", "nearest": "by semitones"}.get(str(options.transpose))
        moved = f"{way} to where its target sings" if way else f"by {options.transpose:g} semitones"
        notes.append(f"Each source was moved {moved}; its melody was asked for at that pitch.")
    if voice.is_pitch_conditioned and options.tracker == melody.SwiftF0.name:
        notes.append(
            f"CAUTION: the voice is conditioned on the pitch of {options.tracker}, which also judges it here, and "
            "agrees with its own mistakes; `pip install 'moksori[judges]'` brings another."
        )
    silent = [name for name in corpus.singers if not corpus.of(options.split, name)]
    if silent:
        notes.append(f"Of {', '.join(silent)} no recording was held out: they are targets only.")
    half = voice.sample_rate / 2
    return [*notes, f"The model works at {voice.sample_rate} Hz, so nothing above {half:g} Hz can come from it."]


def _notes_on_judges(analyses: Analyses) -> list[str]:
    """How the figures were made, what they cannot say, and what was left out."""
    panel = analyses.panel
    notes = [
        f"Pitch is tracked by {panel.tracker.name}; frames count as right within 50 cents.",
        "Intervals are 95 %, by a bootstrap that draws source recordings, since clips of one recording are alike.",
        "No figure here is a mean opinion score: nobody listened. For that, see `moksori listen`.",
    ]
    if panel.recogniser is None:
        notes.append("Vowels were not judged: no table said what is sung (--texts).")
    notes += [f"Not judged: {why}." for why in panel.missing]
    if panel.transcriber:
        judge, language = panel.transcriber.judge, panel.transcriber.language
        given = f"told that the language is {language}" if language else "which found out the language itself"
        notes.append(
            f"Words were read by {judge.description}, {given}: taught on speech, so compare with the source moved "
            "in pitch only. Letters are compared with its own text of the source, or with lyrics beside the song."
        )
    if panel.rater:
        notes.append(f"{distill_mos.NAME} is {distill_mos.DESCRIPTION}; read it beside the moved sources, too.")
    if not panel.classifiers:
        notes.append("Who is heard was not judged: there is one singer, and nobody to tell them from.")
    if len(panel.classifiers) == 1:
        notes.append("No public speaker encoder was installed (extra `judges`), so there is one judge only.")
    return notes + [f"Left out: {line}" for line in sorted(analyses.unreadable)]


def _inside(voice: Voice, corpus: Corpus, options: Options) -> list[list[str]]:
    """Losses and the probe; what they say is explained in `held_out`."""
    figures = held_out.evaluate(voice.model, corpus, options.split, seed=options.seed)
    return [
        ["figure", "value", "a model that has learnt nothing"],
        [f"reconstruction loss, {figures.unit}", f"{figures.loss:.3f}", "5.545" if "nats" in figures.unit else "–"],
        ["the same with another segment's latent", f"{figures.shuffled_loss:.3f}", "the same as above"],
        ["singer read from the latent by a fresh probe", f"{figures.probe_accuracy:.1%}", f"{figures.chance:.1%}"],
    ]


def _curves(path: Path) -> dict[str, list[list[float]]]:
    """Losses and held-out figures of a run, name -> [step, value]."""
    curves: dict[str, list[list[float]]] = defaultdict(list)
    for entry in journal.read(path) if path.is_file() else ():
        for name, value in (entry.get("losses") or entry.get("figures") or {}).items():
            prefix = "held-out " if "figures" in entry else ""
            curves[prefix + name].append([float(entry["step"]), float(value)])
    return dict(curves)
