"""An F0 contour as a text file: what is written is read again, from any editor, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moksori.audio import f0_file, pitch
from moksori.audio.pitch import PitchTrack
from moksori.errors import UserError


def track(*f0_hz: float) -> PitchTrack:
    found = np.array(f0_hz, np.float64)
    return PitchTrack(found, (found > 0).astype(np.float64), found > 0, pitch.HOP_SECONDS)


def test_what_is_written_is_read_again_frame_by_frame(tmp_path: Path) -> None:
    known = np.random.default_rng(0).uniform(60, 1000, 500)
    known[np.random.default_rng(1).random(500) < 0.3] = 0.0
    written = track(*known)
    f0_file.write(tmp_path / "song.f0.csv", written)
    found = f0_file.read(tmp_path / "song.f0.csv")
    np.testing.assert_allclose(found.f0_hz, written.f0_hz, atol=5.1e-4)  # 0.001 Hz, rounded
    np.testing.assert_array_equal(found.is_voiced, written.is_voiced)
    assert found.hop_seconds == written.hop_seconds


def test_points_further_apart_are_joined_on_the_scale_of_notes() -> None:
    found = f0_file.parse("0.000,220,1\n0.320,880,1\n", "here")
    assert len(found.f0_hz) == 21
    assert found.f0_hz[10] == pytest.approx(440.0)  # half-way in time, half-way in octaves


def test_points_closer_together_are_read_at_frames() -> None:
    lines = "\n".join(f"{0.001 * i:.3f},{200 + i},1" for i in range(161))
    np.testing.assert_allclose(f0_file.parse(lines, "here").f0_hz, 200 + 16 * np.arange(11), rtol=1e-9)


def test_before_the_first_point_nothing_is_voiced() -> None:
    found = f0_file.parse("0.160,300,1\n0.176,300,1\n", "here")
    assert found.f0_hz.tolist() == [0.0] * 10 + [pytest.approx(300.0)] * 2


def test_header_and_voicing_may_be_missing_and_a_negative_pitch_is_unvoiced() -> None:
    found = f0_file.parse("0.000,-110.0\n0.016,220.0\n", "here")
    assert found.f0_hz.tolist() == [0.0, pytest.approx(220.0)]


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "song.f0.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f0_file.HEADER.encode() + b"\r\n0.000,220.000,1\r\n")
    assert f0_file.read(path).f0_hz.tolist() == [pytest.approx(220.0)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no point of a melody"),
        (f0_file.HEADER, "no point of a melody"),
        ("0.0,220,1\n0.0,220,1", r"line 2: time 0 s does not lie after 0 s"),
        ("0.0,220,1\n\n0.016,nan,1", r"line 3: pitch 'nan' is not a number"),
        ("0.0,220,yes", r"line 1: voicing 'yes'; expected 1"),
        ("0.0,220,1\n0.0;220;1", r"line 2: 1 columns"),
        ("abc,220,1", r"line 1: time 'abc' is not a number"),
        ("0.0,5000,1", r"line 1: pitch 5000 Hz; expected 46.875 to 2093.75 Hz"),
        ("0.0,0,1", r"line 1: pitch 0 Hz"),
        ("-1,220,1", r"line 1: time -1 s"),
        ("1e9,220,1", r"line 1: time 1e9 s"),
        ("0.0,220,1\ntime,f0,voiced", r"line 2: time 'time' is not a number"),
    ],
)
def test_what_is_no_melody_is_refused_by_line(content: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        f0_file.parse(content, "here")


def test_a_file_that_is_no_text_or_not_there_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.f0.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"a\.f0\.csv: not a text file"):
        f0_file.read(tmp_path / "a.f0.csv")
    with pytest.raises(UserError, match=r"b\.f0\.csv: the melody cannot be read"):
        f0_file.read(tmp_path / "b.f0.csv")
    with pytest.raises(UserError, match="melody cannot be written"):
        f0_file.write(tmp_path / "no" / "c.f0.csv", track(220.0))


def test_json_holds_the_same(tmp_path: Path) -> None:
    known = track(0.0, 220.125, 440.0, 0.0)
    f0_file.write(tmp_path / "song.JSON", known)
    np.testing.assert_allclose(f0_file.read(tmp_path / "song.JSON").f0_hz, known.f0_hz, rtol=1e-9)
    found = f0_file.parse_json('{"f0_hz": [220, -1], "time_seconds": [0, 0.016]}', "here")
    assert found.f0_hz.tolist() == [pytest.approx(220.0), 0.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1", "not JSON"),
        ("[1]", "holds list; expected lists named time_seconds, f0_hz, is_voiced"),
        ('{"time_seconds": [], "f0_hz": []}', "no point of a melody"),
        ('{"time_seconds": [0], "f0_hz": [220], "rate": [1]}', "holds time_seconds, f0_hz, rate"),
        ('{"time_seconds": [0, 1], "f0_hz": [220]}', "lists of one length"),
        ('{"time_seconds": 0, "f0_hz": 220}', "lists of one length"),
        ('{"time_seconds": [0, 1], "f0_hz": [220, NaN]}', "entry 1: pitch 'nan' is not a number"),
        ('{"time_seconds": [0, 1], "f0_hz": [220, 220], "is_voiced": [true, null]}', "entry 1: voicing 'None'"),
        ('{"time_seconds": [1, 0], "f0_hz": [220, 220]}', "entry 1: time 0 s does not lie after 1 s"),
    ],
)
def test_json_that_is_no_melody_is_refused(content: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        f0_file.parse_json(content, "here")
