"""Without a local condition a WaveNet only babbles, with it words come back: is that so? One net, told four things.

    python benchmarks/wavenet_forms.py table DATA OUT --texts TEXTS --steps 1200
    python benchmarks/wavenet_forms.py clips demo/singers OUT docs --steps 800

`table` trains the same net with the same batches for the same number of steps, told nothing, who sings, pitch and
loudness, or the log-mel; generates a clip for held-out recordings of DATA, as long as each; and lets the project's
judges listen. OUT/wavenet_forms.md is the table. What is there is kept, so the command can be stopped and given again.

`clips` trains two of them on the singers of a folder that may be heard by everybody, and writes two clips of a held-out
recording's length, the recording itself as the net hears it, and their spectrograms.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.figure import Figure as Picture

import moksori
from moksori import atomic
from moksori.audio import files, level, mulaw, resample, spectral
from moksori.audio.clip import Clip
from moksori.cli import wavenet
from moksori.data.corpus import Corpus, Recording
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.data.splits import evenly
from moksori.evaluation.judges import singer as singer_judge
from moksori.evaluation.judges import vowels as recogniser
from moksori.evaluation.measures import bootstrap, melody, syllables
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.pairs import Texts
from moksori.models.solo import SoloConfig
from moksori.models.wavenet import WaveNetConfig
from moksori.progress import ignored
from moksori.soloist import Request, SoloOptions
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.training.learner import OptimiserConfig
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe, SegmentsConfig
from moksori.training.run import RunOptions, open_run
from moksori.training.schedules import LearningRateConfig

FORMS = {"nothing": [], "singer": ["singer"], "melody": ["singer", "melody"], "mel": ["singer", "mel"]}
NAMES = {
    "recording": "the recordings, at 8 kHz and as codes",
    "nothing": "nothing",
    "singer": "who sings",
    "melody": "who sings, pitch, loudness",
    "mel": "who sings, log-mel",
}
PER_SINGER = 4  # held-out recordings
LONGEST_SECONDS = 7.5
Row = dict[str, float]


def small(form: str) -> Recipe:
    """A net that learns in minutes on one slow core; recipe `wavenet` but for its size."""
    usual = wavenet.conditioned(recipes.load("wavenet"), FORMS[form])
    assert isinstance(usual.model, SoloConfig)
    return dataclasses.replace(
        usual,
        name=f"wavenet-forms, {form}",
        model=dataclasses.replace(usual.model, decoder=WaveNetConfig(1, 8, 2, residual_channels=32, skip_channels=32)),
        average_decay=0.99,
        # Small batches: so early, more steps go further than better ones.
        segments=SegmentsConfig(seconds=0.1, batch_size=4, shards=1, is_augmented=False),
        optimiser=OptimiserConfig(LearningRateConfig(4e-3, 0.85, 200), clip_norm=5.0),
        loop=dataclasses.replace(usual.loop, log_every_steps=20, sample_every_steps=10**9),
    )


def train(corpus: Corpus, run: Path, form: str, n_steps: int, note: str) -> None:
    """Train a form, or go on with it."""
    options = RunOptions(0, licence_note=note, software=f"moksori {moksori.__version__}")
    trainer = open_run(RunFolder(run), corpus, small(form), options)
    trainer.run(Budget(n_steps))
    print(f"{form}: {trainer.counters.step} steps in {trainer.counters.seconds:.0f} s", flush=True)


def request_for(form: str, recording: Clip, singer: str) -> Request:
    """As long as a recording, and conditioned on what the form asks for."""
    told = FORMS[form]
    is_local = "mel" in told or "melody" in told
    return Request(recording.seconds, singer if "singer" in told else None, recording if is_local else None)


def as_codes(recording: Clip, sample_rate: int) -> Clip:
    """A recording as the net hears it: at its rate, in 256 values."""
    samples = resample.resample(recording.samples, recording.sample_rate, sample_rate)
    return Clip(mulaw.decode(mulaw.encode(torch.from_numpy(samples))).numpy(), sample_rate)


@dataclasses.dataclass(frozen=True)
class Judges:
    """Who listens."""

    ear: recogniser.VowelRecogniser
    singer: singer_judge.NetClassifier
    tracker: melody.Tracker

    def row(self, clip: Clip, recording: Clip, singer: str, text: Sequence[str], other: Sequence[str]) -> Row:
        """What they say of a clip: `other` is what another recording sings, so what is heard of it is chance."""
        found = self.ear.recognise(clip)
        kept = melody.measure(self.tracker.track(recording), self.tracker.track(clip))
        own, chance = recogniser.accuracy(found, text), recogniser.accuracy(found, other)
        scores = {"vowels": own, "chance": chance, "above": own - chance}
        scores["singer"] = float(self.singer.classify([clip])[0] == singer)
        return scores if kept is None else scores | {"pitch": kept.raw_pitch_accuracy}


def judge(
    clips: Mapping[str, Clip], chosen: Sequence[Recording], corpus: Corpus, texts: Texts, judges: Judges
) -> dict[str, Row]:
    """Rows by recording."""
    words = [syllables.vowels(texts.of(recording.source) or "") or () for recording in chosen]
    rows = {}
    for number, recording in enumerate(chosen):
        source = files.read(corpus.clip_path(recording))
        other = words[(number + len(words) // 2) % len(words)]  # half a turn takes another singer's
        rows[recording.source] = judges.row(clips[recording.source], source, recording.singer, words[number], other)
    return rows


def held_out(corpus: Corpus, texts: Texts) -> list[Recording]:
    """Test recordings whose words are known, some of each singer."""

    def suits(recording: Recording) -> bool:
        return recording.seconds <= LONGEST_SECONDS and bool(syllables.vowels(texts.of(recording.source) or ""))

    return [
        recording
        for singer in corpus.singers
        for recording in evenly([one for one in corpus.of("test", singer) if suits(one)], PER_SINGER)
    ]


def generate(run: Path, form: str, recordings: Mapping[str, tuple[Clip, str]]) -> dict[str, Clip]:
    """A clip for each recording; kept beside the run."""
    soloist = moksori.load_wavenet(run)
    folder = run / f"clips-{soloist.provenance.steps}"
    places = {name: folder / f"{number:03d}.flac" for number, name in enumerate(recordings)}
    if not all(place.exists() for place in places.values()):
        made = soloist.generate_all([request_for(form, *one) for one in recordings.values()], SoloOptions(seed=1))
        folder.mkdir(exist_ok=True)
        for place, clip in zip(places.values(), made, strict=True):
            files.write(place, clip)
    return {name: files.read(place) for name, place in places.items()}


def figure_text(figure: Figure) -> str:
    """A share with its interval."""
    return f"{figure.mean:.0%} ({figure.low:.0%} to {figure.high:.0%})"


def table(found: Mapping[str, dict[str, Row]], losses: Mapping[str, float]) -> str:
    """Markdown, with 95 % intervals over recordings."""
    metrics = ("vowels", "chance", "above", "singer", "pitch")
    lines = [
        "| told | held-out loss, nats | vowels right | by chance | above chance | singer heard | pitch right |",
        "| --- " * 7 + "|",
    ]
    for form, rows in found.items():
        cells = []
        for metric in metrics:
            names = [name for name, row in rows.items() if metric in row]
            figure = bootstrap.clustered([rows[name][metric] for name in names], names, seed=0)
            cells.append(figure_text(figure))
        loss = f"{losses[form]:.3f}" if form in losses else "–"
        lines.append(f"| {NAMES[form]} | {loss} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *gains(found)]) + "\n"


def gains(found: Mapping[str, dict[str, Row]]) -> list[str]:
    """What being told is worth: vowels right, less those of the net that is told nothing, recording by recording."""
    if "nothing" not in found:
        return []
    lines = ["| told | vowels right, more than with nothing |", "| --- | --- |"]
    babbled = {name: row["vowels"] for name, row in found["nothing"].items()}
    for form, rows in found.items():
        if form != "nothing":
            told = {name: row["vowels"] for name, row in rows.items()}
            figure = bootstrap.paired(babbled, told, {name: name for name in told}, seed=0)
            lines.append(f"| {NAMES[form]} | {figure_text(figure)} |")
    return lines


def make_table(data: Path, out: Path, texts_file: Path, n_steps: int) -> None:
    """Train, generate, judge, tabulate."""
    corpus, texts = Corpus.load(data), Texts.load(texts_file)
    chosen = held_out(corpus, texts)
    recordings = {one.source: (files.read(corpus.clip_path(one)), one.singer) for one in chosen}
    note = f"Trained on recordings of {', '.join(corpus.singers)}, for a measurement; not to be passed on."
    for form in FORMS:
        train(corpus, out / form, form, n_steps, note)
    clips = {form: generate(out / form, form, recordings) for form in FORMS}
    rate = recipes.load("wavenet").model.sample_rate
    clips["recording"] = {name: as_codes(clip, rate) for name, (clip, _) in recordings.items()}
    known = {one.source: text for one in corpus.recordings if (text := texts.of(one.source))}
    judges = Judges(
        recogniser.load_or_fit(corpus, known, 0, ignored),
        singer_judge.load_or_fit(corpus, 0, ignored),
        melody.SwiftF0(),
    )
    found: dict[str, dict[str, Row]] = {}
    losses: dict[str, float] = {}
    for form in ("recording", *FORMS):
        found[form] = judge(clips[form], chosen, corpus, texts, judges)
        if form in FORMS:
            losses[form] = moksori.load_wavenet(out / form).provenance.figures["loss"]
        atomic.write(out / "wavenet_forms.json", json.dumps(found, indent=1, ensure_ascii=False).encode())
        atomic.write(out / "wavenet_forms.md", table(found, losses).encode())
    print(f"{len(chosen)} recordings\n{table(found, losses)}", flush=True)


def make_clips(singers: Path, out: Path, docs: Path, n_steps: int, seconds: float) -> None:
    """Two forms on singers who may be heard by everybody; a clip of each, the recording, a figure."""
    corpus = prepare(singers, out / "data", PrepareConfig())
    note = "Trained on invented singers; see demo/LICENSE.md."
    recording = corpus.of("test")[0]
    whole = files.read(corpus.clip_path(recording))
    start = whole.n_samples // 3  # amid the song
    source = Clip(whole.samples[start : start + round(seconds * whole.sample_rate)], whole.sample_rate)
    clips = {"recording": as_codes(source, recipes.load("wavenet").model.sample_rate)}
    for form in ("nothing", "mel"):
        train(corpus, out / form, form, n_steps, note)
        clips[form] = moksori.load_wavenet(out / form).generate(
            request_for(form, source, recording.singer), SoloOptions(1)
        )
    (docs / "audio").mkdir(exist_ok=True)
    for name, clip in clips.items():
        loud = level.apply_gain(clip.samples, -23.0 - level.rms_dbfs(clip.samples)).clip(-1.0, 1.0)
        files.write(docs / "audio" / f"wavenet-{name}.flac", Clip(loud, clip.sample_rate))
    titles = {"recording": "a recording", "nothing": "told nothing", "mel": "told its log-mel"}
    atomic.write(docs / "wavenet.svg", picture({titles[name]: clip for name, clip in clips.items()}))
    print(f"{recording.source}, {seconds:g} s from {start / whole.sample_rate:.1f} s on", flush=True)


def picture(clips: Mapping[str, Clip]) -> bytes:
    """Spectrograms beside each other, SVG."""
    mpl.rcParams["svg.hashsalt"] = "moksori"  # the same drawing every time
    drawn = Picture(figsize=(10, 2.9), layout="constrained")
    for place, (title, clip) in enumerate(clips.items(), start=1):
        config = spectral.SpectralConfig(clip.sample_rate, 256, 128, 40, 40.0)
        magnitude = spectral.magnitude(torch.from_numpy(clip.samples), config)
        axes = drawn.add_subplot(1, len(clips), place)
        axes.imshow(
            20 * magnitude.clamp(min=1e-4).log10().numpy(),
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=-50,
            vmax=20,
            interpolation="none",
            extent=(0, clip.seconds, 0, clip.sample_rate / 2000),
        )
        axes.set(title=title, xlabel="seconds", ylabel="kHz" if place == 1 else "")
    content = io.StringIO()
    drawn.savefig(content, format="svg", metadata={"Date": None})
    return re.sub(r"[ \t]+\n", "\n", content.getvalue()).encode()


def main() -> None:
    """Read what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("table")
    one.add_argument("data", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--texts", type=Path, required=True)
    one.add_argument("--steps", type=int, default=1200)
    two = verbs.add_parser("clips")
    two.add_argument("singers", type=Path)
    two.add_argument("out", type=Path)
    two.add_argument("docs", type=Path)
    two.add_argument("--steps", type=int, default=800)
    two.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.verb == "table":
        make_table(given.data, given.out, given.texts, given.steps)
    else:
        make_clips(given.singers, given.out, given.docs, given.steps, given.seconds)


if __name__ == "__main__":
    main()
