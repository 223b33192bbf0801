"""A file holds what it holds, not what its first header says: joined, cut short, unpatched, with another suffix."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from moksori.audio import files, parts, signals
from moksori.errors import AudioFileError

RATE = 24_000
FIRST = signals.tone(220.0, 1.0, RATE, n_harmonics=5).samples
SECOND = signals.tone(330.0, 1.5, RATE, n_harmonics=5).samples
KINDS = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "flac": ("FLAC", "PCM_16"),
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
}


def _bytes(path: Path, samples: np.ndarray, kind: str, rate: int = RATE) -> bytes:
    container, subtype = KINDS[kind]
    soundfile.write(path, samples, rate, subtype, format=container)
    return path.read_bytes()


def _middle_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_stereo", [False, True])
def test_files_joined_end_to_end_are_heard_to_the_end(tmp_path: Path, kind: str, is_stereo: bool) -> None:
    """`cat a.mp3 b.mp3` once gave only the first; a stereo file behind a mono one, too."""
    second = np.stack([SECOND, SECOND], axis=1) if is_stereo else SECOND
    path = tmp_path / f"joined.{kind}"
    path.write_bytes(_bytes(tmp_path / f"a.{kind}", FIRST, kind) + _bytes(tmp_path / f"b.{kind}", second, kind))
    info, clip = files.probe(path), files.read(path)
    assert info.n_samples == clip.n_samples == pytest.approx(len(FIRST) + len(SECOND), abs=20)
    assert info.n_channels == 1
    assert any("2 files joined" in note for note in info.remarks)
    assert _middle_hz(clip.samples[RATE // 4 : RATE * 3 // 4]) == pytest.approx(220, abs=3)
    assert _middle_hz(clip.samples[RATE * 5 // 4 : RATE * 9 // 4]) == pytest.approx(330, abs=3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_ordinary_file_is_read_as_ever_and_nothing_is_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    _bytes(path, FIRST, kind)
    expected, _ = soundfile.read(path, dtype="float32")
    assert files.probe(path).remarks == ()
    np.testing.assert_allclose(files.read(path).samples, expected, atol=1e-6)  # mp3: blocks round otherwise


def test_what_has_another_rate_behind_the_first_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "joined.mp3"
    path.write_bytes(_bytes(tmp_path / "a.mp3", FIRST, "mp3") + _bytes(tmp_path / "b.mp3", SECOND, "mp3", 44_100))
    info = files.probe(path)
    assert info.n_samples == pytest.approx(len(FIRST), abs=20)
    assert any("44100 Hz follow; they are not heard" in note for note in info.remarks)


def test_an_mp3_whose_header_knows_less_is_heard_to_the_end(tmp_path: Path) -> None:
    content = bytearray(_bytes(tmp_path / "a.mp3", SECOND, "mp3"))
    at = next(content.find(mark) for mark in (b"Xing", b"Info") if mark in content)
    content[at + 8 : at + 12] = struct.pack(">I", 20)
    (tmp_path / "a.mp3").write_bytes(content)
    assert files.read(tmp_path / "a.mp3").n_samples > 1.4 * RATE


def test_zeros_before_the_first_frame_do_not_hide_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(bytes(65536) + _bytes(path, FIRST, "mp3"))
    assert files.read(path).seconds == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("kind", ["wav", "float.wav"])
def test_a_recorder_that_lost_power_leaves_sound(tmp_path: Path, size: int, kind: str) -> None:
    """The header once claimed 0 bytes: "holds no samples, only a header (529244 bytes)"."""
    path = tmp_path / "a.wav"
    content = bytearray(_bytes(path, FIRST, kind))
    at = content.index(b"data")
    content[4:8] = content[at + 4 : at + 8] = struct.pack("<I", size)
    path.write_bytes(content)
    clip, info = files.read(path), files.probe(path)
    np.testing.assert_allclose(clip.samples[: len(FIRST)], FIRST, atol=1e-4)
    assert clip.n_samples == info.n_samples == pytest.approx(len(FIRST), abs=24)


@pytest.mark.parametrize("kind", ["wav", "float.wav", "rf64", "aiff", "au", "mp3"])
def test_a_file_that_was_cut_short_says_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    content = _bytes(path, SECOND, kind)
    path.write_bytes(content[: len(content) // 2])
    info = files.probe(path)
    assert info.seconds == pytest.approx(0.75, abs=0.1)
    assert any("cut short" in note for note in info.remarks)


def test_bytes_behind_the_end_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(_bytes(path, FIRST, "wav") + np.random.default_rng(0).bytes(9000))
    info = files.probe(path)
    assert info.n_samples == len(FIRST)
    assert any("9000 bytes behind the end" in note for note in info.remarks)


@pytest.mark.parametrize(("kind", "suffix"), [("flac", ".mp3"), ("mp3", ".wav"), ("ogg", ".flac"), ("wav", ".m4a")])
def test_the_content_counts_and_not_the_suffix(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(_bytes(tmp_path / f"b.{kind}", FIRST, kind))
    assert files.read(path).seconds == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("suffix", [".mp3", ".wav", ".flac"])
def test_a_container_under_a_foreign_suffix_is_read_all_the_same(tmp_path: Path, suffix: str) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(FIRST[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert files.read(path).seconds == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"PK\x03\x04", "a zip archive"), (b"%PDF-1.7", "a PDF"), (b"<!doctype html>", "a web page"), (b"MThd", "MIDI")],
)
def test_what_is_no_sound_is_called_what_it_looks_like(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content + bytes(5000))
    with pytest.raises(AudioFileError, match=f"it looks like {what}"):
        files.read(path)


@pytest.mark.parametrize("window", [1 << 12, 1 << 24])
def test_marks_are_found_wherever_windows_end(window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_WINDOW", window)
    mark = parts._FLAC
    places = [0, 4096 - 3, 4096 * 2, 4096 * 3 - 7, 20_000]
    content = bytearray(30_000)
    for place in places:
        content[place : place + len(mark)] = mark
    assert list(parts._places(bytes(content), mark)) == places
    (tmp_path / "joined.flac").write_bytes(content)
    assert [span.start for span in parts.layout(tmp_path / "joined.flac").spans] == places


@pytest.mark.kind("C")
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_within_its_head_is_looked_at_all_the_same(tmp_path: Path, kind: str) -> None:
    content, path = _bytes(tmp_path / f"whole.{kind}", FIRST, kind), tmp_path / "cut"
    for length in [*range(1, 80), *range(80, len(content), len(content) // 20)]:
        path.write_bytes(content[:length])
        parts.looks_like(path)
        parts.layout(path)


@pytest.mark.kind("C")
def test_a_file_of_a_byte_or_three_is_looked_at_all_the_same(tmp_path: Path) -> None:
    # One of 0xFF alone ended in a traceback: the byte behind it tells AAC.
    path = tmp_path / "few"
    for byte in (0x00, 0x1A, *b"BFIORWcfr.0", 0xFE, 0xFF):
        for content in (bytes([byte]), bytes([byte, 0xF1]), bytes([byte, 0xFB, byte])):
            path.write_bytes(content)
            assert parts.looks_like(path) == ("aac" if content == b"\xff\xf1" else "")
            parts.layout(path)
