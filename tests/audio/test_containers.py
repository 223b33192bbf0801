import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from moksori.audio import containers, files, signals
from moksori.errors import AudioFileError

av = pytest.importorskip("av", reason="reading containers needs PyAV, the extra `av`")


def _write(path: Path, codec: str, rate: int = 48000, layout: str = "mono", muxer: str | None = None) -> None:
    """Encode half a second of a 440 Hz tone."""
    samples = signals.tone(440, 0.5, rate).samples
    n_channels = 2 if layout == "stereo" else 1
    with av.open(str(path), "w", format=muxer) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 192_000  # with fewer the AAC encoder bends even a tone by 3 dB at its start
        interleaved = np.repeat(samples, n_channels)[None]
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate = rate
        for converted in av.AudioResampler(stream.format.name, layout, rate).resample(frame):
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))


CASES = [("x.m4a", "aac", None), ("x.mp4", "aac", None), ("x.aac", "aac", "adts"), ("x.webm", "libopus", None),
         ("x.mkv", "libopus", None), ("x.mov", "pcm_s16le", None)]  # fmt: skip


@pytest.mark.parametrize(("name", "codec", "muxer"), CASES)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_a_container_is_read_as_the_sound_in_it(
    tmp_path: Path, name: str, codec: str, muxer: str | None, layout: str
) -> None:
    path = tmp_path / name
    _write(path, codec, layout=layout, muxer=muxer)
    info, clip = files.probe(path), files.read(path)
    assert info.sample_rate == 48000
    assert info.n_channels == (2 if layout == "stereo" else 1)
    assert info.n_samples == clip.n_samples
    assert clip.seconds == pytest.approx(0.5, abs=0.06)  # codecs add up to two frames of padding
    middle = clip.samples[8000:16000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * 48000 / len(middle) == pytest.approx(440, abs=6)
    assert middle.std() == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("block_samples", [1, 1000, 4096, 10**6])
def test_blocks_of_a_container_have_the_wanted_length(tmp_path: Path, block_samples: int) -> None:
    path = tmp_path / "x.m4a"
    _write(path, "aac")
    pieces = list(files.blocks(path, block_samples))
    assert all(len(piece) == block_samples for piece in pieces[:-1])
    assert 1 <= len(pieces[-1]) <= block_samples
    assert np.array_equal(np.concatenate(pieces)[:, 0], files.read(path).samples)


def test_what_cannot_be_written_becomes_flac_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "x.m4a"
    _write(path, "aac")
    encoding = files.writable_like(files.probe(path))
    assert (encoding.suffix, encoding.format, encoding.subtype) == (".flac", "FLAC", "PCM_16")
    assert "MOV/AAC" in encoding.note


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.m4a"
    _write(path, "aac")
    real_import = builtins.__import__

    def without_av(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(AudioFileError, match=r'x\.m4a.*pip install "moksori\[av\]"'):
        files.read(path)


def test_a_playlist_renamed_to_m4a_opens_no_other_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "secret.wav", np.zeros(100), 16000)
    for text in ("#EXTM3U\n#EXTINF:1,\nsecret.wav\n", "ffconcat version 1.0\nfile secret.wav\n"):
        (tmp_path / "x.m4a").write_text(text, encoding="utf-8")
        with pytest.raises(AudioFileError, match="not a sound file"):
            files.read(tmp_path / "x.m4a")


def test_a_truncated_container_is_refused_or_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "x.m4a"
    _write(path, "aac")
    whole = path.read_bytes()
    for n_bytes in range(1, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:n_bytes])
        try:
            assert files.read(path).n_samples > 0
        except AudioFileError as error:
            assert "x.m4a" in str(error)


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=24)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        output.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        output.mux(stream.encode(None))
    with pytest.raises(AudioFileError, match="no sound track"):
        files.probe(path)


def test_every_container_suffix_is_a_candidate() -> None:
    assert all(files.is_candidate(Path(f"x{suffix}")) for suffix in containers.SUFFIXES)
