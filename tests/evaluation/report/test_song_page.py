"""The page of a song: everything escaped, everything inside, nothing asked of the net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from moksori.audio.transposition import Outside
from moksori.conversion import Report
from moksori.errors import AudioFileError
from moksori.evaluation.report import song_page
from moksori.evaluation.report.song_page import Sung
from moksori.language import Words


def _sound(path: Path, f0_hz: float, seconds: float = 1.0, loud: float = 0.3) -> Path:
    times = np.arange(round(16_000 * seconds)) / 16_000
    soundfile.write(path, loud * np.sin(2 * np.pi * f0_hz * times), 16_000, subtype="FLOAT", format="WAV")
    return path


def _page(tmp_path: Path, *sung: Sung) -> str:
    song_page.write(tmp_path / "out" / "page.html", sung, "a <song>")
    return (tmp_path / "out" / "page.html").read_text("utf-8")


def test_a_section_for_each_conversion_with_both_sounds(tmp_path: Path) -> None:
    source, result = _sound(tmp_path / "a.wav", 440), _sound(tmp_path / "a.kumi.wav", 220)
    report = Report(16_000, 16_000, transpose_semitones=-12.0, outside=[Outside(0.0, 0.5, "A3")] * 15)
    html = _page(tmp_path, Sung(source, result, "kumi", report), Sung(source, result, "other", Report()))
    assert html.count("<audio") == html.count("data:audio/") == 4
    assert "-12 semitones" in html and html.count("A3 from 0.0 to 0.5 s") == 12 and "and 3 more" in html
    assert "a &lt;song&gt;" in html and "<song>" not in html


def test_names_are_escaped(tmp_path: Path) -> None:
    source = _sound(tmp_path / "<b>&.wav", 440)
    html = _page(tmp_path, Sung(source, source, "<script>alert(1)</script>", Report()))
    assert "<b>&.wav" not in html and "<script>alert" not in html
    assert "&lt;script&gt;" in html


def test_a_long_and_loud_song_is_shown_from_its_beginning(tmp_path: Path) -> None:
    source = _sound(tmp_path / "long.wav", 440, seconds=100.0, loud=3.0)
    assert ">90.0 s<" in _page(tmp_path, Sung(source, source, "kumi", Report()))


def test_a_page_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    source = _sound(tmp_path / "a.wav", 440)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(AudioFileError, match="cannot be written"):
        _page(tmp_path, Sung(source, source, "kumi", Report()))


def test_one_player_switches_between_the_two_sounds(tmp_path: Path) -> None:
    source, result = _sound(tmp_path / "a.wav", 440), _sound(tmp_path / "a.kumi.wav", 220)
    html = _page(tmp_path, Sung(source, result, "kumi", Report()))
    assert html.count('class="ab"') == 1 and html.count("<button") == 2
    assert html.count(" hidden></audio>") == 1  # the song waits; the new voice is heard first
    assert html.index(" hidden></audio>") < html.rindex("<audio")


def test_the_page_is_korean_where_korean_is_read(tmp_path: Path) -> None:
    source = _sound(tmp_path / "a.wav", 440)
    outside = [Outside(0.0, 0.5, "A3")] * 15
    song_page.write(tmp_path / "ko.html", [Sung(source, source, "kumi", Report(outside=outside))], "노래", Words("ko"))
    html = (tmp_path / "ko.html").read_text("utf-8")
    assert '<html lang="ko">' in html and "A3(0.0~0.5초)" in html and "외 3곳" in html and "the song" not in html
