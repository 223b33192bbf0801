"""Predicted MOS (no reference): DistillMOS, a net that guesses how people would rate a recording of *speech*.

From 1 (bad) to 5 (excellent), as a listening test would (Stahl and Gamper 2025, "Distillation and Pruning for Scalable
Self-Supervised Representation-Based Speech Quality Assessment"). Taught on speech: it says 3.5 to 4 of clean singing,
hears up to 8 kHz, and nobody listened; read it only beside what it says of the source, and of the source moved in
pitch. Its weights (MIT licence) lie in its package, pinned here by their hash; the extra `moksori[words]` brings it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import io
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from moksori.audio import level, resample
from moksori.audio.clip import Clip
from moksori.errors import UserError

NAME = "DistillMOS"
DESCRIPTION = "a net that rates speech from 1 to 5 as listeners would (DistillMOS, taught on speech)"

_RATE = 16000
_WEIGHTS = "weights/distill_mos_v7.pt"
_WEIGHTS_SHA256 = "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"
_SHORTEST_SECONDS = 0.5  # less is no utterance

Net = Callable[[torch.Tensor], torch.Tensor]
"""Waveform `[1, T]` at 16 kHz -> one score for each stretch of 7.7 s that it was cut into."""


class Unavailable(UserError):
    """DistillMOS cannot listen here; the message says why, and what to do."""


class DistillMos:
    """Rates clips from 1 to 5; the same clip gets the same score."""

    name = NAME

    def __init__(self, net: Net) -> None:
        self._net = net

    def score(self, clip: Clip) -> float | None:
        """The mean over stretches of 7.7 s; gain plays no part. None for silence and for less than half a second."""
        samples = resample.resample_clip(clip, _RATE).samples
        if clip.seconds < _SHORTEST_SECONDS or level.amplitude_to_db(float(np.abs(samples).max())) <= level.FLOOR_DBFS:
            return None
        with torch.inference_mode():
            return float(self._net(torch.from_numpy(samples)[None]).mean())


def load() -> DistillMos:
    """Load DistillMOS from its package.

    Raises:
        Unavailable: it is not installed, or its weights are others than those that were tested.
    """
    if any(importlib.util.find_spec(name) is None for name in ("distillmos", "xls_r_sqa")):
        raise Unavailable("DistillMOS is not installed; `pip install 'moksori[words]'` brings it")
    spec = importlib.util.find_spec("distillmos")
    assert spec is not None and spec.submodule_search_locations
    path = Path(next(iter(spec.submodule_search_locations))) / _WEIGHTS
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}); install distillmos 0.9.1") from None
    if found != _WEIGHTS_SHA256:
        raise Unavailable(
            f"{path}: has the SHA-256 {found}, expected {_WEIGHTS_SHA256}; scores of other weights do not compare with "
            "ours: install distillmos 0.9.1"
        )
    with _without_torchaudio(), contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights lie
        package = importlib.import_module("distillmos")
        net = package.ConvTransformerSQAModel()
    return DistillMos(net.eval())


@contextlib.contextmanager
def _without_torchaudio() -> Iterator[None]:
    """Let the package be imported without torchaudio, there or not: only its command line reads files by it.

    `pip` brings one that may be made for another torch, and such a one cannot be loaded.
    """
    loaded = sys.modules.get("torchaudio")
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    try:
        yield
    finally:
        del sys.modules["torchaudio"]
        if loaded is not None:
            sys.modules["torchaudio"] = loaded
