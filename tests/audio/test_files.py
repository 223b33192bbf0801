import os
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moksori.audio import containers, files, level, resample, signals
from moksori.audio.clip import Clip, Samples
from moksori.errors import AudioFileError

DEMO = Path(__file__).parents[2] / "demo"
LOSSLESS = [("x.wav", "PCM_U8", 8), ("x.wav", "PCM_16", 16), ("x.wav", "PCM_24", 24), ("x.wav", "PCM_32", 24),
            ("x.flac", "PCM_16", 16), ("x.aiff", "PCM_24", 24), ("x.caf", "PCM_16", 16)]  # fmt: skip


def _song(seconds: float = 1.0, rate: int = 24000) -> Samples:
    """A glide with some noise on it: nothing in it repeats."""
    glide = signals.glide(200, 900, seconds, rate, amplitude=0.3, n_harmonics=3).samples
    return glide + signals.noise(seconds, rate, np.random.default_rng(0), amplitude=0.02).samples


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """A good 16-bit wav file of one second at 24 kHz, mono; its header takes 44 bytes."""
    path = tmp_path / "x.wav"
    soundfile.write(path, _song(), 24000, "PCM_16")
    return path


# --- what is good -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "subtype", "bits"), LOSSLESS)
def test_integers_are_read_exactly(tmp_path: Path, name: str, subtype: str, bits: int) -> None:
    path, samples = tmp_path / name, _song()
    soundfile.write(path, samples, 24000, subtype)
    info = files.probe(path)
    assert (info.sample_rate, info.n_channels, info.n_samples, info.seconds) == (24000, 1, 24000, 1.0)
    assert info.subtype == subtype
    assert np.abs(files.read(path).samples - samples).max() <= 2.0 ** (1 - bits)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_are_read_exactly_even_beyond_full_scale(tmp_path: Path, subtype: str) -> None:
    samples = 4 * _song()
    soundfile.write(tmp_path / "x.wav", samples, 24000, subtype)
    assert np.array_equal(files.read(tmp_path / "x.wav").samples, samples)


@pytest.mark.parametrize("rate", [1000, 8000, 44100, 192_000, 768_000])
def test_any_rate_is_read(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(100), rate)
    assert files.read(tmp_path / "x.wav").sample_rate == rate


@pytest.mark.parametrize("n_channels", [1, 2, 8, 64])
def test_channels_become_their_mean(tmp_path: Path, n_channels: int) -> None:
    channels = np.random.default_rng(0).uniform(-1, 1, (5000, n_channels)).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", channels, 24000, "FLOAT")
    assert files.probe(tmp_path / "x.wav").n_channels == n_channels
    assert np.array_equal(np.concatenate(list(files.blocks(tmp_path / "x.wav", 999))), channels)
    assert files.read(tmp_path / "x.wav").samples == pytest.approx(channels.mean(axis=1), abs=1e-6)


def test_one_sample_is_a_clip(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.array([0.5]), 24000)
    assert files.read(tmp_path / "x.wav").samples.tolist() == [0.5]
    assert files.probe(tmp_path / "x.wav").n_samples == 1


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.mp3", "x.ogg", "x.opus"])
@pytest.mark.parametrize("block_samples", [333, 1 << 14])
def test_blocks_join_to_the_sound_of_the_whole_file(tmp_path: Path, name: str, block_samples: int) -> None:
    # mp3 failed this: soundfile seeks after every block, and its decoder starts afresh after a seek.
    path = tmp_path / name
    files.write(path, Clip(_song(2.0), 24000))
    whole, _ = soundfile.read(path, dtype="float32")
    pieces = list(files.read_mono_blocks(path, block_samples))
    assert all(len(piece) == block_samples for piece in pieces[:-1])
    assert np.concatenate(pieces) == pytest.approx(whole, abs=1e-6)
    assert files.probe(path).n_samples == len(whole)


@pytest.mark.parametrize(
    "name", ["고음 연습.wav", "a b;$(touch x).wav", "-rf.wav", "'\"\n.wav", "🎤" * 60 + ".wav", "ノ゙.FLAC"]
)
def test_odd_names_are_only_names(tmp_path: Path, name: str) -> None:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        pytest.skip("this locale cannot express the name")
    path = tmp_path / name
    files.write(path, Clip(_song(), 24000))
    assert files.read(path).n_samples == files.probe(path).n_samples == 24000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows file names that are not UTF-8")
def test_a_name_that_is_not_utf_8_is_read(wav: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(wav.parent) + b"/caf\xe9.wav"))
    wav.rename(path)
    assert files.read(path).n_samples == 24000


