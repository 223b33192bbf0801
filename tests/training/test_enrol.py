"""Another singer for a trained voice: the vector is learned, and nobody else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.data.corpus import Corpus
from moksori.errors import UserError
from moksori.models.autoencoder import Autoencoder
from moksori.models.source_filter_model import SourceFilterModel
from moksori.training import enrol
from moksori.training.enrol import EnrolConfig
from moksori.training.media.features import FeatureMedium
from moksori.training.perturb import PerturbConfig
from moksori.training.recipe import Recipe

KNOWN = PitchRange(100.0, 150.0, 200.0)


@pytest.fixture
def voice(tiny_detail_recipe: Recipe) -> SourceFilterModel:
    """A voice whose singers' vectors make a difference to what it says."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SourceFilterModel(tiny_detail_recipe.model, ["bass", "tenor"])  # type: ignore[arg-type]
        torch.nn.init.normal_(model.decoder.last.weight, std=0.3)
        torch.nn.init.normal_(model.decoder.timbre.weight, std=0.3)
    assert model.singers.measured is not None
    model.singers.measured.fill_(-1.0)
    return model


def test_whoever_was_there_sings_as_before_bit_for_bit(
    voice: SourceFilterModel, takes: Corpus, tiny_detail_recipe: Recipe
) -> None:
    before = {name: tensor.clone() for name, tensor in voice.state_dict().items()}
    grown, provenance = enrol.enrol(
        voice,
        Provenance(ranges={"bass": KNOWN}, licence_note="Free."),
        takes,
        tiny_detail_recipe,
        EnrolConfig(5),
        "By consent.",
    )
    assert grown.singers.names == ("bass", "tenor", "mina")
    for number in (0, 1):
        assert torch.equal(grown.singers(torch.tensor([number])), voice.singers(torch.tensor([number])))
    for name, tensor in voice.named_parameters():
        assert torch.equal(tensor, before[name])
        if name.startswith(("encoder.", "decoder.")):
            assert torch.equal(dict(grown.named_parameters())[name], tensor)
    assert provenance.ranges["bass"] == KNOWN and provenance.ranges["mina"].low_hz > 50
    assert provenance.licence_note == "Free. By consent."
    assert provenance.lineage == (f"mina: enrolled, the vector alone; data {takes.fingerprint[:16]}",)


def test_the_vector_is_measured_and_learned_of_the_takes(
    voice: SourceFilterModel, takes: Corpus, tiny_detail_recipe: Recipe
) -> None:
    table = FeatureMedium(voice, PerturbConfig()).table(takes, "train", tiny_detail_recipe.segment_samples)
    clips = torch.stack([segment.clip for segment in table.fixed_items(4)])

    def distance(model: SourceFilterModel) -> float:
        medium = FeatureMedium(model, PerturbConfig())
        with torch.no_grad():
            vectors = medium.singers(torch.full((len(clips),), 2))
            return float(medium.distance(medium.controls(clips, medium.encode(clips), vectors), clips))

    measured, _ = enrol.enrol(voice, Provenance(), takes, tiny_detail_recipe, EnrolConfig(0, moved_copies=0))
    learned, _ = enrol.enrol(voice, Provenance(), takes, tiny_detail_recipe, EnrolConfig(40, moved_copies=0))
    assert measured.singers.measured is not None and learned.singers.measured is not None
    torch.testing.assert_close(measured.singers.measured[2:], table.mean_shapes().float())
    torch.testing.assert_close(measured.singers.table.weight[2], voice.singers.table.weight.mean(dim=0))
    assert distance(learned) < distance(measured)


def test_the_same_seed_learns_the_same_vector(
    voice: SourceFilterModel, takes: Corpus, tiny_detail_recipe: Recipe
) -> None:
    rows = [
        enrol.enrol(voice, Provenance(), takes, tiny_detail_recipe, EnrolConfig(3, seed=seed))[0].singers.table.weight[
            2
        ]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])


def test_what_cannot_be_enrolled_is_refused(
    voice: SourceFilterModel,
    tiny_model: Autoencoder,
    takes: Corpus,
    tiny_detail_recipe: Recipe,
    tiny_corpus: Corpus,
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match="only a voice of recipe swift"):
        enrol.enrol(tiny_model, Provenance(), takes, tiny_detail_recipe, EnrolConfig())
    with pytest.raises(UserError, match=f"a singer named '{tiny_corpus.singers[0]}' already"):
        enrol.enrol(voice, Provenance(), tiny_corpus, tiny_detail_recipe, EnrolConfig())
