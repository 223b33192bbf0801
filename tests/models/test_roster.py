"""Another cast for the same nets."""

from __future__ import annotations

import pytest
import torch

from moksori.errors import UserError
from moksori.models import kinds, roster
from moksori.models.autoencoder import ModelConfig
from moksori.models.kinds import Model
from moksori.models.solo import SoloConfig
from moksori.models.source_filter import SourceFilterConfig
from moksori.models.source_filter_model import SourceFilterModel, SourceFilterModelConfig


def _swift() -> SourceFilterModel:
    config = SourceFilterModelConfig(
        decoder=SourceFilterConfig(channels=8, layers=1, has_detail=True), singer_channels=4
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SourceFilterModel(config, ["a", "b", "c"])
    assert model.singers.measured is not None
    model.singers.measured.normal_(generator=torch.Generator().manual_seed(0))
    return model


def test_who_stays_keeps_every_bit_and_who_is_new_begins_in_the_middle() -> None:
    model = _swift()
    changed = roster.with_singers(model, {"new": None, "c": "c", "anna": "a"})
    assert changed.singers.names == ("new", "c", "anna")
    for number, old in ((1, 2), (2, 0)):
        assert torch.equal(changed.singers(torch.tensor([number])), model.singers(torch.tensor([old])))
        assert torch.equal(changed.classifier.singers.weight[number], model.classifier.singers.weight[old])
    torch.testing.assert_close(changed.singers.table.weight[0], model.singers.table.weight.mean(dim=0))
    assert torch.equal(changed.decoder.first.weight, model.decoder.first.weight)

    # The critic knows each singer twice: as recorded, and as made.
    mel = torch.randn(2, 80, 20, generator=torch.Generator().manual_seed(0))
    scores, before = (m.critic.of_wholes(mel) for m in (changed, model))
    torch.testing.assert_close(scores[:, [1, 2, 4, 5]], before[:, [2, 0, 5, 3]])


def test_the_model_itself_is_not_touched() -> None:
    model = _swift()
    changed = roster.with_singers(model, {"a": "a"})
    with torch.no_grad():
        changed.decoder.first.weight.zero_()
        changed.singers.table.weight.zero_()
    assert model.decoder.first.weight.any() and model.singers.table.weight[0].any()


@pytest.mark.parametrize("config", [ModelConfig(), SoloConfig(singer_channels=8)], ids=["wavenet", "alone"])
def test_every_kind_has_a_roster(config: kinds.Config) -> None:
    with torch.device("meta"):
        model: Model = kinds.build(config, ["a", "b"])
    changed = roster.with_singers(model, {"b": "b", "new": None, "a": "a"})
    assert changed.singers.names == ("b", "new", "a")
    assert changed.singers.table.weight.shape == (3, model.singers.table.weight.shape[1])


def test_nobody_and_strangers_are_refused() -> None:
    with pytest.raises(UserError, match="at least one"):
        roster.with_singers(_swift(), {})
    with pytest.raises(UserError, match="no singer named 'd'"):
        roster.with_singers(_swift(), {"x": "d"})
