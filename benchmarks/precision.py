"""What the engine's precisions cost on trained weights, and how often two chains become one, so that a cut is no seam.

    python benchmarks/precision.py MODEL DATA [--split test] [--per-singer 2] [--seconds 3]

MODEL samples codes (recipe paper, melody, small or wavenet), DATA is the prepared folder. Held-out clips are scored
with what the model is told of each, teacher-forced: by torch in float32, and by the engine at each precision.

Then every clip is sung twice with the same numbers drawn at the same places: from its beginning, and from its middle on
by a chain that knows nothing of the first half. Once the two agree over a receptive field, they are the same for ever,
and a song cut there has no seam.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from moksori import checkpoint
from moksori.data.corpus import Corpus
from moksori.generation import generator
from moksori.generation.backends import calibration, sampling
from moksori.models.autoencoder import Autoencoder
from moksori.models.conditions import Conditioning
from moksori.models.solo import Solo
from moksori.training.media import base as media
from moksori.training.media.codes import CodeMedium
from moksori.training.media.solo import SoloMedium
from moksori.training.perturb import PerturbConfig

PRECISIONS = ("float32", "bfloat16", "int8")


def told_of(model: Autoencoder | Solo, clips: Tensor, singer: Tensor) -> tuple[Tensor, Conditioning]:
    """Codes `[B, T]` of clips, and what the decoder is told of them."""
    vectors = model.singers(singer)
    if isinstance(model, Solo):
        alone = SoloMedium(model)
        return alone.codes(clips), model.conditioning(alone.local_features(clips), vectors)
    medium = CodeMedium(model)
    return medium.codes(clips), model.conditioning(medium.encode(clips), vectors, medium.melody(clips))


def scores(model: Autoencoder | Solo, peaks: tuple[float, ...], codes: Tensor, told: Conditioning) -> None:
    """Print how far each precision is from torch."""
    expected = model.decoder(codes, told).double()
    law = expected.log_softmax(dim=1)
    entropy, loss = -(law.exp() * law).sum(dim=1).mean(), -law.gather(1, codes.unsqueeze(1)).mean()
    print(f"Cross-entropy by torch in float32: {loss:.4f} nats a sample; entropy of the law {entropy:.3f}.\n")
    print("| precision | scores off, RMS | largest | KL, nats a sample | cross-entropy, nats a sample |")
    print("| --- | --- | --- | --- | --- |")
    for precision in PRECISIONS:
        backend = generator.backend_for(model.decoder, precision, peaks)
        found, _ = backend.score(backend.start(told), None, codes)  # type: ignore[attr-defined]
        off, own = found - expected, found.double().log_softmax(dim=1)
        divergence = (law.exp() * (law - own)).sum(dim=1).mean()
        cross = -own.gather(1, codes.unsqueeze(1)).mean()
        rms, largest = off.square().mean().sqrt(), off.abs().max()
        print(f"| {precision} | {rms:.1e} | {largest:.1e} | {divergence:.1e} | {cross:.4f} |")


def mergers(model: Autoencoder | Solo, told: Conditioning) -> None:
    """Print how many chains merge, and how soon."""
    backend = generator.backend_for(model.decoder)
    field, half = model.decoder.config.receptive_field, told.frames.shape[2] // 2
    start = half * told.hop_samples
    later = Conditioning(told.frames[:, :, half:], told.hop_samples)
    print("\n| temperature | clips | merged | half of them within, ms |\n| --- | --- | --- | --- |")
    for temperature in (1.0, 0.7, 0.4):
        uniforms = torch.stack([sampling.uniforms(0, b, 0, told.n_samples) for b in range(len(told.frames))])
        whole = generator.generate(backend, told, uniforms, temperature)[:, start:]
        anew = generator.generate(backend, later, uniforms[:, start : start + later.n_samples], temperature)
        differs = whole[:, : anew.shape[1]] != anew
        places = torch.arange(1, anew.shape[1] + 1)
        last = (differs * places).amax(dim=1)  # samples until the last difference
        merged = last[last + field <= anew.shape[1]]
        median = f"{1000 * merged.double().median() / model.config.sample_rate:.0f}" if len(merged) else ""
        print(f"| {temperature} | {len(last)} | {len(merged)} | {median} |")


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--per-singer", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = given.model / "model.safetensors" if given.model.is_dir() else given.model
    model, provenance = checkpoint.read_model(file)
    if not isinstance(model, Autoencoder | Solo):
        raise SystemExit(f"{given.model}: does not sample codes; expected a model of recipe paper, melody or wavenet")
    hop = model.config.latent_hop_samples
    length = round(given.seconds * model.config.sample_rate / hop) * hop
    corpus = Corpus.load(given.data)

    def drawn(split: str, per_singer: int) -> tuple[Tensor, Conditioning]:
        items = media.medium_for(model, PerturbConfig()).table(corpus, split, length).fixed_items(per_singer)
        clips, singer = torch.stack([item.clip for item in items]), torch.tensor([item.singer for item in items])
        return told_of(model, clips, singer)

    codes, told = drawn(given.split, given.per_singer)
    # Models are calibrated when they are written; older ones are calibrated here, on clips that they were taught.
    peaks = provenance.layer_peaks or tuple(calibration.layer_peaks(model.decoder, *drawn("train", 1)))
    print(f"Recipe {provenance.recipe}, {provenance.steps} steps; {len(codes)} held-out clips of {given.seconds:g} s.")
    scores(model, peaks, codes, told)
    mergers(model, told)


if __name__ == "__main__":
    main()
