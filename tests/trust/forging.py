"""Forged model files: checksums that fit, and content that nobody would train."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_recipes import TINY_ALONE, TINY_RECIPE, TINY_SWIFT
from torch import Tensor

from moksori import checkpoint, settings
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.models import kinds
from moksori.training import recipe as recipes

PROVENANCE = Provenance("moksori 0", "tiny", ranges={"bass": PitchRange(80.0, 110.0, 160.0)}, layer_peaks=(3.0,) * 4)
_SMALL = 300_000  # weights that a forger invents anew; with more, the old ones stay

ODD_NUMBERS = (
    -1,
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    13,
    64,
    97,
    100,
    161,
    239,
    1000,
    8000,
    9999,
    24_000,
    48_000,
    10**7,
    2**63,
    10**30,
)
ODD_FRACTIONS = (-1e308, -1.0, 0.0, 1e-320, 0.5, 1.0, 1e30, 1e308)
ODD_WEIGHTS = (3e38, -3e38, 1e30, 1e12, 1e6, 1e-38, 0.0)
ODD_WORDS = ("", "\x1b[2J", "x" * 10_000, "../../x", "\u202e", "\ud800")


def configs() -> dict[str, kinds.Config]:
    """Settings of a tiny model of each kind, by a name."""
    swift = recipes.parse(TINY_SWIFT, "tiny").model
    codes = recipes.parse(TINY_RECIPE, "tiny").model
    alone = recipes.parse(TINY_ALONE, "tiny").model
    assert kinds.are_of_autoencoder(codes)
    detail = dataclasses.replace(swift, decoder=dataclasses.replace(swift.decoder, has_detail=True, n_bands=64))
    metadata = dataclasses.replace(
        codes, sample_rate=8000, melody_hop_samples=40, encoder=dataclasses.replace(codes.encoder, hop_samples=80)
    )
    return {"features": swift, "detail": detail, "codes": codes, "codes told the melody": metadata, "alone": alone}


def forge(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a model file whose checksums are right, whatever it says."""
    metadata = {**header, "moksori_kind": "model", "moksori_format": "1", "sha256": checkpoint.fingerprint(tensors)}
    save_file(tensors, path, {**metadata, "header_sha256": checkpoint._header_checksum(metadata)})


def honest(config: kinds.Config, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a model that sings."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kinds.build(config, ["bass", "tenor"])
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():  # an untrained decoder is silent
                torch.nn.init.normal_(parameter, std=0.1)
    header = {
        "config": json.dumps(settings.plain(config)),
        "singers": json.dumps(["bass", "tenor"]),
        "provenance": json.dumps(settings.plain(PROVENANCE)),
    }
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, header


def _leaves(tree: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        yield tree, key


def _odd(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice(ODD_NUMBERS)
    if isinstance(value, float):
        return chance.choice(ODD_FRACTIONS)
    if isinstance(value, str):
        return chance.choice(ODD_WORDS)
    return chance.choice([[], [0.0], [1e308] * 4, {}, None, 5])


def forged(path: Path, config: kinds.Config, seed: int) -> str:
    """Write one forged file; what was changed, in words."""
    chance = random.Random(seed)
    tensors, header = honest(config)
    changes = []
    for _ in range(chance.choice([1, 1, 2])):
        part = chance.choice(["config", "config", "provenance", "weights"])
        if part == "weights":
            name, value = chance.choice(sorted(tensors)), chance.choice(ODD_WEIGHTS)
            chosen = [name] if chance.random() < 0.5 else sorted(tensors)
            for each in chosen:
                if tensors[each].is_floating_point():
                    tensors[each] = torch.full_like(tensors[each], value)
            changes.append(f"weights {'of ' + name if len(chosen) == 1 else 'all'} {value}")
            continue
        tree = json.loads(header[part])
        place, key = chance.choice(list(_leaves(tree)))
        place[key] = _odd(place[key], chance)
        changes.append(f"{part}: {key} = {str(place[key])[:40]!r}")
        header[part] = json.dumps(tree)
        if part == "config":
            tensors = _refitted(header, tensors)
    forge(path, tensors, header)
    return "; ".join(changes)


def _refitted(header: dict[str, str], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the shapes that the header asks for, where it asks for something that is small enough to make."""
    try:
        config = settings.build(checkpoint._Described, {"config": json.loads(header["config"])}, "forged").config
        if config.depth > 100 or config.longest_cycle > 25:
            return tensors
        with torch.device("meta"):
            wanted = kinds.build(config, ["bass", "tenor"]).state_dict()
    except Exception:  # whatever it is: the reader is to refuse it
        return tensors
    if sum(tensor.numel() for tensor in wanted.values()) > _SMALL:
        return tensors
    generator = torch.Generator().manual_seed(1)
    return {
        name: (torch.randn(tensor.shape, generator=generator) * 0.3).to(tensor.dtype) for name, tensor in wanted.items()
    }
