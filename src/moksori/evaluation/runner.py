"""From a model and held-out recordings to a report: clips are made, heard, scored, and gathered.

    trials -> conversions on disk -> panel -> items -> rows with intervals, confusion tables, verdict -> report

Beside the conversions stand controls whose figures are known beforehand, so that a reader can trust the judges: real
recordings of the targets, sources handed in unchanged, and real recordings of the targets with other words.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from moksori import settings
from moksori.audio import files, overlap_add
from moksori.conversion import Voice
from moksori.data import threads
from moksori.data.corpus import Corpus, Recording, sung_range
from moksori.errors import AudioFileError, DataError
from moksori.evaluation import held_out, making, retrieval, trials
from moksori.evaluation.judges import distill_mos, resemblyzer, whisper
from moksori.evaluation.judges import panel as scoring
from moksori.evaluation.judges import singer as singer_judge
from moksori.evaluation.judges import vowels as recogniser
from moksori.evaluation.judges.panel import Heard, Panel, Words
from moksori.evaluation.making import Options
from moksori.evaluation.measures import bootstrap, mel_cepstrum, melody
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data as report
from moksori.evaluation.report import verdict
from moksori.evaluation.report.data import Item, Judge, Report, Row, SingerData
from moksori.evaluation.trials import Texts, Trial
from moksori.training.folder import RunFolder
from moksori.training.logging import journal

AUDIO = "audio"  # folder of a report's sounds
_POOL_SECONDS = 300.0  # of a target's training recordings, for the control by frames
_GRID = (report.CONVERSION, report.RECONSTRUCTION)

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[str, int, int], None]
"""Called with a stage in words, what is done of it, and how much it is in all."""


@dataclass(frozen=True)
class Made:
    """How a report came to be."""

    command: str  # that repeats it
    created: str  # ISO date
    software: str  # "moksori 0.1.0"


def panel(corpus: Corpus, texts: Texts, options: Options, progress: Progress) -> Panel:
    """Gather the judges, fitted on the corpus's training recordings; fitted once, they are kept beside the data."""
    tracker, seed = melody.tracker(options.tracker), options.seed
    judges: list[singer_judge.SingerHearer] = [
        singer_judge.load_or_fit(corpus, seed, _stage(progress, "teaching the judge of singers"))
    ]
    if resemblyzer.is_available():
        judges.append(resemblyzer.load_or_fit(corpus, _stage(progress, "asking the public speaker encoder")))
    known = {r.source: text for r in corpus.recordings if (text := texts.of(r.source))}
    words = None
    if known:
        words = recogniser.load_or_fit(corpus, known, seed, _stage(progress, "teaching the recogniser of vowels"))
    missing: list[str] = []
    reader = _present(lambda: whisper.load(options.whisper, options.language), missing) if _wants(options) else None
    rater = _present(distill_mos.load, missing) if _wants(options) else None
    return Panel(judges, tracker, words, Words(reader, options.language) if reader else None, rater, missing)


def _wants(options: Options) -> bool:
    return options.whisper != making.NOBODY


def _present(load: Callable[[], T], missing: list[str]) -> T | None:
    """A judge that may not be installed; why it is not goes to `missing`."""
    try:
        return load()
    except (whisper.Unavailable, distill_mos.Unavailable) as error:
        missing.append(str(error))
        return None


