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


ID3 = b"ID3\x03\0\0\0\0\x03\x74" + b"TIT2" + bytes(496)  # before a file
TAG = b"TAG" + bytes(125)  # behind one
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 100, 1, 0) + bytes(108)


@pytest.mark.kind("C")
@pytest.mark.parametrize(("suffix", "kind"), [(".flac", "FLAC"), (".mp3", "MP3")])
@pytest.mark.parametrize("behind", [TAG, APE, TAG + ID3, bytes(8192)], ids=["ID3v1", "APE", "both", "zeros"])
def test_tags_around_files_joined_end_to_end_hide_nothing(
    tmp_path: Path, suffix: str, kind: str, behind: bytes
) -> None:
    """A FLAC with a tag behind it was called damaged; of two with tags between them none was heard."""
    plain = written(tmp_path, suffix, kind, {"MP3": "MPEG_LAYER_III"}.get(kind, "PCM_16"))
    for n in (1, 2):
        found, _ = heard(tmp_path / f"song{suffix}", n * (ID3 + plain + behind))
        assert len(found) == pytest.approx(n * len(SONG), abs=2000 if kind == "MP3" else 0)
        assert np.square(found).sum() == pytest.approx(n * np.square(SONG).sum(), rel=0.05)


@pytest.mark.kind("C")
def test_a_file_of_another_kind_behind_the_end_is_told(tmp_path: Path) -> None:
    """A wav behind a FLAC was damage; a FLAC behind a wav was not told."""
    kinds = {".wav": "WAV", ".flac": "FLAC", ".mp3": "MP3", ".ogg": "OGG"}
    subtypes = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}
    content = {suffix: written(tmp_path, suffix, kind, subtypes.get(kind, "PCM_16")) for suffix, kind in kinds.items()}
    for first in kinds:
        for second in kinds:
            if first != second and second != ".mp3":  # whose frames have no mark of their own
                found, remarks = heard(tmp_path / f"song{first}", content[first] + content[second])
                assert len(found) == pytest.approx(len(SONG), abs=1200), (first, second)
                assert f"{len(content[second])} bytes behind the end" in " ".join(remarks), (first, second)


@pytest.mark.kind("C")
def test_a_second_piece_of_sound_in_a_wav_is_told(tmp_path: Path) -> None:
    plain = written(tmp_path, ".wav", "WAV")
    content = plain + plain[36:]
    found, remarks = heard(tmp_path / "song.wav", with_field(content, 4, "<I", len(content) - 8))
    assert len(found) == len(SONG) and "a later one are not heard" in remarks[0]


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
