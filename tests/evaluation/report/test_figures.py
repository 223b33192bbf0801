"""Pictures show what the figures say, the same each time, and as text that any page can hold."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from moksori.audio import signals
from moksori.audio.pitch import HOP_SECONDS, PitchTrack
from moksori.evaluation.measures.bootstrap import Figure
from moksori.evaluation.report import data as report
from moksori.evaluation.report import figures
from moksori.evaluation.report.data import Row
from moksori.language import Words


def _texts(svg: str) -> list[str]:
    """What is written in a drawing, which must be well-formed."""
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


def _track(*f0_hz: float) -> PitchTrack:
    found = np.array(f0_hz, np.float64)
    return PitchTrack(found, (found > 0).astype(float), found > 0, HOP_SECONDS)


def _line(svg: str, colour: str) -> str:
    """The path that is drawn as a line of a colour."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*style="fill: none; stroke: ' + colour, svg)
    return max(paths, key=len)


def _png(uri: str) -> Image.Image:
    head, content = uri.split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


class TestConfusion:
    def test_the_same_data_give_the_same_picture(self) -> None:
        first, second = (figures.confusion_matrix([[1, 2], [0, 3]], ["a", "b"], "t") for _ in range(2))
        assert first == second
        assert first.startswith("<svg")

    def test_counts_names_and_shares_are_text(self) -> None:
        texts = _texts(figures.confusion_matrix([[3, 1], [0, 23]], ["anna", "<i>$x^2$"], "who"))
        assert {"3", "1", "23", "75%", "100%", "anna", "<i>$x^2$", "who"} <= set(texts)
        assert "0" not in texts

    def test_it_is_told_to_those_who_cannot_see_it(self) -> None:
        svg = figures.confusion_matrix([[3, 1], [0, 0]], ["anna", 'min"ho'], "who")
        assert 'role="img"' in svg
        assert ElementTree.fromstring(svg).get("aria-label") == (
            'who: anna heard as anna 3, min"ho 1; min"ho heard as nobody'
        )

    def test_it_is_spoken_in_the_readers_language(self) -> None:
        svg = figures.confusion_matrix([[2, 0], [0, 0]], ["a", "b"], "t", Words("ko"))
        assert ElementTree.fromstring(svg).get("aria-label") == "t: a: a 2(으)로 판정; b: 없음(으)로 판정"

    @pytest.mark.parametrize("n", [0, 1, 2, 20])
    def test_any_number_of_singers_can_be_drawn(self, n: int) -> None:
        names = [f"singer {number}" for number in range(n)]
        texts = _texts(figures.confusion_matrix((2 * np.eye(n, dtype=int)).tolist(), names, "who"))
        assert texts.count("2") == n
        assert all(texts.count(name) == 2 for name in names)  # once a side


class TestPitch:
    def test_notes_have_names_and_the_transposition_moves_what_was_asked_for(self) -> None:
        low, high = _track(*[220.0] * 50), _track(*[440.0] * 50)
        assert {"G#3", "A#3"} <= set(_texts(figures.pitch_overlay(low, low, 0.0)))
        asked_higher = _texts(figures.pitch_overlay(low, high, 12.0))
        assert {"G#4", "A#4"} <= set(asked_higher)
        assert "G#3" not in asked_higher

    def test_a_leap_is_not_joined_by_a_line(self) -> None:
        svg = figures.pitch_overlay(_track(*[220.0] * 20), _track(*[220.0] * 10, *[330.0] * 10), 0.0)
        glide = figures.pitch_overlay(_track(*[220.0] * 20), _track(*np.linspace(220, 240, 20)), 0.0)
        assert _line(svg, figures.RED).count("M") == 2
        assert _line(glide, figures.RED).count("M") == 1

    def test_one_stray_does_not_squeeze_the_melody(self) -> None:
        melody, stray = [220.0] * 97, [2000.0] * 3
        assert _texts(figures.pitch_overlay(_track(*melody, *stray), _track(*melody), 0.0)) == _texts(
            figures.pitch_overlay(_track(*melody, 220.0, 220.0, 220.0), _track(*melody), 0.0)
        )

    @pytest.mark.parametrize("silent", [_track(), _track(0.0, 0.0, 0.0)])
    def test_a_melody_without_pitch_is_drawn(self, silent: PitchTrack) -> None:
        assert "C4" in _texts(figures.pitch_overlay(silent, silent, 0.0))