def evaluate_voice(
    voice: Voice,
    corpus: Corpus,
    folder: Path,
    made: Made,
    progress: Progress,
    *,
    options: Options | None = None,
    texts: Texts | None = None,
    parallel: Path | None = None,
    songs: Path | None = None,
    run: Path | None = None,
) -> Report:
    """Judge a model on recordings that it never saw.

    Args:
        voice: the model.
        corpus: the data it was trained with; its held-out recordings are converted.
        folder: of the report; conversions that lie there already, made by the same model in the same way, are kept.
        made: by what and when, for the report.
        progress: told what is going on.
        options: how much is converted.
        texts: what is sung.
        parallel: recordings of the same words by several singers; see `trials.parallel`.
        songs: by strangers; see `trials.strangers`.
        run: folder of the training run, for its curves.

    Raises:
        DataError: a singer has no held-out recording, or the model has other singers.
        UserError: the voice cannot be computed by the backend of the options.
    """
    if voice.singers != corpus.singers:
        raise DataError(
            f"{corpus.folder}: its singers are {', '.join(corpus.singers)}; the model knows "
            f"{', '.join(voice.singers)}; evaluate on the data it was trained with"
        )
    options, texts = options or Options(), texts or Texts({})
    told_by = melody.SwiftF0.name if voice.is_told_the_pitch else None
    options = _with_tracker(options, told_by)
    backend = voice.backend_name(options.backend)
    audio = folder / AUDIO
    chosen = trials.held_out(corpus, options.split, options.per_singer, audio, texts)
    if parallel is not None:
        chosen += trials.parallel(parallel, corpus.singers, options.per_pair, audio, texts)
    if songs is not None:
        chosen += trials.strangers(songs, corpus.singers, audio)
    listeners = panel(corpus, texts, options, progress)  # what is missing is said before the long work
    chosen = making.transposed(voice, chosen, options)
    making.make(voice, chosen, audio, options, _stage(progress, "converting"), corpus.fingerprint)
    cycled = making.make_cycles(voice, chosen, options, _stage(progress, "converting back"))
    work = _Work(listeners, corpus, texts, folder, progress)
    items = work.with_cycles(work.judge(chosen), cycled) + work.moved(chosen) + work.frames(chosen)
    items += work.copy_synthesis(voice, [trial for trial in chosen if trial.row != report.STRANGERS])
    notes = [
        f"Converted were {options.per_singer} recordings of each singer's {options.split} split into every singer, "
        f"seed {options.seed}, temperature {options.temperature:g}{f', backend {backend}' if backend else ''}. "
        + _unseen(voice, corpus),
        *_doubts(voice, corpus, options, told_by),
        f"The model works at {voice.sample_rate} Hz, so nothing above {voice.sample_rate / 2:g} Hz can come from it.",
    ]
    model = {
        "fingerprint": voice.fingerprint,
        "sample_rate": voice.sample_rate,
        "singers": list(voice.singers),
        "parameters": sum(weights.numel() for weights in voice.model.parameters()),
        "backend": backend,  # what computed its codes; "" if it samples none
    } | settings.plain(voice.provenance)
    curves = _curves(RunFolder(run).journal) if run else {}
    title = f"{run.name if run else voice.provenance.recipe or 'A voice'}: how good are its conversions?"
    told = work.report(title, made, items, chosen, options, notes, model, curves)
    return replace(told, tables={"Inside the model, on held-out recordings": _inside(voice, corpus, options)})


def _with_tracker(options: Options, told_by: str | None) -> Options:
    if options.tracker != melody.AUTO:
        return options
    return replace(options, tracker=melody.independent_of(told_by))


def _doubts(voice: Voice, corpus: Corpus, options: Options, told_by: str | None) -> list[str]:
    """What a reader should know before trusting the figures."""
    doubts = []
    if voice.is_told_the_pitch:
        way = {"auto": "by whole octaves", "nearest": "by semitones"}.get(str(options.transpose))
        moved = f"{way} to where its target sings" if way else f"by {options.transpose:g} semitones"
        doubts.append(f"Each source was moved {moved}; its melody was asked for at that pitch.")
    if told_by == options.tracker:
        doubts.append(
            f"CAUTION: the voice is told the pitch by {told_by}, which also judges it here, and agrees with its own "
            "mistakes; `pip install 'moksori[judges]'` brings another."
        )
    silent = [name for name in corpus.singers if not corpus.of(options.split, name)]
    if silent:
        doubts.append(f"Of {', '.join(silent)} no recording was held out: they are targets only.")
    return doubts


def evaluate_conversions(
    conversions: Path,
    corpus: Corpus,
    folder: Path,
    made: Made,
    progress: Progress,
    *,
    options: Options | None = None,
    texts: Texts | None = None,
) -> Report:
    """Judge conversions that somebody else made, named in a CSV in their folder; see `trials.from_table`.

    A conversion that cannot be read is left out, and named in the report's notes.

    Raises:
        DataError: no such table, or nothing in it that can be judged.
    """
    options, texts = _with_tracker(options or Options(), None), texts or Texts({})
    chosen, refused = trials.from_table(conversions, corpus, texts)
    making.begin(folder / AUDIO, {"conversions": conversions.name})  # they may have changed since the last time
    work = _Work(panel(corpus, texts, options, progress), corpus, texts, folder, progress)
    items = work.judge(chosen) + work.moved(chosen) + work.frames(chosen)
    notes = [f"{len(chosen)} conversions made elsewhere, from {conversions.name}."]
    notes += [f"Left out: {line}." for line in refused]
    title = f"{conversions.name}: how good are these conversions?"
    return work.report(title, made, items, chosen, options, notes, {}, {})


