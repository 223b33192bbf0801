"""Whisper's encoder in torch equals that of CTranslate2, and lets gradients through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from moksori import whisper_files
from moksori.audio import files, resample, whisper_mel
from moksori.models.whisper_encoder import WhisperEncoder

CPU = torch.device("cpu")


def _arrays(width: int = 8, n_layers: int = 2) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return (chance.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    arrays = {
        "num_heads": np.array(2, np.float32),
        "conv1/weight": drawn(width, 80, 3),
        "conv1/bias": drawn(width),
        "conv2/weight": drawn(width, width, 3),
        "conv2/bias": drawn(width),
        "position_encodings/encodings": drawn(1500, width),
        "layer_norm/gamma": np.full(width, 2.0, np.float32),
        "layer_norm/beta": drawn(width),
    }
    for index in range(n_layers):
        name = f"layer_{index}"
        for part, rows, columns in (
            ("self_attention/linear_0", 3 * width, width),
            ("self_attention/linear_1", width, width),
            ("ffn/linear_0", 4 * width, width),
            ("ffn/linear_1", width, 4 * width),
        ):
            arrays |= {f"{name}/{part}/weight": drawn(rows, columns), f"{name}/{part}/bias": drawn(rows)}
        for part in ("self_attention", "ffn"):
            arrays |= {
                f"{name}/{part}/layer_norm/gamma": np.ones(width, np.float32),
                f"{name}/{part}/layer_norm/beta": np.zeros(width, np.float32),
            }
    return arrays


def test_layers_are_those_asked_for_and_the_last_one_is_normalised() -> None:
    encoder = WhisperEncoder(_arrays(), CPU)
    assert encoder.n_layers == 2
    mel = torch.randn(3, 80, 41, generator=torch.Generator().manual_seed(0))
    first, last = encoder.layers(mel, (0, 1))
    assert first.shape == last.shape == (3, 21, 8)
    (alone,) = encoder.layers(mel, (1,))
    assert torch.equal(alone, last)
    centred = (last - torch.from_numpy(_arrays()["layer_norm/beta"])) / 2.0
    torch.testing.assert_close(centred.mean(2), torch.zeros(3, 21), atol=1e-5, rtol=0)
    torch.testing.assert_close(centred.var(2, unbiased=False), torch.ones(3, 21), atol=1e-3, rtol=0)


def test_gradients_reach_the_sound_and_no_weight() -> None:
    encoder = WhisperEncoder(_arrays(), CPU)
    mel = torch.randn(1, 80, 20, requires_grad=True)
    encoder.layers(mel, (1,))[0].square().sum().backward()
    assert mel.grad is not None and mel.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in encoder._weights.values())


@pytest.mark.skipif(
    not whisper_files.is_installed(whisper_files.PUBLISHED["base"]), reason="Whisper is not installed (extra `words`)"
)
def test_it_hears_what_ctranslate2_hears() -> None:
    whisper = pytest.importorskip("moksori.evaluation.judges.whisper")
    song = resample.resample_clip(files.read(Path(__file__).parents[2] / "demo" / "arirang.flac"), whisper_mel.RATE)
    song = type(song)(song.samples[: 4 * song.sample_rate], song.sample_rate)
    expected = torch.from_numpy(whisper.load("base").encode(song).frames)
    mel = torch.from_numpy(whisper_mel.log_mel(song.samples))[None]
    with torch.no_grad():
        encoder = WhisperEncoder.published("base", CPU)
        (found,) = encoder.layers(mel, (encoder.n_layers - 1,))
    likeness = torch.nn.functional.cosine_similarity(found[0, : len(expected)], expected)
    assert likeness.mean() > 0.99  # CTranslate2 computes in 8-bit integers
