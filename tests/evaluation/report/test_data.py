"""A report survives its file, and a damaged one is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from moksori.errors import DataError
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data as report
from moksori.evaluation.report.data import Item, Judge, Report, Row, SingerData

ITEM = Item(
    "0001", report.CONVERSION, "a/1.wav", "a", "b", -12.0, {"identified": 1.0}, {"own": "b"}, {"source": "audio/1.flac"}
)
REPORT = Report(
    "title",
    "moksori evaluate",
    "2026-01-02",
    "moksori 0",
    [SingerData("a", 1.5, 3, 100.0, None), SingerData("목소리", 2.0, 0, None, None)],
    [Judge("own", "a net", Figure(0.9, 0.8, 1.0, 7), [[7, 0], [0, 0]]), Judge("other", "", None, [])],
    [Row(report.CONVERSION, 1, {"identified": Figure(1.0, 1.0, 1.0, 1)})],
    [ITEM],
    {"own": [[0, 1], [0, 0]]},
    ["Heard."],
    ["note"],
    {"sample_rate": 8000},
    {"loss": [[1.0, 2.0]]},
    {"table": [["head"], ["cell"]]},
)


def test_a_report_whose_items_say_what_was_heard_is_read_as_before(tmp_path: Path) -> None:
    path = report.save(REPORT, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert '"predicted"' in text
    path.write_text(text.replace('"predicted"', '"heard"'), encoding="utf-8")
    assert report.load(path) == REPORT


def test_what_is_saved_is_loaded_from_the_file_and_from_its_folder(tmp_path: Path) -> None:
    path = report.save(REPORT, tmp_path)
    assert report.load(path) == report.load(tmp_path) == REPORT
    assert REPORT.row(report.CONVERSION) is not None
    assert REPORT.row(report.TRUTH) is None


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "C:\\x", "..\\x", "\\\\host\\x", "C:x"])
def test_a_report_names_no_file_outside_of_its_folder_on_any_system(path: str) -> None:
    with pytest.raises(ValueError, match="leaves the report's folder"):
        dataclasses.replace(ITEM, files={"source": path})


def test_every_metric_and_row_is_described() -> None:
    assert {metric.group for metric in report.METRICS.values()} == {"singer", "melody", "words", "sound", "natural"}
    assert all(metric.label and metric.meaning for metric in report.METRICS.values())
    assert len(set(report.ROWS)) == len(report.ROWS)


def test_a_report_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="moksori evaluate"):
        report.load(tmp_path)


INFINITE = {"mean": 1e999, "low": 0, "high": 0, "n": 1}


def _damaged(**changes: Any) -> str:
    content = {"format": report.FORMAT, "version": report.VERSION} | dataclasses.asdict(REPORT) | changes
    return json.dumps({key: value for key, value in content.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "not a moksori report"),
        (_damaged(version=99), "not a moksori report"),
        (_damaged(rows=None), "damaged"),
        (_damaged(items=[{"name": 1}]), "damaged"),
        (
            _damaged(rows=[{"name": "x", "n": 1, "figures": {"leak": {"mean": 1e999, "low": 0, "high": 0, "n": 1}}}]),
            "dama",
        ),
        (_damaged(items=[dataclasses.asdict(ITEM) | {"files": {"source": "../../etc/passwd"}}]), "leaves the report"),
        (_damaged(items=[dataclasses.asdict(ITEM) | {"files": {"source": "/etc/passwd"}}]), "leaves the report"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / report.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        report.load(tmp_path)
