"""A voice's ear in a tracker's place: the same frames, in blocks as at once, in training and in a file."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from running import trained

from moksori import checkpoint
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack, PitchTracker
from moksori.checkpoint import Provenance
from moksori.conversion import Voice
from moksori.conversion import ear as ears
from moksori.conversion.ear import EarTracker
from moksori.data.corpus import Corpus
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.ear import Ear, EarConfig
from moksori.training.recipe import Recipe


@pytest.fixture(scope="module")
def ear() -> Ear:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Ear(EarConfig(4), 8000, 80)


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe) -> Recipe:
    """The tiny recipe, conditioned on a melody that it hears for itself."""
    assert isinstance(tiny_recipe.model, ModelConfig)
    hop = tiny_recipe.model.encoder.hop_samples
    model = dataclasses.replace(tiny_recipe.model, sample_rate=8000, melody_hop_samples=hop, ear=EarConfig(4))
    return dataclasses.replace(tiny_recipe, model=model)


def _sound(n_samples: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(n_samples)).astype(np.float32)


def _equal(one: PitchTrack, other: PitchTrack) -> None:
    np.testing.assert_allclose(one.f0_hz, other.f0_hz, rtol=1e-4)
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-4)


@pytest.mark.parametrize("n_samples", [0, 1, 441, 44_100, 100_001])
def test_frames_are_those_of_the_tracker(ear: Ear, n_samples: int) -> None:
    clip = Clip(_sound(n_samples), 44_100)
    ours, theirs = EarTracker(ear).track(clip), PitchTracker().track(clip)
    assert len(ours.f0_hz) == len(ours.confidence) == len(theirs.f0_hz)
    assert ours.hop_seconds == theirs.hop_seconds
    assert ((ours.f0_hz > 0) == ours.is_voiced).all()


def test_blocks_and_stretches_are_heard_as_the_whole(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = _sound(60_000)
    whole = EarTracker(ear).track(Clip(sound, 16_000))
    _equal(EarTracker(ear).track_blocks(np.array_split(sound, 7), 16_000), whole)
    monkeypatch.setattr(ears, "_STRETCH_FRAMES", 50)
    _equal(EarTracker(ear).track(Clip(sound, 16_000)), whole)


def test_a_tone_is_told_at_its_time(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ear that is right about everything: what it heard at a time stands at that time, at the tracker's frames."""

    def heard(sound: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames = torch.arange(sound.shape[1] // 80)[None]
        return torch.where(frames < 100, 200.0, 400.0), (frames >= 50).double()

    monkeypatch.setattr(ear, "heard", heard)
    track = EarTracker(ear).track(Clip(_sound(32_000), 16_000))
    seconds = track.times_seconds
    assert (track.f0_hz[seconds < 0.49] == 0).all()
    assert (track.f0_hz[(seconds > 0.51) & (seconds < 0.99)] == 200).all()
    assert (track.f0_hz[seconds > 1.01] == 400).all()


def test_a_voice_with_an_ear_listens_with_it_and_keeps_it_in_its_file(recipe: Recipe, tmp_path: Path) -> None:
    assert isinstance(recipe.model, ModelConfig)
    model = Autoencoder(recipe.model, ["bass", "tenor"]).eval()
    file = tmp_path / "voice.safetensors"
    checkpoint.write_model(file, model, Provenance(steps=1))
    read, provenance = checkpoint.read_model(file)
    assert isinstance(read, Autoencoder) and read.ear is not None and model.ear is not None
    assert all(torch.equal(a, b) for a, b in zip(read.ear.parameters(), model.ear.parameters(), strict=True))
    voice = Voice(read, provenance)
    clip = Clip(_sound(16_000), 16_000)
    own = EarTracker(model.ear).track(clip)
    _equal(voice._tracker.track(clip), own)
    _equal(pickle.loads(pickle.dumps(voice))._tracker.track(clip), own)
    sung = voice.convert(clip.samples, clip.sample_rate, singer="bass")
    assert sung.shape == clip.samples.shape and np.isfinite(sung).all()


def test_without_an_ear_the_tracker_listens(tiny_model: Autoencoder) -> None:
    assert tiny_model.ear is None
    assert isinstance(ears.tracker_of(tiny_model), PitchTracker)


def test_the_ear_learns_beside_the_voice_and_a_run_resumes(tiny_corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    straight, _ = trained(tmp_path / "straight", tiny_corpus, recipe, 8)
    stopped, _ = trained(tmp_path / "stopped", tiny_corpus, recipe, 3, 8)
    assert all(torch.equal(tensor, stopped[name]) for name, tensor in straight.items())
    assert any(name.endswith("ear.salience.weight/exp_avg") for name in straight)