class TestSpectrograms:
    def test_a_tone_is_bright_and_silence_is_dark(self) -> None:
        tone, silence = signals.tone(440.0, 0.5, 16000), signals.silence(0.5, 16000)
        picture = np.asarray(_png(figures.spectrogram_pair(tone, silence)).convert("RGBA").convert("L"), float)
        middle, height = picture[:, picture.shape[1] // 2], len(picture)
        assert middle[int(0.1 * height) : int(0.4 * height)].max() > 180
        assert middle[int(0.6 * height) : int(0.85 * height)].max() < 10

    def test_rates_and_lengths_may_differ_or_be_nothing(self) -> None:
        whole, short = signals.tone(440.0, 0.5, 24000), signals.tone(440.0, 0.2, 8000)
        sizes = {
            _png(figures.spectrogram_pair(*pair)).size
            for pair in ((whole, short), (short, whole), (signals.silence(0.0, 8000), short))
        }
        assert len(sizes) == 1

    def test_it_is_small(self) -> None:
        noise = signals.tone(440.0, 5.0, 24000)
        assert len(figures.spectrogram_pair(noise, noise)) < 60_000


class TestCharts:
    def test_curves_and_charts_of_nothing_are_nothing(self) -> None:
        assert figures.training_curves({}) == figures.training_curves({"loss": []}) == ""
        assert figures.rows_chart([], "identified") == ""

    def test_a_chart_names_its_rows_and_gives_conversions_their_own_colour(self) -> None:
        rows = [
            Row(report.TRUTH, 5, {"identified": Figure(0.9, 0.8, 1.0, 5)}),
            Row(report.CONVERSION, 5, {"identified": Figure(0.5, 0.4, 0.6, 5)}),
            Row(report.COPY, 5, {}),
        ]
        svg = figures.rows_chart(rows, "identified")
        assert {report.TRUTH, report.CONVERSION, "heard as the target, %"} <= set(_texts(svg))
        assert report.COPY not in _texts(svg)
        assert figures.RED in svg
        assert figures.RED not in figures.rows_chart(rows[:1], "identified")
        assert "conversion 50 %" in str(ElementTree.fromstring(svg).get("aria-label"))

    def test_shares_above_all_are_not_cut_off(self) -> None:
        """The movement of harmonics may be more than the source's; once the axis ended at 103 %."""
        rows = [Row(report.CONVERSION, 5, {"movement_low": Figure(1.4, 1.3, 1.5, 5)})]
        ticks = [float(text) for text in _texts(figures.rows_chart(rows, "movement_low")) if text.isdigit()]
        assert ticks and max(ticks) > 103

    def test_every_curve_has_its_name(self) -> None:
        svg = figures.training_curves({"loss": [[1, 2.0], [2, 1.0]], "held-out_x": [[1, 1.0]], "$y$": [[0, 0.0]]})
        assert {"loss", "held-out x", "$y$"} <= set(_texts(svg))


def test_a_drawing_refers_to_nothing_but_itself() -> None:
    # Two drawings of matplotlib give the same ids to different things; a page with both would show one in the other.
    first = figures.confusion_matrix([[1]], ["a"], "t")
    second = figures.confusion_matrix([[2]], ["b"], "t")
    ids = [set(re.findall(r' id="([^"]*)"', svg)) for svg in (first, second)]
    used = [set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) for svg in (first, second)]
    assert used[0] and ids == used
    assert not ids[0] & ids[1]


@pytest.mark.filterwarnings("error")
def test_names_in_any_letters_are_text_and_nothing_to_warn_of() -> None:
    drawing = figures.confusion_matrix([[1, 0], [0, 1]], ["안나", "minho 🎤"], "heard")
    assert "안나" in drawing and "minho 🎤" in drawing


def test_the_ink_is_that_of_the_page() -> None:
    svg = figures.confusion_matrix([[1]], ["a"], "t")
    assert "currentColor" in svg
    assert figures._INK not in svg
