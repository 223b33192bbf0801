"""Files that earlier versions wrote: models still sing the same, runs still go on. See `earlier/write.py`."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from moksori import checkpoint
from moksori.data.corpus import Corpus
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder
from moksori.training.logging import journal
from moksori.training.loop import Budget
from moksori.training.run import RunOptions, open_run

EARLIER = Path(__file__).parent / "earlier"
RUNS = sorted(path.name for path in EARLIER.iterdir() if path.is_dir() and (path / "run.json").exists())


def _writer() -> Any:
    spec = importlib.util.spec_from_file_location("earlier_write", EARLIER / "write.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_run_of_every_kind() -> None:
    kinds = {recipes.load(str(EARLIER / name / "recipe.toml")).model.kind for name in RUNS}
    assert kinds == {"wavenet", "source-filter", "wavenet-alone"}


@pytest.mark.parametrize("name", RUNS)
def test_a_model_file_of_before_makes_what_it_made(name: str) -> None:
    expected = json.loads((EARLIER / "expected.json").read_text(encoding="utf-8"))[name]
    made = _writer().outputs(checkpoint.read_model(EARLIER / name / "model.safetensors")[0])
    assert made.keys() == expected.keys()
    for what, values in expected.items():
        assert made[what] == pytest.approx(values, rel=1e-4, abs=1e-5), what


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_before_goes_on_where_it_stood(name: str, tiny_corpus: Corpus, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / name)
    shutil.copytree(EARLIER / name, folder.root)
    facts = json.loads((folder.root / "run.json").read_text(encoding="utf-8"))
    facts["data_fingerprint"] = tiny_corpus.fingerprint  # the same songs; what is written may differ by the last bit
    (folder.root / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    found = folder.load_state()
    assert found is not None
    tensors, header, _ = found
    trainer = open_run(folder, tiny_corpus, recipes.load(str(folder.recipe)), RunOptions())
    trainer._resume()
    taken_up = trainer._tensors()
    tensors = {key.replace("|heard", "|inputs"): tensor for key, tensor in tensors.items()}  # what has another name now
    assert taken_up.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert torch.equal(taken_up[key], tensor), key
    assert trainer.counters.step == header["step"] == 12
    assert trainer.run(Budget(14)).step == 14
    assert list(journal.read(folder.journal))
    moved = trainer._tensors()["model|decoder.first.weight"]
    assert torch.isfinite(moved).all() and not torch.equal(moved, tensors["model|decoder.first.weight"])
