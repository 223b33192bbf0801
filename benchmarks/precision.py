"""What the engine's precisions cost, on trained weights: scores, the law of the next code, and seams of songs.

    python benchmarks/precision.py MODEL DATA [SONGS] [--singer NAME]

MODEL is a trained model that samples codes, DATA the prepared recordings. Held-out clips of one second are scored with
their own latent and singer, teacher-forced: by torch in float32, and by the engine at each precision. With SONGS each is
converted as `moksori convert` does, and the seams between its chunks are counted: exact where two chains had become one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

import moksori
from moksori.audio import files
from moksori.conversion import ConvertOptions
from moksori.data.corpus import Corpus
from moksori.generation import generator
from moksori.models.autoencoder import Autoencoder
from moksori.training import tables
from moksori.training.media import CodeMedium

PRECISIONS = ("float32", "bfloat16", "int8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("songs", type=Path, nargs="?")
    parser.add_argument("--singer")
    parser.add_argument("--split", default="test")
    parser.add_argument("--per-singer", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    voice = moksori.load(given.model)
    model = voice.model
    if not isinstance(model, Autoencoder):
        raise SystemExit(f"{given.model}: does not sample codes; a model of recipe paper, melody or small is expected")
    length = round(model.config.sample_rate / model.hop_samples) * model.hop_samples
    items = tables.table(Corpus.load(given.data), given.split, model.config, length).fixed_items(given.per_singer)
    clips, singer = torch.stack([item.clip for item in items]), torch.tensor([item.singer for item in items])
    medium = CodeMedium(model)
    codes = medium.codes(clips)
    with torch.inference_mode():
        told = model.conditioning(medium.encode(clips, None), model.singers(singer), medium.told(clips))
        expected = model.decoder(codes, told).double()
    law = expected.log_softmax(dim=1)
    entropy = -(law.exp() * law).sum(dim=1).mean()
    loss = -law.gather(1, codes.unsqueeze(1)).mean()
    print(f"{len(items)} held-out seconds; float32 by torch: {loss:.4f} nats a sample, entropy {entropy:.3f}\n")
    print("| precision | scores off, RMS | largest | KL, nats a sample | cross-entropy, nats a sample |")
    print("| --- | --- | --- | --- | --- |")
    for precision in PRECISIONS:
        backend = generator.backend_for(model.decoder, precision, voice.provenance.layer_peaks)
        scores, _ = backend.score(backend.start(told), None, codes)  # type: ignore[attr-defined]
        off, own = scores - expected, scores.double().log_softmax(dim=1)
        divergence = (law.exp() * (law - own)).sum(dim=1).mean()
        cross = -own.gather(1, codes.unsqueeze(1)).mean()
        rms, largest = off.square().mean().sqrt(), off.abs().max()
        print(f"| {precision} | {rms:.1e} | {largest:.1e} | {divergence:.1e} | {cross:.4f} |")
    if given.songs is not None:
        _seams(voice, sorted(path for path in given.songs.rglob("*") if files.is_candidate(path)), given.singer)


def _seams(voice: moksori.Voice, songs: list[Path], singer: str | None) -> None:
    print("\n| temperature | songs | seams, exact | seams, faded |\n| --- | --- | --- | --- |")
    who = singer or voice.singers[0]
    for temperature in (1.0, 0.7, 0.0):
        exact = faded = 0
        for song in songs:
            clip = files.read(song)
            options = replace(ConvertOptions(), temperature=temperature)
            blocks, report = voice._convert(
                lambda clip=clip: iter([clip.samples]), clip.sample_rate, who, options, None
            )
            for _ in blocks:
                pass
            exact, faded = exact + report.seams.exact, faded + report.seams.faded
        print(f"| {temperature} | {len(songs)} | {exact} | {faded} |")


if __name__ == "__main__":
    main()
