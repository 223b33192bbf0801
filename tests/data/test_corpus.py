import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moksori.audio import pitch
from moksori.data import corpus as corpus_module
from moksori.data.corpus import MANIFEST, Corpus, Recording
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
        (lambda m: m.update(tempo=120), "unknown key tempo; known keys are .*singers"),
        (lambda m: m["recordings"][0].update(tempo=120), "number 1: unknown key tempo; known keys are .*audio_sha256"),
        (lambda m: m["skipped"].append({"source": "x"}), "missing key reason"),
        (lambda m: m.pop("singers"), "missing key singers"),
        (lambda m: m.update(version=99), "not a manifest of version 1"),
        (lambda m: m.update(sample_rate="24000"), "key sample_rate: expected int, not '24000'"),
        (lambda m: m.update(level_dbfs=float("nan")), "level_dbfs: expected a finite number"),
        (lambda m: m["recordings"][0].update(split="dev"), "unknown split 'dev'; known are train, validation, test"),
        (lambda m: m["recordings"][0].update(regions=[[0, 10**9]]), "do not fit"),
        (lambda m: m["recordings"][0].update(regions=[[5, 2]]), "do not fit"),
        (lambda m: m["recordings"][0].update(regions=[[1, 2, 3]]), "key regions, number 1: expected 2 values, not 3"),
        (lambda m: m["recordings"][0].update(path=m["recordings"][1]["path"]), "share one clip"),
        (lambda m: m.update(singers=[]), "singers listed are not those of the recordings"),
        (lambda m: m.update(recordings=7), "key recordings: expected a list, not 7"),
        (lambda m: m.update(recordings=[7]), "number 1: expected a table of settings, not 7"),
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


C4, A4, G6 = 300, 345, 455  # in fifths of a semitone


def _sang(one: Recording, **notes: int) -> Recording:
    bins = {"c4": C4, "a4": A4, "g6": G6}
    return dataclasses.replace(one, notes=tuple((bins[name], 100 * n_frames) for name, n_frames in notes.items()))


def _names(recordings: list[Recording]) -> tuple[str, str]:
    found = corpus_module.sung_range(recordings)
    assert found is not None
    return pitch.note_name(found.low_hz), pitch.note_name(found.high_hz)


def test_a_range_is_that_of_all_frames_however_they_lie_in_recordings(corpus: Corpus) -> None:
    one = corpus.recordings[0]
    many_short = [_sang(one, c4=50, a4=50)] * 20
    assert _names(many_short) == _names([_sang(one, c4=1000, a4=1000)]) == ("C4", "A4")


def test_short_takes_full_of_sibilants_do_not_make_a_range(corpus: Corpus) -> None:
    """A singer of C4 to A4 was said to reach G6: the highest of each take, of which a few were hisses."""
    one = corpus.recordings[0]
    assert _names([_sang(one, c4=500, a4=500)] * 9 + [_sang(one, g6=10)] * 8) == ("C4", "A4")


def test_nobody_heard_has_no_range(corpus: Corpus) -> None:
    silent = dataclasses.replace(corpus.recordings[0], f0_low_hz=None, f0_median_hz=None, f0_high_hz=None, notes=())
    assert corpus_module.sung_range([silent]) is None
    assert corpus_module.sung_range([]) is None


def test_a_manifest_without_histograms_is_read_and_its_percentiles_tell_the_range(corpus: Corpus, folder: Path) -> None:
    def without(manifest: dict[str, Any]) -> None:
        for row in manifest["recordings"]:
            del row["notes"]

    change(folder, without)
    old = Corpus.load(folder)
    assert old.fingerprint == corpus.fingerprint
    for singer in corpus.singers:
        low, high = _names(list(old.of("train", singer)))
        exact = corpus_module.sung_range(corpus.of("train", singer))
        sung = corpus_module.sung_range(old.of("train", singer))
        assert exact and sung and low and high
        assert abs(pitch.cents_between(sung.median_hz, exact.median_hz)) < 400
        assert sung.low_hz < exact.median_hz < sung.high_hz
