"""DistillMOS: what it must say of sounds whose order is known, and how it is refused."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from moksori.audio import files, resample
from moksori.audio.clip import Clip
from moksori.evaluation.judges import distill_mos

RATE = 16000
is_installed = pytest.mark.skipif(
    importlib.util.find_spec("distillmos") is None, reason="DistillMOS is not installed (extra `words`)"
)


def _sung() -> tuple[np.ndarray, int]:
    """Five seconds of the song that comes with the project."""
    clip = files.read(Path(__file__).parents[3] / "demo" / "arirang.flac")
    return clip.samples[: 5 * clip.sample_rate], clip.sample_rate


@is_installed
def test_noise_and_clipping_are_heard_and_gain_and_rate_are_not() -> None:
    judge = distill_mos.load()
    clean, own_rate = _sung()
    noise = np.random.default_rng(0).standard_normal(len(clean)) * np.sqrt(np.square(clean).mean())

    def score(samples: np.ndarray, rate: int = own_rate) -> float:
        found = judge.score(Clip(samples.astype(np.float32), rate))
        assert found is not None
        return found

    best = score(clean)
    by_noise = [best, score(clean + 0.1 * noise), score(clean + 0.5 * noise), score(noise)]  # 20 dB, 6 dB, nothing else
    assert best > 3.5
    assert all(first > second + 0.2 for first, second in itertools.pairwise(by_noise))
    assert score(np.clip(clean, -0.1 * np.abs(clean).max(), 0.1 * np.abs(clean).max())) < best - 0.2
    assert abs(score(0.2 * clean) - best) < 0.01
    up = resample.resample(clean, own_rate, 48000)
    assert abs(score(up, 48000) - best) < 0.1
    assert torch.is_grad_enabled()


def test_the_score_is_the_mean_of_the_stretches() -> None:
    judge = distill_mos.DistillMos(lambda waveform: torch.tensor([2.0, 3.0, 4.5]))
    assert judge.score(Clip(np.full(RATE, 0.1, np.float32), RATE)) == pytest.approx(9.5 / 3)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(2 * RATE), np.full(100, 0.1)])
def test_silence_and_moments_have_no_score(samples: np.ndarray) -> None:
    judge = distill_mos.DistillMos(lambda waveform: torch.tensor([3.0]))
    assert judge.score(Clip(samples.astype(np.float32), RATE)) is None


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(distill_mos.Unavailable, match=r"not installed; `pip install 'moksori\[words\]'`"):
        distill_mos.load()


@is_installed
def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(distill_mos.Unavailable, match=f"{found}, expected"):
        distill_mos.load()


def test_a_torchaudio_that_cannot_be_loaded_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where `pip` has brought one that was made for another torch."""
    (tmp_path / "torchaudio.py").write_text("raise OSError('Could not load this library')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    with distill_mos._without_torchaudio():
        importlib.import_module("torchaudio")
    assert "torchaudio" not in sys.modules