class _Work:
    """One evaluation: a panel, and what it has heard so far."""

    def __init__(self, listeners: Panel, corpus: Corpus, texts: Texts, folder: Path, progress: Progress) -> None:
        self._panel = listeners
        self._corpus = corpus
        self._texts = texts
        self._folder = folder
        self._progress = progress
        self._heard: dict[Path, Heard] = {}  # of real recordings, which come up again and again
        self._unreadable: list[str] = []

    def judge(self, chosen: Sequence[Trial]) -> list[Item]:
        """Listen to conversions; one that cannot be read is left out."""
        self._listen({trial.source for trial in chosen}, "listening to the sources")
        found = self._map(self._judge, chosen, "listening to the conversions")
        return [item for item in found if item is not None]

    def copy_synthesis(self, voice: Voice, chosen: Sequence[Trial]) -> list[Item]:
        """Every source through the model's representation of sound, without the model: the best it could do."""

        def one(trial: Trial) -> Item:
            source = self._heard[trial.source]
            heard = self._panel.hear(voice.represent(source.clip), source)
            own = replace(
                trial,
                row=report.COPY_SYNTHESIS,
                target_singer=trial.source_singer,
                transpose_semitones=0.0,
                truth=None,
            )
            return self._item(
                own,
                f"copy-synthesis/{trial.recording}",
                source,
                heard,
            )

        return self._map(one, _by_recording(chosen), "listening to the copy-synthesis")

    def moved(self, chosen: Sequence[Trial]) -> list[Item]:
        """The sources of conversions, each moved as far as it was asked to be, by no model."""
        rows = {report.CONVERSION: report.MOVED, report.STRANGERS: report.MOVED_STRANGERS}
        groups: dict[tuple[Path, float], list[Trial]] = defaultdict(list)
        for trial in chosen:
            if trial.row in rows and trial.source in self._heard:
                groups[trial.source, trial.transpose_semitones].append(trial)

        def one(group: tuple[tuple[Path, float], list[Trial]]) -> list[Item]:
            (path, semitones), alike = group
            source = self._heard[path]
            heard = self._panel.hear(overlap_add.moved(source.clip, source.track, semitones), source)
            first = self._item(alike[0], "", source, heard)
            return [
                replace(
                    first,
                    name=f"moved/{trial.name}",
                    row=rows[trial.row],
                    target_singer=trial.target_singer,
                    scores=first.scores | self._panel.singer_scores(heard, trial.source_singer, trial.target_singer),
                )
                for trial in alike
            ]

        found = self._map(one, list(groups.items()), "listening to the sources, moved")
        return [item for group in found for item in group]

    def frames(self, chosen: Sequence[Trial]) -> list[Item]:
        """The moved sources by the nearest frames of their targets' own recordings; only where Whisper reads words.

        Of songs by strangers if there are any, else of the held-out recordings.
        """
        row = report.STRANGERS if any(trial.row == report.STRANGERS for trial in chosen) else report.CONVERSION
        jobs = [trial for trial in chosen if trial.row == row and trial.source in self._heard]
        if not jobs or self._panel.words is None:
            return []
        targets = sorted({trial.target_singer for trial in jobs})
        found = self._map(self._pool, targets, "gathering the targets' frames")
        pools = {singer: pool for singer, pool in zip(targets, found, strict=True) if pool is not None}
        name = report.FRAMES_STRANGERS if row == report.STRANGERS else report.FRAMES

        def one(trial: Trial) -> Item:
            source = self._heard[trial.source]
            song = overlap_add.moved(source.clip, source.track, trial.transpose_semitones)
            track = retrieval.moved_track(source.track, trial.transpose_semitones)
            heard = self._panel.hear(retrieval.sung(song, track, pools[trial.target_singer]), source)
            return self._item(replace(trial, row=name), f"frames/{trial.name}", source, heard)

        return self._map(one, [t for t in jobs if t.target_singer in pools], "listening to frames")

    def _pool(self, singer: str) -> retrieval.Pool | None:
        recordings, seconds = [], 0.0
        for recording in self._corpus.of("train", singer):
            if seconds > _POOL_SECONDS:
                break
            clip = files.read(self._corpus.clip_path(recording))
            recordings.append((clip, self._panel.tracker.track(clip)))
            seconds += clip.seconds
        return retrieval.pool(recordings)

    def with_cycles(self, items: Sequence[Item], cycled: Sequence[Trial]) -> list[Item]:
        """Add how far the conversions of conversions, back to the source's singer, are from the source."""

        def one(trial: Trial) -> tuple[str, float]:
            source = self._heard[trial.source].clip
            return trial.name, mel_cepstrum.distance_db(source, files.read(making.cycle_path(trial)))

        distance_db = dict(self._map(one, cycled, "listening to what was converted back"))
        return [
            replace(item, scores=item.scores | {"cycle_distance_db": distance_db[item.name]})
            if item.name in distance_db
            else item
            for item in items
        ]

    def _judge(self, trial: Trial) -> Item | None:
        source = self._heard.get(trial.source)
        try:
            if source is None:
                return None
            conversion = self._panel.hear(files.read(trial.conversion), source)
            truth = files.read(trial.truth) if trial.truth else None
        except AudioFileError as error:
            self._unreadable.append(str(error))
            return None
        item = self._item(trial, trial.name, source, conversion)
        other = None if trial.truth == trial.source else source.clip
        scores = item.scores | (scoring.truth_scores(other, conversion.clip, truth) if truth else {})
        return replace(item, scores=scores, files=self._keep(trial, source, conversion))

    def _item(self, trial: Trial, name: str, source: Heard, conversion: Heard) -> Item:
        is_same = trial.source_singer == trial.target_singer and trial.transpose_semitones == 0
        scores = (
            self._panel.singer_scores(conversion, trial.source_singer, trial.target_singer)
            | scoring.pair_scores(source, conversion, trial.transpose_semitones, is_same=is_same)
            | scoring.word_scores(conversion, trial.text)
            | scoring.text_scores(source, conversion, trials.lyrics(trial.source))
        )
        spoken = {"source": source.spoken, "conversion": conversion.spoken}
        return Item(
            name,
            trial.row,
            trial.recording,
            trial.source_singer,
            trial.target_singer,
            trial.transpose_semitones,
            scores,
            dict(conversion.singers),
            texts={kind: found.text for kind, found in spoken.items() if found},
        )

    def truth(self, split: str) -> list[Item]:
        """Real recordings of every singer: what the judges say of the real thing."""
        recordings = self._corpus.of(split)
        self._listen([self._corpus.clip_path(r) for r in recordings], "listening to real recordings", with_words=False)
        items = []
        for recording in recordings:
            heard = self._heard[self._corpus.clip_path(recording)]
            scores = self._panel.singer_scores(heard, "", recording.singer)
            scores |= scoring.word_scores(heard, self._texts.of(recording.source))
            scores |= {} if heard.rating is None else {"distill_mos": heard.rating}
            items.append(_real_item(report.TRUTH, recording, recording.singer, scores, heard))
        return items

    def controls(self, chosen: Sequence[Trial], split: str) -> list[Item]:
        """Sources handed in unchanged, and real recordings of the target with other words."""
        jobs: list[tuple[Trial, str, Path, str]] = []
        for trial in _by_recording(chosen):
            for number, target in enumerate(self._corpus.singers):
                others = self._corpus.of(split, target)
                if target != trial.source_singer and others:
                    other = others[(number + len(jobs)) % len(others)]
                    jobs.append((trial, target, trial.source, report.COPY))
                    jobs.append((trial, target, self._corpus.clip_path(other), report.SWAPPED))
        copies: dict[Path, scoring.Scores] = {}

        def one(job: tuple[Trial, str, Path, str]) -> Item:
            trial, target, conversion, row = job
            source, heard = self._heard[trial.source], self._heard[conversion]
            if row == report.COPY:  # the same for every target
                scores = copies.setdefault(trial.source, scoring.pair_scores(source, heard, 0.0))
            else:
                scores = scoring.pair_scores(source, heard, 0.0)
            scores = scores | self._panel.singer_scores(heard, trial.source_singer, target)
            scores |= scoring.word_scores(heard, trial.text)
            if row == report.COPY:  # of other recordings no words were written down
                scores |= scoring.text_scores(source, heard, trials.lyrics(trial.source))
            name = f"{row}/{trial.recording} to {target}"
            return Item(name, row, trial.recording, trial.source_singer, target, 0.0, scores, dict(heard.singers))

        return self._map(one, jobs, "judging the controls")

    def report(
        self,
        title: str,
        made: Made,
        items: list[Item],
        chosen: Sequence[Trial],
        options: Options,
        notes: list[str],
        model: dict[str, object],
        curves: dict[str, list[list[float]]],
    ) -> Report:
        """Put everything together."""
        truth = self.truth(options.split)
        items = items + truth + self.controls([t for t in chosen if t.row in _GRID], options.split)
        singers = self._corpus.singers
        judges = [
            Judge(
                judge.name,
                judge.description,
                bootstrap.clustered(
                    [float(item.heard[judge.name] == item.target_singer) for item in truth],
                    [item.recording for item in truth],
                    options.seed,
                )
                if truth
                else None,
                _confusion(truth, judge.name, singers),
            )
            for judge in self._panel.judges
        ]
        converted = [item for item in items if item.row == report.CONVERSION]
        confusion = {judge.name: _confusion(converted, judge.name, singers) for judge in self._panel.judges}
        rows = gather(items, len(singers), options.seed)
        data = [_singer_data(self._corpus, singer, options.split) for singer in singers]
        notes = notes + self._notes() + [f"Left out: {line}" for line in self._unreadable]
        return Report(
            title,
            made.command,
            made.created,
            made.software,
            data,
            judges,
            rows,
            items,
            confusion,
            verdict.write(rows, confusion, judges, items, data),
            notes,
            dict(model),
            curves,
        )

    def _notes(self) -> list[str]:
        notes = [
            f"Pitch is tracked by {self._panel.tracker.name}; frames count as right within 50 cents.",
            "Intervals are 95 %, by a bootstrap that draws source recordings, since clips of one recording are alike.",
            "No figure here is a mean opinion score: nobody listened. For that, see `moksori listen`.",
        ]
        if self._panel.recogniser is None:
            notes.append("Vowels were not judged: no table said what is sung (--texts).")
        notes += [f"Not judged: {why}." for why in self._panel.missing]
        if self._panel.words:
            judge, language = self._panel.words.judge, self._panel.words.language
            told = f"told that the language is {language}" if language else "which found out the language itself"
            notes.append(
                f"Words were read by {judge.description}, {told}: taught on speech, so compare with the source moved "
                "in pitch only. Letters are compared with its own text of the source, or with lyrics beside the song."
            )
        if self._panel.rater:
            notes.append(f"{distill_mos.NAME} is {distill_mos.DESCRIPTION}; read it beside the moved sources, too.")
        if len(self._panel.judges) == 1:
            notes.append("No public speaker encoder was installed (extra `judges`), so there is one judge only.")
        return notes

    def _listen(self, paths: Iterable[Path], stage: str, *, with_words: bool = True) -> None:
        new = sorted(set(paths) - self._heard.keys())

        def one(path: Path) -> Heard | None:
            try:
                return self._panel.hear(files.read(path), with_words=with_words)
            except AudioFileError as error:
                self._unreadable.append(str(error))
                return None

        for path, heard in zip(new, self._map(one, new, stage), strict=True):
            if heard is not None:
                self._heard[path] = heard

    def _map(self, work: Callable[[T], R], items: Sequence[T], stage: str) -> list[R]:
        results = []
        for result in threads.map_in_order(work, items, workers=0):
            results.append(result)
            self._progress(stage, len(results), len(items))
        return results

    def _keep(self, trial: Trial, source: Heard, conversion: Heard) -> dict[str, str]:
        """Copy the sounds of a trial into the report's folder; by what they are, their paths below it."""
        kept = {"source": f"{AUDIO}/source-{_plain(trial.recording)}.flac", "conversion": f"{AUDIO}/{trial.name}.flac"}
        for kind, clip in (("source", source.clip), ("conversion", conversion.clip)):
            path = self._folder / kept[kind]
            if not path.exists():
                files.write(path, clip)
        if target := self._voice_of(trial):
            kept["target"] = target
        return kept

    def _voice_of(self, trial: Trial) -> str | None:
        """A real recording of the target, of the same words if there is one."""
        if trial.truth:
            path, real = f"{AUDIO}/target-{_plain(f'{trial.target_singer}/{trial.truth.name}')}.flac", trial.truth
        else:
            recordings = self._corpus.of("test", trial.target_singer) or self._corpus.of("train", trial.target_singer)
            path, real = f"{AUDIO}/target-{_plain(trial.target_singer)}.flac", self._corpus.clip_path(recordings[0])
        if not (self._folder / path).exists():
            files.write(self._folder / path, files.read(real))
        return path


