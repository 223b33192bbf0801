"""The registry of kinds: every record is whole, and nobody else looks at classes of models."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from moksori.models import kinds
from moksori.models.kinds import KINDS, Kind

SRC = Path(__file__).parents[2] / "src" / "moksori"
CLASSES = {each.__name__ for kind in KINDS.values() for each in (kind.config, kind.model)}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_is_built_by_its_settings_which_tell_what_all_tell(kind: Kind) -> None:
    config = kind.config()
    assert config.kind == kind.name
    with torch.device("meta"):
        model = kinds.build(config, ["bass", "tenor"])
    assert type(model) is kind.model and model.config is config and model.singers.names == ("bass", "tenor")
    assert config.sample_rate > 0 and config.latent_hop_samples > 0 and config.depth > 0
    assert (config.receptive_field is None) == (config.longest_cycle == 0)
    assert kinds.converts(config) == kinds.is_converter(model) == hasattr(model, "encoder")
    assert kinds.is_solo(model) is not kind.converts
    assert not kind.converts or kinds.samples_codes(model) == (config.receptive_field is not None)
    assert callable(kind.medium()) and (not kind.converts or callable(kind.song()))


def test_depth_counts_the_layers_of_the_published_system() -> None:
    config = KINDS["wavenet"].config()
    encoder, decoder = config.encoder, config.decoder
    assert config.depth == encoder.blocks * encoder.layers + decoder.blocks * decoder.layers
    assert config.longest_cycle == max(encoder.layers, decoder.layers)
    assert config.receptive_field == decoder.receptive_field


def test_nobody_else_looks_at_classes_of_models() -> None:
    asking = {
        path.relative_to(SRC).as_posix()
        for path in SRC.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "isinstance"
        if CLASSES & {node.id for node in ast.walk(call.args[1]) if isinstance(node, ast.Name)}
    }
    assert asking == {"models/kinds.py"}
