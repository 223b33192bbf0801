"""A voice as ONNX, for programs without torch: the nets and the synthesiser, and a file that says how they fit.

    voice.json         sizes, singers with their vectors and ranges, level, terms
    shape.onnx         log envelopes, f0 -> shape, level                           (voices with a detail path)
    encoder.onnx       shape, level, f0, mean shape -> latent                      (or log-mel -> latent)
    decoder.onnx       latent and the same, singer, gain -> envelopes to sing      (or latent, f0, level, singer)
    synthesiser.onnx   envelopes, pitch, cycles, harmonics' numbers, noise -> sound

One batch, any number of frames F. What is no net stays outside, in numpy: pitch tracking, measuring envelopes
(`audio.envelopes`, which needs no torch), the mean shape, and where the oscillators stand; `demo/sing_by_onnx.py` does
it in forty lines.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from moksori import atomic, checkpoint, settings
from moksori.audio import features, shapes, spectral
from moksori.checkpoint import Provenance
from moksori.errors import UserError
from moksori.generation.songs.features import HEADROOM_DB
from moksori.models import conditions, kinds, synthesiser
from moksori.models.kinds import Model
from moksori.models.source_filter_model import SourceFilterModel
from moksori.models.synthesiser import NOISE_WINDOW, Controls, SynthesiserConfig

OPSET = 18
FORMAT = 1
_EXAMPLE_FRAMES, _EXAMPLE_HARMONICS = 24, 7  # sizes that the graphs are traced at; both stay open

Notify = Callable[[str], None]
"""Called with the name of a file before it is made."""


_Traced = tuple[Tensor, dict[int, str]]
"""A tensor that a graph is traced on, and which of its axes are frames or harmonics."""


@dataclass(frozen=True)
class _Graph:
    """One net, with its inputs and outputs by name."""

    module: nn.Module
    inputs: dict[str, _Traced]
    outputs: tuple[str, ...]


def write(folder: Path, model: Model, provenance: Provenance, notify: Notify | None = None) -> list[Path]:
    """Write a voice as ONNX files; each appears under its name when it is complete.

    Args:
        folder: exists.
        model: of a source-filter kind, on the CPU.
        provenance: whose level, ranges and terms go along.
        notify: see `Notify`.

    Returns:
        The files.

    Raises:
        UserError: the model samples codes, onnx is not installed, or the disk refused.
    """
    if not kinds.is_source_filter(model):
        raise UserError(
            "this voice samples codes, one forward pass a sample, which is no graph to hand on; export a voice of "
            "recipe swift"
        )
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise UserError("exporting needs onnx and onnxscript; pip install 'moksori[onnx]'") from error
    written = []
    for name, graph in _graphs(model.eval()).items():
        if notify is not None:
            notify(name)
        path = folder / f"{name}.onnx"
        _save(path, _exported(graph, onnx))
        written.append(path)
    path = folder / "voice.json"
    _save(path, json.dumps(_facts(model, provenance), ensure_ascii=False, indent=1).encode())
    return [*written, path]


def _save(path: Path, content: bytes) -> None:
    try:
        atomic.write(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def _facts(model: SourceFilterModel, provenance: Provenance) -> dict[str, Any]:
    config, origin = model.config, settings.plain(provenance)
    numbers = torch.arange(len(model.singers.names))
    with torch.no_grad():
        vectors = dict(zip(model.singers.names, model.singers(numbers).tolist(), strict=True))
    measured = model.singers.measured
    return {
        "format": FORMAT,
        "opset": OPSET,
        "kind": "detail" if config.decoder.has_detail else "log-mel",
        "sample_rate": config.sample_rate,
        "hop_samples": config.hop_samples,
        "n_bands": config.decoder.n_bands,
        "pool_frames": config.encoder.pool_frames,
        "context_frames": config.context_frames,
        "synthesiser_context_frames": synthesiser.CONTEXT_FRAMES,
        "level_dbfs": provenance.level_dbfs,
        "gain": config.decoder.detail_gain if config.decoder.has_detail else None,
        "mean_shape": None if measured is None else measured.mean(dim=0).tolist(),  # where a song has nothing voiced
        "singers": {name: {"vector": vector, "range": origin["ranges"].get(name)} for name, vector in vectors.items()},
        "fingerprint": checkpoint.fingerprint(model.state_dict()),
        "made_by": origin["software"],
        "terms": origin["licence_note"],
    }


def _graphs(model: SourceFilterModel) -> dict[str, _Graph]:
    """The nets of a voice by name."""
    config, n_frames = model.config, _EXAMPLE_FRAMES
    n_bands, n_vector = config.decoder.n_bands, model.singers(torch.zeros(1, dtype=torch.int64)).shape[1]
    generator = torch.Generator().manual_seed(0)

    def noise(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=generator)

    f0_hz = torch.linspace(0.0, 400.0, n_frames)[None].clamp(min=0.0)
    f0 = (f0_hz, {1: "F"})
    # A tensor each: one that stood in two places would be taken for one input.
    curves = {name: (noise(1, n_bands, n_frames) - 6.0, {2: "F"}) for name in ("harmonics", "noise")}
    row = (noise(1, n_frames), {1: "F"})
    z = (noise(1, config.encoder.latent_channels, -(-n_frames // config.encoder.pool_frames)), {2: "Z"})
    vector: _Traced = (noise(1, n_vector), {})
    sound = _Graph(
        _Synthesiser(config.synthesiser),
        {
            **curves,
            "f0_hz": f0,
            "pitch_hz": (torch.linspace(100.0, 400.0, n_frames, dtype=torch.float64), {0: "F"}),
            "cycles": (torch.arange(n_frames, dtype=torch.float64), {0: "F"}),
            "numbers": (torch.arange(1, _EXAMPLE_HARMONICS + 1), {0: "K"}),
            "white": (noise(n_frames, config.hop_samples), {0: "F"}),
        },
        ("sound",),
    )
    if not config.decoder.has_detail:
        mel = (noise(1, features.WINDOWS[features.ENCODER_WINDOW], n_frames), {2: "F"})
        return {
            "encoder": _Graph(_MelEncoder(model), {"log_mel": mel}, ("latent",)),
            "decoder": _Graph(
                _Decoder(model),
                {"latent": z, "f0_hz": f0, "level_dbfs": row, "singer": vector},
                ("harmonics", "noise"),
            ),
            "synthesiser": sound,
        }
    shape: _Traced = (noise(1, 2 * n_bands, n_frames), {2: "F"})
    mean: _Traced = (noise(1, 2 * n_bands), {})
    described = {"shape": shape, "level": row, "f0_hz": f0, "mean_shape": mean}
    return {
        "shape": _Graph(_Shape(model), {**curves, "f0_hz": f0}, ("shape", "level")),
        "encoder": _Graph(_ShapeEncoder(model), described, ("latent",)),
        "decoder": _Graph(
            _DetailDecoder(model),
            {"latent": z, **described, "singer": vector, "gain": (torch.tensor([0.5]), {})},
            ("harmonics", "noise"),
        ),
        "synthesiser": sound,
    }


def _exported(graph: _Graph, onnx: Any) -> bytes:
    """A graph as the bytes of an ONNX file, checked."""
    dims = {letter: Dim(letter, min=2, max=1 << 20) for letter in "FKZ"}  # three hours; torch 2.10 refuses more
    axes = {name: {axis: dims[letter] for axis, letter in open_.items()} for name, (_, open_) in graph.inputs.items()}
    given = tuple(tensor for tensor, _ in graph.inputs.values())
    with torch.no_grad():
        graph.module.eval()(*given)  # constants that are made once are made here, not in the graph
    loud = logging.getLogger("torch.onnx"), logging.getLogger("onnxscript")
    levels = [logger.level for logger in loud]
    try:
        for logger in loud:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph.module,
                given,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=tuple(axes.values()),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    made = program.model_proto
    onnx.checker.check_model(made)
    content: bytes = made.SerializeToString()
    return content


class _Shape(nn.Module):
    """Log envelopes -> shape and level in nepers."""

    def __init__(self, model: SourceFilterModel) -> None:
        super().__init__()
        self._config = model.config.features.envelope

    def forward(self, harmonics: Tensor, noise: Tensor, f0_hz: Tensor) -> tuple[Tensor, Tensor]:
        found = shapes.densities(torch.cat([harmonics, noise], dim=1), f0_hz, self._config)
        return shapes.of(found, f0_hz, self._config)


class _ShapeEncoder(nn.Module):
    """Shape and level -> latent."""

    def __init__(self, model: SourceFilterModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, shape: Tensor, level: Tensor, f0_hz: Tensor, mean_shape: Tensor) -> Tensor:
        z: Tensor = self.model.encoder(self.model.encoder_input_of(shape, level, f0_hz, mean_shape[:, :, None]))
        return z


class _MelEncoder(nn.Module):
    """Log-mel -> latent."""

    def __init__(self, model: SourceFilterModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> Tensor:
        z: Tensor = self.model.encoder(conditions.mel(log_mel))
        return z


class _Held(nn.Module):
    """What decoders share: each latent frame is held for those that it stands for, so that both axes stay open."""

    def __init__(self, model: SourceFilterModel) -> None:
        super().__init__()
        self.model = model
        self._pool = model.config.encoder.pool_frames

    def held(self, z: Tensor, f0_hz: Tensor) -> Tensor:
        place = torch.arange(f0_hz.shape[1]) // self._pool
        return z.index_select(2, place)


class _DetailDecoder(_Held):
    """Latent, shape, level, pitch, singer, gain -> log envelopes to sing."""

    def forward(
        self,
        latent: Tensor,
        shape: Tensor,
        level: Tensor,
        f0_hz: Tensor,
        mean_shape: Tensor,
        singer: Tensor,
        gain: Tensor,
    ) -> tuple[Tensor, Tensor]:
        z = self.held(latent, f0_hz)
        sung = self.model.controls_of(z, shape, level, f0_hz, mean_shape[:, :, None], singer, gain)
        sung = self.model.sharpened(sung)
        return sung.harmonics, sung.noise


class _Decoder(_Held):
    """Latent, pitch, level, singer -> log envelopes to sing, no louder than the source."""

    def forward(self, latent: Tensor, f0_hz: Tensor, level_dbfs: Tensor, singer: Tensor) -> tuple[Tensor, Tensor]:
        sung: Controls = self.model.sharpened(self.model.decoder(self.held(latent, f0_hz), f0_hz, level_dbfs, singer))
        sung = synthesiser.no_louder(sung, level_dbfs + HEADROOM_DB, self.model.config.synthesiser)
        return sung.harmonics, sung.noise


class _Synthesiser(nn.Module):
    """`models.synthesiser.render` without a loop over harmonics and without complex numbers.

    Noise is shaped by a convolution with the rows of the Fourier transform, and put together by its transpose.
    """

    forth: Tensor  # [2 bins, 1, window], with the window in it
    back: Tensor  # the same, for the way back
    squared: Tensor  # [1, 1, window]
    read: Tensor  # [bins, bands]
    minimum_phase: Tensor  # [bands, bands], cycles

    def __init__(self, config: SynthesiserConfig) -> None:
        super().__init__()
        self._config = config
        window = np.hanning(NOISE_WINDOW + 1)[:-1]
        angle = 2.0 * math.pi * np.outer(np.arange(NOISE_WINDOW // 2 + 1), np.arange(NOISE_WINDOW)) / NOISE_WINDOW
        rows = np.concatenate([np.cos(angle), -np.sin(angle)])  # real parts, then imaginary ones
        twice = np.full(NOISE_WINDOW // 2 + 1, 2.0)
        twice[[0, -1]] = 1.0  # 0 Hz and half the rate have no mirror image
        back = rows * np.tile(twice, 2)[:, None] / NOISE_WINDOW
        self.register_buffer("forth", torch.from_numpy((rows * window)[:, None]).float())
        self.register_buffer("back", torch.from_numpy((back * window)[:, None]).float())
        self.register_buffer("squared", torch.from_numpy((window**2)[None, None]).float())
        read = synthesiser.reading(config, synthesiser.bins_hz(config, NOISE_WINDOW))
        self.register_buffer("read", read)
        self.register_buffer("minimum_phase", config.minimum_phase)

    def forward(
        self,
        harmonics: Tensor,
        noise: Tensor,
        f0_hz: Tensor,
        pitch_hz: Tensor,
        cycles: Tensor,
        numbers: Tensor,
        white: Tensor,
    ) -> Tensor:
        tones = self._oscillators(harmonics[0], f0_hz[0], pitch_hz, cycles, numbers)
        return (tones + self._filtered(white, noise[0])).reshape(-1)  # [F, hop] -> [T]

    def _oscillators(self, harmonics: Tensor, f0_hz: Tensor, pitch_hz: Tensor, cycles: Tensor, k: Tensor) -> Tensor:
        config, hop = self._config, self._config.hop_samples
        within_hz = synthesiser.upsample(pitch_hz.log(), hop).exp()  # [F, hop]
        phase = cycles[:, None] + (torch.cumsum(within_hz, dim=1) - within_hz) / config.sample_rate
        number = k.double()[:, None]  # [K, 1]
        harmonic_hz = (number * pitch_hz).float()  # [K, F]
        place = synthesiser.bands_at(harmonic_hz, config)
        power = spectral.rows_at(torch.exp(2.0 * harmonics), place)  # [bands, F] -> [K, F]
        amplitude = power.sqrt() * (f0_hz > 0) * (harmonic_hz < config.sample_rate / 2)
        phases = spectral.rows_at(self.minimum_phase @ harmonics, place)  # [K, F]
        cycles = number * phase.reshape(1, -1)  # [K, T]
        cycles = (cycles - cycles.floor()).float().reshape(k.shape[0], -1, hop) + synthesiser.upsample(phases, hop)
        return (synthesiser.upsample(amplitude, hop) * torch.cos(2.0 * math.pi * cycles)).sum(dim=0)

    def _filtered(self, white: Tensor, noise: Tensor) -> Tensor:
        hop, margin = self._config.hop_samples, NOISE_WINDOW // 2
        gain = (self.read @ torch.exp(2.0 * noise)).sqrt()  # [bins, F]
        gain = torch.cat([gain, gain[:, -1:]], dim=1)  # [bins, F + 1]
        padded = functional.pad(white.reshape(1, 1, -1), (margin, margin))
        spectrum = functional.conv1d(padded, self.forth, stride=hop)  # [1, 2 bins, F + 1]
        shaped = spectrum * torch.cat([gain, gain])[None]
        sound = functional.conv_transpose1d(shaped, self.back, stride=hop)
        weight = functional.conv_transpose1d(torch.ones_like(shaped[:, :1]), self.squared, stride=hop)
        whole = (sound / weight.clamp(min=1e-11))[0, 0, margin:-margin]
        return whole.reshape(-1, hop)