def gather(items: Sequence[Item], n_singers: int, seed: int) -> list[Row]:
    """Rows of figures from judged clips, in the order of `report.ROWS`; the last is what guessing would give."""
    rows = []
    for name in report.ROWS:
        own = [item for item in items if item.row == name]
        figures = {}
        for metric in report.METRICS:
            scored = [item for item in own if metric in item.scores]
            if scored:
                values = [item.scores[metric] for item in scored]
                figures[metric] = bootstrap.clustered(values, [item.recording for item in scored], seed)
        if own:
            rows.append(Row(name, len(own), figures))
    share = Figure(1 / n_singers, 1 / n_singers, 1 / n_singers, 0)
    rows.append(Row(report.CHANCE, 0, {"identified": share, "leak": share}))
    return rows


def _unseen(voice: Voice, corpus: Corpus) -> str:
    if voice.provenance.data_fingerprint == corpus.fingerprint:
        return "The model saw none of them."
    return "CAUTION: the model was trained on other data than this, and may have seen some of them."


def _inside(voice: Voice, corpus: Corpus, options: Options) -> list[list[str]]:
    """Losses and the probe; what they say is explained in `held_out`."""
    figures = held_out.evaluate(voice.model, corpus, options.split, seed=options.seed)
    return [
        ["figure", "value", "a model that has learnt nothing"],
        [f"reconstruction loss, {figures.unit}", f"{figures.loss:.3f}", "5.545" if "nats" in figures.unit else "–"],
        ["the same with another segment's latent", f"{figures.shuffled_loss:.3f}", "the same as above"],
        ["singer read from the latent by a fresh probe", f"{figures.probe_accuracy:.1%}", f"{figures.chance:.1%}"],
    ]


