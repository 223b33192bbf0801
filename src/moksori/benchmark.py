"""Benchmarks: how fast a model encodes, generates and trains on this machine, beside what it could do at best.

Machines are shared, so nothing here is a time alone: in every round each way of generating is measured, after a
reading of yardsticks (`generation.engine.yardstick`). A way's figure is its median; its ratio to the plain way, one
stream of ring buffers in torch, is the median of the ratios within the rounds. On a GPU there are no yardsticks.
"""

from __future__ import annotations

import importlib.util
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from moksori.data import threads
from moksori.generation import generator
from moksori.generation.backends import calibration, sampling
from moksori.generation.engine import trial
from moksori.generation.engine.trial import Verdict
from moksori.generation.songs import latents
from moksori.language import ENGLISH, Words
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.conditions import Conditioning
from moksori.models.encoder import Encoder, EncoderConfig
from moksori.models.wavenet import WaveNet, WaveNetConfig
from moksori.progress import OnProgress, Progress
from moksori.training import losses

PLAIN = "streaming"
"""The backend that every other one is compared with, at one stream on one thread."""


@dataclass(frozen=True)
class Way:
    """A way of generating."""

    backend: str
    n_streams: int
    n_workers: int


@dataclass(frozen=True)
class Rate:
    """How fast a way was; medians over rounds."""

    way: Way
    samples_per_second: float  # of all streams together
    per_cpu_second: float  # the same for each second that a core worked: a neighbour does not count
    times_real_time: float
    times_plain: float  # by samples a second
    share_of_bare: float | None  # of the products that the cores could do, counted by CPU seconds
    bytes_a_stream: int  # that a stream remembers


@dataclass(frozen=True)
class EncodingRate:
    """How fast the encoder was on one thread beside a backend; medians over rounds."""

    backend: str
    samples_per_second: float
    times_real_time: float
    times_plain: float  # beside torch
    share_of_bare: float | None  # of the products that a core could do, counted by CPU seconds


@dataclass(frozen=True)
class TrainingRate:
    """How fast a step of phase 1 was: forward and backward through encoder and decoder."""

    seconds_per_second: float  # of a core, or of a GPU by the clock, for a second of sound
    multiply_adds: float  # of it, by the sizes of the net
    share_of_bare: float | None


@dataclass(frozen=True)
class Speed:
    """What was measured, and where."""

    model: str
    sample_rate: int
    receptive_field: int
    machine: dict[str, str]
    verdict: Verdict
    bare: dict[str, float]  # products a second of one core by arithmetic, in billions
    tile: dict[str, float]
    rates: list[Rate]
    encoding: list[EncodingRate]
    training: TrainingRate | None
    peak_memory_mb: float | None  # of the whole process, or on the GPU, where the system tells it


