"""The page holds what the report says, nothing else, and needs no network."""

from __future__ import annotations

import dataclasses
import html.parser
import re
from pathlib import Path

import numpy as np
import pytest

from moksori.audio import files, signals
from moksori.audio.pitch import PitchTrack
from moksori.evaluation import figures, pages, report
from moksori.evaluation.report import Figure, Item, Judge, Report, Row, SingerData

EVIL = "<script>alert('x')</script>\"&"
FIGURE = Figure(0.873, 0.80, 0.91, 12)


def _item(number: int, row: str = report.CONVERSION, files: bool = True, identified: float = 1.0) -> Item:
    kept = {"source": "audio/s.flac", "conversion": "audio/c.flac", "target": "audio/gone.flac"} if files else {}
    scores = {"identified": identified, "raw_pitch_accuracy": 0.5, "pitch_rmse_cents": 31.4}
    return Item(f"{number:04d}", row, f"a/{number}.wav", EVIL, "minho", -12.0, scores, {"own": "minho"}, kept)


@pytest.fixture
def told() -> Report:
    return Report(
        f"title {EVIL}",
        "moksori evaluate 'a b'",
        "2026-01-02",
        "moksori 0",
        [SingerData(EVIL, 1.5, 3, 110.0, 440.0), SingerData("minho", 2.0, 0, None, None)],
        [Judge("own", "a net", FIGURE, [[7, 0], [1, 2]]), Judge("other", "", None, [[0, 0], [0, 0]])],
        [Row(report.CONVERSION, 12, {"identified": FIGURE, "pitch_rmse_cents": Figure(31.4, 31.4, 31.4, 12)})],
        [_item(1), _item(2), _item(3, report.COPY, files=False)],
        {"own": [[0, 1], [3, 0]], "other": [[0, 0], [0, 0]]},
        [f"Heard {EVIL}."],
        ["a note"],
        {},
        {"loss": [[1.0, 2.0], [2.0, 1.0]]},
        {"inside": [["figure", "value"], ["loss", "3.1"]]},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    files.write(tmp_path / "audio" / "s.flac", signals.tone(220.0, 0.4, 24000))
    files.write(tmp_path / "audio" / "c.flac", signals.tone(110.0, 0.4, 16000))
    return tmp_path


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_no_network_and_runs_nothing_from_outside(told: Report, folder: Path) -> None:
    text = pages.write(told, folder)[0].read_text(encoding="utf-8")
    parser = _Tags()
    parser.feed(text)
    links = [value for _, attrs in parser.tags for name, value in attrs.items() if name in ("src", "href") and value]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert sum(tag == "script" for tag, _ in parser.tags) == 1  # ours
    assert EVIL not in text
    assert "default-src 'none'" in text


def test_the_page_tells_the_verdict_the_figures_and_what_is_missing(told: Report, folder: Path) -> None:
    text = pages.write(told, folder)[0].read_text(encoding="utf-8")
    assert "Heard &lt;script&gt;" in text
    assert "87 %" in text and "80 % to 91 %" in text
    assert "31 cents" in text
    assert text.count('<section class="pair">') == 2
    assert text.count("data:audio/mpeg") == 4
    assert re.search(r"No sound: target: \S*gone\.flac", text)
    assert "moksori evaluate &#39;a b&#39;" in text
    assert "A2 to A4" in text


def test_the_same_report_is_the_same_page(told: Report, folder: Path) -> None:
    first = [path.read_bytes() for path in pages.write(told, folder)]
    assert first == [path.read_bytes() for path in pages.write(told, folder)]


def test_markdown_tells_the_same(told: Report, folder: Path) -> None:
    text = pages.write(told, folder, n_players=0)[1].read_text(encoding="utf-8")
    assert "| conversion | 12 | 87 % (80 to 91) |" in text
    assert "| **minho** | 3 |  |" in text
    assert "| loss | 3.1 |" in text


def test_an_empty_report_is_a_page_too(told: Report, tmp_path: Path) -> None:
    empty = dataclasses.replace(
        told, rows=[], items=[], judges=[], confusion={}, curves={}, tables={}, verdict=["None."]
    )
    assert "None." in pages.write(empty, tmp_path)[0].read_text(encoding="utf-8")


def test_the_worst_and_the_best_are_among_those_to_listen_to() -> None:
    items = [_item(number, identified=0.5) for number in range(40)]
    items[17], items[23] = _item(17, identified=0.0), _item(23, identified=1.0)
    chosen = pages.choose(items, 8)
    assert len(chosen) == 8
    assert {"0017", "0023"} <= {item.name for item in chosen}
    assert pages.choose(items, 40) == items
    assert pages.choose(items, 0) == []


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.0, "identified", "0 %"),
        (0.0012, "clipped_fraction", "0.12 %"),
        (1.0, "leak", "100 %"),
        (6.04, "truth_distance_db", "6.0 dB"),
        (2.36, "clicks_per_minute", "2.4"),
    ],
)
def test_values_have_their_units(value: float, metric: str, text: str) -> None:
    assert pages.value_text(value, metric) == text


class TestFigures:
    def test_the_same_data_give_the_same_picture(self) -> None:
        first, second = (figures.confusion_matrix([[1, 2], [0, 3]], ["a", "b"], "t") for _ in range(2))
        assert first == second
        assert first.startswith("<svg")

    def test_counts_and_names_are_text(self) -> None:
        picture = figures.confusion_matrix([[17, 0], [0, 23]], ["anna", "<i>"], "who")
        found = re.findall(r">([^<>]+)</text>", picture)
        assert {"17", "23", "anna", "&lt;i&gt;", "who"} <= set(found)

    def test_curves_and_charts_of_nothing_are_nothing(self) -> None:
        assert figures.training_curves({}) == figures.training_curves({"loss": []}) == ""
        assert figures.rows_chart([], "identified") == ""

    def test_a_melody_without_pitch_is_drawn(self) -> None:
        silent = PitchTrack(np.zeros(3), np.zeros(3), np.zeros(3, np.bool_), 0.016)
        assert figures.pitch_overlay(silent, silent, 0.0).startswith("<svg")

    def test_spectrograms_of_silence_are_drawn(self) -> None:
        assert figures.spectrogram_pair(signals.silence(0.0, 8000), signals.silence(0.3, 8000)).startswith("data:image")
