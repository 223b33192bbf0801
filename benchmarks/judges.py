"""How good are the judges of an evaluation, on real recordings that they never heard?

    python benchmarks/judges.py DATA [TEXTS [PARALLEL]]

DATA is a prepared folder, TEXTS a table of what is sung (columns file and text), PARALLEL a folder of recordings
`<singer>/<name>` that are not in DATA's training split. Judges that DATA does not keep yet are taught first.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from moksori.audio import files, resample
from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus, Recording
from moksori.data.splits import evenly
from moksori.evaluation.judges import fitting, resemblyzer
from moksori.evaluation.judges import singer as singer_judge
from moksori.evaluation.judges import vowels as recogniser
from moksori.evaluation.judges.singer import NetClassifier, SingerClassifier
from moksori.evaluation.measures import melody, syllables
from moksori.evaluation.measures.characters import edit_distance
from moksori.evaluation.pairs import Texts
from moksori.progress import ignored

_PER_SINGER = 3  # recordings of each singer, to compare the slow trackers


def _row(judge: str, asked: str, right: Sequence[bool]) -> None:
    print(f"| {judge} | {asked} | {sum(right) / len(right):.1%} of {len(right)} |", flush=True)


def singers(judge: SingerClassifier, recordings: Sequence[Recording], clips: Sequence[Clip]) -> None:
    """Rows of a judge of singers on recordings as they are, and at lower rates."""
    for rate in (clips[0].sample_rate, 16000, 8000):
        named = judge.classify([resample.resample_clip(clip, rate) for clip in clips])
        right = [name == recording.singer for name, recording in zip(named, recordings, strict=True)]
        _row(judge.name, f"held-out recordings at {rate} Hz", right)


@torch.inference_mode()
def moved(judge: NetClassifier, recordings: Sequence[Recording], clips: Sequence[Clip], semitones: float) -> None:
    """A row of our judge on recordings at another pitch."""
    right = []
    for recording, clip in zip(recordings, clips, strict=True):
        if recording.f0_high_hz:
            scores = judge.net(fitting.features_at_pitch(clip, semitones, recording.f0_high_hz)[None])[0]
            right.append(judge.singers[int(scores.argmax())] == recording.singer)
    _row(judge.name, f"the same, moved by {semitones:+g} semitones", right)


def vowels(
    words: recogniser.VowelRecogniser, recordings: Sequence[Recording], clips: Sequence[Clip], texts: Texts
) -> None:
    """A row of the recogniser: vowels found, over all recordings."""
    n_wrong = n_all = 0
    for recording, clip in zip(recordings, clips, strict=True):
        expected = syllables.vowels(texts.of(recording.source) or "")
        if expected:
            n_wrong += edit_distance(words.recognise(clip), expected)
            n_all += len(expected)
    print(f"| vowels | held-out recordings | {1 - n_wrong / n_all:.1%} of {n_all} |", flush=True)


def trackers(clips: Sequence[Clip]) -> None:
    """A row of how far the two trackers agree."""
    first, second = melody.SwiftF0(), melody.Pyin()
    found = [melody.measure(first.track(clip), second.track(clip)) for clip in clips]
    shares = [one.raw_pitch_accuracy for one in found if one is not None]
    print(f"| swift-f0 and pYIN | {len(shares)} recordings, frames within 50 cents | {sum(shares) / len(shares):.1%} |")


def main(data: Path, table: Path | None, parallel: Path | None) -> None:
    """Print a row for each judge and question."""
    corpus, texts = Corpus.load(data), Texts.load(table)
    recordings = corpus.of("test")
    clips = [files.read(corpus.clip_path(recording)) for recording in recordings]
    print("| judge | asked about | right |\n| --- | --- | --- |")
    own = singer_judge.load_or_fit(corpus, 0, ignored)
    judges: list[SingerClassifier] = [own]
    if resemblyzer.is_available():
        judges.append(resemblyzer.load_or_fit(corpus, ignored))
    for judge in judges:
        singers(judge, recordings, clips)
        if parallel:
            paths = [path for path in sorted(parallel.glob("*/*")) if path.parent.name in corpus.singers]
            named = judge.classify([files.read(path) for path in paths])
            right = [name == path.parent.name for name, path in zip(named, paths, strict=True)]
            _row(judge.name, "recordings of the same words", right)
    for semitones in (-4.0, 4.0):
        moved(own, recordings, clips, semitones)
    known = {recording.source: text for recording in corpus.recordings if (text := texts.of(recording.source))}
    if known:
        vowels(recogniser.load_or_fit(corpus, known, 0, ignored), recordings, clips, texts)
    if resemblyzer.is_available():  # the extra brings librosa, too
        few = [evenly(corpus.of("test", singer), _PER_SINGER) for singer in corpus.singers]
        trackers([files.read(corpus.clip_path(recording)) for recording in itertools.chain(*few)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    given = [Path(argument) for argument in sys.argv[1:]]
    main(given[0], given[1] if len(given) > 1 else None, given[2] if len(given) > 2 else None)
