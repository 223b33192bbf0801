"""Files that hold more, less or something else than they say: heard as far as there is sound, or told."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests_of_trust import RATE, sing

from moksori.audio import files

SONG = sing(1.0)


def written(folder: Path, suffix: str, container: str, subtype: str = "PCM_16") -> bytes:
    """The song as a file of a kind."""
    soundfile.write(folder / f"plain{suffix}", SONG, RATE, subtype, format=container)
    return (folder / f"plain{suffix}").read_bytes()


def with_field(content: bytes, place: int, layout: str, *values: int) -> bytes:
    """The same bytes with another number somewhere."""
    field = struct.pack(layout, *values)
    return content[:place] + field + content[place + len(field) :]


def heard(path: Path, content: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """What is heard of a file, and what is said about it."""
    path.write_bytes(content)
    return files.read(path).samples, files.probe(path).remarks


@pytest.mark.kind("T")
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "IMA_ADPCM"])
@pytest.mark.parametrize("claim", [0, 0xFFFFFFFF])
def test_a_wav_that_claims_no_samples_is_heard_to_the_end(tmp_path: Path, subtype: str, claim: int) -> None:
    plain = written(tmp_path, ".wav", "WAV", subtype)
    found, remarks = heard(tmp_path / "song.wav", with_field(plain, plain.index(b"data") + 4, "<I", claim))
    whole = files.read(tmp_path / "plain.wav").samples
    np.testing.assert_array_equal(found[: len(whole)], whole)
    assert len(found) - len(whole) < 600 and "heard to the end" in remarks[0]


@pytest.mark.kind("T")
@pytest.mark.parametrize("claim", [0, -1, 4])
def test_a_caf_that_claims_no_samples_is_heard_to_the_end(tmp_path: Path, claim: int) -> None:
    plain = written(tmp_path, ".caf", "CAF")
    found, remarks = heard(tmp_path / "song.caf", with_field(plain, plain.index(b"data") + 4, ">q", claim))
    np.testing.assert_array_equal(found, files.read(tmp_path / "plain.caf").samples)
    assert "heard to the end" in remarks[0]


@pytest.mark.kind("T")
@pytest.mark.parametrize("claim", [0, 0xFFFFFFFF])
def test_an_au_that_claims_no_samples_is_heard_to_the_end(tmp_path: Path, claim: int) -> None:
    found, _ = heard(tmp_path / "song.au", with_field(written(tmp_path, ".au", "AU"), 8, ">I", claim))
    np.testing.assert_array_equal(found, files.read(tmp_path / "plain.au").samples)


@pytest.mark.kind("C")
@pytest.mark.parametrize(("claimed", "words"), [(1000, "all are heard"), (0, ""), (10**6, "it was cut short")])
def test_a_flac_is_heard_to_its_last_frame(tmp_path: Path, claimed: int, words: str) -> None:
    """A header that claims fewer samples than there are: only those were heard, without a word."""
    plain = written(tmp_path, ".flac", "FLAC")
    found, remarks = heard(tmp_path / "song.flac", with_field(plain, 22, ">I", claimed))
    np.testing.assert_array_equal(found, files.read(tmp_path / "plain.flac").samples)
    assert words in " ".join(remarks) and bool(remarks) == bool(words)


@pytest.mark.kind("polish")
@pytest.mark.parametrize(("suffix", "kind"), [(".flac", "FLAC"), (".wav", "WAV"), (".ogg", "OGG"), (".mp3", "MP3")])
@pytest.mark.parametrize("junk", [bytes(65536), b"\1\2\3" * 999], ids=["zeros", "junk"])
def test_sound_behind_something_else_is_found(tmp_path: Path, suffix: str, kind: str, junk: bytes) -> None:
    """64 kB of zeros before the first frame: "no sound in it"."""
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(kind, "PCM_16")
    plain = written(tmp_path, suffix, kind, subtype)
    found, _ = heard(tmp_path / f"song{suffix}", junk + plain)
    assert len(found) == pytest.approx(len(SONG), abs=2000)
    assert np.square(found).mean() == pytest.approx(np.square(SONG).mean(), rel=0.05)


def muxed(path: Path, container: str, codec: str) -> bytes:
    """The song in a container of PyAV."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(SONG[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=RATE, frame_size=size)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in stream.encode(piece):
                out.mux(packet)
    return path.read_bytes()


@pytest.mark.kind("S")
@pytest.mark.parametrize(("container", "codec"), [("adts", "aac"), ("ipod", "aac"), ("matroska", "aac")])
@pytest.mark.parametrize("suffix", [".mp3", ".wav", ".flac", ".txt"])
def test_a_foreign_suffix_changes_nothing(tmp_path: Path, container: str, codec: str, suffix: str) -> None:
    """AAC named .mp3 was taken for MPEG frames, and became noise at full scale."""
    content = muxed(tmp_path / "plain.bin", container, codec)
    found, _ = heard(tmp_path / f"song{suffix}", content)
    assert np.square(found).mean() == pytest.approx(np.square(SONG).mean(), rel=0.1)
    assert len(found) == pytest.approx(len(SONG), abs=1700)  # AAC fills its first and last frames


@pytest.mark.kind("polish")
def test_padding_behind_the_end_of_a_track_is_not_heard(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    found, _ = heard(tmp_path / "song.m4a", muxed(tmp_path / "plain.m4a", "ipod", "aac"))
    with av.open(str(tmp_path / "song.m4a")) as file:
        track = file.streams.audio[0]
        assert len(found) == round(float(track.duration * track.time_base) * RATE)
