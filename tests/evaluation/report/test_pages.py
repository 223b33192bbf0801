"""The page holds what the report says, nothing else, and needs no network."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import re
from pathlib import Path

import pytest

from moksori.audio import files, signals
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data as report
from moksori.evaluation.report import pages
from moksori.evaluation.report.data import Item, Judge, Report, Row, SingerData
from moksori.language import Words

EVIL = "<script>alert('x')</script>\"&"
FIGURE = Figure(0.873, 0.80, 0.91, 12)


def _item(number: int, row: str = report.CONVERSION, files: bool = True, identified: float = 1.0) -> Item:
    kept = {"source": "audio/s.flac", "conversion": "audio/c.flac", "target": "audio/gone.flac"} if files else {}
    scores = {"identified": identified, "raw_pitch_accuracy": 0.5, "pitch_rmse_cents": 31.4}
    return Item(f"{number:04d}", row, f"a/{number}.wav", EVIL, "minho", -12.0, scores, {"own": "minho"}, kept)


@pytest.fixture
def judged() -> Report:
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


def test_the_page_needs_no_network_and_runs_nothing_from_outside(judged: Report, folder: Path) -> None:
    text = pages.write(judged, folder)[0].read_text(encoding="utf-8")
    parser = _Tags()
    parser.feed(text)
    links = [value for _, attrs in parser.tags for name, value in attrs.items() if name in ("src", "href") and value]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert sum(tag == "script" for tag, _ in parser.tags) == 1  # ours
    assert EVIL not in text


def test_only_the_script_of_the_page_may_run(judged: Report, folder: Path) -> None:
    text = pages.write(judged, folder)[0].read_text(encoding="utf-8")
    script = text[text.index("<script>") + len("<script>") : text.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == rules["media-src"] == "data:"


def test_no_two_parts_of_the_page_have_one_name(judged: Report, folder: Path) -> None:
    parser = _Tags()
    judges = [dataclasses.replace(judged.judges[0], name=name) for name in ("own", "other")]  # that say the same
    twice = dataclasses.replace(judged, items=judged.items[1:], judges=judges)
    parser.feed(pages.write(twice, folder)[0].read_text(encoding="utf-8"))
    ids = [attrs["id"] for _, attrs in parser.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {str(attrs["href"])[1:] for tag, attrs in parser.tags if tag == "a"}
    assert links <= set(ids)
    assert all(attrs.get("alt") for tag, attrs in parser.tags if tag == "img")
    assert all(attrs.get("aria-label") for tag, attrs in parser.tags if tag in ("audio", "svg"))


def test_the_page_tells_the_verdict_the_figures_and_what_is_missing(judged: Report, folder: Path) -> None:
    text = pages.write(judged, folder)[0].read_text(encoding="utf-8")
    assert "Heard &lt;script&gt;" in text
    assert "87 %" in text and "80 to 91" in text
    assert "31 cents" in text
    assert text.count('<article class="pair">') == 2
    assert text.count("data:audio/mpeg") == 4
    assert "No sound: target: audio/gone.flac: no such file" in text
    assert str(folder) not in text
    assert "moksori evaluate &#39;a b&#39;" in text
    assert "A2 to A4" in text


def test_the_same_report_is_the_same_page(judged: Report, folder: Path) -> None:
    first = [path.read_bytes() for path in pages.write(judged, folder)]
    assert first == [path.read_bytes() for path in pages.write(judged, folder)]


def test_markdown_tells_the_same(judged: Report, folder: Path) -> None:
    text = pages.write(judged, folder, n_players=0)[1].read_text(encoding="utf-8")
    assert "| conversion | 12 | 87 % (80 to 91) |" in text
    assert "| **minho** | 3 |  |" in text
    assert "| **minho** | 1 | 2 |" in text  # real recordings
    assert "| loss | 3.1 |" in text


def test_an_empty_report_is_a_page_too(judged: Report, tmp_path: Path) -> None:
    empty = dataclasses.replace(
        judged, rows=[], items=[], judges=[], confusion={}, curves={}, tables={}, verdict=["None."]
    )
    assert "None." in pages.write(empty, tmp_path)[0].read_text(encoding="utf-8")


def test_names_cannot_break_out_of_markdown(judged: Report, folder: Path) -> None:
    broken = dataclasses.replace(
        judged, singers=[SingerData("a|b\n# c", 1.0, 1, None, None), *judged.singers[1:]], command="x ``` y"
    )
    text = pages.write(broken, folder, n_players=0)[1].read_text(encoding="utf-8")
    assert "| a\\|b # c | 1.0 |" in text
    assert "<script" not in text
    assert "````sh\nx ``` y\n````" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b *c* [d] <e> &f", r"a\|b \*c\* \[d\] &lt;e> &amp;f"),
        ("_kumi_ sang a_b.wav", r"\_kumi\_ sang a_b.wav"),
        ("run `moksori [x] <y> a|b`, *then*", r"run `moksori [x] <y> a\|b`, \*then\*"),
        ("a ` <b>", r"a \` &lt;b>"),
        ("` `` `<b>`", r"\` \`\` \`&lt;b>\`"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text: str, shown: str) -> None:
    """Once code had backslashes in it, and underscores around a name made it italic."""
    assert pages._markdown(text) == shown


def test_a_page_without_figures_has_no_link_to_them(judged: Report, folder: Path) -> None:
    parser = _Tags()
    parser.feed(pages.write(dataclasses.replace(judged, rows=[]), folder)[0].read_text(encoding="utf-8"))
    links = {str(attrs["href"])[1:] for tag, attrs in parser.tags if tag == "a"}
    assert links <= {attrs["id"] for _, attrs in parser.tags if "id" in attrs}


def test_a_report_without_figures_of_a_judge_is_a_page_too(judged: Report, folder: Path) -> None:
    bare = dataclasses.replace(
        judged, confusion={}, judges=[Judge("own", "", None, [])], model={"recipe": "duo"}, verdict=[]
    )
    text = pages.write(bare, folder)[0].read_text(encoding="utf-8")
    assert "Nobody checked it" in text
    assert "recipe duo" in text


def test_a_judge_that_is_often_wrong_is_not_praised(judged: Report, folder: Path) -> None:
    assert "Take what it says of conversions with care" in pages.write(judged, folder)[0].read_text(encoding="utf-8")
    sure = dataclasses.replace(judged.judges[0], real_accuracy=Figure(0.95, 0.9, 1.0, 50))
    text = pages.write(dataclasses.replace(judged, judges=[sure]), folder)[0].read_text(encoding="utf-8")
    assert "with care" not in text


def test_the_first_statement_of_the_verdict_stands_in_large_letters(judged: Report, folder: Path) -> None:
    spoken = dataclasses.replace(judged, verdict=["Good. In 97% of 3.5 minutes.", "More."])
    text = pages.write(spoken, folder)[0].read_text(encoding="utf-8")
    assert '<p class="lead">Good.</p>' in text
    assert "<li>In 97% of 3.5 minutes.</li>" in text
    assert "<li>More.</li>" in text


def test_a_long_sound_is_cut_and_the_page_says_so(judged: Report, folder: Path) -> None:
    files.write(folder / "audio" / "s.flac", signals.silence(31.0, 8000))
    short = dataclasses.replace(judged, items=[_item(1)])
    text = pages.write(short, folder)[0].read_text(encoding="utf-8")
    assert "the first 30 of 31.0 s" in text


def test_notes_may_hold_code_and_nothing_else(judged: Report, folder: Path) -> None:
    noted = dataclasses.replace(judged, notes=["see `moksori <i>`, <b>not</b>"])
    text = pages.write(noted, folder, n_players=0)[0].read_text(encoding="utf-8")
    assert "see <code>moksori &lt;i&gt;</code>, &lt;b&gt;not&lt;/b&gt;" in text


class TestChoice:
    def _names(self, groups: list[tuple[str, list[Item]]]) -> dict[str, list[str]]:
        return {heading: [item.name for item in items] for heading, items in groups}

    def test_the_best_and_the_weakest_stand_first(self) -> None:
        items = [_item(number, identified=0.5) for number in range(40)]
        items[17], items[23] = _item(17, identified=0.0), _item(23, identified=1.0)
        groups = self._names(pages.choose(items, 8))
        assert groups["The best"][0] == "0023"
        assert groups["The weakest"][0] == "0017"
        chosen = [name for names in groups.values() for name in names]
        assert len(chosen) == len(set(chosen)) == 8

    def test_a_clip_without_a_text_is_not_weak_for_that(self) -> None:
        """Once a score that a clip cannot have counted as 0: songs without words were "the weakest"."""
        items = [_item(number) for number in range(20)]
        for item in items[:10]:
            item.scores["vowel_accuracy"] = 0.8
        items[3].scores["vowel_accuracy"], items[14].scores["raw_pitch_accuracy"] = 0.1, 0.2
        groups = self._names(pages.choose(items, 8))
        assert groups["The weakest"] == ["0003", "0014"]

    def test_all_or_none_can_be_asked_for(self) -> None:
        items = [_item(number) for number in range(10)]
        assert sum(len(group) for _, group in pages.choose(items, 99)) == 10
        assert pages.choose(items, 0) == pages.choose([], 8) == []

    def test_every_singer_has_a_turn(self) -> None:
        singers = "abcd"
        pairs = [(source, target) for source in singers for target in singers for _ in range(5)]
        items = [
            dataclasses.replace(_item(number), source_singer=source, target_singer=target)
            for number, (source, target) in enumerate(pairs)
        ]
        (others,) = [group for heading, group in pages.choose(items, 16) if heading.startswith("Others")]
        assert len(others) == 8
        for of in ("source_singer", "target_singer"):
            assert sorted(getattr(item, of) for item in others) == list("aabbccdd")

    def test_other_rows_have_a_quarter(self) -> None:
        items = [_item(number) for number in range(40)]
        items += [_item(number, row=report.RECONSTRUCTION) for number in range(40, 80)]
        groups = self._names(pages.choose(items, 16))
        assert len(groups["Reconstruction"]) == 4
        assert sum(map(len, groups.values())) == 16


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


def test_the_page_says_what_to_do_next_and_gives_each_figure_its_scale(judged: Report, folder: Path) -> None:
    html, markdown = (path.read_text(encoding="utf-8") for path in pages.write(judged, folder))
    for text in (html, markdown):
        assert "What to do next" in text and "record 3.5 more minutes of singing" in text
        assert "its name elsewhere" in text and "F0 RMSE, in cents" in text
    assert EVIL not in html


def test_the_page_is_korean_where_korean_is_read(judged: Report, folder: Path) -> None:
    named = dataclasses.replace(judged, title="duo: how good are its conversions?")
    pages_in_korean = pages.write(named, folder, say=Words("ko"))
    html, markdown = (path.read_text(encoding="utf-8") for path in pages_in_korean)
    assert '<html lang="ko">' in html
    for text in (html, markdown):
        assert "duo: 변환이 얼마나 잘 되나?" in text and "how good" not in text
        assert "다음에 할 일" in text and "노래를 3.5분 더 녹음하세요" in text and "결과 수치" in text
        assert "변환 12개 가운데 목표 가수로 들린 것은 87%" in text
        for english in ("What to do next", "The figures", "held-out recordings", "Heard as", "heard as the target"):
            assert english not in text