def test_a_link_to_a_file_is_followed(wav: Path) -> None:
    link = wav.with_name("link.wav")
    link.symlink_to(wav)
    assert files.read(link).n_samples == 24000


def test_candidates_are_told_by_suffix() -> None:
    assert all(files.is_candidate(Path(name)) for name in ("a.wav", "b.MP3", "c.d.Flac", "e.m4a", "f.opus"))
    assert not any(files.is_candidate(Path(name)) for name in ("a.txt", "wav", ".wav", "._a.wav", "a.f0.npy", "a.raw"))


def test_songs_are_read() -> None:
    paths = sorted(DEMO.rglob("*.flac"))
    assert len(paths) > 5
    for path in paths:
        info, clip = files.probe(path), files.read(path)
        assert (info.sample_rate, info.n_samples) == (clip.sample_rate, clip.n_samples)
        assert level.sung_regions(level.measure(clip.samples, clip.sample_rate))


# --- what lies, or is broken ------------------------------------------------------------------------------------------


def _sizes(riff: int, data: int) -> Callable[[bytes], bytes]:
    """Rewrite the two lengths in a wav header."""
    return lambda good: good[:4] + struct.pack("<I", riff) + good[8:40] + struct.pack("<I", data) + good[44:]


@pytest.mark.parametrize("lie", [_sizes(0xFFFFFFFF, 0xFFFFFFFF), _sizes(100, 0x7FFFFFFF), _sizes(0, 48002)])
def test_a_wav_header_that_claims_gigabytes_is_read_as_far_as_there_is_sound(
    wav: Path, lie: Callable[[bytes], bytes]
) -> None:
    wav.write_bytes(lie(wav.read_bytes()))
    assert files.probe(wav).n_samples == files.read(wav).n_samples == 24000


def test_a_truncated_wav_is_read_as_far_as_it_goes(wav: Path) -> None:
    whole = files.read(wav).samples
    wav.write_bytes(wav.read_bytes()[: 44 + 2 * 5000])
    clip = files.read(wav)
    assert files.probe(wav).n_samples == clip.n_samples
    assert 4990 <= clip.n_samples <= 5000
    assert np.array_equal(clip.samples, whole[: clip.n_samples])


