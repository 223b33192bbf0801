"""What singers agreed to goes from the folder of recordings into the manifest, the model file, its card and `info`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from moksori import checkpoint, sharing
from moksori.cli.app import app
from moksori.data import rights
from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.errors import DataError
from moksori.training import run
from moksori.training.folder import RunFolder
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe
from moksori.training.run import RunOptions


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    times = np.arange(16_000) / 8000
    for singer, hz in (("ana", 220.0), ("ben", 130.0), ("cho", 300.0)):
        (tmp_path / "songs" / singer).mkdir(parents=True)
        tone = 0.2 * sum(np.sin(2 * np.pi * k * hz * times) / k for k in range(1, 5))
        soundfile.write(tmp_path / "songs" / singer / "take.wav", tone, 8000)
    (tmp_path / "songs" / "ana" / "CONSENT").write_text("\ufeffAna, 2026: songs of my own.\n", encoding="utf-8")
    return tmp_path / "songs"


def test_a_singers_own_words_go_before_those_for_all(songs: Path, tmp_path: Path) -> None:
    corpus = prepare(songs, tmp_path / "data", PrepareConfig(sample_rate=8000, rights="CC0"))
    assert dict(corpus.rights) == {"ana": "Ana, 2026: songs of my own.", "ben": "CC0", "cho": "CC0"}
    assert Corpus.load(tmp_path / "data").rights == corpus.rights
    assert not any("suffix" in skip.reason for skip in corpus.skipped)  # a statement is no file left out


def test_without_words_for_all_the_file_beside_the_folders_counts_and_else_nothing(songs: Path) -> None:
    assert dict(rights.of_singers(songs, ["ana", "ben"])) == {"ana": "Ana, 2026: songs of my own."}
    (songs / "CONSENT.md").write_text("for the choir", encoding="utf-8")
    assert dict(rights.of_singers(songs, ["ana", "ben"]))["ben"] == "for the choir"


def test_rights_change_nothing_that_is_trained_on(songs: Path, tmp_path: Path) -> None:
    config = PrepareConfig(sample_rate=8000)
    before = prepare(songs, tmp_path / "data", config)
    (songs / "ben" / "CONSENT.txt").write_text("Ben, too", encoding="utf-8")
    after = prepare(songs, tmp_path / "data", config)
    assert after.fingerprint == before.fingerprint and dict(after.rights)["ben"] == "Ben, too"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * 10_001])
def test_a_statement_that_is_no_text_or_a_book_is_refused(songs: Path, content: bytes) -> None:
    (songs / "ben" / "CONSENT").write_bytes(content)
    with pytest.raises(DataError, match=r"ben/CONSENT: (cannot be read as text|is longer than)"):
        rights.of_singers(songs, ["ana", "ben"])


def test_a_model_tells_the_rights_of_its_singers_in_info_and_on_its_card(
    songs: Path, tmp_path: Path, tiny_swift_recipe: Recipe
) -> None:
    corpus = prepare(songs, tmp_path / "data", PrepareConfig(sample_rate=8000))
    trainer = run.open_run(RunFolder(tmp_path / "run"), corpus, tiny_swift_recipe, RunOptions())
    trainer.run(Budget(1))
    _, provenance = checkpoint.read_model(trainer.folder.model)
    assert provenance.rights == {"ana": "Ana, 2026: songs of my own."}
    printed = CliRunner().invoke(app, ["info", str(tmp_path / "run")]).output
    assert re.search(r"rights of ana +Ana, 2026", printed) and re.search(r"rights of ben +none stated", printed)
    card = sharing.card(corpus.singers, provenance)
    assert "- ana: Ana, 2026: songs of my own." in card and "- ben: no rights stated" in card
