"""Scores of conversions, and of controls whose figures are known beforehand, so that a reader can trust the judges.

    conversions      of the model, each beside its source
    moved            sources moved in pitch only: what the key alone costs
    frames           sources by the nearest frames of the target's own recordings, without a net
    with_cycles      conversions with the distance to the source after converting back
    copy_synthesis   sources through the model's representation of sound, without the model
    ground_truth     real recordings of the singers
    controls         sources handed in unchanged; real recordings of the target with other words

What cannot be read is left out, here as in `Analyses`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from moksori.audio import files, overlap_add, pitch
from moksori.conversion import Voice
from moksori.data.corpus import Corpus
from moksori.evaluation import conversions as runs
from moksori.evaluation import retrieval
from moksori.evaluation.analyses import Analyses
from moksori.evaluation.judges import panel
from moksori.evaluation.judges.panel import Analysis, Scores
from moksori.evaluation.measures import mel_cepstrum
from moksori.evaluation.pairs import Pair, Texts, lyrics
from moksori.evaluation.report import data as report
from moksori.evaluation.report.data import Item

_POOL_SECONDS = 300.0  # of a target's training recordings, for the control by frames


def conversions(analyses: Analyses, pairs: Sequence[Pair]) -> list[Item]:
    """Score conversions beside their sources, and beside the target's own recording of the same words, if there is."""
    analyses.add([pair.source for pair in pairs], "analysing the sources")

    def one(pair: Pair) -> Item | None:
        source = analyses.of(pair.source)
        clip = None if source is None else analyses.read(pair.conversion)
        if source is None or clip is None:
            return None
        conversion = analyses.panel.analyse(clip, source, pair.transpose_semitones)
        item = _item(analyses, pair, pair.name, source, conversion)
        truth = analyses.read(pair.truth) if pair.truth else None
        if truth is None:
            return item
        other = None if pair.truth == pair.source else source.cepstra
        distances = panel.truth_scores(other, conversion.cepstra, mel_cepstrum.analyse(truth))
        return replace(item, scores=item.scores | distances)

    return [item for item in analyses.map(one, pairs, "analysing the conversions") if item is not None]


