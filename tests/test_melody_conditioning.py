"""The published system told the melody, from recording to conversion: recipe `melody`, tiny."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from running import trained

from moksori.audio import mulaw
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.conversion import ConvertOptions, Voice
from moksori.data import augment
from moksori.data.corpus import Corpus
from moksori.data.segments import SegmentTable
from moksori.generation.songs.chunks import ChunkConfig
from moksori.models import conditions
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.training import recipe as recipes
from moksori.training.media.codes import CodeMedium
from moksori.training.recipe import Recipe

RATE, LATENT_HOP, HOP = 8000, 160, 40
RANGES = {"bass": PitchRange(80.0, 110.0, 160.0), "tenor": PitchRange(160.0, 220.0, 330.0)}


@pytest.fixture(scope="module", params=[0, 8], ids=["pitch", "pitch and phase"])
def recipe(tiny_recipe: Recipe, request: pytest.FixtureRequest) -> Recipe:
    assert isinstance(tiny_recipe.model, ModelConfig)
    encoder = dataclasses.replace(tiny_recipe.model.encoder, hop_samples=LATENT_HOP)
    model = dataclasses.replace(tiny_recipe.model, sample_rate=RATE, encoder=encoder, melody_hop_samples=HOP)
    model = dataclasses.replace(model, phase_hop_samples=request.param)
    plan = dataclasses.replace(tiny_recipe.back_translation, start_step=4, refresh_every_steps=8, pool_batches=2)
    return dataclasses.replace(tiny_recipe, model=model, back_translation=plan)


@pytest.fixture
def model(recipe: Recipe) -> Autoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Autoencoder(recipe.model, ["bass", "tenor"])  # type: ignore[arg-type]


@pytest.fixture
def table(tiny_corpus: Corpus) -> SegmentTable:
    return SegmentTable(tiny_corpus, "train", RATE, 4 * LATENT_HOP, melody_hop_samples=HOP)


def test_a_condition_with_melody_has_the_melodys_frames() -> None:
    z, vectors = torch.randn(2, 4, 3), torch.randn(2, 5)
    melody_frames = conditions.melody(torch.full((2, 12), 440.0), torch.full((2, 12), -20.0))
    joined = conditions.join(z, vectors, LATENT_HOP, melody_frames)
    assert joined.frames.shape == (2, 12, 12) and joined.hop_samples == HOP and joined.n_samples == 3 * LATENT_HOP
    assert torch.equal(joined.frames[:, :4, 4:8], z[:, :, 1:2].expand(-1, -1, 4))
    assert joined.frames[0, 9:, 0].tolist() == [1.0, 1.0, 1.0]  # an octave above A3, voiced, -20 dBFS


def test_segments_tell_the_pitch_where_they_lie(table: SegmentTable, tiny_corpus: Corpus) -> None:
    plain = SegmentTable(tiny_corpus, "train", RATE, 4 * LATENT_HOP)
    clip, codes = (t.item(0, np.random.default_rng(1)) for t in (table, plain))
    assert clip.shape == (3, 4 * LATENT_HOP)
    own, drawn = clip[0].long(), codes
    late = [n for n in range(HOP) if torch.equal(own[n:], drawn[: len(drawn) - n])]
    assert len(late) == 1  # it starts on the frame before
    assert (clip[1].reshape(-1, HOP) == clip[1, ::HOP, None]).all()
    (segment,) = [s for s in table.fixed_items(1) if s.singer == 0]
    assert 60 < segment.clip[1][segment.clip[1] > 0].median() < 500
    assert -60 < segment.clip[2].max() <= 0


def test_reversal_takes_the_melody_along_and_polarity_does_not_touch_it(table: SegmentTable) -> None:
    clip = table.item(0, np.random.default_rng(1))
    assert torch.equal(augment.augment(clip, 1), clip.flip(-1))
    negated = augment.augment(clip, 2)
    assert torch.equal(negated[0], 255 - clip[0]) and torch.equal(negated[1:], clip[1:])


def test_a_decoder_is_told_what_it_asks_for_and_nothing_else(model: Autoencoder, tiny_model: Autoencoder) -> None:
    with pytest.raises(ValueError, match="must be conditioned"):
        model.conditioning(torch.zeros(1, 4, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="cannot be conditioned"):
        tiny_model.conditioning(torch.zeros(1, 4, 3), torch.zeros(1, 3), torch.zeros(1, 2, 3))


@pytest.mark.parametrize("hop", [-8, 7, 80])
def test_a_hop_of_the_phase_that_does_not_divide_the_melodys_is_refused(recipe: Recipe, hop: int) -> None:
    with pytest.raises(ValueError, match="phase_hop_samples must be 0, or divide"):
        dataclasses.replace(recipe.model, phase_hop_samples=hop)


def test_the_phase_is_that_of_the_codes_while_it_learns(model: Autoencoder) -> None:
    """Polarity turns it by half a period: a condition that went by the pitch alone would not see that."""
    f0_hz = torch.full((1, 16), 250.0)
    waveform = 0.5 * torch.cos(2 * torch.pi * 250 / RATE * torch.arange(16 * HOP) + 1.0)[None]
    if model.config.phase_hop_samples == 0:
        assert model.cycles(f0_hz, mulaw.encode(waveform)) is None
        return
    own, other = (model.cycles(f0_hz, mulaw.encode(sound)) for sound in (waveform, -waveform))
    assert own is not None and other is not None and own.shape == (1, 16 * HOP // 8)
    assert torch.allclose((other - own) % 1, torch.tensor(0.5), atol=0.01)
    assert own[0, 0].item() == pytest.approx(1 / (2 * torch.pi), abs=0.01)


@pytest.mark.parametrize("hop", [-1, 7, 300])
def test_hops_that_do_not_fit_are_refused(recipe: Recipe, hop: int) -> None:
    with pytest.raises(ValueError, match="hop"):
        dataclasses.replace(recipe.model, melody_hop_samples=hop)


def test_what_is_sung_has_new_codes_and_the_same_melody(model: Autoencoder, table: SegmentTable) -> None:
    medium = CodeMedium(model)
    clips = torch.stack([table.item(0, np.random.default_rng(i)) for i in range(2)])
    sung = medium.generate(clips, medium.encode(clips), model.singers(torch.tensor([1, 1])), seed=0)
    assert sung.shape == clips.shape and torch.equal(sung[:, 1:], clips[:, 1:])
    assert not torch.equal(sung[:, 0], clips[:, 0])
    codes = medium.codes(sung)
    assert codes.dtype == torch.int64 and 0 <= int(codes.min()) <= int(codes.max()) <= 255


def test_a_run_goes_through_both_phases_moves_the_adversary_and_resumes(
    tiny_corpus: Corpus, recipe: Recipe, tmp_path: Path
) -> None:
    straight, _ = trained(tmp_path / "straight", tiny_corpus, recipe, 12)
    stopped, _ = trained(tmp_path / "stopped", tiny_corpus, recipe, 5, 12)
    assert all(torch.equal(tensor, stopped[name]) for name, tensor in straight.items())
    assert any(name.startswith("learner notes|") for name in straight)


class TestConversion:
    @pytest.fixture
    def voice(self, model: Autoencoder) -> Voice:
        return Voice(model, Provenance(ranges=RANGES))

    @pytest.fixture
    def clip(self) -> Clip:
        times = np.arange(RATE // 2) / RATE
        tone = sum(np.sin(2 * np.pi * 220 * k * times) / k for k in range(1, 8))
        return Clip((0.1 * np.asarray(tone)).astype(np.float32), RATE)

    def test_it_can_be_transposed_and_the_report_says_so(self, voice: Voice, clip: Clip) -> None:
        assert voice.is_pitch_conditioned
        assert voice.transposition(clip, "bass", ConvertOptions()) == -12
        one, other = (
            voice.convert(clip.samples, RATE, singer="bass", options=ConvertOptions(transpose=semitones))
            for semitones in (0, -12)
        )
        assert one.shape == clip.samples.shape and not np.array_equal(one, other)

    def test_chunks_are_told_the_pitch_of_their_place(self, voice: Voice, clip: Clip) -> None:
        def converted(streams: int) -> np.ndarray:
            chunks = ChunkConfig(streams, shortest_seconds=0.1, longest_seconds=0.12, fade_seconds=0.01)
            return voice.convert(clip.samples, RATE, singer="tenor", options=ConvertOptions(chunks=chunks))

        np.testing.assert_allclose(converted(1), converted(5), atol=1e-5)

    def test_many_clips_are_as_each_alone(self, voice: Voice, clip: Clip) -> None:
        chain = ConvertOptions(chunks=ChunkConfig(streams=1, longest_seconds=float("inf")))
        short = Clip(clip.samples[:2000], RATE)
        together = voice.convert_clips([clip, short], ["bass", "tenor"], options=chain)
        alone = [voice.convert(c.samples, RATE, singer=s, options=chain) for c, s in ((clip, "bass"), (short, "tenor"))]
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one.samples, other, atol=1e-5)


def test_the_shipped_recipe_is_the_papers_but_for_the_melody() -> None:
    paper, melody = recipes.load("paper"), recipes.load("melody")
    assert dataclasses.replace(melody.model, melody_hop_samples=0) == paper.model
    assert (melody.segments, melody.optimiser, melody.back_translation) == (
        paper.segments,
        paper.optimiser,
        paper.back_translation,
    )
    assert melody.losses.pitch_confusion == 0.1
