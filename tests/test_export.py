"""Export: each ONNX net says what the torch one says, at lengths that it was not traced at, without torch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_recipes import TINY_SWIFT

from moksori import checkpoint, export
from moksori.audio import files, shapes
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTracker
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice
from moksori.errors import UserError
from moksori.generation.backends import sampling
from moksori.generation.songs.features import HEADROOM_DB
from moksori.models import conditions, synthesiser
from moksori.models.autoencoder import Autoencoder
from moksori.models.source_filter import SourceFilterConfig
from moksori.models.source_filter_model import SourceFilterModel, SourceFilterModelConfig
from moksori.training import recipe as recipes

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

N_FRAMES = 37  # odd, and not what the graphs are traced at
ROOT = Path(__file__).parents[1]


def _model(has_detail: bool) -> SourceFilterModel:
    config = recipes.parse(TINY_SWIFT, "tiny").model
    assert isinstance(config, SourceFilterModelConfig)
    decoder = SourceFilterConfig(64 if has_detail else 24, 8, 2, has_detail=has_detail)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SourceFilterModel(dataclasses.replace(config, decoder=decoder), ["bass", "tenor"])
        torch.nn.init.normal_(model.decoder.last.weight, std=0.3)
        if model.singers.measured is not None:
            torch.nn.init.normal_(model.singers.measured, std=0.5)
            model.singers.measured[:, 64:] -= 8.0  # a clear voice: noise is drawn by chance, tones are not
    return model.eval()


@pytest.fixture(scope="module")
def detailed() -> SourceFilterModel:
    return _model(has_detail=True)


@pytest.fixture(scope="module")
def folder(detailed: SourceFilterModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    export.write(folder, detailed, Provenance("moksori 0", level_dbfs=-23.0, licence_note="free to all"))
    return folder


def _run(folder: Path, name: str, **inputs: torch.Tensor) -> list[torch.Tensor]:
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
    found = session.run(None, {key: tensor.numpy() for key, tensor in inputs.items()})
    return [torch.from_numpy(array) for array in found]


def _f0(generator: torch.Generator) -> torch.Tensor:
    f0_hz = 100.0 + 300.0 * torch.rand(1, N_FRAMES, generator=generator)
    return f0_hz * (torch.arange(N_FRAMES) % 5 > 0)


def _same(found: torch.Tensor, expected: torch.Tensor, within: float = 1e-4) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < within  # sums have another order


@torch.no_grad()
def test_nets_with_a_detail_path_say_the_same(detailed: SourceFilterModel, folder: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    f0_hz, envelope = _f0(generator), detailed.config.features.envelope
    curves = torch.randn(2, 1, 64, N_FRAMES, generator=generator) - 5.0
    shape, level = _run(folder, "shape", harmonics=curves[0], noise=curves[1], f0_hz=f0_hz)
    expected = shapes.of(shapes.densities(torch.cat([curves[0], curves[1]], dim=1), f0_hz, envelope), f0_hz, envelope)
    _same(shape, expected[0])
    _same(level, expected[1])
    mean = torch.randn(1, 128, generator=generator)
    described = {"shape": shape, "level": level, "f0_hz": f0_hz, "mean_shape": mean}
    (z,) = _run(folder, "encoder", **described)
    _same(z, detailed.encoder(detailed.encoder_input_of(shape, level, f0_hz, mean[:, :, None])))
    vector, gain = detailed.singers(torch.tensor([1])), torch.tensor([0.3])
    harmonics, noise = _run(folder, "decoder", latent=z, **described, singer=vector, gain=gain)
    sung = detailed.controls_of(z, shape, level, f0_hz, mean[:, :, None], vector, gain)
    _same(harmonics, sung.harmonics)
    _same(noise, sung.noise)


@torch.no_grad()
def test_the_synthesiser_makes_the_same_sound(detailed: SourceFilterModel, folder: Path) -> None:
    generator, config = torch.Generator().manual_seed(2), detailed.config.synthesiser
    f0_hz = _f0(generator)
    curves = 0.3 * torch.randn(2, 1, 64, N_FRAMES, generator=generator) - torch.tensor([3.0, 6.0])[:, None, None, None]
    card = synthesiser.oscillation(f0_hz[0], config)
    white = sampling.white_noise(0, 0, 0, N_FRAMES * config.hop_samples)
    expected = synthesiser.render(synthesiser.Controls(f0_hz, *curves), config, card, white)
    (sound,) = _run(
        folder,
        "synthesiser",
        harmonics=curves[0],
        noise=curves[1],
        f0_hz=f0_hz,
        pitch_hz=card.pitch_hz,
        cycles=card.cycles,
        numbers=torch.arange(1, int(config.sample_rate / 2 / float(card.pitch_hz.min())) + 1),
        white=white.reshape(N_FRAMES, -1),
    )
    assert float(expected.square().mean()) > 1e-3
    _same(sound, expected, 2e-4)


@pytest.mark.slow
@torch.no_grad()
def test_nets_without_a_detail_path_say_the_same(tmp_path: Path) -> None:
    model, generator = _model(has_detail=False), torch.Generator().manual_seed(3)
    export.write(tmp_path, model, Provenance())
    f0_hz, mel = _f0(generator), torch.randn(1, 80, N_FRAMES, generator=generator) - 5.0
    (z,) = _run(tmp_path, "encoder", log_mel=mel)
    _same(z, model.encoder(conditions.mel(mel)))
    level, vector = torch.full((1, N_FRAMES), -30.0), model.singers(torch.tensor([0]))
    harmonics, noise = _run(tmp_path, "decoder", latent=z, f0_hz=f0_hz, level_dbfs=level, singer=vector)
    sung = model.decoder(z, f0_hz, level, vector)
    sung = synthesiser.no_louder(sung, level + HEADROOM_DB, model.config.synthesiser)
    _same(harmonics, sung.harmonics)
    _same(noise, sung.noise)
    assert json.loads((tmp_path / "voice.json").read_text(encoding="utf-8"))["kind"] == "log-mel"


def test_voice_json_tells_what_a_program_needs(detailed: SourceFilterModel, folder: Path) -> None:
    import onnx

    card = json.loads((folder / "voice.json").read_text(encoding="utf-8"))
    assert (card["kind"], card["sample_rate"], card["terms"]) == ("detail", 8000, "free to all")
    assert card["fingerprint"] == checkpoint.fingerprint(detailed.state_dict())
    assert np.allclose(card["singers"]["tenor"]["vector"], detailed.singers(torch.tensor([1]))[0].tolist())
    for path in folder.glob("*.onnx"):
        (opset,) = [entry.version for entry in onnx.load(path).opset_import if entry.domain in ("", "ai.onnx")]
        assert opset == card["opset"] == export.OPSET


def _song() -> Clip:
    times = np.arange(12_000) / 8000
    tone = sum(np.sin(2 * np.pi * 220 * k * times) / k for k in range(1, 10))
    return Clip((0.1 * np.asarray(tone)).astype(np.float32), 8000)


def test_the_example_sings_what_the_library_sings_and_loads_no_torch(
    detailed: SourceFilterModel, folder: Path, tmp_path: Path
) -> None:
    files.write(tmp_path / "song.wav", _song())
    script = ROOT / "demo" / "sing_by_onnx.py"
    words = [str(folder), str(tmp_path / "song.wav"), "tenor", str(tmp_path / "o.wav"), "5"]
    watched = (
        f"import sys, runpy; sys.argv[1:] = {words!r};"
        f"runpy.run_path({str(script)!r}, run_name='__main__'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=False, timeout=600)
    assert done.stdout == "False\n", done.stderr
    found = files.read(tmp_path / "o.wav")
    voice = Voice(detailed, Provenance())
    expected = voice.convert(_song().samples, 8000, singer="tenor", options=ConvertOptions(transpose=5))
    assert len(found.samples) == len(expected)
    assert np.median(PitchTracker().track(found).voiced_hz) == pytest.approx(220 * 2 ** (5 / 12), rel=0.01)
    middle = slice(2000, 10_000)  # noise is drawn by another generator; what is sung in tones is the same
    difference = np.square(found.samples[middle] - expected[middle]).mean() / np.square(expected[middle]).mean()
    assert difference < 0.05


def test_forty_lines_are_forty_lines() -> None:
    text = (ROOT / "demo" / "sing_by_onnx.py").read_text(encoding="utf-8")
    body = text.split("def sing(")[1].split("if __name__")[0].splitlines()[2:]
    assert sum(bool(line.strip()) for line in body) <= 40


def test_codes_are_refused(tiny_model: Autoencoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="samples codes"):
        export.write(tmp_path, tiny_model, Provenance())


def test_without_onnx_the_extra_is_named(
    detailed: SourceFilterModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'moksori\[onnx\]'"):
        export.write(tmp_path, detailed, Provenance())


def test_the_command_refuses_what_is_there(
    detailed: SourceFilterModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from moksori.cli.app import app

    def call(*words: Any) -> Any:
        return CliRunner().invoke(app, ["export", *map(str, words)])

    path = tmp_path / "voice.safetensors"
    checkpoint.write_model(path, detailed, Provenance())
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "is a file" in str(call(path, "--onnx", tmp_path / "file").exception)
    (tmp_path / "voice.json").write_text("", encoding="utf-8")
    assert "exists already" in str(call(path, "--onnx", tmp_path).exception)