def _by_recording(chosen: Sequence[Trial]) -> list[Trial]:
    """The first trial of each source recording."""
    return list({trial.recording: trial for trial in reversed(chosen)}.values())[::-1]


def _real_item(row: str, recording: Recording, target: str, scores: scoring.Scores, heard: Heard) -> Item:
    name = f"{row}/{recording.source}"
    return Item(name, row, recording.source, recording.singer, target, 0.0, scores, dict(heard.singers))


def _confusion(items: Sequence[Item], judge: str, singers: Sequence[str]) -> list[list[int]]:
    """Counts, target x heard, in the order of the singers."""
    counts = np.zeros((len(singers), len(singers)), int)
    for item in items:
        counts[singers.index(item.target_singer), singers.index(item.heard[judge])] += 1
    return [[int(count) for count in row] for row in counts]


def _singer_data(corpus: Corpus, singer: str, split: str) -> SingerData:
    trained = corpus.of("train", singer)
    sung = sung_range(trained)
    minutes = sum(recording.sung_seconds for recording in trained) / 60
    return SingerData(
        singer, minutes, len(corpus.of(split, singer)), sung.low_hz if sung else None, sung.high_hz if sung else None
    )


def _curves(path: Path) -> dict[str, list[list[float]]]:
    """Losses and held-out figures of a run, name -> [step, value]."""
    curves: dict[str, list[list[float]]] = defaultdict(list)
    for entry in journal.read(path) if path.is_file() else ():
        for name, value in (entry.get("losses") or entry.get("figures") or {}).items():
            prefix = "held-out " if "figures" in entry else ""
            curves[prefix + name].append([float(entry["step"]), float(value)])
    return dict(curves)


def _stage(progress: Progress, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(stage, done, total)


def _plain(name: str) -> str:
    """A recording's name as part of a file name; two names hardly ever become one."""
    letters = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    return f"{letters[-60:]}-{zlib.crc32(name.encode()):08x}"
