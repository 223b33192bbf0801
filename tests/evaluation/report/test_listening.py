"""A blind test is blind, and its analysis has the means and the doubts that it must have."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from moksori.audio import files, signals
from moksori.errors import DataError
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data as report
from moksori.evaluation.report import listening
from moksori.evaluation.report.data import Item, Report
from moksori.evaluation.report.listening import Options


@pytest.fixture
def judged(tmp_path: Path) -> Report:
    """Two singers, two recordings each, into both; every clip is a tone of its own."""
    audio = tmp_path / "report" / "audio"
    audio.mkdir(parents=True)
    items = []
    for index, (singer, number, target) in enumerate((s, n, t) for s in "ab" for n in "12" for t in "ab"):
        kept = {
            "source": f"audio/source-{singer}{number}.flac",
            "conversion": f"audio/{singer}{number}-to-{target}.flac",
            "target": f"audio/source-{target}1.flac",
        }
        for place, path in enumerate(kept.values()):
            files.write(audio.parent / path, signals.tone(200.0 + 10 * index + place, 0.3, 16000))
        row = report.CONVERSION if singer != target else report.RECONSTRUCTION
        items.append(Item(f"{index}", row, f"{singer}/{number}", singer, target, 0.0, {}, {}, kept))
    return Report("t", "c", "d", "s", [], [], [], items, {}, [], [], {}, {})


def _make(judged: Report, tmp_path: Path, **options: int) -> Path:
    listening.make(judged, tmp_path / "report", tmp_path / "test", Options(**options))  # type: ignore[arg-type]
    return tmp_path / "test"


def _key(folder: Path) -> list[dict[str, str]]:
    with open(folder / listening.KEY, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestMaking:
    def test_a_file_is_no_place_for_a_test(self, judged: Report, tmp_path: Path) -> None:
        (tmp_path / "test").write_text("mine")
        with pytest.raises(DataError, match="test: is a file; a test needs a folder of its own"):
            _make(judged, tmp_path)
        assert (tmp_path / "test").read_text() == "mine"

    def test_nothing_that_is_published_tells_which_clip_is_which(self, judged: Report, tmp_path: Path) -> None:
        folder = _make(judged, tmp_path, repeats=2)
        published = list((folder / listening.PUBLISH).iterdir())
        assert all(re.fullmatch(r"[0-9a-f]{12}\.flac|index\.html", path.name) for path in published)
        page = (folder / listening.PUBLISH / "index.html").read_text(encoding="utf-8")
        for word in (*listening.ROWS, "to-a", "to-b", "source-"):
            assert f'"{word}' not in page
        assert not re.search(r"https?://", page)

    def test_every_kind_is_asked_and_the_key_tells_all(self, judged: Report, tmp_path: Path) -> None:
        folder = _make(judged, tmp_path, per_row=3, repeats=2)
        key = _key(folder)
        rows = [row["row"] for row in key if not row["repeats"]]
        assert {row: rows.count(row) for row in listening.ROWS} == {
            report.TRUTH: 2,  # there are no more real recordings among the targets
            report.RECONSTRUCTION: 3,
            report.CONVERSION: 3,
        }
        assert sum(bool(row["repeats"]) for row in key) == 2
        page = (folder / listening.PUBLISH / "index.html").read_text(encoding="utf-8")
        found = re.search(r"const TRIALS = (\[.*?\]);", page)
        assert found is not None
        trials = json.loads(found[1])
        assert {trial["clip"] for trial in trials} == {row["trial"] for row in key}
        for trial in trials:
            for name in trial.values():
                assert (folder / listening.PUBLISH / f"{name}.flac").is_file()

    def test_a_reference_is_never_the_clip_itself(self, judged: Report, tmp_path: Path) -> None:
        for item in judged.items:
            for row in listening.ROWS:
                used = item.files["target" if row == report.TRUTH else "source"]
                assert listening._reference(judged, item, row) != used

    def test_clips_have_one_rate_and_one_loudness(self, judged: Report, tmp_path: Path) -> None:
        published = (_make(judged, tmp_path) / listening.PUBLISH).glob("*.flac")
        clips = [files.read(path) for path in published]
        assert {clip.sample_rate for clip in clips} == {24000}
        loudness = [np.sqrt(np.mean(np.square(clip.samples))) for clip in clips]
        assert max(loudness) < 1.05 * min(loudness)

    def test_the_same_seed_makes_the_same_test(self, judged: Report, tmp_path: Path) -> None:
        first = _key(_make(judged, tmp_path, seed=3))
        listening.make(judged, tmp_path / "report", tmp_path / "again", Options(seed=3))
        assert _key(tmp_path / "again") == first

    def test_a_clip_that_cannot_be_read_leaves_no_half_of_a_test(self, judged: Report, tmp_path: Path) -> None:
        """Once the next try was refused, for the folder was not empty."""
        (path,) = (tmp_path / "report" / "audio").glob("b2-to-a.flac")
        content = path.read_bytes()
        path.write_bytes(b"no sound")
        with pytest.raises(DataError, match="b2-to-a"):
            _make(judged, tmp_path)
        path.write_bytes(content)
        assert len(_key(_make(judged, tmp_path)))

    def test_a_folder_in_use_and_a_report_without_clips_are_refused(self, judged: Report, tmp_path: Path) -> None:
        _make(judged, tmp_path)
        with pytest.raises(DataError, match="not empty"):
            _make(judged, tmp_path)
        judged.items.clear()
        with pytest.raises(DataError, match="no clips"):
            listening.make(judged, tmp_path / "report", tmp_path / "other", Options())


def _answer(path: Path, key: list[dict[str, str]], rater: str, score_of: dict[str, int]) -> Path:
    lines = ["rater,trial,question,score,seconds"]
    for row in key:
        lines += [f"{rater},{row['trial']},{question},{score_of[row['row']]},3.0" for question in listening.QUESTIONS]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class TestAnalysis:
    def test_means_by_hand(self, judged: Report, tmp_path: Path) -> None:
        folder = _make(judged, tmp_path)
        key = _key(folder)
        given = [
            _answer(tmp_path / "1.csv", key, "x", {report.TRUTH: 5, report.RECONSTRUCTION: 4, report.CONVERSION: 2}),
            _answer(tmp_path / "2.csv", key, "y", {report.TRUTH: 5, report.RECONSTRUCTION: 4, report.CONVERSION: 3}),
        ]
        found = {(o.row, o.question): o for o in listening.analyse(folder, given).opinions}
        assert len(found) == 6
        converted = found[report.CONVERSION, "quality"]
        # Raters are drawn xx, xy, yx or yy: the mean is 2, 2.5 or 3, and both ends have a quarter of the draws.
        assert (converted.score.mean, converted.score.low, converted.score.high) == (2.5, 2.0, 3.0)
        assert (converted.n_raters, converted.n_clips) == (2, 4)
        real = found[report.TRUTH, "similarity"].score
        assert (real.mean, real.low, real.high) == (5.0, 5.0, 5.0)
        assert "| conversion | quality | 2.50 | 2.00 to 3.00 |" in listening.markdown(listening.analyse(folder, given))

    def test_who_does_not_agree_with_himself_is_flagged(self, judged: Report, tmp_path: Path) -> None:
        folder = _make(judged, tmp_path, repeats=2)
        key = _key(folder)
        lines = ["rater,trial,question,score,seconds"]
        for row in key:
            lines += [f"z,{row['trial']},{question},{5 if row['repeats'] else 2},1" for question in listening.QUESTIONS]
        (tmp_path / "z.csv").write_text("\n".join(lines), encoding="utf-8")
        assert listening.analyse(folder, [tmp_path / "z.csv"]).flagged == [
            "rater z: 3.0 points between two scores of one clip, on average"
        ]

    def test_two_raters_of_one_name_do_not_hide_each_other(self, judged: Report, tmp_path: Path) -> None:
        """Once the answers of the later file took the place of the earlier one's, and nobody was told."""
        folder = _make(judged, tmp_path)
        key = _key(folder)
        given = [_answer(tmp_path / f"{n}.csv", key, "1", dict.fromkeys(listening.ROWS, n)) for n in (2, 4)]
        found = listening.analyse(folder, given)
        assert {opinion.score.mean for opinion in found.opinions} == {2.0}
        (refused,) = found.refused
        assert "4.csv: rater '1' has answered in" in refused

    def test_bad_files_and_rows_are_named_and_left_out(self, judged: Report, tmp_path: Path) -> None:
        folder = _make(judged, tmp_path)
        key = _key(folder)
        good = _answer(tmp_path / "good.csv", key, "x", dict.fromkeys(listening.ROWS, 4))
        trial = key[0]["trial"]
        with open(good, "a", encoding="utf-8") as file:
            file.write(f"x,stranger,quality,4,1\nx,{trial},quality,6,1\nx,{trial},taste,3,1\n,{trial},quality,3,1\n")
        (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
        (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
        found = listening.analyse(folder, [good, tmp_path / "bad.csv", tmp_path / "other.csv", tmp_path / "gone.csv"])
        assert len(found.refused) == 7
        assert {opinion.score.mean for opinion in found.opinions} == {4.0}
        with pytest.raises(DataError, match="no rating could be used"):
            listening.analyse(folder, [tmp_path / "bad.csv"])
        with pytest.raises(DataError, match="key of the test"):
            listening.analyse(tmp_path, [good])

    def test_more_raters_of_the_same_kind_narrow_the_interval(self) -> None:
        few = _scored(np.repeat([[2.0], [4.0]], 10, axis=1))
        many = _scored(np.tile(np.repeat([[2.0], [4.0]], 10, axis=1), (10, 1)))
        assert (few.low, few.high) == (2.0, 4.0)
        assert many.high - many.low < 1.0

    def test_clips_are_drawn_too(self) -> None:
        by_clip = _scored(np.repeat([[2.0, 4.0]], 30, axis=0))  # all raters agree, and the clips differ
        assert (by_clip.low, by_clip.high) == (2.0, 4.0)


def _scored(table: npt.NDArray[np.float64]) -> Figure:
    """The score of a row whose clips were rated so, raters x clips."""
    key = {str(clip): {"row": report.TRUTH, "item": str(clip)} for clip in range(table.shape[1])}
    ratings = {(str(rater), str(clip), "quality"): score for (rater, clip), score in np.ndenumerate(table)}
    opinion = listening._opinion(report.TRUTH, "quality", ratings, key, seed=0)
    assert opinion is not None and opinion.score.n == table.size
    return opinion.score


@pytest.mark.parametrize(("cell", "harmless"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("a=b", "a=b"), ("", "")])
def test_no_cell_is_a_formula(cell: str, harmless: str) -> None:
    assert listening._harmless(cell) == harmless
