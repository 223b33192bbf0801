"""Each reader answers or refuses in words, whatever it is given, and under a limit of memory."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fuzzing
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori import checkpoint
from moksori import settings as plain_settings
from moksori.audio import mulaw
from moksori.errors import UserError
from moksori.training.recipe import Recipe

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is limited on Linux only")

KEPT = Path(__file__).parent / "kept"  # inputs that `fuzz.py` found: by what they reached, or by what went wrong


def alone(*arguments: object) -> str:
    """`fuzzing.py` in a process of its own: a reader that dies by a signal is found, too."""
    done = subprocess.run(
        [sys.executable, fuzzing.__file__, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def fuzz(kinds: Iterable[str], first: int, last: int, folder: Path) -> int:
    """How many files were tried."""
    n_tried = 0
    for line in alone(first, last, folder, *kinds).splitlines():
        kind, n_read, n_refused = line.split()
        assert int(n_read) + int(n_refused) == last - first and int(n_refused) > 0, kind
        n_tried += last - first
    return n_tried


def test_mutated_files_are_read_or_refused(tmp_path: Path, record_property: Any) -> None:
    n_tried = fuzz(fuzzing.KINDS, 0, 25, tmp_path)
    assert n_tried == 25 * len(fuzzing.KINDS)
    record_property("bad_inputs", n_tried)


@pytest.mark.slow
@pytest.mark.parametrize("kind", fuzzing.KINDS)
def test_many_mutated_files_are_read_or_refused(tmp_path: Path, kind: str, record_property: Any) -> None:
    record_property("bad_inputs", fuzz([kind], 25, 2025, tmp_path))


def test_what_was_kept_is_read_or_refused(tmp_path: Path, record_property: Any) -> None:
    kept = sorted(path for path in KEPT.iterdir() if not path.name.startswith("engine-"))
    assert kept
    alone("kept", tmp_path, *kept)
    record_property("bad_inputs", len(kept))


@pytest.mark.slow
def test_the_engine_leaves_no_array_and_says_where_numbers_end(tmp_path: Path, record_property: Any) -> None:
    """With all bounds checked; sizes, weights and calls are chosen by bytes. Compiling it takes most of the time."""
    chance = random.Random(0)
    for number in range(150):
        (tmp_path / f"engine-{number}").write_bytes(chance.randbytes(40))
    paths = [*tmp_path.glob("engine-*"), *KEPT.glob("engine-*")]
    alone("kept", tmp_path, *paths)
    record_property("bad_inputs", len(paths))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [field for field in plain_settings.plain(Recipe())]


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=10), JSON, max_size=3))
def test_settings_are_built_or_refused(values: dict[str, Any]) -> None:
    try:
        built = plain_settings.build(Recipe, values, "here")
    except UserError:
        return
    assert plain_settings.build(Recipe, plain_settings.plain(built), "here") == built


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["config", "singers", "provenance", "sha256"]), JSON, max_size=3))
def test_headers_of_models_are_read_or_refused(words: dict[str, Any]) -> None:
    try:
        checkpoint._singers(Path("m"), {name: json.dumps(value) for name, value in words.items()})
        header = json.dumps(words.get("config"))
        plain_settings.build(checkpoint._Described, {"config": json.loads(header)}, "m")
    except UserError:
        pass


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=50))
def test_a_code_decoded_and_encoded_is_itself(samples: list[float]) -> None:
    codes = mulaw.encode(torch.tensor(samples))
    assert torch.equal(mulaw.encode(mulaw.decode(codes)), codes)
    assert np.isfinite(mulaw.decode(codes).numpy()).all()
