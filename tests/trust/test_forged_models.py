"""A model file is data, whoever wrote it: it sings, or it is refused in words; never a traceback, never a blow-up.

Checksums do not help here, since a forger computes them, too.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import forging
import numpy as np
import pytest
import torch
from tests_of_trust import RATE, Limited, sing

import moksori
from moksori import checkpoint
from moksori.conversion import ConvertOptions
from moksori.errors import ModelFileError, NonFiniteError, UserError
from moksori.models import kinds

SONG = sing(0.4)
CONFIGS = forging.configs()
N_FORGED = 24  # of each kind; the slow test goes on from there


def sung_or_refused(path: Path) -> bool:
    """Whether a file sings; else it is refused in words."""
    try:
        model, _ = checkpoint.read_model(path)
        if not kinds.is_converter(model):
            return True
        sung = moksori.load(path).convert(SONG, RATE, singer="bass")
    except UserError as error:
        assert "Traceback" not in str(error)
        return False
    assert sung.shape == SONG.shape and np.isfinite(sung).all() and np.abs(sung).max() < 4.0
    return True


def try_forged(path: Path, name: str, seeds: range) -> int:
    """Forge and try one file a seed; how many of them sang."""
    n_sung = 0
    for seed in seeds:
        what = forging.forged(path, CONFIGS[name], seed)
        try:
            n_sung += sung_or_refused(path)
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}, {what}: {error!r}") from error
    return n_sung


@pytest.mark.parametrize("name", CONFIGS)
def test_an_honest_file_sings(tmp_path: Path, name: str) -> None:
    forging.forge(tmp_path / "m.safetensors", *forging.honest(CONFIGS[name]))
    assert sung_or_refused(tmp_path / "m.safetensors")


@pytest.mark.parametrize("name", CONFIGS)
def test_forged_files_sing_or_are_refused(tmp_path: Path, name: str, record_property: Any) -> None:
    n_sung = try_forged(tmp_path / "m.safetensors", name, range(N_FORGED))
    assert 2 <= n_sung <= N_FORGED - 2  # a forger that is always found out, or never, tries nothing
    record_property("bad_inputs", N_FORGED)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_many_forged_files_sing_or_are_refused(tmp_path: Path, name: str, record_property: Any) -> None:
    n = 2000
    n_sung = try_forged(tmp_path / "m.safetensors", name, range(N_FORGED, n))
    assert 0 < n_sung < n
    record_property("bad_inputs", n - N_FORGED)


@pytest.mark.parametrize("name", ["features", "detail", "codes", "codes told the melody"])
@pytest.mark.parametrize("weight", [3e38, -3e38])
def test_weights_whose_sound_is_not_finite_are_told(tmp_path: Path, name: str, weight: float) -> None:
    """They once sang it without a word."""
    tensors, header = forging.honest(CONFIGS[name])
    tensors = {key: torch.full_like(tensor, weight) for key, tensor in tensors.items()}
    forging.forge(tmp_path / "m.safetensors", tensors, header)
    with pytest.raises(NonFiniteError, match=r"not finite: the model is damaged, forged, or diverged.*another copy"):
        moksori.load(tmp_path / "m.safetensors").convert(SONG, RATE, singer="bass")


@pytest.mark.parametrize("name", ["features", "detail"])
@pytest.mark.parametrize("pool_frames", [7, 64, 97])
def test_any_length_of_latent_frames_is_sung(tmp_path: Path, name: str, pool_frames: int) -> None:
    """Seven frames once ended in a bare ValueError about stretches; every stretch is whole latent frames now."""
    config = CONFIGS[name]
    assert isinstance(config, kinds.SourceFilterModelConfig)
    encoder = dataclasses.replace(config.encoder, pool_frames=pool_frames)
    forging.forge(tmp_path / "m.safetensors", *forging.honest(dataclasses.replace(config, encoder=encoder)))
    assert sung_or_refused(tmp_path / "m.safetensors")


def test_a_level_that_nobody_sings_at_is_refused(tmp_path: Path) -> None:
    """A gain of 10^306 dB overflowed, once."""
    tensors, header = forging.honest(CONFIGS["features"])
    provenance = json.loads(header["provenance"]) | {"level_dbfs": -1e308}
    forging.forge(tmp_path / "m.safetensors", tensors, header | {"provenance": json.dumps(provenance)})
    with pytest.raises(ModelFileError, match="level_dbfs"):
        moksori.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize("peaks", [[], [3.0], [3.0] * 1000])
def test_int8_without_the_peaks_of_its_layers_is_refused_in_words(tmp_path: Path, peaks: list[float]) -> None:
    tensors, header = forging.honest(CONFIGS["codes"])
    provenance = json.loads(header["provenance"]) | {"layer_peaks": peaks}
    forging.forge(tmp_path / "m.safetensors", tensors, header | {"provenance": json.dumps(provenance)})
    with pytest.raises(ModelFileError, match="int8 needs that of all 3"):
        moksori.load(tmp_path / "m.safetensors").convert(
            SONG, RATE, singer="bass", options=ConvertOptions(backend="int8")
        )


def test_a_reader_under_a_memory_limit_refuses_what_claims_more(tmp_path: Path, limited: Limited) -> None:
    """Whatever a header claims, the reader needs no more memory than the file has bytes: 300 MB beyond its imports."""
    n_tried = 0
    for claim in (2**31, 2**40, 2**62):
        table = {
            "__metadata__": {"moksori_kind": "model", "moksori_format": "1"},
            "x": {"dtype": "F32", "shape": [claim], "data_offsets": [0, 4 * claim]},
        }
        text = json.dumps(table).encode()
        (tmp_path / f"shape {claim}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))
        (tmp_path / f"header {claim}.safetensors").write_bytes(struct.pack("<Q", claim) + b"{}")
        n_tried += 2
    for name, changes in {
        "wide": {"channels": 10**7},
        "deep": {"layers": 10**6},
        "tall": {"latent_channels": 10**9},
    }.items():
        tensors, header = forging.honest(CONFIGS["features"])
        config = json.loads(header["config"])
        config["encoder"] |= changes
        forging.forge(tmp_path / f"{name}.safetensors", tensors, header | {"config": json.dumps(config)})
        n_tried += 1
    done = limited(
        "import sys\n"
        "from pathlib import Path\n"
        "from moksori import checkpoint, errors\n"
        "limit(300)\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.safetensors')):\n"
        "    try:\n"
        "        checkpoint.read_model(path)\n"
        "    except errors.ModelFileError as error:\n"
        "        print('refused', error)\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("refused ")]) == n_tried
    assert "allocat" not in done.stdout  # by what it says, not by the memory that it asked for in vain
