"""What is to be judged, from held-out recordings, from recordings of the same words, and from a table of others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus
from moksori.errors import DataError
from moksori.evaluation import pairs
from moksori.evaluation.pairs import Texts
from moksori.evaluation.report import data as report

NO_TEXTS = Texts({})


def _sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, Clip(np.zeros(80, np.float32), 8000))
    return path


class TestHeldOut:
    def test_every_recording_goes_into_every_singer(self, tiny_corpus: Corpus, tmp_path: Path) -> None:
        found = pairs.held_out(tiny_corpus, "test", 1, tmp_path, NO_TEXTS)
        n = len(tiny_corpus.singers)
        assert len(found) == n * n
        assert {(t.source_singer, t.target_singer) for t in found} == {
            (a, b) for a in tiny_corpus.singers for b in tiny_corpus.singers
        }
        assert all((t.row == report.RECONSTRUCTION) == (t.source_singer == t.target_singer) for t in found)
        assert len({t.name for t in found}) == len({t.conversion for t in found}) == len(found)

    def test_only_held_out_recordings_are_taken(self, tiny_corpus: Corpus, tmp_path: Path) -> None:
        held_out = {recording.source for recording in tiny_corpus.of("test")}
        assert {t.recording for t in pairs.held_out(tiny_corpus, "test", 99, tmp_path, NO_TEXTS)} == held_out

    def test_a_singer_without_held_out_recordings_is_a_target_only(self, tiny_corpus: Corpus, tmp_path: Path) -> None:
        first, second = tiny_corpus.singers
        kept = tuple(r for r in tiny_corpus.recordings if r.singer == second or r.split == "train")
        without = dataclasses.replace(tiny_corpus, recordings=kept)
        found = pairs.held_out(without, "test", 1, tmp_path, NO_TEXTS)
        assert {(t.source_singer, t.target_singer) for t in found} == {(second, first), (second, second)}

    def test_nobody_with_held_out_recordings_is_refused(self, tiny_corpus: Corpus, tmp_path: Path) -> None:
        without = dataclasses.replace(tiny_corpus, recordings=tiny_corpus.of("train"))
        with pytest.raises(DataError, match="nobody has a recording in the test split"):
            pairs.held_out(without, "test", 1, tmp_path, NO_TEXTS)


class TestListed:
    def _list(self, path: Path, *lines: str) -> Path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def test_exactly_what_is_listed_is_converted_in_its_order(self, tiny_corpus: Corpus, tmp_path: Path) -> None:
        first, second = tiny_corpus.singers
        own, other = tiny_corpus.of("test", first)[0].source, _sound(tmp_path / "song.flac").name
        path = self._list(
            tmp_path / "pairs.csv", "source,target", f"{own},{second}", f"{other},{first}", f"{own},{first}"
        )
        found = pairs.listed(path, tiny_corpus, tmp_path / "out", NO_TEXTS)
        assert [(t.recording, t.source_singer, t.target_singer) for t in found] == [
            (own, first, second),
            (other, "", first),
            (own, first, first),
        ]
        assert [t.row for t in found] == [report.CONVERSION, report.CONVERSION, report.RECONSTRUCTION]
        assert found[0].source == tiny_corpus.clip_path(tiny_corpus.of("test", first)[0])

    def test_what_was_trained_on_is_refused(self, tiny_corpus: Corpus, tmp_path: Path) -> None:
        trained = tiny_corpus.of("train")[0]
        path = self._list(tmp_path / "pairs.csv", "source,target", f"{trained.source},{tiny_corpus.singers[0]}")
        with pytest.raises(DataError, match=r"row 1: .* was trained on; list recordings that are held out"):
            pairs.listed(path, tiny_corpus, tmp_path, NO_TEXTS)

    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            (["gone.wav,{0}"], "gone.wav is not there"),
            (["{1},nobody"], "unknown singer 'nobody'; known are"),
            (["{1},{0}", "{1},{0}"], "row 2: .* stands there twice"),
            ([], "lists no pair"),
        ],
    )
    def test_rows_that_cannot_be_are_refused(
        self, tiny_corpus: Corpus, tmp_path: Path, rows: list[str], expected: str
    ) -> None:
        names = tiny_corpus.singers[0], tiny_corpus.of("test")[0].source
        path = self._list(tmp_path / "pairs.csv", "source,target", *(row.format(*names) for row in rows))
        with pytest.raises(DataError, match=expected):
            pairs.listed(path, tiny_corpus, tmp_path, NO_TEXTS)


class TestParallel:
    def test_a_folder_gives_both_directions_and_the_reconstructions(self, tmp_path: Path) -> None:
        for name in ("a/one.flac", "b/one.flac", "b/two.flac", "stranger/one.flac", "a/notes.txt"):
            _sound(tmp_path / name) if name.endswith("flac") else (tmp_path / name).write_text("x")
        found = pairs.parallel(tmp_path, ("a", "b"), 5, tmp_path / "out", Texts({"x/a/one.flac": "ka"}))
        assert [(t.row, t.source_singer, t.target_singer, t.text) for t in found] == [
            (report.PARALLEL, "a", "b", "ka"),
            (report.PARALLEL_RECONSTRUCTION, "b", "b", None),
            (report.PARALLEL, "b", "a", None),
            (report.PARALLEL_RECONSTRUCTION, "a", "a", "ka"),
        ]
        assert [t.truth for t in found] == [tmp_path / f"{s}/one.flac" for s in "bbaa"]

    def test_a_recording_of_three_singers_is_reconstructed_once(self, tmp_path: Path) -> None:
        for singer in "abc":
            _sound(tmp_path / singer / "one.flac")
        found = pairs.parallel(tmp_path, ("a", "b", "c"), 5, tmp_path / "out", NO_TEXTS)
        assert sum(trial.row == report.PARALLEL for trial in found) == 6
        assert sum(trial.row == report.PARALLEL_RECONSTRUCTION for trial in found) == 3
        assert len({trial.name for trial in found}) == 9

    def test_a_table_gives_what_it_names(self, tmp_path: Path) -> None:
        _sound(tmp_path / "x.flac"), _sound(tmp_path / "y.flac")
        table = tmp_path / "pairs.csv"
        table.write_text("source,source_singer,target,target_singer\nx.flac,a,y.flac,b\n", encoding="utf-8")
        found = pairs.parallel(table, ("a", "b"), 5, tmp_path, NO_TEXTS)
        assert [(t.source.name, t.target_singer) for t in found] == [("x.flac", "b"), ("y.flac", "b")]
        table.write_text("source,source_singer,target,target_singer\nx.flac,a,z.flac,b\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"z\.flac is not there"):
            pairs.parallel(table, ("a", "b"), 5, tmp_path, NO_TEXTS)

    def test_no_pair_is_said(self, tmp_path: Path) -> None:
        _sound(tmp_path / "a/one.flac"), _sound(tmp_path / "b/two.flac")
        with pytest.raises(DataError, match="no two of the singers a, b"):
            pairs.parallel(tmp_path, ("a", "b"), 5, tmp_path, NO_TEXTS)


class TestStrangers:
    def test_every_song_goes_into_every_singer_and_its_singer_is_unknown(self, tmp_path: Path) -> None:
        for name in ("one.wav", "two.wav", "notes.txt"):
            _sound(tmp_path / name) if name.endswith("wav") else (tmp_path / name).write_text("x")
        found = pairs.strangers(tmp_path, ["anna", "minho"], tmp_path / "out")
        assert {(pair.recording, pair.target_singer) for pair in found} == {
            (song, singer) for song in ("one.wav", "two.wav") for singer in ("anna", "minho")
        }
        assert {trial.source_singer for trial in found} == {""} and {t.row for t in found} == {report.STRANGERS}
        assert len({trial.conversion for trial in found}) == 4
        assert [t.recording for t in pairs.strangers(tmp_path / "one.wav", ["anna"], tmp_path)] == ["one.wav"]
        with pytest.raises(DataError, match="no song is here"):
            pairs.strangers(tmp_path / "nowhere", ["anna"], tmp_path)

    def test_lyrics_lie_beside_the_song(self, tmp_path: Path) -> None:
        song = _sound(tmp_path / "one.wav")
        assert pairs.lyrics(song) is None
        song.with_suffix(".txt").write_text("\ufeff 아리랑\n", encoding="utf-8")
        assert pairs.lyrics(song) == "아리랑"
        song.with_suffix(".txt").write_bytes(b"\xff\xfe\x00\xd8")
        with pytest.raises(DataError, match=r"one.txt: cannot be read as lyrics"):
            pairs.lyrics(song)


class TestTable:
    def _write(self, folder: Path, *lines: str) -> None:
        (folder / "conversions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def test_a_source_of_the_corpus_brings_its_singer(self, tiny_corpus: Corpus, tmp_path: Path) -> None:
        recording, target = tiny_corpus.of("test")[0], tiny_corpus.singers[-1]
        _sound(tmp_path / "c.wav"), _sound(tmp_path / "my.wav")
        self._write(
            tmp_path,
            "conversion,source,target,transpose,text",
            f"c.wav,{recording.source},{target},-12,ka",
            f"c.wav,my.wav,{target},,",
        )
        (known, mine), refused = pairs.from_table(tmp_path, tiny_corpus, NO_TEXTS)
        assert not refused
        assert (known.source, known.source_singer) == (tiny_corpus.clip_path(recording), recording.singer)
        assert (known.transpose_semitones, known.text) == (-12.0, "ka")
        assert (mine.source, mine.source_singer, mine.transpose_semitones, mine.text) == (
            tmp_path / "my.wav",
            "",
            0.0,
            None,
        )

    def test_rows_that_cannot_be_judged_are_named_and_the_others_stay(
        self, tiny_corpus: Corpus, tmp_path: Path
    ) -> None:
        target = tiny_corpus.singers[0]
        folder = tmp_path / "in"
        _sound(folder / "c.wav"), _sound(folder / "s.wav"), _sound(tmp_path / "outside.wav")
        self._write(
            folder,
            "conversion,source,target,transpose",
            f"c.wav,s.wav,{target},0",
            f"missing.wav,s.wav,{target},0",
            f"../outside.wav,s.wav,{target},0",
            "c.wav,s.wav,nobody,0",
            f"c.wav,s.wav,{target},high",
            f"c.wav,s.wav,{target},nan",
            f"c.wav,s.wav,{target},inf",
        )
        found, refused = pairs.from_table(folder, tiny_corpus, NO_TEXTS)
        assert len(found) == 1
        assert [line.split(":")[0] for line in refused] == [f"conversions.csv, row {n}" for n in (2, 3, 4, 5, 6, 7)]
        for line, said in zip(
            refused, ("not there", "outside", "don't know 'nobody'", *3 * ["expected semitones"]), strict=True
        ):
            assert said in line

    def test_a_folder_without_a_table_or_with_a_wrong_one_is_refused(self, tiny_corpus: Corpus, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="found 0 CSV files"):
            pairs.from_table(tmp_path, tiny_corpus, NO_TEXTS)
        self._write(tmp_path, "conversion,source", "a,b")
        with pytest.raises(DataError, match="no column target"):
            pairs.from_table(tmp_path, tiny_corpus, NO_TEXTS)
        self._write(tmp_path, "conversion,source,target,tragnspose", "a,b,c,d")
        with pytest.raises(DataError, match="unknown column tragnspose"):
            pairs.from_table(tmp_path, tiny_corpus, NO_TEXTS)
        self._write(tmp_path, "conversion,source,target", "a,b,c")
        with pytest.raises(DataError, match="no row can be judged"):
            pairs.from_table(tmp_path, tiny_corpus, NO_TEXTS)


class TestTexts:
    def test_a_row_holds_for_its_folder_and_name(self, tmp_path: Path) -> None:
        table = tmp_path / "t.tsv"
        table.write_text("file\tsinger\toriginal_file\ntrain/kumi/k1.flac\tkumi\tC4/かき.wav\n", encoding="utf-8")
        texts = Texts.load(table)
        assert texts.of("kumi/k1.flac") == "かき"
        assert texts.of("other/k1.flac") is None
        assert texts and not Texts.load(None)

    def test_a_table_without_texts_is_refused(self, tmp_path: Path) -> None:
        table = tmp_path / "t.csv"
        table.write_text("file,words\na/b.wav,ka\n", encoding="utf-8")
        with pytest.raises(DataError, match="no column text"):
            Texts.load(table)
        with pytest.raises(DataError, match="cannot be read"):
            Texts.load(tmp_path / "missing.csv")


def test_odd_names_stay_inside_the_folder(tmp_path: Path) -> None:
    name = pairs._name("../../x", "a/b\n목소리")
    assert (tmp_path / name).parent == tmp_path
    assert name.startswith("x-to-a_b_목소리-")


def test_a_name_depends_on_recording_and_target_only(tiny_corpus: Corpus, tmp_path: Path) -> None:
    few = pairs.held_out(tiny_corpus, "test", 1, tmp_path, NO_TEXTS)
    many = pairs.held_out(tiny_corpus, "test", 9, tmp_path, NO_TEXTS)
    names = {(t.recording, t.target_singer): t.name for t in many}
    assert all(names[t.recording, t.target_singer] == t.name for t in few)
    assert pairs._name("a/01.wav", "c") != pairs._name("b/01.wav", "c")
    assert pairs._name("a/01.wav", "c/d") != pairs._name("a/01.wav", "c_d")
