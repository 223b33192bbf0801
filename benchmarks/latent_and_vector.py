"""What does a voice of codes take from its latent, and what from the singer's vector? Judges on songs, beside controls.

    python benchmarks/latent_and_vector.py VOICE DATA SONG [SONG ...] -s NAME -s NAME [-s NAME ...] [--whisper base]

DATA is what the voice was trained with: its training recordings teach the judge of singers, its test recordings are
converted beside the songs, since only of them it is known who sings, and so whether the source leaks. Each clip is
converted into each singer (but its own) in three ways:

    as it is
    latent shuffled    blocks of 0.2 s of the latent, within 2 s, in another order; pitch and loudness stay
    vector swapped     another singer's vector; the notes stay those of the singer who was asked for

and stands beside the recording as the voice's codes could at best say it. Our own judge of singers knows all of the
voice's, by recordings of full bandwidth; where Resemblyzer is installed (extra `judges`) it names one of those asked
for, by recordings that went through the voice's codes, so that bandwidth and the noise of codes tell it nothing.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import moksori
from moksori import checkpoint, run_files
from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.conversion import ConvertOptions
from moksori.data.corpus import Corpus
from moksori.data.splits import evenly
from moksori.evaluation.judges import resemblyzer, whisper
from moksori.evaluation.judges import singer as singer_judge
from moksori.evaluation.judges.resemblyzer import CentroidClassifier
from moksori.evaluation.measures import bootstrap, melody
from moksori.models.autoencoder import Autoencoder
from moksori.progress import ignored

AS_IT_IS, SHUFFLED, SWAPPED, CODES = "as it is", "latent shuffled", "vector swapped", "the recording, as codes"
PITCH, WORDS, ASKED, VECTORS, LEAK = "pitch right", "content kept", "heard as asked", "heard as the vector's", "leak"
PUBLIC = ", public"  # of those who are asked for, by Resemblyzer
COLUMNS = (PITCH, WORDS, ASKED, VECTORS, LEAK, ASKED + PUBLIC, VECTORS + PUBLIC, LEAK + PUBLIC)
N_RECORDINGS = 8  # of each singer, of whose vectors Resemblyzer's mean is taken
_BLOCK_SECONDS = 0.2  # long enough to hold a sound of speech as the encoder says it


@dataclass(frozen=True)
class Source:
    """What is converted."""

    name: str
    clip: Clip
    singer: str  # "" where it is none of the voice's


@dataclass(frozen=True)
class Conversion:
    """What became of it."""

    way: str
    clip: Clip
    semitones: float
    asked: str  # singer to whose range it was moved
    vectors: str  # singer whose vector was given

    @property
    def name(self) -> str:
        """For a file."""
        return f"{self.way} {self.asked}".strip().replace(" ", "-").replace(",", "")


class ShuffledLatent(nn.Module):
    """An encoder whose latent is in another order, block by block; every piece that is encoded has its own order."""

    def __init__(self, encoder: nn.Module, block_frames: int) -> None:
        super().__init__()
        self._encoder, self._block_frames = encoder, block_frames

    def forward(self, codes: Tensor) -> Tensor:
        """Codes -> z `[B, D, F]`."""
        z: Tensor = self._encoder(codes)
        return shuffled(z, self._block_frames)


def shuffled(z: Tensor, block_frames: int) -> Tensor:
    """Frames `[B, D, F]` in another order: whole blocks drawn by chance, always by the same one."""
    blocks = torch.split(z, block_frames, dim=2)
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(0))
    return torch.cat([blocks[i] for i in order.tolist()], dim=2)


class Judges:
    """Who is heard, which notes, and how much of the words."""

    def __init__(self, corpus: Corpus, voice: moksori.Voice, singers: Sequence[str], which_whisper: str) -> None:
        self._singer = singer_judge.load_or_fit(corpus, 0, ignored)
        self._public = public(corpus, voice, singers) if resemblyzer.is_available() else None
        self._tracker = melody.SwiftF0()
        self._whisper = whisper.load(which_whisper) if which_whisper else None

    def scores(self, source: Source, made: Conversion) -> dict[str, float]:
        """What is found in a clip; what is not defined is left out."""
        clip = made.clip
        scores: dict[str, float] = {}
        for judge, ending in ((self._singer, ""), (self._public, PUBLIC)):
            if judge is None:
                continue
            heard = judge.classify([clip])[0]
            if made.asked:  # of a song as codes it is not known who sings
                scores |= {ASKED + ending: float(heard == made.asked), VECTORS + ending: float(heard == made.vectors)}
            if source.singer and source.singer not in (made.asked, made.vectors):
                scores[LEAK + ending] = float(heard == source.singer)
        kept = melody.measure(self._tracker.track(source.clip), self._tracker.track(clip), made.semitones)
        if kept is not None:
            scores[PITCH] = kept.raw_pitch_accuracy
        if self._whisper is not None:
            late = self._whisper.encode(source.clip, whisper.LATE_SECONDS)
            content = whisper.content_kept(late, self._whisper.encode(clip))
            scores |= {} if content is None else {WORDS: content}
        return scores


def public(corpus: Corpus, voice: moksori.Voice, singers: Sequence[str]) -> CentroidClassifier:
    """Resemblyzer, with the means of recordings as the voice's codes could at best say them."""
    encoder = resemblyzer.load_encoder()
    means = {}
    for singer in singers:
        recordings = evenly(corpus.of("train", singer), N_RECORDINGS)
        clips = [voice.represent(files.read(corpus.clip_path(recording))) for recording in recordings]
        means[singer] = np.mean([encoder(resemblyzer.prepared(clip)) for clip in clips], axis=0)
    return CentroidClassifier(encoder, means)


