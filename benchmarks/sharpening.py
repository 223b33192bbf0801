"""How sharp should formants be? Conversions at several settings of `sharpening`, heard by judges that taught nothing.

    python benchmarks/sharpening.py VOICE SINGERS --songs SONGS --targets NAME [NAME ...] [--amounts 0 0.15 0.3 0.5]

SINGERS has a folder of recordings for each singer that Resemblyzer has to tell apart. Needs the extras `judges` and
`words`. What is printed: DistillMOS, content kept (Whisper base), who is heard of all singers and the source itself.
Choose on songs that no figure is reported of.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
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
    given = parser.parse_args()
    judges = Judges(given.singers)
    songs = [files.read(path) for path in sorted(given.songs.glob("*.flac"))]
    print("| sharpening | target | DistillMOS | content kept | heard as the target | leak | cosine |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for amount in given.amounts:
        voice = sharpened(given.voice, amount)
        rows = []
        for target in given.targets:
            options = ConvertOptions(transpose="nearest")
            sung = [voice.convert(song.samples, song.sample_rate, singer=target, options=options) for song in songs]
            found = [
                judges.scores(song, Clip(samples.astype(np.float32), song.sample_rate), target)
                for song, samples in zip(songs, sung, strict=True)
            ]
            rows.append(np.nanmean(np.array(found, np.float64), axis=0))
            print_row(amount, target, rows[-1])
        print_row(amount, "all", np.mean(rows, axis=0))


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


class Judges:
    """Resemblyzer with the singers that it has to tell apart, DistillMOS, and Whisper."""

    def __init__(self, singers: Path) -> None:
        self._encoder = resemblyzer.load_encoder()
        self._mos, self._whisper = distill_mos.load(), whisper.load("base")
        self._centroids = {folder.name: self._centroid(folder) for folder in sorted(singers.iterdir())}

    def scores(self, song: Clip, conversion: Clip, target: str) -> list[float]:
        """DistillMOS, content kept, whether the target is heard, whether the source is nearer, cosine to the target."""
        late, sung = self._whisper.encode(song, whisper.LATE_SECONDS), self._whisper.encode(conversion)
        vector = self._vector(conversion)
        near = {name: float(vector @ centroid) for name, centroid in self._centroids.items()}
        found = self._mos.score(conversion), whisper.content_kept(late, sung)
        return [
            *(np.nan if value is None else value for value in found),
            float(max(near, key=near.__getitem__) == target),
            float(vector @ self._vector(song) > near[target]),
            near[target],
        ]

    def _vector(self, clip: Clip) -> Vector:
        return self._encoder(resemblyzer.prepared(clip))

    def _centroid(self, folder: Path) -> Vector:
        chosen = evenly(sorted(folder.glob("*.flac")), N_RECORDINGS)
        mean = np.mean([self._vector(files.read(path)) for path in chosen], axis=0)
        return np.asarray(mean / np.linalg.norm(mean))


def print_row(amount: float, target: str, scores: Vector) -> None:
    """Print one row of the table."""
    print(f"| {amount:g} | {target} | " + " | ".join(f"{score:.2f}" for score in scores) + " |", flush=True)


if __name__ == "__main__":
    main()
