"""The published system on four sub-bands, from recording to conversion: recipe `bands`, tiny."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from running import trained

from moksori import checkpoint
from moksori.audio import bands, files, resample
from moksori.audio.clip import Clip
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice
from moksori.data.corpus import Corpus
from moksori.data.segments import SegmentTable, layout, open_codes
from moksori.generation.songs.chunks import ChunkConfig
from moksori.models import kinds, roster
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.encoder import EncoderConfig, SpectralEncoder
from moksori.models.solo import SoloConfig
from moksori.models.wavenet import WaveNet, WaveNetConfig
from moksori.training.media.codes import CodeMedium
from moksori.training.perturb import PerturbConfig
from moksori.training.recipe import Recipe

RATE, HOP = 8000, 160
ENCODER = EncoderConfig(1, 1, 4, 3, 4, HOP, window_samples=256, n_mels=20)


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Recipe) -> Recipe:
    assert isinstance(tiny_recipe.model, ModelConfig)
    decoder = dataclasses.replace(tiny_recipe.model.decoder, bands=4)
    model = dataclasses.replace(tiny_recipe.model, sample_rate=RATE, encoder=ENCODER, decoder=decoder)
    plan = dataclasses.replace(tiny_recipe.back_translation, start_step=4, refresh_every_steps=8, pool_batches=2)
    return dataclasses.replace(
        tiny_recipe,
        model=model,
        back_translation=plan,
        perturbation=PerturbConfig(past_noise=2.0),
    )


@pytest.fixture
def model(recipe: Recipe) -> Autoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Autoencoder(recipe.model, ["bass", "tenor"])  # type: ignore[arg-type]


def codes(n_samples: int, seed: int = 0, batch: int = 1) -> torch.Tensor:
    return torch.randint(0, 256, (batch, n_samples), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_no_score_of_a_step_depends_on_a_code_of_that_step_or_later() -> None:
    torch.manual_seed(0)
    decoder, clip = WaveNet(WaveNetConfig(2, 3, 2, 4, 6, bands=4)), codes(80)
    before = decoder(clip)
    for place in (40, 42, 43):
        changed = clip.clone()
        changed[0, place] = 255 - changed[0, place]
        differs = (decoder(changed) != before).any(dim=1)[0]
        assert not differs[:44].any()
        assert differs[44:48].all()


@torch.no_grad()
def test_the_receptive_field_of_bands_is_counted_in_samples() -> None:
    config = WaveNetConfig(1, 3, 2, 4, 6, bands=4)
    assert config.receptive_field == 4 * WaveNetConfig(1, 3, 2, 4, 6).receptive_field
    torch.manual_seed(0)
    decoder, clip = WaveNet(config), codes(200)
    changed = clip.clone()
    changed[0, 40:44] = 255 - changed[0, 40:44]
    differs = (decoder(changed) != decoder(clip)).any(dim=1)[0].nonzero().flatten()
    assert int(differs.min()) == 44
    assert int(differs.max()) == 43 + config.receptive_field  # the last code of the last step that sees the step of 43


@torch.no_grad()
def test_noise_reaches_what_comes_after_it_and_is_in_codes() -> None:
    torch.manual_seed(0)
    decoder, clip = WaveNet(WaveNetConfig(1, 2, 2, 4, 6, bands=4)), codes(40).clamp(max=250)
    noise = torch.zeros(1, 40)
    noise[0, 8] = 3
    moved = clip.clone()
    moved[0, 8] += 3
    torch.testing.assert_close(decoder(clip, noise=noise), decoder(moved))
    assert not torch.equal(decoder(clip, noise=noise), decoder(clip))


@torch.no_grad()
@pytest.mark.parametrize("n_bands", [1, 4])
def test_a_latent_frame_hears_its_context_and_nothing_beyond(n_bands: int) -> None:
    torch.manual_seed(0)
    encoder = SpectralEncoder(ENCODER, RATE, n_bands)
    n_frames = 12 + 2 * -(-ENCODER.context_samples // HOP)
    clip, frame = codes(n_frames * HOP), n_frames // 2
    before = encoder(clip)
    assert before.shape == (1, 4, n_frames)
    start, stop = frame * HOP - ENCODER.context_samples, (frame + 1) * HOP + ENCODER.context_samples
    beyond = clip.clone()
    beyond[0, :start], beyond[0, stop:] = 128, 128
    torch.testing.assert_close(encoder(beyond)[..., frame], before[..., frame])
    within = clip.clone()
    within[0, frame * HOP - HOP : frame * HOP] = 128
    assert not torch.allclose(encoder(within)[..., frame], before[..., frame])


@torch.no_grad()
def test_another_pitch_is_another_latent_and_another_sign_is_not() -> None:
    torch.manual_seed(0)
    encoder, times = SpectralEncoder(ENCODER, RATE, 4), torch.arange(10 * HOP) / RATE

    def latent(frequency: float, sign: float = 1.0) -> torch.Tensor:
        return encoder(bands.encode(sign * 0.3 * torch.sin(2 * torch.pi * frequency * times))[None])

    torch.testing.assert_close(latent(220, -1), latent(220), atol=0.05, rtol=0)
    assert (latent(330) - latent(220)).abs().max() > 0.1


def test_cached_codes_are_those_of_the_clips_bands(tiny_corpus: Corpus) -> None:
    cached, rows = open_codes(tiny_corpus, RATE, 4), layout(tiny_corpus, RATE, 4)
    assert len(cached) == sum(length for _, _, length in rows)
    for recording, start, length in rows:
        clip = files.read(tiny_corpus.clip_path(recording))
        samples = resample.resample(clip.samples, clip.sample_rate, RATE)
        expected = bands.encode(torch.from_numpy(np.pad(samples, (0, length - len(samples)))))
        assert length % 4 == 0
        assert (np.abs(cached[start : start + length].astype(int) - expected.numpy()) <= 1).all()  # other block sizes


def test_segments_begin_with_a_step(tiny_corpus: Corpus) -> None:
    table = SegmentTable(tiny_corpus, "train", RATE, 400, n_bands=4)
    flat = np.asarray(open_codes(tiny_corpus, RATE, 4))
    for seed in range(5):
        segment = table.item(0, np.random.default_rng(seed)).numpy()
        places = [
            i for i in range(len(flat) - 400) if flat[i] == segment[0] and np.array_equal(flat[i : i + 400], segment)
        ]
        assert places and places[0] % 4 == 0


def test_a_step_is_never_reversed(model: Autoencoder, tiny_model: Autoencoder) -> None:
    assert not CodeMedium(model).is_augmentable and CodeMedium(tiny_model).is_augmentable


def test_a_past_with_noise_is_heard_by_the_decoder_alone(model: Autoencoder) -> None:
    dirty, clean = CodeMedium(model, PerturbConfig(past_noise=20.0)), CodeMedium(model)
    clips, vectors = codes(4 * HOP, batch=2), model.singers(torch.tensor([0, 1]))
    heard = dirty.perturbed(clips, torch.Generator().manual_seed(0))
    assert heard.shape == (2, 2, 4 * HOP) and 0 < heard[:, 1].std() < 30
    z = dirty.encode(heard)
    assert torch.equal(z, clean.encode(clips))
    assert clean.perturbed(clips, torch.Generator()) is clips
    without = clean.loss(clips, clips, z, vectors)
    assert torch.equal(dirty.loss(clips, clips, z, vectors), without)
    assert not torch.equal(dirty.loss(clips, heard, z, vectors), without)


@pytest.mark.parametrize("past_noise", [0.0, 20.0])
def test_another_sound_is_heard_by_the_encoder_alone(model: Autoencoder, past_noise: float) -> None:
    config = PerturbConfig(sound_tract=0.2, sound_tone=0.3, past_noise=past_noise)
    medium, clean, vectors = CodeMedium(model, config), CodeMedium(model), model.singers(torch.tensor([0, 1]))
    clips = codes(4 * HOP, batch=2)
    inputs = medium.perturbed(clips, torch.Generator().manual_seed(0))
    assert inputs.shape == (2, 3 if past_noise else 2, 4 * HOP)
    z = medium.encode(inputs)
    assert torch.equal(z, clean.encode(inputs[:, 1].long())) and not torch.equal(z, clean.encode(clips))
    assert torch.equal(medium.encode(clips), clean.encode(clips))
    same_z = clean.loss(clips, clips, z, vectors)
    assert torch.equal(medium.loss(clips, inputs, z, vectors), same_z) == (not past_noise)


def test_what_is_heard_at_the_ends_is_not_taught(recipe: Recipe) -> None:
    assert isinstance(recipe.model, ModelConfig)
    encoder = dataclasses.replace(ENCODER, untaught_frames=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoencoder(dataclasses.replace(recipe.model, encoder=encoder), ["bass", "tenor"])
    medium, clips = CodeMedium(model, PerturbConfig(past_noise=2.0)), codes(7 * HOP, batch=2)
    heard = medium.perturbed(clips, torch.Generator().manual_seed(0))
    z, vectors = medium.encode(clips), model.singers(torch.tensor([0, 1]))
    middle = slice(2 * HOP, 5 * HOP)
    alone = medium.loss(clips[:, middle], heard[..., middle], z[:, :, 2:5], vectors)
    assert torch.equal(medium.loss(clips, heard, z, vectors), alone)
    other = clips.clone()
    other[:, : 2 * HOP], other[:, 5 * HOP :] = 7, 9
    assert torch.equal(medium.loss(other, heard, z, vectors), alone)
    short = clips[:, : 4 * HOP]  # nothing would be left of it
    assert medium.loss(short, short, medium.encode(short), vectors).isfinite()


def test_settings_that_do_not_fit_bands_are_refused(recipe: Recipe) -> None:
    assert isinstance(recipe.model, ModelConfig)
    with pytest.raises(ValueError, match=r"1 or 4, not 3"):
        WaveNetConfig(bands=3)
    with pytest.raises(ValueError, match=r"encoder.window_samples"):
        dataclasses.replace(recipe.model, encoder=EncoderConfig(hop_samples=HOP))
    with pytest.raises(ValueError, match="whole steps of 4 bands"):
        dataclasses.replace(recipe.model, encoder=dataclasses.replace(ENCODER, hop_samples=150))
    with pytest.raises(ValueError, match="whole steps of 4 bands"):
        SoloConfig(hop_samples=90, decoder=WaveNetConfig(bands=4))


def test_a_run_goes_through_both_phases_and_resumes(tiny_corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    straight, _ = trained(tmp_path / "straight", tiny_corpus, recipe, 8)
    stopped, _ = trained(tmp_path / "stopped", tiny_corpus, recipe, 5, 8)
    assert all(torch.equal(tensor, stopped[name]) for name, tensor in straight.items())


def test_a_song_in_chunks_is_the_song_as_one_chain(model: Autoencoder) -> None:
    voice, times = Voice(model, Provenance()), np.arange(RATE // 2 + 3) / RATE
    clip = Clip((0.1 * np.sin(2 * np.pi * 220 * times)).astype(np.float32), RATE)

    def converted(streams: int) -> np.ndarray:
        chunks = ChunkConfig(streams, shortest_seconds=0.1, longest_seconds=0.12, fade_seconds=0.01)
        return voice.convert(clip.samples, RATE, singer="tenor", options=ConvertOptions(chunks=chunks))

    one, many = converted(1), converted(5)
    assert one.shape == clip.samples.shape and np.abs(one).max() > 0.01
    edge = bands.EDGE_SAMPLES
    np.testing.assert_allclose(many[:-edge], one[:-edge], atol=1e-5)


def test_what_bands_can_say_of_a_clip_is_the_clip(model: Autoencoder) -> None:
    times = np.arange(RATE // 2 + 3) / RATE
    clip = Clip((0.1 * np.sin(2 * np.pi * 220 * times)).astype(np.float32), RATE)
    said = Voice(model, Provenance()).represent(clip)
    assert said.n_samples == clip.n_samples
    middle = slice(50, -50)
    error = np.square(said.samples - clip.samples)[middle].mean() / np.square(clip.samples)[middle].mean()
    assert 10 * np.log10(error) < -30


def test_a_model_with_a_spectral_encoder_is_read_as_it_was_written(recipe: Recipe, tmp_path: Path) -> None:
    """Its file has no mel filterbank: that is made anew, with numbers in it."""
    model = kinds.build(recipe.model, ["mina", "minho"])
    checkpoint.write_model(tmp_path / "voice.safetensors", model, Provenance())
    read, _ = checkpoint.read_model(tmp_path / "voice.safetensors")
    codes = torch.randint(0, 256, (1, 10 * HOP * 4), generator=torch.Generator().manual_seed(0))
    assert torch.equal(read.encode(codes), model.eval().encode(codes))  # type: ignore[operator]
    copy = roster.with_singers(read, {"mina": "mina"})
    assert torch.equal(copy.encode(codes), read.encode(codes))  # type: ignore[operator]


def test_windows_that_no_ear_needs_are_refused() -> None:
    with pytest.raises(ValueError, match="window_samples is at most"):
        EncoderConfig(window_samples=1 << 30, n_mels=20)