def main() -> None:
    """Print what is found of each clip, then a table for the songs and one for the held-out recordings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("voice", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("-s", "--singer", action="append", required=True, help="two or more")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each song, from its beginning")
    parser.add_argument("--per-singer", type=int, default=3, help="test recordings of each singer")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--whisper", default="", help="base: also says how much of the words is kept")
    parser.add_argument("--keep", type=Path, help="folder to write the conversions of the songs to")
    given = parser.parse_args()
    if len(given.singer) < 2:
        raise SystemExit("-s: one singer has no other vector to be swapped with; give two or more")
    torch.set_num_threads(1)
    corpus = Corpus.load(given.data)
    voices = {AS_IT_IS: moksori.load(given.voice), SHUFFLED: with_shuffled_latent(given.voice)}
    judges = Judges(corpus, voices[AS_IT_IS], given.singer, given.whisper)
    songs = [song(path, given.seconds) for path in given.songs]
    for title, sources in (("songs", songs), ("held-out recordings", held_out(corpus, given.singer, given.per_singer))):
        found: dict[str, list[tuple[str, dict[str, float]]]] = defaultdict(list)
        for source in sources:
            for conversion in conversions(voices, source, given.singer, given.temperature):
                scores = judges.scores(source, conversion)
                print(
                    source.name, conversion.way, {name: round(value, 2) for name, value in scores.items()}, flush=True
                )
                found[conversion.way].append((source.name, scores))
                if given.keep and not source.singer:
                    keep(conversion, given.keep / f"{source.name}.{conversion.name}.flac")
        print(f"\n{title}\n\n{table(found)}", flush=True)


def with_shuffled_latent(path: Path) -> moksori.Voice:
    """The voice of a file or a run's folder, with its latent in another order."""
    model, provenance = checkpoint.read_model(run_files.model_file(path))
    if not isinstance(model, Autoencoder):
        raise SystemExit(f"{path}: is no voice that samples codes (recipe phase, bands, small, paper)")
    frames = round(_BLOCK_SECONDS * model.config.sample_rate / model.config.latent_hop_samples)
    model.encoder = ShuffledLatent(model.encoder, frames)  # type: ignore[assignment]
    return moksori.Voice(model, provenance)


def song(path: Path, seconds: float) -> Source:
    """The beginning of a song by somebody whom the voice does not know."""
    whole = files.read(path)
    return Source(path.stem, Clip(whole.samples[: round(seconds * whole.sample_rate)], whole.sample_rate), "")


def held_out(corpus: Corpus, singers: Sequence[str], per_singer: int) -> list[Source]:
    """Test recordings of these singers."""
    return [
        Source(recording.source, files.read(corpus.clip_path(recording)), singer)
        for singer in singers
        for recording in evenly(corpus.of("test", singer), per_singer)
    ]


def conversions(
    voices: dict[str, moksori.Voice], source: Source, singers: Sequence[str], temperature: float
) -> Iterator[Conversion]:
    """One clip into every singer but its own, in every way; first the clip itself, as codes."""
    own, clip = voices[AS_IT_IS], source.clip
    yield Conversion(CODES, own.represent(clip), 0.0, source.singer, source.singer)
    targets = [singer for singer in singers if singer != source.singer]
    options = ConvertOptions(transpose="nearest", temperature=temperature)
    for number, asked in enumerate(targets):
        semitones = own.transposition(clip, asked, options)
        moved = replace(options, transpose=semitones)
        other = targets[(number + 1) % len(targets)]
        for way, vectors in ((AS_IT_IS, asked), (SHUFFLED, asked), (SWAPPED, other)):
            voice = voices.get(way, own)
            sung = voice.convert(clip.samples, clip.sample_rate, singer=vectors, options=moved)
            yield Conversion(way, Clip(sung.astype(np.float32), clip.sample_rate), semitones, asked, vectors)


def keep(conversion: Conversion, path: Path) -> None:
    """Write what was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, conversion.clip)


def table(found: dict[str, list[tuple[str, dict[str, float]]]]) -> str:
    """A row for each way, with 95 % intervals over sources."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "| --- " * (1 + len(COLUMNS)) + "|"]
    for way, rows in found.items():
        cells = []
        for column in COLUMNS:
            known = [(scores[column], name) for name, scores in rows if column in scores]
            if not known:
                cells.append("–")
                continue
            figure = bootstrap.clustered([v for v, _ in known], [name for _, name in known], seed=0)
            cells.append(f"{figure.mean:.2f} ({figure.low:.2f} to {figure.high:.2f}), {figure.n} clips")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