def test_a_truncated_mp3_has_the_length_that_can_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    files.write(path, Clip(_song(3.0), 24000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    info = files.probe(path)
    assert info.n_samples == files.read(path).n_samples
    assert 1 < info.seconds < 2  # the header still claims 3


def test_a_truncated_flac_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    files.write(path, Clip(_song(), 24000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for look in (files.probe, files.read):
        with pytest.raises(AudioFileError, match=r"x\.flac: damaged or cut short.*copy it again"):
            look(path)


def test_a_flac_of_unknown_length_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    files.write(path, Clip(_song(), 24000))
    good = bytearray(path.read_bytes())
    good[21] &= 0xF0  # total samples: the low 4 bits of byte 21 and the 4 bytes after it; 0 means unknown
    good[22:26] = bytes(4)
    path.write_bytes(good)
    assert files.probe(path).n_samples == files.read(path).n_samples == 24000


REFUSED: dict[str, tuple[bytes | Callable[[bytes], bytes], str]] = {
    "0 bytes": (b"", "is empty"),
    "header only": (lambda good: good[:44], "no samples, only a header"),
    "half a header": (lambda good: good[:20], "not a sound file"),
    "text": (b"la la la\n" * 99, "not a sound file"),
    "a web page": (b"<!DOCTYPE html><html>404</html>" * 9, "not a sound file"),
    "zeros": (bytes(5000), "not a sound file"),
    "a rate of 1 Hz": (lambda good: good[:24] + struct.pack("<I", 1) + good[28:], "claims 1 Hz"),
    "a rate of 2 GHz": (lambda good: good[:24] + struct.pack("<I", 2 * 10**9) + good[28:], "claims 2000000000 Hz"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_wav_is_refused_with_its_name_and_the_reason(wav: Path, case: str) -> None:
    content, reason = REFUSED[case]
    wav.write_bytes(content if isinstance(content, bytes) else content(wav.read_bytes()))
    for look in (files.probe, files.read, lambda path: list(files.blocks(path))):
        with pytest.raises(AudioFileError, match=rf"x\.wav.*{reason}"):
            look(wav)


@pytest.mark.parametrize("name", ["x.mp3", "x.flac", "x.ogg", "x.m4a", "x.raw", "x"])
def test_text_is_no_sound_under_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("la la la\n" * 99, encoding="utf-8")
    with pytest.raises(AudioFileError, match="not a sound file"):
        files.probe(tmp_path / name)


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros((10, 65)), 24000)
    with pytest.raises(AudioFileError, match=r"claims 65 channels; expected 1\.\.64"):
        files.probe(tmp_path / "x.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_nan_and_infinity_are_refused_with_their_place(tmp_path: Path, bad: float) -> None:
    samples = np.zeros(48000)
    samples[30000] = bad  # 1e300 is infinite in single precision
    soundfile.write(tmp_path / "x.wav", samples, 24000, "DOUBLE")
    with pytest.raises(AudioFileError, match=r"NaN or infinite samples after 1\.0 s"):
        list(files.blocks(tmp_path / "x.wav", 24000))


def test_what_is_no_ordinary_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for ever
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "lost.wav").symlink_to("nowhere.wav")
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    reasons = {"folder": "is a folder", "pipe": "is a pipe", "loop": "leads back to itself", "lost": "no such file",
               "device": "a device", "missing": "no such file", "folder.wav/x": "no such file",
               "nul\0": "not a file name", "n" * 300: "cannot be reached"}  # fmt: skip
    for name, reason in reasons.items():
        for look in (files.probe, files.read):
            with pytest.raises(AudioFileError, match=reason):
                look(tmp_path / f"{name}.wav")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["x.wav", "x.flac", "x.ogg", "x.aiff"]), st.data())
def test_a_file_with_random_damage_is_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = tmp_path / name
    files.write(path, Clip(_song(0.2), 24000))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        # Half of the damage goes to the header, where it hurts most.
        place = data.draw(st.integers(0, 60) | st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.none() | st.integers(0, len(content)))])
    try:
        clip = files.read(path)
    except AudioFileError as error:
        assert name in str(error)
    else:
        assert 0 < clip.n_samples < 10**6
        assert np.isfinite(clip.samples).all()


def test_blocks_of_no_length_are_a_slip_of_the_caller(wav: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        list(files.blocks(wav, 0))


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.aiff", "x.w64", "x.caf", "x.au", "x.rf64"])
def test_written_samples_come_back(tmp_path: Path, name: str) -> None:
    clip = Clip(_song(), 24000)
    files.write(tmp_path / name, clip)
    again = files.read(tmp_path / name)
    assert again.sample_rate == 24000
    assert again.samples == pytest.approx(clip.samples, abs=2**-15)


@pytest.mark.parametrize("suffix", sorted({s for s in files.SUFFIXES if s not in containers.SUFFIXES}))
def test_every_suffix_that_can_be_written_is_written_in_its_own_encoding(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    with files.Writer(path, 48000, 2) as writer:
        for _ in range(3):
            writer.write(np.stack([_song(1, 48000)] * 2, axis=1))
    info = files.probe(path)
    assert (info.sample_rate, info.n_channels) == (48000, 2)
    assert info.n_samples == pytest.approx(144_000, abs=2000)  # an mp3 is padded to whole frames
    assert files.writable_like(info) == files.encoding_for(path)


def test_minutes_of_vorbis_in_one_block_are_written(tmp_path: Path) -> None:
    # libsndfile's encoder crashes the process when it is given this much in one call.
    files.write(tmp_path / "x.ogg", signals.silence(300, 24000))
    assert files.probe(tmp_path / "x.ogg").n_samples == 300 * 24000


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".opus"])
def test_a_lossy_format_loses_less_than_by_default(tmp_path: Path, suffix: str) -> None:
    # By default a song of 320 kbit/s would come back with about 100.
    voice = signals.glide(200.0, 400.0, 1.0, 48_000, n_harmonics=20, amplitude=0.1).samples
    clip = Clip(voice + signals.noise(1.0, 48_000, np.random.default_rng(0), amplitude=0.02).samples, 48_000)
    encoding = files.encoding_for(tmp_path / f"x{suffix}")
    soundfile.write(tmp_path / f"default{suffix}", clip.samples, 48_000, encoding.subtype, format=encoding.format)
    files.write(tmp_path / f"ours{suffix}", clip)
    lost = [
        np.square(files.read(tmp_path / f"{name}{suffix}").samples[: clip.n_samples] - clip.samples).mean()
        for name in ("default", "ours")
    ]
    assert lost[1] < 0.5 * lost[0]


def test_a_writer_can_follow_its_source(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "source.wav", np.zeros((9, 2)), 96000, "PCM_24")
    info = files.probe(tmp_path / "source.wav")
    with files.Writer(tmp_path / "x.wav", info.sample_rate, info.n_channels, files.writable_like(info)) as writer:
        writer.write(np.zeros((5, 2), np.float32))
    assert files.probe(tmp_path / "x.wav").subtype == "PCM_24"


def test_clipped_samples_are_counted_in_integer_formats_only(tmp_path: Path) -> None:
    block = np.array([[1.5], [-2.0], [1.0], [0.5]], np.float32)
    with files.Writer(tmp_path / "x.wav", 24000, 1) as writer:
        writer.write(block)
    assert writer.n_clipped == 2
    assert files.read(tmp_path / "x.wav").samples == pytest.approx([1, -1, 1, 0.5], abs=2**-14)
    with files.Writer(tmp_path / "x.wav", 24000, 1, files.Encoding(".wav", "WAV", "FLOAT")) as writer:
        writer.write(block)
    assert writer.n_clipped == 0
    assert np.array_equal(files.read(tmp_path / "x.wav").samples, block[:, 0])


def test_a_file_that_fails_halfway_leaves_the_old_one(wav: Path) -> None:
    before = wav.read_bytes()
    with pytest.raises(KeyboardInterrupt), files.Writer(wav, 24000, 1) as writer:
        writer.write(np.ones((1000, 1), np.float32))
        raise KeyboardInterrupt
    assert wav.read_bytes() == before
    assert list(wav.parent.iterdir()) == [wav]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from moksori.audio import files, signals
from moksori.errors import AudioFileError
sound = signals.noise(2, 24000, np.random.default_rng(0))
path = Path(sys.argv[1])
files.write(path, sound)
n_bytes = path.stat().st_size
path.write_bytes(b"old")
for limit in (0, 100, n_bytes // 2, n_bytes - 3000, n_bytes - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        files.write(path, sound)
    except AudioFileError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files, as POSIX has it")
@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.mp3"])
def test_a_full_disk_is_noticed_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True, timeout=60)
    assert done.stdout.count(name) == 5, done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"old"


def test_what_cannot_be_written_is_refused_beforehand(tmp_path: Path) -> None:
    clip = Clip(_song(), 24000)
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    reasons = {"folder.wav": "not an ordinary file", "pipe.wav": "not an ordinary file", "x.m4a": "use one of .aif",
               "x": "without suffix", "no/x.wav": "does not exist"}  # fmt: skip
    for name, reason in reasons.items():
        with pytest.raises(AudioFileError, match=reason):
            files.write(tmp_path / name, clip)
    with pytest.raises(AudioFileError, match="the sound is empty"):
        files.write(tmp_path / "x.wav", signals.silence(0, 24000))
    with pytest.raises(AudioFileError, match=r"cannot write OGG/OPUS.*at 44100 Hz"):
        files.write(tmp_path / "x.opus", Clip(_song(), 44100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.wav", "pipe.wav"]


@pytest.mark.parametrize(
    "block",
    [np.zeros(5, np.float32), np.zeros((5, 2), np.float32), np.zeros((5, 1)), np.full((1, 1), np.nan, np.float32)],
)
def test_a_block_that_does_not_fit_is_refused(tmp_path: Path, block: Samples) -> None:
    with pytest.raises(ValueError, match="block"), files.Writer(tmp_path / "x.wav", 24000, 1) as writer:
        writer.write(block)
    assert not list(tmp_path.iterdir())


def test_a_long_song_passes_in_bounded_memory(tmp_path: Path) -> None:
    phrase = _song(10.0)[:, None]
    with files.Writer(tmp_path / "long.flac", 24000, 1) as writer:
        for _ in range(30):
            writer.write(phrase)
    tracemalloc.start()
    meter, resampler = level.LevelMeter(24000), resample.StreamResampler(24000, 16000)
    with files.Writer(tmp_path / "x.flac", 16000, 1) as writer:
        for block in files.read_mono_blocks(tmp_path / "long.flac"):
            meter.push(block)
            writer.write(resampler.push(block)[:, None])
        writer.write(resampler.flush()[:, None])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert writer.n_samples == 300 * 16000
    assert meter.result().n_samples == 300 * 24000
    assert peak_bytes < 5e6  # the whole song would be 29 MB


def test_an_interruption_while_a_file_is_opened_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come between the hidden file's making and the first sample."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "SoundFile", interrupted)
    with pytest.raises(KeyboardInterrupt), files.Writer(tmp_path / "song.wav", 8000, 1):
        pass
    assert list(tmp_path.iterdir()) == []