def machine(device: torch.device | None = None) -> dict[str, str]:
    """Facts about this machine, and about a GPU if one is meant, in words."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: what Python knows must do
    gpu = "CUDA" if torch.cuda.is_available() else "no GPU"
    if device is not None and device.type == "cuda":
        gpu = torch.cuda.get_device_name(device)
    return {
        "processor": processor,
        "cores": str(threads.n_cores()),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "torch": f"{torch.__version__}, {gpu}",
    }


def usual_ways(n_cores: int, worker_streams: int, precisions: Sequence[str]) -> list[Way]:
    """What is worth comparing: torch, and each precision alone, on one core, and on all."""
    ways = [Way(PLAIN, 1, 1), Way(PLAIN, 32, 1)]
    for precision in precisions:
        ways += [Way(precision, 1, 1), Way(precision, worker_streams, 1)]
        if n_cores > 1:
            ways.append(Way(precision, worker_streams * n_cores, n_cores))
    return ways


def gpu_ways(has_triton: bool) -> list[Way]:
    """What is worth comparing on a GPU: ring buffers step by step, and replayed, for one song and for several."""
    replayed = ("graph", "fused", "fused16") if has_triton else ("graph",)
    ways = [Way(PLAIN, 1, 1), Way(PLAIN, 32, 1)]
    return ways + [Way(backend, n_streams, 1) for backend in replayed for n_streams in (1, 32, 128)]


def measure(
    config: ModelConfig,
    name: str,
    rounds: int = 3,
    seconds: float = 1.0,
    is_training_measured: bool = True,
    device: torch.device | None = None,
    progress: OnProgress | None = None,
) -> Speed:
    """Measure a model of random weights; what it would say does not matter for how fast it says it.

    Args:
        config: sizes.
        name: of the model, for the record.
        rounds: measurements of every way, at least 1.
        seconds: a measurement lasts about this long.
        is_training_measured: whether a training step is timed, too.
        device: a GPU, of CUDA; by default the CPU.
        progress: called with the rounds done, and what is measured now.
    """
    device = device or torch.device("cpu")
    model, conditioning = _model(config, device)
    decoder = model.decoder
    if device.type == "cpu":
        verdict, usual = trial.verdict(), generator.backend_for(decoder)
        ways = usual_ways(generator.n_workers(usual), usual.worker_streams, verdict.precisions)
    else:
        verdict = Verdict(reason="it is made for CPUs")
        ways = gpu_ways(has_triton=importlib.util.find_spec("triton") is not None)
    peaks = calibration.layer_peaks(
        decoder, torch.zeros(1, conditioning.n_samples, dtype=torch.int64, device=device), conditioning
    )
    measurements = {way: _Measurement(decoder, way, conditioning, peaks, seconds) for way in ways}
    assert isinstance(model.encoder, Encoder)  # `_model` makes no other
    encoders = [_EncoderMeasurement(model.encoder, name, seconds) for name in (PLAIN, *verdict.precisions)]
    yardsticks = _Yardsticks(verdict)
    for done in range(rounds):
        for way in ways:
            if progress is not None:
                progress(Progress(done, rounds, f"{way.backend}, {way.n_streams} streams, {way.n_workers} threads"))
            yardsticks.read()
            measurements[way].take()
        for encoder in encoders:
            if progress is not None:
                progress(Progress(done, rounds, f"{encoder.backend}, the encoder"))
            encoder.take()
    bare, tile = yardsticks.best()
    rates = [_rate(measurements[way], measurements[ways[0]], config.sample_rate, verdict, bare) for way in ways]
    encoding = [_encoding_rate(encoder, encoders[0], config, verdict, bare) for encoder in encoders]
    training = _training(config, device, bare.get("float32")) if is_training_measured else None
    return Speed(
        name,
        config.sample_rate,
        config.decoder.receptive_field,
        machine(device),
        verdict,
        bare,
        tile,
        rates,
        encoding,
        training,
        _peak_memory_mb(device),
    )


def decoder_multiply_adds(config: WaveNetConfig) -> int:
    """Products of one sample; the condition's, which are taken once a frame, and the first convolution's left out."""
    residual, skip = config.residual_channels, config.skip_channels
    layer = config.kernel_size * residual * 2 * residual + residual * (residual + skip)
    return len(config.dilations) * layer + skip * (skip + 256)


def encoder_multiply_adds(config: EncoderConfig) -> int:
    """Products of one sample; those of the stem, and of the head, which are taken once a frame, left out."""
    return config.blocks * config.layers * (config.kernel_size + 1) * config.channels**2


def markdown(speed: Speed) -> str:
    """The figures as tables."""
    lines = [f"- {name}: {value}" for name, value in speed.machine.items()]
    lines.append(f"- engine: {engine_in_words(speed.verdict)}")
    for arithmetic, products in speed.tile.items():
        bare = speed.bare.get(arithmetic)
        of = f", {products / bare:.0%} of bare multiply-adds ({bare:.1f})" if bare else ""
        lines.append(f"- one core, {arithmetic}: {products:.1f} billion products a second by the tile alone{of}")
    lines += ["", f"Recipe `{speed.model}`, {speed.sample_rate} Hz, receptive field {speed.receptive_field:,} samples:"]
    lines += ["", "| backend | streams | threads | samples a second | times real time | times plain torch | of bare |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for rate in speed.rates:
        way = rate.way
        lines.append(
            f"| {way.backend} | {way.n_streams} | {way.n_workers} | {rate.samples_per_second:,.0f} | "
            f"{rate.times_real_time:.3f} | {rate.times_plain:.1f} | {_percent(rate.share_of_bare)} |"
        )
    lines += ["", "The encoder, on one thread:", ""]
    lines += ["| beside backend | samples a second | times real time | times torch | of bare |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for encoder in speed.encoding:
        lines.append(
            f"| {encoder.backend} | {encoder.samples_per_second:,.0f} | {encoder.times_real_time:.3f} | "
            f"{encoder.times_plain:.2f} | {_percent(encoder.share_of_bare)} |"
        )
    if speed.training is not None:
        share = "" if speed.training.share_of_bare is None else f", {speed.training.share_of_bare:.0%} of bare float32"
        lines += ["", f"Training: {speed.training.seconds_per_second:.3g} seconds for a second of sound{share}."]
    if speed.peak_memory_mb is not None:
        lines += ["", f"Peak memory: {speed.peak_memory_mb:.0f} MB."]
    return "\n".join(lines) + "\n"


def engine_in_words(verdict: Verdict, say: Words = ENGLISH) -> str:
    """What the engine does here, and why it does not do more, in the reader's language."""
    if not verdict.precisions:
        return say("not used, torch serves instead: {reason}", reason=verdict.reason)
    by_precision = [
        precision
        if precision == arithmetic
        else say("{precision} (by {arithmetic})", precision=precision, arithmetic=arithmetic)
        for precision, arithmetic in zip(verdict.precisions, verdict.arithmetics, strict=True)
    ]
    words = say(
        "{tier} vectors; {precisions}; {usual} when nobody says",
        tier=verdict.tier,
        precisions=", ".join(by_precision),
        usual=verdict.usual_precision,
    )
    return words + (say(". Missing: {reason}", reason=verdict.reason) if verdict.reason else "")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _peak_memory_mb(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class _Measurement:
    """One way of generating, and how its measurements went."""

    def __init__(
        self, decoder: WaveNet, way: Way, conditioning: Conditioning, peaks: list[float], seconds: float
    ) -> None:
        self.way = way
        self._backend = generator.backend_for(decoder, way.backend, peaks)
        self._conditioning = Conditioning(conditioning.frames.expand(way.n_streams, -1, -1), conditioning.hop_samples)
        self._n_samples = 4
        took = min(self._generate()[0] for _ in range(2))  # the first call may compile
        self._n_samples = max(4, min(self._conditioning.n_samples, round(seconds / max(took, 1e-6) * 4)))
        self.wall: list[float] = []  # samples a second
        self.busy: list[float] = []  # samples a CPU second

    def take(self) -> None:
        """Measure once more."""
        wall, busy = self._generate()
        n_samples = self.way.n_streams * self._n_samples
        self.wall.append(n_samples / wall)
        self.busy.append(n_samples / busy)

    def bytes_a_stream(self) -> int:
        """What a stream remembers between two samples."""
        state = self._backend.start(Conditioning(self._conditioning.frames[:1, :, :1], self._conditioning.hop_samples))
        arrays = getattr(state, "arrays", None)
        remembered = [*state.rings, state.recent] if arrays is None else arrays
        return sum(each.nbytes for each in remembered)

    def _generate(self) -> tuple[float, float]:
        """Seconds by the clock, and of the cores."""
        uniforms = sampling.uniforms(0, 0, 0, self._n_samples).expand(self.way.n_streams, -1)
        wall, busy = time.perf_counter(), time.process_time()
        generator.generate(
            self._backend, self._conditioning, uniforms, workers=self.way.n_workers
        ).cpu()  # waits for a GPU
        return time.perf_counter() - wall, time.process_time() - busy


class _EncoderMeasurement:
    """One way of encoding, and how its measurements went."""

    def __init__(self, encoder: Encoder, backend: str, seconds: float) -> None:
        self.backend = backend
        self._encode = latents.encode_for(encoder, backend)
        self.precision = self._encode.precision
        self._codes = torch.zeros(1, encoder.config.hop_samples, dtype=torch.int64)
        took = min(self._run()[0] for _ in range(2))  # the first call may compile
        self._codes = self._codes.repeat(1, max(1, round(seconds / max(took, 1e-6))))
        self.wall: list[float] = []  # samples a second
        self.busy: list[float] = []  # samples a CPU second

    def take(self) -> None:
        """Measure once more."""
        wall, busy = self._run()
        self.wall.append(self._codes.numel() / wall)
        self.busy.append(self._codes.numel() / busy)

    def _run(self) -> tuple[float, float]:
        """Seconds by the clock, and of the cores."""
        wall, busy = time.perf_counter(), time.process_time()
        self._encode(self._codes).cpu()  # waits for a GPU
        return time.perf_counter() - wall, time.process_time() - busy


class _Yardsticks:
    """What one core can multiply: the best of many readings, as a neighbour can only slow it down."""

    _PRODUCTS = 2e8  # of a reading

    def __init__(self, verdict: Verdict) -> None:
        self._bare: dict[str, float] = {}
        self._tile: dict[str, float] = {}
        self._arithmetics, self._tier = verdict.arithmetics, verdict.tier

    def read(self) -> None:
        """Take every reading once."""
        if not self._arithmetics:
            return
        from moksori.generation.engine import cpu, yardstick
        from moksori.generation.engine.tile import ARITHMETICS

        tier = cpu.tier(cpu.features(), self._tier)
        for name in self._arithmetics:
            arithmetic = ARITHMETICS[name]
            self._note(self._tile, name, *yardstick.whole_tile(arithmetic, tier))
            if yardstick.has_bare(arithmetic):
                self._note(self._bare, name, *yardstick.bare(arithmetic, tier))

    def best(self) -> tuple[dict[str, float], dict[str, float]]:
        """Billions of products a second, bare and by the tile."""
        return self._bare, self._tile

    def _note(self, best: dict[str, float], name: str, run: Callable[[int], None], products: int) -> None:
        if name not in best:
            run(1)  # compiles
        measurements = int(self._PRODUCTS / products)
        began = time.thread_time()
        run(measurements)
        rate = measurements * products / max(time.thread_time() - began, 1e-9) / 1e9
        best[name] = max(best.get(name, 0.0), rate)


def _rate(
    measurement: _Measurement, plain: _Measurement, sample_rate: int, verdict: Verdict, bare: dict[str, float]
) -> Rate:
    way, wall, busy = measurement.way, statistics.median(measurement.wall), statistics.median(measurement.busy)
    products = getattr(measurement._backend, "multiply_adds", None)
    share = None if products is None else _share_of_bare(busy * products, way.backend, verdict, bare)
    ratio = statistics.median(own / other for own, other in zip(measurement.wall, plain.wall, strict=True))
    return Rate(way, wall, busy, wall / sample_rate, ratio, share, measurement.bytes_a_stream())


def _encoding_rate(
    measurement: _EncoderMeasurement,
    plain: _EncoderMeasurement,
    config: ModelConfig,
    verdict: Verdict,
    bare: dict[str, float],
) -> EncodingRate:
    wall = statistics.median(measurement.wall)
    products = statistics.median(measurement.busy) * encoder_multiply_adds(config.encoder)
    ratio = statistics.median(own / other for own, other in zip(measurement.wall, plain.wall, strict=True))
    share = _share_of_bare(products, measurement.precision, verdict, bare)
    return EncodingRate(measurement.backend, wall, wall / config.sample_rate, ratio, share)


def _share_of_bare(products: float, precision: str, verdict: Verdict, bare: dict[str, float]) -> float | None:
    """Which share of what a core could multiply so many products a second are."""
    arithmetics = dict(zip(verdict.precisions, verdict.arithmetics, strict=True))
    peak = bare.get(arithmetics.get(precision, ""))
    return products / (peak * 1e9) if peak else None


def _training(config: ModelConfig, device: torch.device, bare: float | None) -> TrainingRate:
    """Time three steps, and keep the fastest, as neighbours only slow it down.

    A core hears a quarter of a second, a GPU eight clips of a second, which keep it busy.
    """
    model, _ = _model(config, device)
    is_on_gpu, hop = device.type != "cpu", config.encoder.hop_samples
    n_clips, seconds, clock = (8, 1.0, time.perf_counter) if is_on_gpu else (1, 0.25, time.process_time)
    n_samples = max(2, round(seconds * config.sample_rate / hop)) * hop
    codes = torch.randint(0, 256, (n_clips, n_samples), generator=torch.Generator().manual_seed(0)).to(device)
    vectors = model.singers(torch.zeros(n_clips, dtype=torch.int64, device=device))
    melody_frames = n_samples // config.melody_hop_samples if config.melody_hop_samples else 0
    conditioning = torch.zeros(n_clips, 2, melody_frames, device=device) if melody_frames else None
    learnt, found = [*model.encoder.parameters(), *model.decoder.parameters()], []
    for _ in range(3):
        began = clock()
        loss = losses.reconstruction(model.logits(codes, model.encode(codes), vectors.detach(), conditioning), codes)
        torch.autograd.grad(loss, learnt, allow_unused=True)[0].cpu()  # waits for a GPU
        found.append(clock() - began)
    products = encoder_multiply_adds(config.encoder) + decoder_multiply_adds(config.decoder)
    products *= 3 * config.sample_rate  # forward, and twice backward
    of_a_second = min(found) * config.sample_rate / (n_clips * n_samples)
    return TrainingRate(of_a_second, products, None if bare is None else products / (of_a_second * bare * 1e9))


def _model(config: ModelConfig, device: torch.device) -> tuple[Autoencoder, Conditioning]:
    """A model of random weights, and a second of conditions for its decoder."""
    with torch.random.fork_rng():  # weights of any value do
        model = Autoencoder(config, ["one", "other"]).eval().to(device)
    hop = config.phase_hop_samples or config.melody_hop_samples or config.encoder.hop_samples
    shape = 1, model.decoder.condition_channels, config.sample_rate // hop
    return model, Conditioning(torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device), hop)
