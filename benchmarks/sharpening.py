"""How sharp should formants be, and how much of the song's own detail goes along? Conversions heard by judges.

    python benchmarks/sharpening.py VOICE SINGERS --songs SONGS --targets NAME [NAME ...] [--amounts 0 0.15 0.3 0.5] \
        [--details 0.5 0.7]

SINGERS has a folder of recordings for each singer that Resemblyzer has to tell apart. Needs the extras `judges` and
`words`. What is printed: DistillMOS, content kept and CER (Whisper base, against what it reads of the source), who is
heard of all singers and the source itself. Choose on songs that no figure is reported of.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import moksori
from moksori import checkpoint, run_files
from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.conversion import ConvertOptions
from moksori.data.splits import evenly
from moksori.evaluation.judges import distill_mos, resemblyzer, whisper
from moksori.evaluation.measures import characters
from moksori.models import kinds

N_RECORDINGS = 30  # of each singer, of whose vectors the mean is taken

Vector = npt.NDArray[np.float64]


def main() -> None:
    """Print a row for each amount and target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("voice", type=Path)
    parser.add_argument("singers", type=Path)
    parser.add_argument("--songs", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", required=True, metavar="NAME")
    parser.add_argument("--amounts", type=float, nargs="+", default=[0.0, 0.15, 0.3, 0.5])
    parser.add_argument("--details", type=float, nargs="+", help="as of `convert --detail`; default: the voice's own")
    parser.add_argument("--language", default="en", help="of the songs")
    given = parser.parse_args()
    judges = Judges(given.singers, given.language)
    songs = [judges.hear(files.read(path)) for path in sorted(given.songs.glob("*.flac"))]
    print("| sharpening | detail | target | DistillMOS | content kept | CER | heard as the target | leak | cosine |")
    print("| --- " * 9 + "|")
    for amount, detail in itertools.product(given.amounts, given.details or [None]):
        voice = sharpened(given.voice, amount)
        rows = []
        for target in given.targets:
            options = ConvertOptions(transpose="nearest", detail=detail)
            found = []
            for song in songs:
                rate = song.clip.sample_rate
                sung = voice.convert(song.clip.samples, rate, singer=target, options=options)
                found.append(judges.scores(song, Clip(sung.astype(np.float32), rate), target))
            rows.append(np.nanmean(np.array(found, np.float64), axis=0))
            print_row(amount, detail, target, rows[-1])
        print_row(amount, detail, "all", np.mean(rows, axis=0))


def sharpened(path: Path, amount: float) -> moksori.Voice:
    """The voice of a file or a run's folder, with another setting."""
    model, provenance = checkpoint.read_model(run_files.model_file(path))
    if not kinds.is_source_filter(model):
        raise SystemExit(f"{path}: is no voice of recipe swift, which alone has this setting")
    model.config = replace(model.config, decoder=replace(model.config.decoder, sharpening=amount))
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "voice.safetensors"
        checkpoint.write_model(changed, model, provenance)
        return moksori.load(changed)


@dataclass(frozen=True, eq=False)
class Source:
    """A song, and what the judges hear in it, once for all conversions."""

    clip: Clip
    late: whisper.Encoding  # see `whisper.content_kept`
    text: str
    vector: Vector


class Judges:
    """Resemblyzer with the singers that it has to tell apart, DistillMOS, and Whisper."""

    def __init__(self, singers: Path, language: str) -> None:
        self._language = language
        self._encoder = resemblyzer.load_encoder()
        self._mos, self._whisper = distill_mos.load(), whisper.load("base")
        self._centroids = {folder.name: self._centroid(folder) for folder in sorted(singers.iterdir())}

    def hear(self, song: Clip) -> Source:
        """Hear a song."""
        late = self._whisper.encode(song, whisper.LATE_SECONDS)
        return Source(song, late, self._read(self._whisper.encode(song)), self._vector(song))

    def scores(self, song: Source, conversion: Clip, target: str) -> list[float]:
        """DistillMOS, content kept, CER, whether the target is heard, or the source is nearer, cosine to the target."""
        sung = self._whisper.encode(conversion)
        vector = self._vector(conversion)
        near = {name: float(vector @ centroid) for name, centroid in self._centroids.items()}
        words = characters.error_rate(self._read(sung), song.text)
        found = self._mos.score(conversion), whisper.content_kept(song.late, sung), words
        return [
            *(np.nan if value is None else value for value in found),
            float(max(near, key=near.__getitem__) == target),
            float(vector @ song.vector > near[target]),
            near[target],
        ]

    def _read(self, sung: whisper.Encoding) -> str:
        return self._whisper.text(sung, self._language)

    def _vector(self, clip: Clip) -> Vector:
        return self._encoder(resemblyzer.prepared(clip))

    def _centroid(self, folder: Path) -> Vector:
        chosen = evenly(sorted(folder.glob("*.flac")), N_RECORDINGS)
        mean = np.mean([self._vector(files.read(path)) for path in chosen], axis=0)
        return np.asarray(mean / np.linalg.norm(mean))


def print_row(amount: float, detail: float | None, target: str, scores: Vector) -> None:
    """Print one row of the table."""
    cells = [
        f"{amount:g}",
        "default" if detail is None else f"{detail:g}",
        target,
        *(f"{score:.2f}" for score in scores),
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
