"""How fast others generate with a WaveNet of the paper's size, beside ours, in turns within one run.

    pip install --no-deps wavenet_vocoder      # 0.1.1, the one public WaveNet that PyPI has
    python benchmarks/peers.py [--rounds 3] [--vincent PATH] [--music-translation PATH]

Paths are clones of `vincentherrmann/pytorch-wavenet` and `facebookresearch/music-translation`; what is not there is
left out. Nothing of theirs is part of this project. Each is asked for one stream in its own way: 4 cycles of 10
layers, 128 residual and 256 gate channels, 128 skip channels, two taps, 256 classes, and a condition of 128 channels
where it takes one. Weights are random. The ratio is ours at one stream, and ours on all cores, to theirs; medians over
rounds.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from moksori.generation import generator
from moksori.generation.backends import calibration, sampling
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.conditions import Conditioning

LONGEST = 160_000  # samples of a stream of ours

Generate = Callable[[int], None]
"""Generates so many samples of one stream."""


def wavenet_vocoder() -> Generate:
    """r9y9/wavenet_vocoder, `incremental_forward`."""
    from wavenet_vocoder import WaveNet

    net = WaveNet(
        out_channels=256,
        layers=40,
        stacks=4,
        residual_channels=128,
        gate_channels=256,
        skip_out_channels=128,
        kernel_size=2,
        dropout=0.0,
        cin_channels=128,
        weight_normalization=False,
        upsample_conditional_features=False,
    ).eval()

    @torch.no_grad()
    def run(n_samples: int) -> None:
        net.incremental_forward(c=torch.randn(1, 128, n_samples), T=n_samples, softmax=True, quantize=True)

    return run


def pytorch_wavenet(path: Path) -> Generate:
    """vincentherrmann/pytorch-wavenet, `generate_fast`; it takes no condition."""
    sys.path.insert(0, str(path))
    from wavenet_model import WaveNetModel

    net = WaveNetModel(
        layers=10,
        blocks=4,
        dilation_channels=128,
        residual_channels=128,
        skip_channels=128,
        end_channels=128,
        classes=256,
        output_length=1,
        kernel_size=2,
        bias=True,
    ).eval()

    @torch.no_grad()
    def run(n_samples: int) -> None:
        net.generate_fast(n_samples, temperature=1.0)

    return run


def music_translation(path: Path) -> Generate:
    """facebookresearch/music-translation, its Python generator."""
    sys.path.insert(0, str(path / "src"))
    import wavenet
    from wavenet_generator import WavenetGenerator

    arguments = argparse.Namespace(
        blocks=4, layers=10, kernel_size=2, residual_channels=128, skip_channels=128, latent_d=128
    )
    net = WavenetGenerator(wavenet.WaveNet(arguments).eval(), 1)

    @torch.no_grad()
    def run(n_samples: int) -> None:
        net.generate(torch.randn(1, 128, -(-n_samples // 800)), None)

    return run


def ours(backend: str, n_streams: int, workers: int) -> Callable[[int], None]:
    """Ours, at the sizes of recipe `paper`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = Autoencoder(ModelConfig(), ["one", "other"]).decoder.eval()
    told = Conditioning(torch.randn(1, decoder.condition_channels, LONGEST // 800), 800)
    short = Conditioning(told.frames[:, :, :5], 800)
    peaks = calibration.layer_peaks(decoder, torch.zeros(1, short.n_samples, dtype=torch.int64), short)
    made = generator.backend_for(decoder, backend, peaks)
    frames = Conditioning(told.frames.expand(n_streams, -1, -1), 800)

    def run(n_samples: int) -> None:
        uniforms = sampling.uniforms(0, 0, 0, max(1, n_samples // n_streams)).expand(n_streams, -1)
        generator.generate(made, frames, uniforms, workers=workers)

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--vincent", type=Path)
    parser.add_argument("--music-translation", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    makers: dict[str, Callable[[], Generate]] = {"wavenet_vocoder 0.1.1": wavenet_vocoder}
    if given.vincent:
        makers["pytorch-wavenet, no condition"] = lambda: pytorch_wavenet(given.vincent)
    if given.music_translation:
        makers["music-translation"] = lambda: music_translation(given.music_translation)
    makers["ours, torch ring buffers"] = lambda: ours("streaming", 1, 1)
    usual = generator.backend_for(Autoencoder(ModelConfig(), ["one", "other"]).decoder)
    n_all = generator.lockstep_streams(usual)
    for precision in ("float32", "bfloat16", "int8"):
        makers[f"ours, {precision}, one stream"] = functools.partial(ours, precision, 1, 1)
        makers[f"ours, {precision}, {n_all} streams"] = functools.partial(ours, precision, n_all, 0)
    runs: dict[str, Generate] = {}
    for name, make in makers.items():
        try:
            runs[name] = make()
            runs[name](64)
        except Exception as error:
            print(f"{name}: left out ({type(error).__name__}: {error})", file=sys.stderr)
            runs.pop(name, None)
    sizes, rates = {}, {name: [] for name in runs}  # type: ignore[var-annotated]
    for name, run in runs.items():
        began = time.perf_counter()
        run(256)  # of all streams together; what follows is sized by it
        sizes[name] = max(256, int(256 * given.seconds / (time.perf_counter() - began)))
        if name.startswith("ours"):
            sizes[name] = min(sizes[name], LONGEST * (n_all if name.endswith("streams") else 1))
    for _ in range(given.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run(sizes[name])
            rates[name].append(sizes[name] / (time.perf_counter() - began))
    print("| who | samples a second | times real time | ours to theirs: one stream, all cores (best precision) |")
    print("| --- | --- | --- | --- |")
    for name, found in rates.items():
        ratios = ""
        if not name.startswith("ours"):
            best = [
                max(
                    statistics.median(a / b for a, b in zip(rates[other], found, strict=True))
                    for other in rates
                    if other.startswith("ours") and other.endswith(kind)
                )
                for kind in ("one stream", "streams")
            ]
            ratios = f"{best[0]:.0f}, {best[1]:.0f}"
        rate = statistics.median(found)
        print(f"| {name} | {rate:,.0f} | {rate / 16_000:.4f} | {ratios} |")


if __name__ == "__main__":
    main()
