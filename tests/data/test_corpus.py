import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moksori.data import corpus as corpus_module
from moksori.data.corpus import MANIFEST, Corpus
from moksori.errors import DataError


@pytest.fixture
def folder(corpus: Corpus, tmp_path: Path) -> Path:
    shutil.copy(corpus.folder / MANIFEST, tmp_path)
    return tmp_path


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    edit(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_a_saved_corpus_loads_as_it_was(corpus: Corpus) -> None:
    assert Corpus.load(corpus.folder) == corpus


def test_nothing_in_the_manifest_is_absolute(corpus: Corpus, songs: Path) -> None:
    text = (corpus.folder / MANIFEST).read_text(encoding="utf-8")
    assert str(corpus.folder) not in text
    assert str(songs) not in text


@pytest.mark.parametrize(
    "path", ["../x.flac", "clips/../../x.flac", "/etc/passwd", "C:\\x.flac", "clips\\..\\x", "x.flac"]
)
def test_a_clip_path_that_leaves_the_folder_is_refused(folder: Path, path: str) -> None:
    change(folder, lambda manifest: manifest["recordings"][0].update(path=path))
    with pytest.raises(DataError, match="leads out of the data folder"):
        Corpus.load(folder)


def test_a_clip_path_that_leaves_through_a_link_is_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (folder / "clips").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(DataError, match="leads out of the data folder"):
        Corpus.load(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(tempo=120), "unknown key tempo; known are .*singers"),
        (lambda m: m["recordings"][0].update(tempo=120), "unknown key tempo; known are .*audio_sha256"),
        (lambda m: m["skipped"].append({"source": "x"}), "missing key reason"),
        (lambda m: m.pop("singers"), "missing key singers"),
        (lambda m: m.update(version=99), "not a manifest of version 1"),
        (lambda m: m.update(sample_rate="24000"), "sample_rate should be int, got '24000'"),
        (lambda m: m.update(level_dbfs=float("nan")), "level_dbfs should be float"),
        (lambda m: m["recordings"][0].update(split="dev"), "unknown split 'dev'; known are train, validation, test"),
        (lambda m: m["recordings"][0].update(regions=[[0, 10**9]]), "do not fit"),
        (lambda m: m["recordings"][0].update(regions=[[5, 2]]), "do not fit"),
        (lambda m: m["recordings"][0].update(regions=[[1, 2, 3]]), "regions should be"),
        (lambda m: m["recordings"][0].update(path=m["recordings"][1]["path"]), "share one clip"),
        (lambda m: m.update(singers=[]), "singers listed are not those of the recordings"),
        (lambda m: m.update(recordings=7), "recordings should be"),
        (lambda m: m.update(recordings=[7]), "expected a table, got 7"),
    ],
)
def test_a_wrong_manifest_is_refused(folder: Path, edit: Callable[[dict[str, Any]], object], message: str) -> None:
    change(folder, edit)
    with pytest.raises(DataError, match=message):
        Corpus.load(folder)


def test_a_folder_without_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="moksori prepare"):
        Corpus.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\udcff"])
def test_a_manifest_that_is_not_a_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="manifest"):
        Corpus.load(tmp_path)


def test_a_crash_while_saving_leaves_the_old_manifest(
    corpus: Corpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / MANIFEST).read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        dataclasses.replace(corpus, folder=folder, skipped=()).save()
    assert (folder / MANIFEST).read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [MANIFEST]


def test_of_selects_split_and_singer(corpus: Corpus) -> None:
    assert sum(len(corpus.of(split)) for split in corpus_module.SPLITS) == len(corpus.recordings)
    assert {r.singer for r in corpus.of("train", "alto")} == {"alto"}
    with pytest.raises(ValueError, match="known are train, validation, test"):
        corpus.of("dev")
    with pytest.raises(ValueError, match="known are alto, bass, tenor"):
        corpus.of("train", "soprano")


def test_the_fingerprint_knows_what_training_sees_and_nothing_else(corpus: Corpus, tmp_path: Path) -> None:
    def with_first(**changes: Any) -> str:
        first, *others = corpus.recordings
        return dataclasses.replace(corpus, recordings=(dataclasses.replace(first, **changes), *others)).fingerprint

    assert dataclasses.replace(corpus, folder=tmp_path, skipped=()).fingerprint == corpus.fingerprint
    assert with_first(source="renamed.wav") == corpus.fingerprint
    assert with_first(gain_db=1.0) != corpus.fingerprint
    assert with_first(split="test" if corpus.recordings[0].split != "test" else "train") != corpus.fingerprint


def test_the_span_of_a_singer_is_not_made_by_a_single_recording(corpus: Corpus) -> None:
    one = corpus.recordings[0]
    sung = [dataclasses.replace(one, f0_low_hz=100.0, f0_high_hz=200.0)] * 99
    wrong = dataclasses.replace(one, f0_low_hz=50.0, f0_high_hz=400.0)  # by an octave either way
    silent = dataclasses.replace(one, f0_low_hz=None, f0_high_hz=None)
    assert corpus_module.span_hz([*sung, wrong, silent]) == (100.0, 200.0)
    assert corpus_module.span_hz([wrong]) == (50.0, 400.0)
    assert corpus_module.span_hz([silent]) is None
    assert corpus_module.span_hz([]) is None
