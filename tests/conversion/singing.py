"""Songs to convert, and models to convert them with, for the tests of conversion."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchRange, PitchTracker
from moksori.conversion import ConvertOptions
from moksori.generation.songs.chunks import ChunkConfig
from moksori.models.autoencoder import Autoencoder
from moksori.training.recipe import Recipe

MODEL_RATE = 1000  # Hz, of models that sample codes: few samples to generate
SHORT = {"shortest_seconds": 0.1, "longest_seconds": 0.12, "fade_seconds": 0.01}
SHORT_CHUNKS = ConvertOptions(chunks=ChunkConfig(streams=3, **SHORT))
ONE_CHAIN = ConvertOptions(chunks=ChunkConfig(streams=1, longest_seconds=float("inf")))

RATE = 22_050  # Hz, of songs for a voice that is told the melody
RANGES = {"bass": PitchRange(80.0, 110.0, 160.0), "tenor": PitchRange(160.0, 220.0, 330.0)}
HERE = ConvertOptions(transpose=0)


def build(recipe: Recipe, **changes: Any) -> Autoencoder:
    """A model with weights of chance, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = dataclasses.replace(recipe.model, sample_rate=MODEL_RATE, **changes)
        return Autoencoder(config, ["bass", "tenor"])


def song(n_samples: int, sample_rate: int, amplitude: float = 0.3) -> Samples:
    """A tone that swells and fades, with a little noise."""
    times = np.arange(n_samples) / sample_rate
    noise = np.random.default_rng(1).standard_normal(n_samples)
    tone = np.sin(2 * np.pi * 180 * times) * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * times))
    return (amplitude * (0.9 * tone + 0.02 * noise)).astype(np.float32)


def vowel(f0_hz: float = 220.0, seconds: float = 1.5) -> Samples:
    """A steady tone with overtones, at `RATE`."""
    times = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * f0_hz * k * times) / k for k in range(1, 10))
    return (0.1 * np.asarray(tone)).astype(np.float32)


def pitch_hz(samples: Samples) -> float:
    """The median pitch of sound at `RATE`."""
    return float(np.median(PitchTracker().track(Clip(samples, RATE)).voiced_hz))