def moved(analyses: Analyses, pairs: Sequence[Pair]) -> list[Item]:
    """The sources of conversions, each moved as far as it was asked to be, by overlap-add, without a model."""
    rows = {report.CONVERSION: report.MOVED, report.STRANGERS: report.MOVED_STRANGERS}
    groups: dict[tuple[Path, float], list[Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.row in rows:
            groups[pair.source, pair.transpose_semitones].append(pair)

    def one(group: tuple[tuple[Path, float], list[Pair]]) -> list[Item]:
        (path, semitones), alike = group
        source = analyses.of(path)
        if source is None:
            return []
        copy = analyses.panel.analyse(overlap_add.moved(files.read(path), source.track, semitones), source, semitones)
        own = [replace(pair, row=rows[pair.row]) for pair in alike]
        return _items(analyses, [(pair, f"moved/{pair.name}") for pair in own], source, copy)

    found = analyses.map(one, list(groups.items()), "analysing the sources, moved")
    return [item for group in found for item in group]


def frames(analyses: Analyses, corpus: Corpus, pairs: Sequence[Pair]) -> list[Item]:
    """The moved sources by the nearest frames of their targets' own recordings; only where Whisper reads words.

    Of songs by strangers if there are any, else of the held-out recordings.
    """
    row = report.STRANGERS if any(pair.row == report.STRANGERS for pair in pairs) else report.CONVERSION
    chosen = [pair for pair in pairs if pair.row == row and analyses.of(pair.source) is not None]
    if not chosen or analyses.panel.transcriber is None:
        return []
    targets = sorted({pair.target_singer for pair in chosen})
    found = analyses.map(lambda singer: _pool(analyses, corpus, singer), targets, "gathering the targets' frames")
    pools = {singer: pool for singer, pool in zip(targets, found, strict=True) if pool is not None}
    name = report.FRAMES_STRANGERS if row == report.STRANGERS else report.FRAMES

    def one(pair: Pair) -> Item:
        source, semitones = analyses.of(pair.source), pair.transpose_semitones
        assert source is not None
        song = overlap_add.moved(files.read(pair.source), source.track, semitones)
        track = retrieval.moved_track(source.track, semitones)
        copy = analyses.panel.analyse(retrieval.sung(song, track, pools[pair.target_singer]), source, semitones)
        return _item(analyses, replace(pair, row=name), f"frames/{pair.name}", source, copy)

    return analyses.map(one, [pair for pair in chosen if pair.target_singer in pools], "analysing frames")


def _pool(analyses: Analyses, corpus: Corpus, singer: str) -> retrieval.Pool | None:
    recordings, seconds = [], 0.0
    for recording in corpus.of("train", singer):
        if seconds > _POOL_SECONDS:
            break
        clip = analyses.read(corpus.clip_path(recording))
        if clip is not None:
            recordings.append((clip, analyses.panel.tracker.track(clip)))
            seconds += clip.seconds
    return retrieval.pool(recordings)


def with_cycles(analyses: Analyses, items: Sequence[Item], cycled: Sequence[Pair]) -> list[Item]:
    """Add how far conversions of conversions, back to the source's singer, are from the source."""

    def one(pair: Pair) -> tuple[str, float | None]:
        source = analyses.of(pair.source)
        if source is None:
            return pair.name, None
        back = mel_cepstrum.analyse(files.read(runs.cycle_path(pair)))
        return pair.name, mel_cepstrum.distance_db(source.cepstra, back)

    found = dict(analyses.map(one, cycled, "analysing what was converted back"))
    return [_with_score(item, "cycle_frame_distance_db", found.get(item.name)) for item in items]


def copy_synthesis(analyses: Analyses, voice: Voice, pairs: Sequence[Pair]) -> list[Item]:
    """Every source through the model's representation of sound, without the model: the best that it could do."""

    def one(pair: Pair) -> Item | None:
        source = analyses.of(pair.source)
        if source is None:
            return None
        copy = analyses.panel.analyse(voice.represent(files.read(pair.source)), source)
        own = replace(pair, row=report.COPY_SYNTHESIS, target_singer=pair.source_singer, transpose_semitones=0.0)
        return _item(analyses, own, f"copy-synthesis/{pair.recording}", source, copy)

    found = analyses.map(one, _by_recording(pairs), "analysing the copy-synthesis")
    return [item for item in found if item is not None]


def ground_truth(analyses: Analyses, corpus: Corpus, split: str, texts: Texts) -> list[Item]:
    """Real recordings of every singer: what the judges say of the real thing."""
    recordings = corpus.of(split)
    analyses.add(map(corpus.clip_path, recordings), "analysing real recordings", with_words=False)
    items = []
    for recording in recordings:
        real = analyses.of(corpus.clip_path(recording))
        if real is not None:
            scores = analyses.panel.singer_scores(real, "", recording.singer)
            scores |= panel.word_scores(real, texts.of(recording.source))
            scores |= panel.rating_scores(real)
            name, singer = f"{report.TRUTH}/{recording.source}", recording.singer
            items.append(Item(name, report.TRUTH, recording.source, singer, singer, 0.0, scores, dict(real.singers)))
    return items


def controls(analyses: Analyses, corpus: Corpus, pairs: Sequence[Pair], split: str) -> list[Item]:
    """Sources handed in unchanged, and real recordings of the target with other words; after `ground_truth`."""
    readable = {
        singer: [found for real in corpus.of(split, singer) if (found := analyses.of(corpus.clip_path(real)))]
        for singer in corpus.singers
    }
    items: list[Item] = []
    for pair in _by_recording(pairs):
        source = analyses.of(pair.source)
        if source is None:
            continue
        targets = [name for name in corpus.singers if name != pair.source_singer and readable[name]]
        own = {
            (row, target): replace(pair, row=row, target_singer=target, transpose_semitones=0.0)
            for row in (report.COPY, report.SWAPPED)
            for target in targets
        }
        copies = [own[report.COPY, target] for target in targets]
        items += _items(analyses, [(copy, _control(copy)) for copy in copies], source, source)
        for target in targets:
            others = readable[target]
            other = others[(corpus.singers.index(target) + len(items)) % len(others)]
            swapped = own[report.SWAPPED, target]
            items.append(_item(analyses, swapped, _control(swapped), source, replace(other, transcript=None)))
    return items


def _control(pair: Pair) -> str:
    return f"{pair.row}/{pair.recording} to {pair.target_singer}"


def _items(analyses: Analyses, pairs: Sequence[tuple[Pair, str]], source: Analysis, conversion: Analysis) -> list[Item]:
    """The same sound as the conversion of pairs that differ in their target alone, scored once; with their names."""
    if not pairs:
        return []
    first = _item(analyses, *pairs[0], source, conversion)
    return [
        replace(
            first,
            name=name,
            row=pair.row,
            target_singer=pair.target_singer,
            scores=first.scores | analyses.panel.singer_scores(conversion, pair.source_singer, pair.target_singer),
        )
        for pair, name in pairs
    ]


def _item(analyses: Analyses, pair: Pair, name: str, source: Analysis, conversion: Analysis) -> Item:
    is_same = pair.source_singer == pair.target_singer and pair.transpose_semitones == 0
    scores = (
        analyses.panel.singer_scores(conversion, pair.source_singer, pair.target_singer)
        | panel.pair_scores(source, conversion, pair.transpose_semitones, is_same=is_same)
        | panel.word_scores(conversion, pair.text)
        | panel.text_scores(source, conversion, lyrics(pair.source))
    )
    transcripts = {"source": source.transcript, "conversion": conversion.transcript}
    sung = pitch.range_hz(source.track)
    return Item(
        name,
        pair.row,
        pair.recording,
        pair.source_singer,
        pair.target_singer,
        pair.transpose_semitones,
        scores,
        dict(conversion.singers),
        texts={kind: found.text for kind, found in transcripts.items() if found},
        f0_low_hz=sung.rounded().low_hz if sung else None,
        f0_high_hz=sung.rounded().high_hz if sung else None,
    )


def _with_score(item: Item, metric: str, score: float | None) -> Item:
    scores: Scores = {} if score is None else {metric: score}
    return replace(item, scores=item.scores | scores)


def _by_recording(pairs: Sequence[Pair]) -> list[Pair]:
    """The first pair of each source recording."""
    return list({pair.recording: pair for pair in reversed(pairs)}.values())[::-1]
