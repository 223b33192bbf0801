"""A tiny voice that can sing live."""

from __future__ import annotations

import dataclasses

import torch
from tiny_recipes import TINY_SWIFT

from moksori.models.source_filter import SourceFilterConfig
from moksori.models.source_filter_model import SourceFilterModel, SourceFilterModelConfig
from moksori.training import recipe as recipes


def tiny_live_model() -> SourceFilterModel:
    """A tiny voice of chance with a detail path, whose sizes in time are those of recipe swift."""
    config = recipes.parse(TINY_SWIFT, "tiny").model
    assert isinstance(config, SourceFilterModelConfig)
    decoder = SourceFilterConfig(64, 8, 2, has_detail=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = SourceFilterModel(
            dataclasses.replace(config, sample_rate=24_000, hop_samples=240, decoder=decoder), ["bass", "tenor"]
        )
        torch.nn.init.normal_(made.decoder.last.weight, std=0.1)
        measured = made.singers.measured
        assert measured is not None
        measured[:, :64], measured[:, 64:] = -1.0, -6.0
    return made.eval()
